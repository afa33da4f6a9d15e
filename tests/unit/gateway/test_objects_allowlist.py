"""Which stores may be asked: the operator's, and of a catalog those that can be one."""

import pytest
from aiohttp.abc import AbstractResolver

from gateway.errors import ErrorCode, GatewayError
from gateway.objects.allowlist import StoreAllowlist, is_forbidden_address
from gateway.objects.resolver import AllowlistResolver

INSIDE = {
    "loopback": "127.0.0.1",
    "all of 127/8": "127.9.9.9",
    "IPv6 loopback": "[::1]",
    "mapped": "[::ffff:127.0.0.1]",
    "mapped metadata": "[::ffff:a9fe:a9fe]",
    "unspecified": "0.0.0.0",
    "this network": "0.1.2.3",
    "IPv6 unspecified": "[::]",
    "metadata": "169.254.169.254",
    "metadata of another cloud": "100.100.100.200",
    "wire server": "168.63.129.16",
    "IPv6 metadata": "[fd00:ec2::254]",
    "IPv6 link-local": "[fe80::1]",
    "6to4": "[2002:7f00:1::]",
    "NAT64": "[64:ff9b::7f00:1]",
    "NAT64 metadata": "[64:ff9b::169.254.169.254]",
    "Teredo": "[2001:0:7f00:1::]",
    "IPv4-compatible": "[::127.0.0.1]",
    "multicast": "224.0.0.1",
    "broadcast": "255.255.255.255",
    "octal": "0177.0.0.1",
    "hexadecimal": "0x7f.1",
    "one number": "2130706433",
    "shortened": "127.1",
    "localhost": "localhost",
    "under localhost": "store.localhost",
    "dot at the end": "localhost.",
    "Service": "kubernetes.default.svc",
    "Service in full": "kubernetes.default.svc.cluster.local",
    "single label": "keystone",
    "mDNS": "printer.local",
    "metadata by name": "metadata.google.internal",
    "capitals": "LOCALHOST",
}


def refusal(origins: StoreAllowlist, url: str) -> ErrorCode | None:
    try:
        origins.check_allowed(url)
    except GatewayError as error:
        return error.kind
    return None


@pytest.mark.parametrize("host", INSIDE.values(), ids=INSIDE)
def test_catalog_does_not_lead_inside(host: str) -> None:
    for url in (f"http://{host}/v1/AUTH_p", f"https://{host}:8080/v1/AUTH_p"):
        assert refusal(StoreAllowlist(), url) is ErrorCode.OBJECT_UNSUPPORTED


@pytest.mark.parametrize(
    "url",
    [
        "ftp://store.test/v1",
        "file:///etc/passwd",
        "gopher://store.test/",
        "//store.test/v1",
        "store.test/v1",
        "",
        "http://",
        "http://store.test@127.0.0.1/v1",
        "http://user:secret@store.test/v1",
        "http://store.test\\@127.0.0.1/v1",
        "http://store%2etest/v1",
        "http://store.test:99999/v1",
        "http://[::1/v1",
    ],
)
def test_what_is_no_plain_url_of_a_host_is_refused(url: str) -> None:
    assert refusal(StoreAllowlist(listed=["http://store.test"]), url) is ErrorCode.OBJECT_UNSUPPORTED


def test_store_that_is_not_listed_is_refused_though_it_could_be_one() -> None:
    origins = StoreAllowlist(listed=["https://store.test"])
    for url in ("https://other.test/v1", "http://store.test/v1", "https://store.test:8443/v1", "https://10.0.0.1/v1"):
        assert refusal(origins, url) is ErrorCode.OBJECT_UNSUPPORTED


@pytest.mark.parametrize("url", ["https://swift.example.org/v1", "http://10.1.2.3:8080/v1", "http://[fd12::1]:8080/v1"])
def test_public_and_private_stores_of_the_catalog_are_asked(url: str) -> None:
    assert refusal(StoreAllowlist(), url) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "kubernetes.default.svc", "store", "[::1]"])
def test_what_the_operator_names_is_asked_wherever_it_is(host: str) -> None:
    assert refusal(StoreAllowlist(listed=[f"http://{host}:8080"]), f"http://{host}:8080/v1/AUTH_p") is None
    assert refusal(StoreAllowlist(configured=[f"http://{host}:8080/v1"]), f"http://{host}:8080/v1/AUTH_p") is None


def test_origin_that_is_none_does_not_start() -> None:
    with pytest.raises(ValueError, match="not an http"):
        StoreAllowlist(listed=["swift.example.org"])


class Names(AbstractResolver):
    """Looks up what a test says, another answer each time."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(self, host, port=0, family=None):
        found = self.answers.pop(0)
        return [{"hostname": host, "host": each, "port": port, "family": 2, "proto": 6, "flags": 0} for each in found]

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "fd00:ec2::254", "64:ff9b::7f00:1"])
async def test_name_that_stands_for_the_inside_is_not_connected_to(address: str) -> None:
    """DNS rebinding: the answer that is looked at is the one that is connected to."""
    resolver = AllowlistResolver(
        Names(["192.0.2.1"], [address], ["192.0.2.1", address]), StoreAllowlist(), is_forbidden_address
    )
    assert [entry["host"] for entry in await resolver.resolve("store.test", 80)] == ["192.0.2.1"]
    with pytest.raises(OSError, match="no allowed address"):
        await resolver.resolve("store.test", 80)
    assert [entry["host"] for entry in await resolver.resolve("store.test", 80)] == ["192.0.2.1"]


async def test_name_that_the_operator_lists_may_stand_for_anything() -> None:
    resolver = AllowlistResolver(
        Names(["127.0.0.1"]), StoreAllowlist(listed=["http://store.test:8080"]), is_forbidden_address
    )
    assert [entry["host"] for entry in await resolver.resolve("store.test", 8080)] == ["127.0.0.1"]
