"""Limits of storage clients, as the page on storage federations lists them; a client that learns one fails here."""

from pathlib import Path

import pytest
from front import redirector
from programs import gfal_copy, rclone, run


def xrdfs_query(url: str, token: str, _: Path):
    host, _, path = url.removeprefix("http://").partition("/")
    return run("xrdfs", f"http://{host}", "query", "checksum", f"/{path}", token=token)


def xrdcp_checksum(url: str, token: str, folder: Path):
    return run("xrdcp", "--allow-http", "--silent", "--cksum", "adler32:print", url, folder / "x", token=token)


def davix_ls(url: str, token: str, _: Path):
    return run("davix-ls", "-H", f"Authorization: Bearer {token}", url)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        pytest.param(xrdfs_query, "Operation is not implemented", id="xrdfs-query-checksum"),
        pytest.param(xrdcp_checksum, "HTTP 401 : Authentication Error", id="xrdcp-has-no-place-for-a-token"),
        pytest.param(davix_ls, "HTTP 405 : Method Not Allowed", id="davix-ls-wants-propfind"),
    ],
)
def test_client_says_what_it_cannot_do(url, samples, alice, tmp_path, call, words):
    outcome = call(f"{url}/zeros", alice, tmp_path)
    assert outcome.status != 0
    assert words in outcome.err


def test_rclone_cannot_list_what_has_no_listing(rclone_config, samples):
    outcome = rclone(rclone_config, "hashsum", "MD5", "gateway:", "--download")
    assert outcome.status != 0
    assert "HTTP Error: 400 Bad Request" in outcome.err


def test_gfal_copy_follows_a_redirected_head_for_the_get_too_and_the_checksum_tells(
    gateway, account, bucket, samples, alice, tmp_path
):
    """davix remembers one redirection for a URL: with `candochecksum`, the copy reads the gateway's JSON."""
    with redirector(
        store=account.place,
        checksums=lambda path: f"{gateway.url}/v1/checksums{path}",
        redirect_heads=True,
    ) as dynafed:
        outcome = gfal_copy(f"{dynafed}/data/five.root", tmp_path / "copy", "-K", "ADLER32", token=alice)
    assert outcome.status != 0
    assert "DESTINATION CHECKSUM MISMATCH" in outcome.err
