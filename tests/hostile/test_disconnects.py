"""Family 8: connections that end where they should not, on either side. An answer is whole and true, or an error."""

import contextlib
import hashlib
import socket
import time
from pathlib import Path

import httpx
import pytest
from echo import plainly
from faulty import SMALL, code
from fronts import hang_up, only, reset, says, status

from tests.machine import scaled

SHA1 = hashlib.sha1(SMALL).hexdigest()
SIGNED = b"GET /v1/AUTH"
FORCED = "?algorithm=sha1&force=true"


def head(length: int, etag: str = hashlib.md5(SMALL).hexdigest()) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {length}", f"Etag: {etag}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode()


STAT_FAULTS = {
    "before the head": hang_up,
    "reset before the head": reset,
    "in the head": says(b"HTTP/1.1 200 OK\r\nEta"),
    "no HTTP": says(b"\0\1\2\3"),
    "503": status(503),
    "500": status(500),
}


@pytest.mark.parametrize("fault", STAT_FAULTS.values(), ids=STAT_FAULTS)
def test_store_that_breaks_off_a_stat_is_the_stores_failure(faulty, fault):
    token = faulty.fresh()
    faulty.store.fault = only(b"HEAD ", fault)
    response = faulty.get(faulty.path, token)
    assert (response.status_code, code(response)) == (503, "store.unavailable")
    faulty.calm()
    time.sleep(0.15)
    assert faulty.get(faulty.path, token).status_code == 200


READ_FAULTS = {
    "before the head": hang_up,
    "reset before the head": reset,
    "after the head": says(head(len(SMALL))),
    "in the body": says(head(len(SMALL)) + SMALL[:3]),
    "shorter than the object": says(head(3) + SMALL[:3]),
    "longer than the object": says(head(9) + SMALL + b"xxx"),
    "another ETag": says(head(len(SMALL), "0" * 32) + b"xxxxxx"),
    "500": status(500),
}


@pytest.mark.parametrize("fault", READ_FAULTS.values(), ids=READ_FAULTS)
def test_read_that_breaks_off_gives_no_digest(faulty, fault):
    """Whether the function reads or the gateway does: every attempt breaks."""
    faulty.store.fault = only(SIGNED, fault)
    response = faulty.get(faulty.path + FORCED, faulty.fresh())
    assert response.status_code in {409, 502, 503, 504}, response.text
    assert SHA1 not in response.text


@pytest.mark.parametrize("fault", list(READ_FAULTS.values())[:4], ids=list(READ_FAULTS)[:4])
def test_read_that_breaks_once_is_continued_and_right(faulty, fault):
    """The positive control: the same fault, once."""
    left = [fault]
    faulty.store.fault = only(SIGNED, lambda *request: bool(left) and left.pop()(*request))
    response = faulty.get(faulty.path + FORCED, faulty.fresh())
    assert response.status_code == 200
    assert SHA1 in response.text


FUNCTION_FAULTS = {
    "before the head": plainly(b""),
    "in the head": plainly(b"HTTP/1.1 200 OK\r\nContent-"),
}


@pytest.mark.parametrize("answer", FUNCTION_FAULTS.values(), ids=FUNCTION_FAULTS)
def test_function_that_breaks_off_its_head_is_told_as_such(faulty, answer):
    faulty.invoked.answer = answer
    response = faulty.get("/v1/invoke/echo/", faulty.fresh())
    assert response.status_code in {502, 503}
    assert code(response) in {"function.failed", "function.unreachable"}


@pytest.mark.parametrize("answer", [b"abc", b""], ids=["in the body", "before the body"])
def test_function_that_breaks_off_its_body_breaks_off_the_answer(faulty, answer):
    faulty.invoked.answer = plainly(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + answer)
    with pytest.raises(httpx.RemoteProtocolError):
        faulty.get("/v1/invoke/echo/", faulty.fresh())


def test_answer_that_comes_while_the_upload_runs_is_passed_on(faulty):
    faulty.invoked.eager, faulty.invoked.answer = (
        True,
        plainly(b"HTTP/1.1 413 x\r\nContent-Length: 4\r\n\r\nenou", then=1),
    )
    try:
        port = faulty.gateway.port
        with socket.create_connection(("127.0.0.1", port), timeout=scaled(20)) as caller:
            fields = f"Host: x\r\nX-Auth-Token: {faulty.fresh()}\r\nContent-Length: 100000\r\n\r\n"
            caller.sendall(f"POST /v1/invoke/echo/ HTTP/1.1\r\n{fields}".encode() + b"x" * 1_000)
            assert caller.recv(4_096).startswith(b"HTTP/1.1 413")
    finally:
        faulty.invoked.eager = False


@pytest.mark.parametrize("when", ["in the head", "before the answer", "in the answer"])
def test_caller_who_leaves_leaves_nothing_behind(faulty, when):
    """No descriptor, no task and no request in flight."""
    gateway, token = faulty.gateway, faulty.fresh()
    assert faulty.get("/v1/invoke/echo/", token).status_code == 200

    def slow(connection, _) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" if when == "in the answer" else b"")
        with contextlib.suppress(OSError):
            for _ in range(100):
                time.sleep(0.05)
                if when == "in the answer":
                    connection.sendall(b"x")
        raise OSError

    faulty.invoked.answer = slow
    fds = Path(f"/proc/{gateway.service.pid}/fd")
    before, tasks = len(list(fds.iterdir())), gateway.metric("osfaas_tasks")
    raw = f"GET /v1/invoke/echo/ HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\r\n".encode()
    port = gateway.port
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", port)) as caller:
            caller.sendall(raw if when == "in the head" else raw + b"\r\n")
            time.sleep(0.05)
    deadline = time.monotonic() + scaled(10)
    while time.monotonic() < deadline:
        left = len(list(fds.iterdir())), gateway.metric("osfaas_tasks"), gateway.metric("osfaas_requests_in_flight")
        if left[0] <= before + 1 and left[1] <= tasks + 1 and left[2] <= 1:
            break
        time.sleep(0.1)
    assert left[0] <= before + 1
    assert left[1] <= tasks + 1
    assert left[2] <= 1  # the asking itself
