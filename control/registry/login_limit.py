"""Limits the logins of each client, before Keystone is asked: everybody may send logins, and each costs Keystone one.

A client is a network address: whatever else a request claims, a flood can vary. Many projects may share one: pulls come
from the nodes, archives from the functions API. A login that is known to be a project's counts for that project at that
address, so no project uses up what the others have. Known are signed credentials of builds and of the kubelet, and the
logins that Keystone accepted before. Any other login counts for its address, until Keystone accepts it and its project
may still log in: a project with many credentials costs Keystone no more than a guesser. So that it cannot use up the
address of the functions API in this way, that API limits each project itself (`control/functions/source.py`).
"""

import hashlib
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from control.registry.login import BasicLogin
from gateway.errors import ErrorCode, GatewayError
from gateway.limits.token_bucket import Level, Rate, open_for, wait_seconds

_CLIENT = "osfaas.registry-client"
_FORWARDED = b"x-forwarded-for"
_UNKNOWN = "unknown"
# The addresses that were seen last are remembered; one that is forgotten begins with a full bucket.
MAX_CLIENTS = 16_384
# A client with an IPv6 address has the rest of its network as well.
_NETWORK_BITS = 64
_MINUTE = 60.0


class ClientAddresses:
    """ASGI middleware that notes the client's address, before fields that claim one are removed from the request."""

    def __init__(self, app: ASGIApp, *, trusted_proxies: int) -> None:
        """`trusted_proxies`: how many proxies in front append to X-Forwarded-For; 0: the connection's peer counts."""
        self._app = app
        self._trusted = trusted_proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope[_CLIENT] = client_of(scope, trusted_proxies=self._trusted)
        await self._app(scope, receive, send)


def client_of(scope: Scope, *, trusted_proxies: int) -> str:
    """The client of a request: an IPv4 address or an IPv6 network.

    Only the entries that trusted proxies appended count; the client itself can send any before them.
    """
    peer = scope.get("client") or (_UNKNOWN, 0)
    addresses = [peer[0]]
    if trusted_proxies:
        lists = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == _FORWARDED]
        entries = [entry.strip() for entry in ",".join(lists).split(",") if entry.strip()]
        if len(entries) >= trusted_proxies:
            addresses.insert(0, entries[-trusted_proxies])
    for address in addresses:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            continue
        mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
        if mapped is not None:
            return str(mapped)
        if isinstance(found, ipaddress.IPv6Address):
            return str(ipaddress.ip_network((found, _NETWORK_BITS), strict=False))
        return str(found)
    return _UNKNOWN


def login_rate(per_minute: int) -> Rate:
    """So many logins a minute, which may come at once."""
    return Rate(per_second=per_minute / _MINUTE, burst_seconds=_MINUTE)


def logins_exceeded(per_minute: int, wait: float) -> GatewayError:
    """The error of a login too many; `wait`: seconds until the next may come."""
    return GatewayError(
        ErrorCode.REGISTRY_LOGINS_EXCEEDED, limit=per_minute, retry_after_seconds=max(1, math.ceil(wait))
    )


class LoginLimiter:
    """A token bucket for each client, and one for each project that logs in from its address."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`per_minute`: maximum logins of a client, or of a project at it, per minute, which may come at once."""
        self._rate = login_rate(per_minute)
        self._per_minute = per_minute
        self._clock = clock
        self._levels: OrderedDict[tuple[str, str], Level] = OrderedDict()
        self._projects: OrderedDict[bytes, str] = OrderedDict()

    def count(self, scope: Scope, login: BasicLogin, project_id: str = "") -> str:
        """Counts one login, before Keystone is asked; returns the project that it is counted for, "" for none.

        Args:
            scope: of the request.
            login: what was sent.
            project_id: of a verified credential of the controller.

        Raises:
            GatewayError: REGISTRY_LOGINS_EXCEEDED.
        """
        counted = project_id or self._projects.get(_digest(login), "")
        self._take(scope, counted)
        return counted

    def accepted(self, scope: Scope, login: BasicLogin, project_id: str, *, counted: str) -> None:
        """Counts a login that Keystone accepted for its project, and no longer for its address.

        Args:
            scope: of the request.
            login: what was sent.
            project_id: of the login.
            counted: what `count` returned for it.

        Raises:
            GatewayError: REGISTRY_LOGINS_EXCEEDED.
        """
        digest = _digest(login)
        # Kept even if this one is refused: the same again is then refused before Keystone is asked.
        self._projects[digest] = project_id
        self._projects.move_to_end(digest)
        if len(self._projects) > MAX_CLIENTS:
            self._projects.popitem(last=False)
        if counted != project_id:
            self._take(scope, project_id)
            self._give_back(scope, counted)

    def _take(self, scope: Scope, project_id: str) -> None:
        client, now = _client(scope, project_id), self._clock()
        kept = self._levels.pop(client, None)
        level = (kept or Level(amount=self._rate.capacity, at=now)).later(self._rate, now)
        granted = open_for(level.amount)
        self._levels[client] = Level(amount=level.amount - 1, at=now) if granted else level
        if len(self._levels) > MAX_CLIENTS:
            self._levels.popitem(last=False)
        if not granted:
            raise logins_exceeded(self._per_minute, wait_seconds(level.amount, self._rate))

    def _give_back(self, scope: Scope, counted: str) -> None:
        client = _client(scope, counted)
        level = self._levels.get(client)
        if level is not None:
            self._levels[client] = Level(amount=min(level.amount + 1, self._rate.capacity), at=level.at)


def _client(scope: Scope, project_id: str) -> tuple[str, str]:
    return str(scope.get(_CLIENT, _UNKNOWN)), project_id


def _digest(login: BasicLogin) -> bytes:
    # What is kept is no secret, and has one size.
    return hashlib.sha256(f"{login.user}:{login.password}".encode()).digest()
