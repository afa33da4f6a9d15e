"""Settings, read once from the environment into a frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_PORTS = {"http": 80, "https": 443}
MOST_PORT = 65535
_MOST_SECONDS = 86400


class SettingsError(ValueError):
    """A variable holds something that cannot be meant; the function does not start on a guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an operator may change. The variable's name stands behind each field."""

    host: str = "0.0.0.0"  # noqa: S104 - CHECKSUMS_HOST; inside a pod the queue-proxy is the only neighbour
    port: int = 8080  # PORT, which Knative sets
    concurrency: int = 4  # CHECKSUMS_CONCURRENCY, computations at once
    queue: int = 16  # CHECKSUMS_QUEUE, computations that may wait for a slot
    heartbeat_seconds: float = 15.0  # CHECKSUMS_HEARTBEAT_SECONDS
    connect_seconds: float = 10.0  # CHECKSUMS_CONNECT_SECONDS, for TCP and TLS to the source
    stall_seconds: float = 60.0  # CHECKSUMS_STALL_SECONDS, how long the source or the caller may send nothing
    attempts: int = 5  # CHECKSUMS_ATTEMPTS, tries in a row without real progress
    backoff_seconds: float = 0.2  # CHECKSUMS_BACKOFF_SECONDS, before the second try; doubles up to 5 s
    ranges: int = 4  # CHECKSUMS_RANGES, ranges of an object read at once if its digests can be put together
    grace_seconds: float = 25.0  # CHECKSUMS_GRACE_SECONDS, from SIGTERM to giving up on running computations
    cafile: str | None = None  # CHECKSUMS_CAFILE, PEM bundle that replaces the system's
    allowed_sources: frozenset[tuple[str, int]] | None = None  # CHECKSUMS_ALLOWED_SOURCES, host:port,host:port

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Reads the variables; raises SettingsError that names the variable."""
        default = cls()  # with slots, the class itself no longer has the defaults
        return cls(
            host=environ.get("CHECKSUMS_HOST", default.host),
            port=_integer(environ, "PORT", default.port, least=0, most=MOST_PORT),
            concurrency=_integer(environ, "CHECKSUMS_CONCURRENCY", default.concurrency, least=1, most=64),
            queue=_integer(environ, "CHECKSUMS_QUEUE", default.queue, least=0, most=1024),
            heartbeat_seconds=_seconds(environ, "CHECKSUMS_HEARTBEAT_SECONDS", default.heartbeat_seconds),
            connect_seconds=_seconds(environ, "CHECKSUMS_CONNECT_SECONDS", default.connect_seconds),
            stall_seconds=_seconds(environ, "CHECKSUMS_STALL_SECONDS", default.stall_seconds),
            attempts=_integer(environ, "CHECKSUMS_ATTEMPTS", default.attempts, least=1, most=100),
            backoff_seconds=_seconds(environ, "CHECKSUMS_BACKOFF_SECONDS", default.backoff_seconds),
            ranges=_integer(environ, "CHECKSUMS_RANGES", default.ranges, least=1, most=16),
            grace_seconds=_seconds(environ, "CHECKSUMS_GRACE_SECONDS", default.grace_seconds),
            cafile=environ.get("CHECKSUMS_CAFILE") or None,
            allowed_sources=_sources(environ.get("CHECKSUMS_ALLOWED_SOURCES")),
        )


def _integer(environ: Mapping[str, str], name: str, default: int, *, least: int, most: int) -> int:
    text = environ.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or not least <= int(text) <= most:
        raise SettingsError(f"{name} must be a whole number from {least} to {most}, not {text!r}")
    return int(text)


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name)
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= _MOST_SECONDS:  # also refuses NaN
        raise SettingsError(f"{name} must be a number of seconds above 0 and up to {_MOST_SECONDS}, not {text!r}")
    return seconds


def _sources(text: str | None) -> frozenset[tuple[str, int]] | None:
    if text is None:
        return None
    sources = set()
    for entry in filter(None, (part.strip() for part in text.split(","))):
        host, colon, port = entry.rpartition(":")
        if not colon or not host or not port.isdecimal() or not 0 < int(port) <= MOST_PORT:
            raise SettingsError(f"CHECKSUMS_ALLOWED_SOURCES needs host:port entries, not {entry!r}")
        sources.add((host.lower().strip("[]"), int(port)))  # as SourceUrl has it
    return frozenset(sources)  # an empty list allows nothing: a variable that is set must never mean "all"
