"""Requests against a real server on a socket: what is tried again, and what is said when it is of no use."""

import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from client import exchange
from client.errors import CommandError, TokenRefusedError, UnreachableError
from client.exchange import RetryPolicy, ask, fetch
from client.login import Login

Reply = tuple[int, dict[str, str], bytes]
OK: Reply = (200, {"Content-Type": "text/plain"}, b"11e60398\n")
TEXT = {"Content-Type": "text/plain"}


class Server:
    """Gives the replies of a list, one after the other, and then the last one again."""

    def __init__(self) -> None:
        self.replies: list[Reply | None] = [OK]
        self.seen: list[tuple[str, str, str]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.seen.append((self.command, self.path, self.headers["X-Auth-Token"]))
                reply = server.replies.pop(0) if len(server.replies) > 1 else server.replies[0]
                if reply is None:
                    self.connection.close()
                    return
                status, headers, body = reply
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def retry(self, seconds: float = 60) -> RetryPolicy:
        return RetryPolicy(seconds, self.sleep, lambda: self.now)


def login(url: str, swift: str | None = None) -> Login:
    return Login(token="the-token", issued_at=0, expires_at=0, gateway=url, swift=swift, s3=None, verify=True)


def sentence(server: Server, *replies: Reply | None, retry: RetryPolicy | None = None) -> str:
    server.replies = list(replies)
    with pytest.raises(CommandError) as caught:
        ask(login(server.url), server.url + "/x", retry=retry or Time().retry())
    return str(caught.value)


def test_refusal_is_said_in_the_services_own_words_with_its_request_id(server: Server) -> None:
    json_error = b'{"error": {"code": 404, "message": "No such thing."}, "errors": []}'
    assert sentence(server, (404, {**TEXT, "X-Openstack-Request-Id": "req-1"}, b"No such object.\n")) == (
        "No such object. (req-1)"
    )
    assert sentence(server, (404, {"Content-Type": "application/json"}, json_error)) == "No such thing."
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Type": "text/html"}, b"<html><h1>Bad gateway</h1></html>"),
        ({"Content-Type": "application/json"}, b"[1"),
        ({"Content-Type": "application/json"}, b'{"detail": 1}'),
        (TEXT, b"\x1b[2Jcleared your screen"),
        (TEXT, b"two\nlines"),
        (TEXT, b""),
        (TEXT, b"x" * 2000),
    ],
)
def test_page_that_is_no_sentence_is_not_repeated(server: Server, headers: dict[str, str], body: bytes) -> None:
    assert sentence(server, (502, headers, body)) == "The gateway returned 502 Bad Gateway."


def test_refused_token_is_told_apart(server: Server) -> None:
    server.replies = [(401, TEXT, b"Not valid.")]
    with pytest.raises(TokenRefusedError):
        ask(login(server.url), server.url + "/x", retry=Time().retry())


def test_busy_service_is_asked_again_when_it_says_so(server: Server) -> None:
    clock = Time()
    server.replies = [(503, {**TEXT, "Retry-After": "7"}, b"Busy."), (429, {**TEXT, "Retry-After": "2"}, b"Full."), OK]
    answer = ask(login(server.url), server.url + "/x?y=z", retry=clock.retry())
    assert answer.read() == b"11e60398\n"
    assert clock.slept == [7, 2]
    assert server.seen == [("GET", "/x?y=z", "the-token")] * 3


def test_date_in_retry_after_is_understood(server: Server) -> None:
    clock = Time()
    server.replies = [(503, {"Retry-After": formatdate(time.time() + 30, usegmt=True)}, b""), OK]
    ask(login(server.url), server.url + "/x", retry=clock.retry())
    assert 25 < clock.slept[0] <= 31


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "soon"}, {"Retry-After": "-1"}, {"Retry-After": "61"}])
def test_refusal_without_a_time_that_can_be_waited_for_is_final(server: Server, headers: dict[str, str]) -> None:
    headers = {**TEXT, **headers, "X-Openstack-Request-Id": "req-1"}
    assert sentence(server, (503, headers, b"Busy.")) == "Busy. (req-1)"
    assert len(server.seen) == 1


