"""Kept connections to upstreams, and the one timer that watches over them."""

import asyncio
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from gateway.settings.upstream import FunctionSettings
from gateway.upstream.connection import Connection
from gateway.upstream.errors import CertificateRejectedError, NotConnectedError
from gateway.upstream.reply import Reply
from gateway.upstream.request import Request

# How long an idle connection is kept; servers close theirs after a minute or more.
IDLE_SECONDS = 15.0
_SWEEP_SECONDS = 0.5
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where connections go: TLS or not, host, port."""

    tls: bool
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Self:
        """The origin of an absolute URL.

        Raises:
            ValueError: it has none.
        """
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError(f"not an HTTP URL: {url}")
        return cls(parts.scheme == "https", parts.hostname, parts.port or _PORTS[parts.scheme])


class Pool:
    """Connections of one event loop. The one used last is used first, so that the others can end."""

    def __init__(self, settings: FunctionSettings, *, tls: ssl.SSLContext) -> None:
        """Opens nothing.

        Args:
            settings: timeouts; those of exchanges are accurate to half a second.
            tls: for `https`.
        """
        self._settings = settings
        self._tls = tls
        self._idle: dict[Origin, dict[Connection, float]] = {}
        self._busy: dict[Connection, Origin] = {}
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._sweep_seconds = min(
            _SWEEP_SECONDS, settings.function_idle_timeout_seconds / 4, settings.function_timeout_seconds / 4
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        for connection in [*self._busy, *(one for kept in self._idle.values() for one in kept)]:
            connection.abort()
        self._busy.clear()
        self._idle.clear()

    async def send(self, origin: Origin, request: Request, *, fresh: bool = False) -> Reply:
        """Sends a request over a kept or a new connection; the caller closes the reply.

        Args:
            origin: where it goes.
            request: what is sent.
            fresh: over a new connection, because a kept one has just turned out to be closed.

        Raises:
            UpstreamError: see its subclasses.
            Exception: what the body raised, or `request.problem` returned.
        """
        connection = None if fresh else self._kept(origin)
        if connection is None:
            connection = await self._connect(origin)
        self._busy[connection] = origin
        if self._sweep_timer is None:
            self._sweep_timer = asyncio.get_running_loop().call_later(self._sweep_seconds, self._sweep)
        return await connection.send(request)

    def _kept(self, origin: Origin) -> Connection | None:
        kept = self._idle.get(origin)
        while kept:
            connection, _ = kept.popitem()
            if connection.is_usable:
                return connection
        return None

    async def _connect(self, origin: Origin) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._settings.function_connect_timeout_seconds):
                _, connection = await loop.create_connection(
                    lambda: Connection(loop, self._released),
                    origin.host,
                    origin.port,
                    ssl=self._tls if origin.tls else None,
                )
        except ssl.SSLError as error:
            raise CertificateRejectedError(str(error)) from error
        except (OSError, TimeoutError) as error:
            raise NotConnectedError(str(error) or "no connection in time") from error
        if not connection.is_usable:
            # Its end has been seen already, so nothing would take it out of the busy ones.
            raise NotConnectedError("the upstream closed the connection at once")
        return connection

    def _released(self, connection: Connection, usable: bool) -> None:
        origin = self._busy.pop(connection, None)
        if usable and origin is not None:
            self._idle.setdefault(origin, {})[connection] = asyncio.get_running_loop().time()
        elif not usable:
            for kept in self._idle.values():
                kept.pop(connection, None)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self._busy):
            connection.check(now, self._settings)
        for origin, kept in list(self._idle.items()):
            for connection, since in list(kept.items()):
                if now - since > IDLE_SECONDS:
                    connection.close()
            if not kept:
                del self._idle[origin]
        alive = self._busy or self._idle
        self._sweep_timer = loop.call_later(self._sweep_seconds, self._sweep) if alive else None
