"""A group of settings: frozen, with one source for name, default and description of each."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict
from pydantic_settings import NoDecode


class Group(BaseModel):
    """A group is handed on as it is to the components that it concerns."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _words(value: Any) -> Any:
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


def _no_trailing_slash(value: str) -> str:
    return value.rstrip("/")


# Scheme, host and port as browsers send them (RFC 6454, 6.2).
_ORIGIN = re.compile(
    r"https?://(?:(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::[1-9][0-9]*)?",
    re.ASCII,
)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LAST_PORT = 65_535


def _origins(values: tuple[str, ...]) -> tuple[str, ...]:
    """Rejects what no browser sends: such an origin would never match, and nobody would know why."""
    for value in values:
        if not _ORIGIN.fullmatch(value) or not _is_port_sent(value):
            raise ValueError(
                f"{value!r} is not an origin as browsers send it: https://HOST or https://HOST:PORT, in lower case, "
                "without a path, a wildcard or the default port"
            )
    return values


def _is_port_sent(origin: str) -> bool:
    scheme, _, rest = origin.partition("://")
    port = re.search(r":([0-9]+)\Z", rest)
    return port is None or (int(port[1]) <= _LAST_PORT and int(port[1]) != _DEFAULT_PORTS[scheme])


# A comma-separated list in the environment.
COMMA_LIST = NoDecode, BeforeValidator(_words)
Words = Annotated[tuple[str, ...], *COMMA_LIST]
Origins = Annotated[tuple[str, ...], *COMMA_LIST, AfterValidator(_origins)]
Url = Annotated[str, AfterValidator(_no_trailing_slash)]
