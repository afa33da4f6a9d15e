"""Settings, read once from the environment into a frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_PORT = 65535
_MOST_SECONDS = 3600


class SettingsError(ValueError):
    """A variable has an invalid value; the function does not start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings. The comment after each field names its variable."""

    host: str = "0.0.0.0"  # noqa: S104 - FUNCTION_HOST; a container listens on all addresses of its pod
    port: int = 8080  # PORT, which Knative sets
    folder: Path = Path("/function")  # FUNCTION_FOLDER, which has func.py
    grace_seconds: int = 25  # FUNCTION_GRACE_SECONDS, from SIGTERM until running calls are cut

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Reads the variables; raises SettingsError that names the variable."""
        default = cls()  # with slots, the class itself no longer has the defaults
        return cls(
            host=environ.get("FUNCTION_HOST", default.host),
            port=_integer(environ, "PORT", default.port, least=1, most=_MOST_PORT),
            folder=Path(environ.get("FUNCTION_FOLDER", default.folder)),
            grace_seconds=_integer(
                environ, "FUNCTION_GRACE_SECONDS", default.grace_seconds, least=1, most=_MOST_SECONDS
            ),
        )


def _integer(environ: Mapping[str, str], name: str, default: int, *, least: int, most: int) -> int:
    text = environ.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or not least <= int(text[:9]) <= most:
        raise SettingsError(f"{name} must be a whole number from {least} to {most}, not {text!r}")
    return int(text)
