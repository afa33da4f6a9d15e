"""Callbacks: signed as Standard Webhooks say, and to public addresses only."""

import asyncio
import socket
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from gateway.errors import GatewayError
from gateway.objects.resolver import AllowlistResolver
from gateway.operations.callback_url import CallbackAllowlist, is_private_address, signing_keys
from operations.callbacks import next_delay_ms, signed
from operations.store.callbacks import Delivery
from operations.store.model import Operation, State

SECRET = "a-secret-of-at-least-thirty-two-characters"
OTHER = "another-secret-of-at-least-thirty-two-ones"
HOUR = 3_600_000


def delivery(*, attempts: int = 1, elapsed_ms: int = 0) -> Delivery:
    values = dict.fromkeys(Operation.__dataclass_fields__)
    known = {"id": "i", "project_id": "p", "state": State.SUCCEEDED, "created_at": 0, "expires_at": 0, "finished_at": 1}
    operation = Operation(**{**values, **known})
    return Delivery(operation=operation, url="https://e.org/", fence=1, attempts=attempts, elapsed_ms=elapsed_ms)


def test_receiver_verifies_it_with_the_shown_key_and_no_other() -> None:
    fields, body = signed(delivery(), SECRET, datetime.now(UTC))
    assert fields["webhook-id"] == "i"
    (shown,) = signing_keys(SECRET, "p")
    assert Webhook(shown).verify(body, fields)["type"] == "operation.succeeded"
    for wrong in (signing_keys(SECRET, "q")[0], signing_keys(OTHER, "p")[0]):
        with pytest.raises(WebhookVerificationError):
            Webhook(wrong).verify(body, fields)
    with pytest.raises(WebhookVerificationError):
        Webhook(shown).verify(body + b" ", fields)


def test_both_keys_sign_while_receivers_change() -> None:
    fields, body = signed(delivery(), f"{OTHER},{SECRET}", datetime.now(UTC))
    for secret in (SECRET, OTHER):
        assert Webhook(signing_keys(secret, "p")[0]).verify(body, fields)


def test_old_one_is_refused_by_the_receiver() -> None:
    fields, body = signed(delivery(), SECRET, datetime.now(UTC) - timedelta(hours=1))
    with pytest.raises(WebhookVerificationError):
        Webhook(signing_keys(SECRET, "p")[0]).verify(body, fields)


def test_attempts_are_spread_and_end_after_a_day() -> None:
    assert len({next_delay_ms(delivery(attempts=5), 24 * HOUR, gone=False) for _ in range(9)}) > 1
    assert next_delay_ms(delivery(attempts=30), 24 * HOUR, gone=False) <= HOUR
    assert next_delay_ms(delivery(elapsed_ms=24 * HOUR), 24 * HOUR, gone=False) is None
    assert next_delay_ms(delivery(), 24 * HOUR, gone=True) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/", "https://10.1.2.3/", "https://192.168.1.1/", "https://172.16.0.1/", "https://127.1/",
        "https://[fd00::1]/", "https://[::ffff:192.168.0.1]/", "https://100.64.0.1/", "https://localhost/",
        "https://a.internal/", "https://db.osfaas-system.svc/", "https://single/", "https://u:p@example.org/",
        "https://2130706433/", "https://0x7f000001/", "https://example.org/#x", "https://example.org/ä", "ftp://example.org/",
        "https://[64:ff9b::10.0.0.1]/", "https://example.org\\@10.0.0.1/", "https://" + "a" * 3000 + ".org/",
    ],
)  # fmt: skip
def test_private_places_are_rejected(url: str) -> None:
    with pytest.raises(GatewayError):
        CallbackAllowlist(()).check(url)


def test_public_and_listed_places_pass() -> None:
    CallbackAllowlist(()).check("https://hooks.example.org:8443/a?b=c")
    CallbackAllowlist(["https://10.0.0.1:8443"]).check("https://10.0.0.1:8443/x")
    with pytest.raises(GatewayError):
        CallbackAllowlist(["https://10.0.0.1:8443"]).check("https://10.0.0.1/x")
    with pytest.raises(ValueError, match="https"):
        CallbackAllowlist(["http://10.0.0.1"])


class ChangingResolver(AbstractResolver):
    """The first answer is public, all others are not: DNS that changes its mind."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list:
        address = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        entry = {"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": 0}
        return [entry]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:10.0.0.1"])
async def test_private_addresses_are_never_connected_to(address: str) -> None:
    resolver = AllowlistResolver(ChangingResolver(address), CallbackAllowlist(()), is_private_address)
    with pytest.raises(OSError, match="no allowed address"):
        await resolver.resolve("rebound.example.org", 443)


async def test_name_that_changes_its_mind_reaches_no_listener() -> None:
    """The connection goes to the address that was checked; a second look-up would find the listener on loopback."""
    reached: list[bytes] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(await reader.read(1))
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    resolver = AllowlistResolver(
        ChangingResolver("127.0.0.2", "127.0.0.1"), CallbackAllowlist(()), lambda each: str(each) == "127.0.0.1"
    )
    connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False)
    async with server, aiohttp.ClientSession(connector=connector) as session:
        for _ in range(2):
            with pytest.raises((aiohttp.ClientError, TimeoutError, OSError)):
                await session.post(f"https://rebound.example.org:{port}/", timeout=aiohttp.ClientTimeout(total=0.5))
    assert reached == []
