"""Microversions of the control API, as OpenStack's API guidelines have them.

A request may ask for a version with `OpenStack-API-Version: function 1.0`; the response says which one answered.
Invocations and digests have none: their responses are functions' own, or follow other standards.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import ErrorCode, GatewayError
from gateway.http.context import context_of
from gateway.http.respond import failure

_FIELD = b"openstack-api-version"
_VERSION = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})", re.ASCII)
_ROUTES = (b"callback-key", b"functions", b"limits", b"operations", b"projects", b"secrets", b"sweeps", b"usage")
_PREFIXES = tuple(b"/v1/" + route for route in _ROUTES)
# For versions of all services of a cloud. The field is parsed before the token is validated.
_MAX_LENGTH = 1_024
# The stored response of a function, byte for byte.
_RESULT = re.compile(rb"/v1/operations/[^/]+/result")


class Version(NamedTuple):
    """A microversion."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


MIN_VERSION, MAX_VERSION = Version(1, 0), Version(1, 0)


def wanted_version(values: Iterable[str], service_type: str) -> Version:
    """The version that a request asks for; without one, the lowest.

    Args:
        values: of the field. Each may be a list, with versions of other services.
        service_type: ours.

    Raises:
        GatewayError: REQUEST_MALFORMED, VERSION_NOT_ACCEPTABLE.
    """
    text = ",".join(values)
    if len(text) > _MAX_LENGTH:
        raise GatewayError(ErrorCode.REQUEST_MALFORMED, why=f"OpenStack-API-Version is longer than {_MAX_LENGTH} bytes")
    parts = [part.split() for part in text.split(",")]
    ours = {part[1] if len(part) == 2 else "" for part in parts if part and part[0] == service_type}  # noqa: PLR2004 - type and version
    if not ours:
        return MIN_VERSION
    if len(ours) > 1:
        raise GatewayError(ErrorCode.REQUEST_MALFORMED, why="OpenStack-API-Version names several versions")
    (word,) = ours
    if word == "latest":
        return MAX_VERSION
    match = _VERSION.fullmatch(word)
    if match is None:
        why = f"OpenStack-API-Version must be '{service_type} MAJOR.MINOR' or '{service_type} latest'"
        raise GatewayError(ErrorCode.REQUEST_MALFORMED, why=why)
    version = Version(int(match[1]), int(match[2]))
    if not MIN_VERSION <= version <= MAX_VERSION:
        raise GatewayError(ErrorCode.VERSION_NOT_ACCEPTABLE, version=version, least=MIN_VERSION, most=MAX_VERSION)
    return version


class MicroversionMiddleware:
    """Rejects versions that are not offered, and names the version in responses of the control API."""

    def __init__(self, app: ASGIApp, service_type: str) -> None:
        self._app = app
        self._service_type = service_type

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        path: bytes = scope.get("raw_path", b"")
        if scope["type"] != "http" or not path.startswith(_PREFIXES) or _RESULT.fullmatch(path):
            return await self._app(scope, receive, send)
        values = [value.decode("latin-1") for name, value in scope["headers"] if name == _FIELD]
        try:
            version = wanted_version(values, self._service_type)
        except GatewayError as error:
            response = failure(context_of(scope), error)
            return await response(scope, receive, self._naming(MIN_VERSION, send))
        return await self._app(scope, receive, self._naming(version, send))

    def _naming(self, version: Version, send: Send) -> Send:
        fields = [(_FIELD, f"{self._service_type} {version}".encode()), (b"vary", b"OpenStack-API-Version")]

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *fields]
            await send(message)

        return named
