"""Family 12: what a function answers reaches the caller only as far as it is an answer.

The positive control of each: the function itself is asked without the gateway, and says what the caller was spared.
"""

import contextlib
import http.client
import json
import time

import httpx
import pytest
from echo import plainly
from faulty import code

from tests.machine import scaled

BODY = b"hello"


def reply(*fields: str, status: str = "200 OK", body: bytes = BODY, length: bool = True) -> bytes:
    lines = [f"HTTP/1.1 {status}", *fields]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


SPARED = {
    "Set-Cookie": "session=stolen; Domain=.example.org",
    "Set-Cookie2": "a=b",
    "X-Auth-Token": "gAAAAAforged",
    "X-Subject-Token": "gAAAAAforged",
    "X-Openstack-Request-Id": "req-00000000-0000-0000-0000-000000000000",
    "WWW-Authenticate": 'Keystone uri="http://evil.test/v3"',
    "Location": "http://169.254.169.254/latest/",
    "Content-Location": "http://127.0.0.1/",
    "Refresh": "0; url=http://evil.test/",
    "Strict-Transport-Security": "max-age=0",
    "Alt-Svc": 'h2="evil.test:443"',
    "Clear-Site-Data": '"*"',
    "X-Accel-Redirect": "/etc/passwd",
    "X-Envoy-Upstream-Service-Time": "1",
    "Knative-Serving-Tag": "x",
    "Proxy-Authenticate": "Basic",
    "Upgrade": "h2c",
}
BROKEN = {
    "duplicate Content-Length": reply("Content-Length: 4"),
    "Content-Length that differs": reply("Content-Length: 1", "Content-Length: 2", length=False),
    "Content-Length and chunks": reply("Transfer-Encoding: chunked"),
    "negative Content-Length": reply("Content-Length: -5", length=False),
    "signed Content-Length": reply("Content-Length: +5", length=False),
    "hexadecimal Content-Length": reply("Content-Length: 0x5", length=False),
    "unknown coding": reply("Transfer-Encoding: gzip", length=False),
    "two codings": reply("Transfer-Encoding: gzip, chunked", length=False),
    "101": reply("Upgrade: websocket", "Connection: Upgrade", status="101 Switching Protocols"),
    "status 000": reply(status="000 x"),
    "status 999": reply(status="999 x"),
    "status 99": reply(status="99 x"),
    "no status": b"HTTP/1.1\r\n\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH_9.9\r\n",
    "nothing": b"",
    "field of 64 KiB": reply("X-Long: " + "a" * 65_536),
    "NUL in a field": reply("X-Nul: a\0b"),
    "field without a colon": reply("nonsense"),
    "204 with a body": reply(status="204 No Content"),
}


@pytest.mark.parametrize("field", SPARED)
def test_field_that_acts_beyond_the_answer_stays_behind(faulty, field):
    faulty.invoked.answer = plainly(reply(f"{field}: {SPARED[field]}"))
    response = faulty.get("/v1/invoke/echo/", faulty.fresh())
    assert response.status_code == 200
    assert SPARED[field] not in response.headers.get_list(field)
    direct = httpx.get(faulty.invoked.url, trust_env=False, timeout=scaled(60))
    assert SPARED[field] in direct.headers.get_list(field)


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
def test_answer_that_is_not_one_is_the_functions_failure(faulty, raw):
    faulty.invoked.answer = plainly(raw)
    response = faulty.get("/v1/invoke/echo/", faulty.fresh())
    assert response.status_code in {502, 503}, response.status_code
    assert code(response) in {"function.failed", "function.unreachable"}


def test_early_hints_are_not_passed_on(faulty):
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: <http://evil.test/>; rel=preload\r\n\r\n"
    faulty.invoked.answer = plainly(hints + reply())
    connection = http.client.HTTPConnection(faulty.gateway.url.removeprefix("http://"), timeout=scaled(30))
    connection.request("GET", "/v1/invoke/echo/", headers={"X-Auth-Token": faulty.fresh()})
    with contextlib.closing(connection), connection.getresponse() as response:
        assert response.status == 200
        assert response.getheader("Link") is None


@pytest.mark.parametrize("sent", [0, 3, 9])
def test_answer_that_is_shorter_than_its_length_ends_without_an_end(faulty, sent):
    """A caller must see that something is missing."""
    faulty.invoked.answer = plainly(reply("Content-Length: 10", body=b"x" * sent, length=False))
    with pytest.raises(httpx.RemoteProtocolError):
        faulty.get("/v1/invoke/echo/", faulty.fresh())


