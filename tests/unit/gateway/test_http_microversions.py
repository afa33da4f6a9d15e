"""Microversions: which one answers, which ones are refused, and where there are none."""

import json
from typing import Any

import pytest

from gateway.errors import ErrorCode, GatewayError
from gateway.http.context import open_context
from gateway.http.microversions import MAX_VERSION, MIN_VERSION, MicroversionMiddleware, wanted_version
from gateway.http.routes import version_document


@pytest.mark.parametrize(
    "values",
    [
        [],
        ["function 1.0"],
        ["function latest"],
        ["compute 2.11, function 1.0"],
        ["compute 9.9"],
        ["compute 1", "", "x"],
    ],
)
def test_offered_version_answers(values: list[str]) -> None:
    assert wanted_version(values, "function") == MIN_VERSION


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["function 1.1"], ErrorCode.VERSION_NOT_ACCEPTABLE),
        (["function 0.9"], ErrorCode.VERSION_NOT_ACCEPTABLE),
        (["compute 2.1,function 2.0"], ErrorCode.VERSION_NOT_ACCEPTABLE),
        (["function"], ErrorCode.REQUEST_MALFORMED),
        (["function 1"], ErrorCode.REQUEST_MALFORMED),
        (["function 1.0.0"], ErrorCode.REQUEST_MALFORMED),
        (["function \u0661.\u0660"], ErrorCode.REQUEST_MALFORMED),
        (["function 1.0 1.0"], ErrorCode.REQUEST_MALFORMED),
        (["function 1.0", "function 1.1"], ErrorCode.REQUEST_MALFORMED),
        # It is parsed before the token is validated.
        (["compute 2.1," * 500], ErrorCode.REQUEST_MALFORMED),
        (["compute 2.1"] * 500, ErrorCode.REQUEST_MALFORMED),
    ],
)
def test_other_versions_are_refused(values: list[str], kind: ErrorCode) -> None:
    with pytest.raises(GatewayError) as caught:
        wanted_version(values, "function")
    assert caught.value.kind is kind


def test_version_document_has_the_same_limits() -> None:
    (version,) = version_document("https://faas.test")["versions"]  # type: ignore[misc]
    assert (version["min_version"], version["max_version"]) == (str(MIN_VERSION), str(MAX_VERSION))


async def respond(path: bytes, *asked: str) -> tuple[int, dict[bytes, list[bytes]], bytes]:
    """The response of an application behind the middleware, which answers 204."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": [(b"vary", b"X-Auth-Token")]})
        await send({"type": "http.response.body", "body": b""})

    headers = [(b"openstack-api-version", value.encode()) for value in asked]
    scope: Any = {"type": "http", "method": "GET", "raw_path": path, "path": path.decode(), "headers": headers}
    open_context(scope)
    await MicroversionMiddleware(app, "function")(scope, None, send)  # type: ignore[arg-type]
    fields: dict[bytes, list[bytes]] = {}
    for name, value in sent[0]["headers"]:
        fields.setdefault(name, []).append(value)
    return sent[0]["status"], fields, b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize("path", [b"/v1/limits", b"/v1/operations/x", b"/v1/sweeps", b"/v1/usage?start=1"])
async def test_response_names_its_version_and_varies_with_it(path: bytes) -> None:
    status, fields, _ = await respond(path, "function latest")
    assert status == 204
    assert fields[b"openstack-api-version"] == [b"function 1.0"]
    assert fields[b"vary"] == [b"X-Auth-Token", b"OpenStack-API-Version"]


async def test_version_that_is_not_offered_gets_406_with_those_that_are() -> None:
    status, fields, body = await respond(b"/v1/functions/x", "function 1.7")
    assert status == 406
    assert fields[b"openstack-api-version"] == [b"function 1.0"]
    error = json.loads(body)["errors"][0]
    assert error["code"] == "version.not_acceptable"
    assert "1.0 to 1.0" in error["detail"]


@pytest.mark.parametrize("path", [b"/v1/invoke/f/", b"/v1/checksums/c/o", b"/", b"/v1/operations/x/result"])
async def test_other_routes_have_no_versions(path: bytes) -> None:
    status, fields, _ = await respond(path, "function 9.9")
    assert status == 204
    assert b"openstack-api-version" not in fields
