"""What is true of every answer, also of refused heads and crashes: an id, a log line, a count."""

import asyncio
import json
import logging
import re
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.errors import ErrorCode
from gateway.http.context import context_of
from gateway.http.error_handlers import route_refused, unhandled_error
from gateway.http.metrics import Metrics
from gateway.http.middleware import RequestMiddleware
from gateway.http.websocket import WEBSOCKET
from gateway.settings.server import RequestSettings
from gateway.telemetry.outcome import GONE

ID = re.compile(r"req-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
FORGED = "req-11111111-1111-4111-8111-111111111111"
SECRET = "gAAAA-very-secret"


async def fine(request: Request) -> Response:
    context = context_of(request.scope)
    context.route = "fine"
    context.log.function = ",".join(sorted(request.headers))
    return PlainTextResponse("fine")


async def crash(request: Request) -> Response:
    raise RuntimeError("boom")


class Edge:
    """The layers as the application has them, around two routes."""

    def __init__(self, inner: Any = None, *, websockets: tuple[bytes, ...] = ()) -> None:
        self.metrics = Metrics()
        if inner is None:
            inner = Starlette(routes=[Route("/fine", fine), Route("/crash", crash)])
            inner.add_exception_handler(HTTPException, route_refused)
            inner.add_exception_handler(Exception, unhandled_error)
        limits = RequestSettings(head_max_bytes=4_096, head_max_fields=20)
        self.app = RequestMiddleware(inner, limits, self.metrics, websockets=websockets)

    async def call(
        self, path: str, *fields: tuple[str, str], method: str = "GET", query: str = "", **more: object
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "http_version": "1.1",
            "scheme": "http",
            "headers": [(b"host", b"faas.test"), *((n.encode(), v.encode()) for n, v in fields)],
            **more,
        }
        await self.app(scope, receive, send)
        start, *reset = sent
        headers = [(name.decode().lower(), value.decode()) for name, value in start["headers"]]
        return start["status"], headers, b"".join(message["body"] for message in reset)


def ids(headers: list[tuple[str, str]]) -> list[str]:
    return [value for name, value in headers if name == "x-openstack-request-id"]


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(record.getMessage()) for record in caplog.records if record.name == "gateway.access"]


ANSWERS = [
    pytest.param({"path": "/fine"}, 200, id="answer"),
    pytest.param({"path": "/fine", "method": "POST"}, 405, id="wrong-method"),
    pytest.param({"path": "/none"}, 404, id="no-route"),
    pytest.param({"path": "/crash"}, 500, id="crash"),
    pytest.param({"path": "/fine%"}, 400, id="refused-head"),
    pytest.param({"path": "/" + "a" * 5_000}, 431, id="head-too-large"),
]