def test_answer_that_is_longer_than_its_length_ends_there(faulty):
    faulty.invoked.answer = plainly(reply("Content-Length: 2", body=b"okHTTP/1.1 200 OK\r\n\r\n", length=False))
    assert faulty.get("/v1/invoke/echo/", faulty.fresh()).content == b"ok"


@pytest.fixture(scope="module")
def bobs(cloud):
    """An object of bob's, whose checksums function is not to be trusted."""
    session, url = cloud.session("bob"), f"{cloud.account_url('bob')}/data"
    session.put(url)
    session.put(f"{url}/o", data=BODY)
    etag = session.head(f"{url}/o").headers["Etag"].strip('"')
    return {"etag": etag, "size": len(BODY)}


def document(**changes) -> bytes:
    return json.dumps(changes).encode()


GOOD_SHA1 = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"
POISONED = {
    "another object's digest": lambda o: document(etag="0" * 32, size=o["size"], digests={"sha1": GOOD_SHA1}),
    "another size": lambda o: document(etag=o["etag"], size=6, digests={"sha1": GOOD_SHA1}),
    "size as a word": lambda o: document(etag=o["etag"], size=str(o["size"]), digests={"sha1": GOOD_SHA1}),
    "no digest": lambda o: document(**o, digests={}),
    "another algorithm's digest": lambda o: document(**o, digests={"md5": o["etag"]}),
    "too short a digest": lambda o: document(**o, digests={"sha1": GOOD_SHA1[:-1]}),
    "capitals": lambda o: document(**o, digests={"sha1": GOOD_SHA1.upper()}),
    "field in a digest": lambda o: document(**o, digests={"sha1": "a\r\nX-Evil: 1"}),
    "number as a digest": lambda o: document(**o, digests={"sha1": 7}),
    "a list": lambda _: b"[]",
    "deep": lambda _: b"[" * 60_000,
    "no JSON": lambda _: b"<html>",
    "nothing": lambda _: b"",
    "its own error": lambda _: document(error={"code": "<script>", "message": "http://evil.test/"}),
    "64 KiB and more": lambda o: document(**o, digests={"sha1": GOOD_SHA1}, more="x" * 70_000),
}


@pytest.mark.parametrize("make", POISONED.values(), ids=POISONED)
def test_digest_that_is_not_of_this_object_is_not_given(faulty, bobs, make):
    faulty.poisoned.answer = plainly(reply("Content-Type: application/json", body=make(bobs)))
    response = faulty.get("/v1/checksums/data/o?algorithm=sha1&force=true", faulty.fresh("bob"))
    assert (response.status_code, code(response)) == (502, "function.failed")
    assert "evil" not in response.text
    assert "X-Evil" not in response.headers


def test_md5_that_the_store_knows_better_discredits_the_other_digests(faulty, bobs):
    """The object may be damaged, or the function wrong: nobody here knows."""
    body = document(**bobs, digests={"sha1": GOOD_SHA1, "md5": "0" * 32})
    faulty.poisoned.answer = plainly(reply("Content-Type: application/json", body=body))
    response = faulty.get("/v1/checksums/data/o?algorithm=sha1&force=true", faulty.fresh("bob"))
    assert (response.status_code, code(response)) == (502, "object.corrupt")
    assert GOOD_SHA1 not in response.text


def test_digest_of_this_object_is_given(faulty, bobs):
    """The positive control: the same way, with the truth."""
    body = document(**bobs, digests={"sha1": GOOD_SHA1})
    faulty.poisoned.answer = plainly(reply("Content-Type: application/json", "Set-Cookie: a=b", body=body))
    response = faulty.get("/v1/checksums/data/o?algorithm=sha1&force=true", faulty.fresh("bob"))
    assert response.status_code == 200
    assert GOOD_SHA1 in response.text
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("piece", [b" ", b"x"], ids=["signs of life", "an endless document"])
def test_answer_without_an_end_is_ended(faulty, bobs, piece):
    """At 64 KiB, or when the time for one call is over (4 s here)."""

    def endless(connection, _) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        deadline = time.monotonic() + scaled(20)
        while time.monotonic() < deadline:
            connection.sendall(piece * 1_000)
            time.sleep(0.01)

    faulty.poisoned.answer = endless
    begun = time.monotonic()
    response = faulty.get("/v1/checksums/data/o?algorithm=sha1&force=true", faulty.fresh("bob"))
    assert (response.status_code, code(response)) in {
        (502, "function.failed"),
        (504, "function.timeout"),
    }
    assert time.monotonic() - begun < scaled(15)
