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
    """A variable has an invalid value; the function does not start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings. The comment after each field names its variable."""

    host: str = "0.0.0.0"  # noqa: S104 - CHECKSUMS_HOST; a container listens on all addresses of its pod
    port: int = 8080  # PORT, which Knative sets
    concurrency: int = 4  # CHECKSUMS_CONCURRENCY, computations at once
    queue: int = 16  # CHECKSUMS_QUEUE, maximum number of computations that wait for a slot
    heartbeat_seconds: float = 15.0  # CHECKSUMS_HEARTBEAT_SECONDS
    connect_seconds: float = 10.0  # CHECKSUMS_CONNECT_SECONDS, for TCP and TLS to the source
    stall_seconds: float = 60.0  # CHECKSUMS_STALL_SECONDS, maximum silence of the source or the caller
    attempts: int = 5  # CHECKSUMS_ATTEMPTS, consecutive attempts without real progress
    backoff_seconds: float = 0.2  # CHECKSUMS_BACKOFF_SECONDS, before the second attempt; doubles up to 5 s
    ranges: int = 4  # CHECKSUMS_RANGES, ranges of an object read in parallel if its digests can be combined
    grace_seconds: float = 25.0  # CHECKSUMS_GRACE_SECONDS, from SIGTERM until running computations are cancelled
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
    if not 0 < seconds <= _MOST_SECONDS:  # also rejects NaN
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
        sources.add((host.lower().strip("[]"), int(port)))  # the form of SourceUrl
    return frozenset(sources)  # an empty list allows nothing: a variable that is set must never mean "all"
