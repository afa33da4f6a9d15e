"""Bodies of requests: none is held for a caller whom nobody knows yet, and a bad one is one call in the log."""

import contextlib
import itertools
import json
import socket
import time
from pathlib import Path

from faulty import VALIDATION, made_faulty
from fronts import only, silence
from heads import CHUNKED, HOST, get
from wire import connect, hear

CONNECTIONS = 100
BODY = b"x" * 250_000
KEPT_AT_MOST = 16 << 10
SILENT_SECONDS = 120


def request(path: str, length: int = len(BODY)) -> bytes:
    """The head of a request with a body."""
    fields = b"X-Auth-Token: TOKEN\r\nContent-Length: %d\r\n\r\n" % length
    return b"POST %b HTTP/1.1\r\n" % path.encode() + HOST + fields


def in_flight(faulty) -> float:
    return faulty.gateway.metric("osfaas_requests_in_flight")


def resident_bytes(faulty) -> int:
    lines = Path(f"/proc/{faulty.gateway.service.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def hold(faulty, stack: contextlib.ExitStack, data: list[bytes]) -> None:
    """Returns when there is a connection for each of `data` whose request waits for Keystone."""
    before = in_flight(faulty)
    for each in data:
        sock = stack.enter_context(connect(faulty.gateway.port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 19)
        sock.setblocking(False)
        sock.send(each)
    deadline = time.monotonic() + SILENT_SECONDS / 2
    while in_flight(faulty) < before + len(data):
        assert time.monotonic() < deadline
    for _ in range(5):
        # Each answer is a round of the event loop, in which it reads what has come.
        faulty.gateway.get("/healthcheck")


def test_body_of_a_caller_who_is_not_known_yet_is_not_held(start_gateway, cloud, function, bucket):
    """On every route that takes one, and what is sent behind a request without one."""
    kinds = {
        "bulk": request("/v1/checksums") + BODY,
        "events": request("/v1/events") + BODY,
        "invoke": request("/v1/invoke/echo/x") + BODY,
        "next request": get(b"X-Auth-Token: TOKEN\r\n", line=b"GET /v1/limits HTTP/1.1\r\n") + BODY,
    }
    seconds = str(SILENT_SECONDS)
    with (
        made_faulty(start_gateway, cloud, function, bucket, OSFAAS_KEYSTONE_TIMEOUT_SECONDS=seconds) as patient,
        contextlib.ExitStack() as stack,
    ):
        token = patient.fresh()
        patient.keystone.fault = only(VALIDATION, silence(SILENT_SECONDS))
        numbers = itertools.count()

        def grown(kind: bytes) -> float:
            """Bytes that each of some connections costs, with a token of its own that Keystone never made."""
            before = resident_bytes(patient)
            made_up = [f"{token[:-8]}{next(numbers):08d}".encode() for _ in range(CONNECTIONS)]
            hold(patient, stack, [kind.replace(b"TOKEN", each) for each in made_up])
            return (resident_bytes(patient) - before) / CONNECTIONS

        grown(request("/v1/checksums"))  # what the process grows by once
        head = grown(request("/v1/checksums"))
        found = {name: grown(kind) - head for name, kind in kinds.items()}
    print(f"a head {head / 1024:.1f} KiB; more:", {name: f"{size / 1024:.1f} KiB" for name, size in found.items()})
    assert max(found.values()) < KEPT_AT_MOST


def test_body_that_had_to_wait_arrives_as_a_whole(faulty):
    """With and without being asked for."""
    body = bytes(range(256)) * 4_000
    head = request("/v1/invoke/echo/x", len(body)).replace(b"TOKEN", faulty.fresh().encode())
    with connect(faulty.gateway.port) as sock:
        sock.sendall(head + body)
        assert hear(sock, answers=1).statuses == [200]
    assert faulty.invoked.seen[-1].body == body
    with connect(faulty.gateway.port) as sock:
        sock.sendall(head.removesuffix(b"\r\n") + b"Expect: 100-continue\r\n\r\n")
        assert hear(sock, answers=1).statuses == [100]
        sock.sendall(body)
        assert hear(sock, answers=1).statuses == [200]
    assert faulty.invoked.seen[-1].body == body


def access_lines(gateway, count: int) -> list[dict]:
    """The lines of the calls with a body, once there are so many; a line follows its answer."""
    deadline = time.monotonic() + 60
    while True:
        documents = [json.loads(line) for line in gateway.service.log.read_text().splitlines()]
        lines = [line for line in documents if line["logger"] == "gateway.access" and line["method"] != "GET"]
        if len(lines) >= count:
            return lines
        assert time.monotonic() < deadline, lines
        time.sleep(0.02)


def test_bad_or_slow_body_is_answered_and_logged_once_with_its_path(start_gateway, alice):
    """Whatever the application does when the bytes come: nothing yet, or reading the body."""
    settings = {"OSFAAS_LOG_FORMAT": "json", "OSFAAS_TRANSFER_WINDOW_SECONDS": "1"}
    calls = [
        ("/v1/checksums", CHUNKED, b"5 \r\n", 400),
        ("/v1/events", CHUNKED, b"5\r\nhello\r\n", b"x", 400),
        ("/v1/events", b"Content-Length: 100\r\n", b"half", 408),
        ("/v1/checksums", b"Content-Length: 100\r\n", b"", 408),
    ]
    token = b"X-Auth-Token: %b\r\n" % alice.encode()
    with start_gateway(**settings) as gateway:
        assert gateway.get("/v1/limits", alice).status_code == 200  # from now on the caller is known
        for number, (path, fields, *pieces, status) in enumerate(calls):
            with connect(gateway.port) as sock:
                sock.sendall(b"POST %b HTTP/1.1\r\n" % path.encode() + HOST + token + fields + b"\r\n")
                for piece in pieces:
                    time.sleep(0.1)
                    sock.sendall(piece)
                heard = hear(sock, seconds=30)
            assert heard.statuses == [status]
            assert heard.closed
            line = access_lines(gateway, number + 1)[-1]
            assert (line["path"], line["status"], line["method"]) == (path, status, "POST")
            assert line["request_id"].encode() in heard.data
        gateway.get("/healthcheck")
        assert len(access_lines(gateway, len(calls))) == len(calls)