@pytest.mark.parametrize(("request_", "status"), ANSWERS)
async def test_every_answer_has_one_id_and_one_line_with_the_same(
    request_: dict[str, str], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        got, headers, _ = await Edge().call(**request_)
    assert got == status
    (request_id,) = ids(headers)
    assert ID.fullmatch(request_id)
    (line,) = lines(caplog)
    assert (line["request_id"], line["status"]) == (request_id, status)


@pytest.mark.parametrize(("request_", "status"), ANSWERS[1:])
async def test_every_error_is_ours_and_names_the_same_id(request_: dict[str, str], status: int) -> None:
    _, headers, body = await Edge().call(**request_)
    document = json.loads(body)
    assert document["error"]["code"] == status
    assert document["errors"][0]["request_id"] == ids(headers)[0]
    assert document["errors"][0]["code"] in {kind.code for kind in ErrorCode}
    assert b"boom" not in body


@pytest.mark.parametrize(("request_", "status"), ANSWERS)
async def test_forged_request_id_is_not_taken_as_ours(
    request_: dict[str, str], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = request_["path"]
    with caplog.at_level(logging.INFO):
        _, headers, _ = await Edge().call(
            path, ("x-openstack-request-id", FORGED), method=request_.get("method", "GET")
        )
    assert len(ids(headers)) == 1
    assert FORGED not in ids(headers)
    assert lines(caplog)[0]["global_request_id"] == FORGED


@pytest.mark.parametrize(
    "value", ["req-1", FORGED.upper(), FORGED[4:], FORGED + "0", FORGED + " ", "req-" + "g" * 36, '"}\u2028', ""]
)
async def test_callers_id_of_another_form_is_not_even_logged(value: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await Edge().call("/fine", ("x-openstack-request-id", value))
    assert lines(caplog)[0]["global_request_id"] is None


async def test_ids_differ() -> None:
    edge = Edge()
    assert len({ids((await edge.call("/fine"))[1])[0] for _ in range(20)}) == 20


@pytest.mark.parametrize("path", ["/fine", "/none", "/crash", "/fine%"])
async def test_no_token_and_no_query_gets_into_a_log(path: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        await Edge().call(
            path, ("x-auth-token", SECRET), ("authorization", f"Bearer {SECRET}"), query=f"temp_url_sig={SECRET}"
        )
    assert lines(caplog)
    assert SECRET not in caplog.text


async def test_line_is_one_line_of_json_whatever_the_path(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await Edge().call("/a\nforged line " + "x" * 2_000)
    (record,) = [record for record in caplog.records if record.name == "gateway.access"]
    assert "\n" not in record.getMessage()
    assert len(json.loads(record.getMessage())["path"]) <= 1_024


async def test_traceback_of_a_crash_is_logged_beside_the_id(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        _, headers, _ = await Edge().call("/crash")
    assert "RuntimeError: boom" in caplog.text
    assert ids(headers)[0] in caplog.text


async def test_refused_head_closes_the_connection_and_reaches_nobody() -> None:
    reached = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope)

    _, headers, _ = await Edge(inner).call("/a", ("host", "other.test"))
    assert ("connection", "close") in headers
    assert reached == []


async def test_application_sees_the_head_without_claims_of_identity(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await Edge().call(
            "/fine", ("X-User-Id", "admin"), ("X-Roles", "admin"), ("x_project_id", "p"), ("accept", "*/*")
        )
    assert lines(caplog)[0]["function"] == "accept,host"


async def test_crash_before_the_answer_is_answered_with_500(caplog: pytest.LogCaptureFixture) -> None:
    async def crashing(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("boom")

    with caplog.at_level(logging.INFO):
        status, headers, body = await Edge(crashing).call("/a")
    assert (status, json.loads(body)["errors"][0]["request_id"]) == (500, *ids(headers))
    assert (lines(caplog)[0]["status"], lines(caplog)[0]["error"]) == (500, ErrorCode.INTERNAL.code)
    assert "boom" in caplog.text
    assert b"boom" not in body


async def test_crash_in_the_answer_sends_no_second_head(caplog: pytest.LogCaptureFixture) -> None:
    async def crashing(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("boom")

    status, _, body = await Edge(crashing).call("/a")
    assert (status, body) == (200, b"half")


async def test_allow_says_which_methods_there_are() -> None:
    _, headers, _ = await Edge().call("/fine", method="DELETE")
    assert {word.strip() for word in dict(headers)["allow"].split(",")} == {"GET", "HEAD"}


async def test_caller_that_left_before_the_answer_is_logged_as_499(caplog: pytest.LogCaptureFixture) -> None:
    started = asyncio.Event()

    async def hang(scope: Any, receive: Any, send: Any) -> None:
        started.set()
        await asyncio.Event().wait()

    edge = Edge(hang)
    with caplog.at_level(logging.INFO):
        call = asyncio.create_task(edge.call("/a"))
        await started.wait()
        assert edge.metrics.open_requests == 1
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert lines(caplog)[0]["status"] == 499
    assert edge.metrics.open_requests == 0


async def test_caller_that_left_in_the_middle_of_the_answer_is_logged_as_499_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The head said 200, and nobody read the rest."""

    async def half(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        context_of(scope).log.error = GONE

    edge = Edge(half)
    with caplog.at_level(logging.INFO, logger="gateway.access"):
        await edge.call("/fine")
    (line,) = (json.loads(record.getMessage()) for record in caplog.records)
    assert (line["status"], line["outcome"]) == (499, "gone")


async def test_labels_are_bounded_whatever_is_asked() -> None:
    edge = Edge()
    for number in range(20):
        await edge.call(f"/none-{number}", method=f"M{number}")
    samples = [s for metric in edge.metrics.requests.collect() for s in metric.samples if s.name.endswith("_total")]
    assert [(s.labels, s.value) for s in samples] == [({"route": "none", "method": "other", "status": "404"}, 20.0)]


async def test_websocket_is_refused() -> None:
    sent = []

    async def send(message: Any) -> None:
        sent.append(message)

    receive: Any = asyncio.Event().wait
    await Edge().app({"type": "websocket", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize(("websockets", "status"), [((), 400), ((b"/v1/",), 400), ((b"/fi",), 200)])
async def test_websocket_begins_only_where_the_application_says(websockets: tuple[bytes, ...], status: int) -> None:
    """An application that knows of none would answer the handshake as an ordinary GET."""
    edge = Edge(websockets=websockets)
    answered, headers, _ = await edge.call("/fine", **{WEBSOCKET: True})
    assert answered == status
    assert (("connection", "close") in headers) == (status == 400)