def test_proxy_without_a_service_behind_it_is_asked_again(server: Server) -> None:
    """As Envoy answers while all replicas start again."""
    clock, nobody = Time(), (503, TEXT, b"no healthy upstream")
    server.replies = [nobody, nobody, OK]
    assert ask(login(server.url), server.url + "/x", retry=clock.retry()).status == 200
    assert clock.slept == [1, 1]
    said = sentence(server, nobody, retry=Time().retry(3))
    assert said == f"The gateway at {server.url} cannot be reached: its proxy returned 503 Service Unavailable."
    with pytest.raises(UnreachableError):
        ask(login(server.url), server.url + "/x", retry=Time().retry(3))


def test_retries_end(server: Server) -> None:
    clock = Time()
    assert sentence(server, (503, {**TEXT, "Retry-After": "20"}, b"Busy."), retry=clock.retry()) == "Busy."
    assert clock.slept == [20, 20, 20]


def test_connection_that_breaks_is_tried_again(server: Server) -> None:
    server.replies = [None, OK]
    assert ask(login(server.url), server.url + "/x", retry=Time().retry()).status == 200


@pytest.mark.parametrize("cut", [b"11e6", b"11e60398", b""])
def test_answer_that_breaks_off_is_asked_for_again(server: Server, cut: bytes) -> None:
    """A part of a digest is hex too."""
    server.replies = [(200, {**TEXT, "Content-Length": "65", "Connection": "close"}, cut), OK]
    assert fetch(login(server.url), server.url + "/x", most=1_000, retry=Time().retry()) == b"11e60398\n"
    server.replies = [(200, {**TEXT, "Content-Length": "65", "Connection": "close"}, cut)]
    with pytest.raises(CommandError):
        fetch(login(server.url), server.url + "/x", most=1_000, retry=Time().retry(3))


def test_answer_that_is_longer_than_any_may_be_is_none(server: Server) -> None:
    with pytest.raises(CommandError):
        fetch(login(server.url), server.url + "/x", most=4, retry=Time().retry(3))


def test_retries_begin_anew_after_a_request_that_was_waited_for(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Time()
    late, plainly_send = [1_770.0, 600.0, 0.0], exchange.send

    def send(*arguments: Any, **named: Any) -> Any:
        clock.now += late.pop(0)
        return plainly_send(*arguments, **named)

    monkeypatch.setattr(exchange, "send", send)
    server.replies = [(504, {**TEXT, "Retry-After": "1"}, b"Computing."), None, OK]
    assert fetch(login(server.url), server.url + "/x", most=1_000, retry=clock.retry()) == b"11e60398\n"


def test_computation_that_never_ends_is_not_waited_for_for_ever(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, plainly_send = Time(), exchange.send

    def send(*arguments: Any, **named: Any) -> Any:
        clock.now += 1_770
        return plainly_send(*arguments, **named)

    monkeypatch.setattr(exchange, "send", send)
    assert sentence(server, (504, {**TEXT, "Retry-After": "1"}, b"Computing."), retry=clock.retry()) == "Computing."
    assert len(server.seen) < 12


def test_service_that_is_not_there_is_named() -> None:
    with pytest.raises(
        UnreachableError, match=r"^The gateway at http://127\.0\.0\.1:1 cannot be reached: Connection refused\.$"
    ):
        ask(login(""), "http://127.0.0.1:1/x?secret", retry=Time().retry(3))


def test_object_store_that_answers_without_a_sentence_is_named_with_what_it_means(server: Server) -> None:
    """Swift's own answer is a page; the gateway has nothing to do with it."""
    server.replies = [(404, {"Content-Type": "text/html", "X-Openstack-Request-Id": "tx1"}, b"<html>Not Found</html>")]
    there = login("http://gateway.test", f"{server.url}/v1/AUTH_a")
    with pytest.raises(CommandError) as refused:
        ask(there, f"{server.url}/v1/AUTH_a/c", retry=Time().retry(), meanings={404: "there is no container 'c'"})
    assert str(refused.value) == "The object store returned 404 Not Found: there is no container 'c'. (tx1)"


def test_object_store_that_is_not_there_is_named() -> None:
    there = login("http://gateway.test", "http://127.0.0.1:1/v1/AUTH_a")
    with pytest.raises(CommandError, match=r"^The object store at http://127\.0\.0\.1:1 cannot be reached: "):
        ask(there, "http://127.0.0.1:1/v1/AUTH_a/c", retry=Time().retry(3))
