"""Requests to the gateway and to Swift, with the standard library, because every other HTTP client loads slowly."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, TypeVar
from urllib.parse import urlsplit

from client.errors import CommandError, TokenRefusedError, UnreachableError
from client.login import Login

if TYPE_CHECKING:
    import ssl

CONNECT_SECONDS = 10.0
# The gateway's own timeout of a computation is 1800 seconds.
ANSWER_SECONDS = 1_860.0
# After a longer request, the service was computing: it did not fail at once.
LONG_SECONDS = 30.0
# Maximum number of times that such a request starts the retry period again.
_JOINS = 8
MAX_SENTENCE = 1_000
_GOOD, _UNAUTHORIZED, _UNAVAILABLE = frozenset([200, 201, 202, 204]), 401, 503
_REQUEST_ID = "X-Openstack-Request-Id"
_BETWEEN_CONNECTIONS_SECONDS = 1.0

Taken = TypeVar("Taken")


@dataclass(frozen=True)
class RetryPolicy:
    """How long a busy or restarting service is retried (total seconds)."""

    seconds: float
    sleep: Callable[[float], None] = field(default=time.sleep)
    clock: Callable[[], float] = field(default=time.monotonic)


def send(
    login: Login,
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | BinaryIO | None = None,
) -> http.client.HTTPResponse:
    """Sends one request; returns the response with its body unread.

    Raises:
        OSError, http.client.HTTPException: there is no response.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    connection = (
        http.client.HTTPSConnection(host, port, timeout=CONNECT_SECONDS, context=_tls(login.verify))
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, port, timeout=CONNECT_SECONDS)
    )
    connection.connect()
    connection.sock.settimeout(ANSWER_SECONDS)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    fields = {"X-Auth-Token": login.token, "User-Agent": "osfaas", "Connection": "close", **(headers or {})}
    connection.request(method, target, body, fields)
    return connection.getresponse()


def ask(
    login: Login,
    url: str,
    *,
    retry: RetryPolicy,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    meanings: Mapping[int, str] | None = None,
) -> http.client.HTTPResponse:
    """Sends an idempotent request; returns the successful response with its body unread.

    An error with `Retry-After`, a connection that fails, and a proxy that has no service behind it are retried until
    `retry` ends. The period starts again after a request that lasted long: its computation continues, and a retry
    joins it.

    Args:
        login: its token is sent.
        url: of the gateway or of the object store.
        retry: how long to retry.
        method: of the request.
        headers: in addition to those of every request.
        body: of the request.
        meanings: explanations of errors by status, for a service whose errors contain none.

    Raises:
        TokenRefusedError, CommandError: with the service's own message.
    """
    return _answered(login, url, _unread, retry=retry, method=method, headers=headers, body=body, meanings=meanings)


def fetch(
    login: Login,
    url: str,
    *,
    most: int,
    retry: RetryPolicy,
    headers: Mapping[str, str] | None = None,
    meanings: Mapping[int, str] | None = None,
) -> bytes:
    """The complete body of a successful response; a truncated one is requested again. See `ask`.

    Raises:
        TokenRefusedError, CommandError: also if the body has more than `most` bytes.
    """

    def whole(response: http.client.HTTPResponse) -> bytes:
        body = response.read(most)
        if response.length:
            raise http.client.IncompleteRead(body, response.length)
        return body

    return _answered(login, url, whole, retry=retry, method="GET", headers=headers, body=None, meanings=meanings)


def _unread(response: http.client.HTTPResponse) -> http.client.HTTPResponse:
    return response


def _answered(
    login: Login,
    url: str,
    take: Callable[[http.client.HTTPResponse], Taken],
    *,
    retry: RetryPolicy,
    method: str,
    headers: Mapping[str, str] | None,
    body: bytes | None,
    meanings: Mapping[int, str] | None,
) -> Taken:
    service = "object store" if login.swift and url.startswith(login.swift) else "gateway"
    deadline, joins = retry.clock() + retry.seconds, _JOINS
    while True:
        started = retry.clock()
        try:
            response = send(login, url, method=method, headers=headers, body=body)
            if response.status in _GOOD:
                return take(response)
            failure, wait = refusal(response, service, meanings or {}), _retry_after(response)
            if _is_of_a_proxy(response):
                why = f"its proxy returned {response.status} {response.reason}"
                failure = UnreachableError(f"The {service} at {_origin(url)} cannot be reached: {why}.")
                wait = _BETWEEN_CONNECTIONS_SECONDS
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            failure = UnreachableError(f"The {service} at {_origin(url)} cannot be reached: {reason}.")
            wait = _BETWEEN_CONNECTIONS_SECONDS
        if retry.clock() - started > LONG_SECONDS and joins:
            deadline, joins = retry.clock() + retry.seconds, joins - 1
        if wait is None or retry.clock() + wait > deadline:
            raise failure
        retry.sleep(wait)


def refusal(
    response: http.client.HTTPResponse, service: str, meanings: Mapping[int, str] = MappingProxyType({})
) -> CommandError:
    """The error in a response, with its sentence if it has one; see `ask`."""
    meaning = f": {meanings[response.status]}" if response.status in meanings else ""
    sentence = _sentence(response) or f"The {service} returned {response.status} {response.reason}{meaning}."
    request_id = response.getheader(_REQUEST_ID)
    message = f"{sentence} ({request_id})" if request_id else sentence
    kind = TokenRefusedError if response.status == _UNAUTHORIZED else CommandError
    return kind(message, status=response.status)


def _is_of_a_proxy(response: http.client.HTTPResponse) -> bool:
    """Whether nobody is there to answer now, as while the service restarts. The service names each of its answers."""
    names = ("Retry-After", _REQUEST_ID)
    return response.status == _UNAVAILABLE and not any(response.getheader(name) for name in names)


def _sentence(response: http.client.HTTPResponse) -> str | None:
    """The message of an error response; None for a proxy's error page."""
    text = response.read(65_536).decode("utf-8", "replace").strip()
    media_type = response.getheader("Content-Type", "").partition(";")[0]
    if media_type == "application/json":
        try:
            text = str(json.loads(text)["error"]["message"])
        except (ValueError, LookupError, TypeError):
            return None
    elif media_type != "text/plain":
        return None
    return text if text.isprintable() and len(text) <= MAX_SENTENCE else None


def _retry_after(response: http.client.HTTPResponse) -> float | None:
    """Seconds to wait before a retry; None: a retry does not help."""
    value = response.getheader("Retry-After")
    if value is None:
        return None
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _tls(verify: bool | str) -> "ssl.SSLContext":
    import ssl  # noqa: PLC0415 - slow to import, and plain HTTP does not need it

    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
