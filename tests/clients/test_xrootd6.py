"""XRootD 6 before a real gateway: its programs with the plug-in for HTTP, compiled by `make clients-xrootd6`.

By the source of 6.2.1 (`src/XrdClHttp`): the plug-in sends OPTIONS to the server once, without a token, and ignores an
error. A checksum is a HEAD with `Want-Digest`, one name or, without `cks.type`, six. `ParseDigest` reads `Digest`:
adler32 and crc32c in hex, crc32 in hex or base64, md5, sha and sha-256 in base64. It has no `Repr-Digest`, repeats no
request, and reads a 202 as any success.
"""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from front import redirector
from programs import HOME, Outcome, run
from samples import contents

from tests.machine import scaled

pytestmark = pytest.mark.xrootd6

XROOTD = HOME.parent / "xrootd6"
NAMES = list(contents())
ALGORITHMS = ("adler32", "crc32", "crc32c", "md5", "sha1", "sha256")


def xrootd(program: str, *arguments: str | Path, token: str | None, **env: str) -> Outcome:
    """Runs a program of XRootD 6. It opens files with a time limit of its own, which is for faster machines."""
    settings = {"XRD_PLUGINCONFDIR": str(XROOTD / "plugins"), "XRD_HTTPDEFAULTHEADERTIMEOUT": f"{scaled(60):.0f}s"}
    return run(XROOTD / "build" / "bin" / program, *arguments, token=token, env={**settings, **env})


def query(url: str, token: str | None, **env: str) -> Outcome:
    parts = urlsplit(url)
    target = url.removeprefix(f"{parts.scheme}://{parts.netloc}")
    return xrootd("xrdfs", f"{parts.scheme}://{parts.netloc}", "query", "checksum", target, token=token, **env)


@pytest.fixture(scope="module", autouse=True)
def xrootd6() -> None:
    """The programs are there; missing ones are a failure, never a skip."""
    assert (XROOTD / "version").exists(), "run 'make clients-xrootd6'"


@pytest.mark.parametrize("token", [None, "nonsense"])
def test_without_a_good_token_no_checksum_is_printed(url, samples, token):
    outcome = query(f"{url}/zeros", token)
    assert (outcome.status, outcome.out) == (54, "")
    assert "[3010] Unauthorized" in outcome.err


def test_a_missing_object_is_not_found(url, samples, alice):
    outcome = query(f"{url}/no-such", alice)
    assert (outcome.status, outcome.out) == (54, "")
    assert "[3011] Not Found" in outcome.err


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_xrdfs_prints_the_true_value(url, samples, alice, algorithm, name):
    outcome = query(f"{url}/{quote(name)}?cks.type={algorithm}", alice)
    assert outcome.out.split() == [algorithm, samples[name].digests[algorithm]], outcome.err


@pytest.mark.parametrize("name", NAMES)
def test_xrdfs_prints_adler32_if_it_names_no_type(url, samples, alice, name):
    assert query(f"{url}/{quote(name)}", alice).out.split() == ["adler32", samples[name].digests["adler32"]]


def test_the_token_may_be_in_a_file_or_a_header_and_goes_over_tls(url, https, certificate, samples, alice, tmp_path):
    file = tmp_path / "token"
    file.write_text(f"{alice}\n")
    value = samples["zeros"].digests["adler32"]
    assert query(f"{url}/zeros", None, BEARER_TOKEN_FILE=str(file)).value == value
    assert query(f"{url}/zeros", None, XRD_HTTPHEADERS=f"X-Auth-Token: {alice}").value == value
    over_tls = f"{https}{urlsplit(url).path}/zeros"
    assert query(over_tls, alice, X509_CERT_FILE=str(certificate)).value == value
    assert "certificate" in query(over_tls, alice).err


@pytest.fixture(scope="module")
def dynafed(gateway, account) -> Iterator[str]:
    """A redirector that answers HEAD itself, with the gateway's checksums."""
    with redirector(
        store=account.place, checksums=lambda path: f"{gateway.url}/v1/checksums{path}", redirect_heads=False
    ) as running:
        yield running


def xrdcp(url: str, target: Path, checksum: str, token: str) -> Outcome:
    """Copies with a checksum. Swift takes a token in its own header only."""
    headers = f"X-Auth-Token: {token}"
    return xrootd("xrdcp", "--silent", "--cksum", checksum, url, target, token=None, XRD_HTTPHEADERS=headers)


def test_xrdcp_fails_a_copy_whose_checksum_is_not_the_promised_one(dynafed, samples, alice, tmp_path):
    outcome = xrdcp(f"{dynafed}/data/five.root", tmp_path / "copy", "adler32:00000bad", alice)
    assert outcome.status == 53
    assert "CheckSum error" in outcome.err


@pytest.mark.parametrize("algorithm", ["adler32", "md5"])
def test_xrdcp_compares_a_copy_with_the_gateways_checksum(dynafed, samples, alice, tmp_path, algorithm):
    outcome = xrdcp(f"{dynafed}/data/five.root", tmp_path / "copy", algorithm, alice)
    assert outcome.status == 0, outcome.err
    assert (tmp_path / "copy").read_bytes() == samples["five.root"].data
    outcome = xrdcp(f"{dynafed}/data/five.root", tmp_path / "printed", f"{algorithm}:source", alice)
    assert samples["five.root"].digests[algorithm].lstrip("0") in outcome.out + outcome.err


@pytest.mark.parametrize("algorithm", ["sha512", "rot13"])
def test_xrdfs_knows_six_types(url, samples, alice, algorithm):
    outcome = query(f"{url}/zeros?cks.type={algorithm}", alice)
    assert (outcome.status, outcome.out) == (50, "")
    assert "Invalid arguments" in outcome.err


def test_a_token_in_the_url_is_refused(url, samples, alice):
    outcome = query(f"{url}/zeros?authz=Bearer%20{alice}", None)
    assert (outcome.status, outcome.out) == (54, "")


def test_a_name_that_is_not_percent_encoded_is_refused_by_the_client(url, samples, alice):
    outcome = query(f"{url}/run 7/ünï cödé 日本.root", alice)
    assert (outcome.status, outcome.out) == (50, "")
    assert "URL using bad/illegal format" in outcome.err


def test_xrdcp_follows_a_redirected_head_for_the_get_too_and_tells(gateway, account, samples, alice, tmp_path):
    """As davix: it remembers where the HEAD ended, and reads the gateway's JSON."""
    with redirector(
        store=account.place, checksums=lambda path: f"{gateway.url}/v1/checksums{path}", redirect_heads=True
    ) as redirecting:
        outcome = xrdcp(f"{redirecting}/data/five.root", tmp_path / "copy", "adler32", alice)
    assert outcome.status != 0
    assert "Received corrupted data" in outcome.err
