"""Cross-origin requests: which pages may read answers, what a preflight costs, and what pages elsewhere try."""

import asyncio
import json
import logging
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.errors import ErrorCode, GatewayError
from gateway.http.cors import Cors
from gateway.http.metrics import Metrics
from gateway.http.middleware import RequestMiddleware
from gateway.settings.server import RequestSettings

GOOD, SECOND = "https://dashboard.good.example", "http://localhost:3000"
ATTACKS = [
    "null",
    "",
    "*",
    "https://dashboard.good.example.evil",
    "https://evil.dashboard.good.example",
    "https://evil-dashboard.good.example",
    "https://good.example",
    "https://dashboardXgood.example",
    "https://dashboard.good.example@evil.example",
    "https://dashboard.good.example/",
    "https://dashboard.good.example:443",
    "https://dashboard.good.example:8443",
    "http://dashboard.good.example",
    "HTTPS://dashboard.good.example",
    "https://Dashboard.good.example",
    "https://dashboard.good.example.",
    "https://dashboard.good.exampl",
    "https://dashboard.good.example https://evil.example",
    "https://dashboard.good.example, https://evil.example",
    f"{GOOD}, {SECOND}",
    " https://dashboard.good.example",
    "https://dashboard.good.example\tx",
    "https://dåshboard.good.example",
    "http://localhost:30000",
    "http://localhost",
    "http://127.0.0.1:3000",
    "chrome-extension://abcdefghijklmnop",
    "file://",
    GOOD + "a" * 3_000,
]


class Edge:
    """The middleware around an application that notes what reaches it."""

    def __init__(
        self, origins: tuple[str, ...] = (GOOD, SECOND), answer: Any = None, *, max_bytes: int = 8_192
    ) -> None:
        self.reached: list[Any] = []
        self.answer = answer or [(b"vary", b"X-Auth-Token, Authorization")]
        settings = RequestSettings(head_max_bytes=max_bytes, head_max_fields=50, cors_origins=origins)
        self.app = RequestMiddleware(self.inner, settings, Metrics())

    async def inner(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached.append(scope)
        if scope["path"] == "/crash":
            raise RuntimeError
        if scope["path"] == "/refused":
            raise GatewayError(ErrorCode.REQUEST_BODY_TOO_LARGE, limit=1)
        await send({"type": "http.response.start", "status": 200, "headers": list(self.answer)})
        await send({"type": "http.response.body", "body": b"secret"})

    async def call(
        self, *fields: tuple[str, str], method: str = "GET", path: str = "/v1/limits"
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "http_version": "1.1",
            "scheme": "http",
            "headers": [(b"host", b"faas.test"), *((n.encode(), v.encode("latin-1")) for n, v in fields)],
        }
        # A preflight must not wait for a body: nothing is ever received.
        await asyncio.wait_for(self.app(scope, asyncio.Event().wait, send), 5)  # type: ignore[arg-type]
        start, *rest = sent
        headers = [(name.decode().lower(), value.decode()) for name, value in start["headers"]]
        return start["status"], headers, b"".join(message.get("body", b"") for message in rest)

    async def preflight(
        self, origin: str, path: str = "/v1/invoke/hello/x"
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        asked = ("access-control-request-method", "PUT"), ("access-control-request-headers", "x-auth-token,x-own")
        return await self.call(("origin", origin), *asked, method="OPTIONS", path=path)


def cors_fields(headers: list[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in headers if name.startswith("access-control-")}


def words(value: str) -> set[str]:
    return {word.strip().lower() for word in value.split(",")}


@pytest.mark.parametrize("origin", [GOOD, SECOND])
async def test_listed_page_reads_the_answer_and_its_fields(origin: str) -> None:
    status, headers, body = await Edge().call(("origin", origin))
    fields = cors_fields(headers)
    assert (status, body) == (200, b"secret")
    assert fields["access-control-allow-origin"] == origin
    assert words("Location, Retry-After, RateLimit, RateLimit-Policy, Repr-Digest, Digest, Osfaas-Error") <= words(
        fields["access-control-expose-headers"]
    )
    assert "x-openstack-request-id" in words(fields["access-control-expose-headers"])


@pytest.mark.parametrize("origin", [GOOD, SECOND])
@pytest.mark.parametrize("path", ["/v1/invoke/hello/x", "/v1/limits", "/none"])
async def test_preflight_is_answered_before_anything_else(
    origin: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    edge = Edge()
    with caplog.at_level(logging.INFO, logger="gateway.access"):
        status, headers, body = await edge.preflight(origin, path)
    fields = cors_fields(headers)
    assert (status, body, edge.reached) == (204, b"", [])
    assert fields["access-control-allow-origin"] == origin
    assert {"put", "patch", "delete"} <= words(fields["access-control-allow-methods"])
    assert {"authorization", "x-auth-token", "*"} <= words(fields["access-control-allow-headers"])
    assert fields["access-control-max-age"] == "600"
    (line,) = (json.loads(record.getMessage()) for record in caplog.records)
    assert (line["route"], line["status"]) == ("preflight", 204)


async def test_preflight_has_the_same_size_whatever_it_asks_for() -> None:
    """It needs no token, so nothing of it comes back."""
    edge = Edge()
    sizes = set()
    for asked in ("x", "x-evil-" + "a" * 3_000):
        _, headers, _ = await edge.call(
            ("origin", GOOD),
            ("access-control-request-method", asked),
            ("access-control-request-headers", asked),
            method="OPTIONS",
        )
        assert "evil" not in str(headers)
        sizes.add(sum(map(len, (value for _, value in headers))))
    assert len(sizes) == 1


@pytest.mark.parametrize("origin", ATTACKS)
async def test_page_elsewhere_reads_nothing(origin: str) -> None:
    _, headers, _ = await Edge().call(("origin", origin))
    assert cors_fields(headers) == {}


@pytest.mark.parametrize("origin", ATTACKS)
async def test_page_elsewhere_gets_no_permission(origin: str) -> None:
    """Its preflight is any OPTIONS request: it goes where every request goes, and that asks for a token."""
    edge = Edge()
    status, headers, _ = await edge.preflight(origin)
    assert cors_fields(headers) == {}
    assert (status, len(edge.reached)) == (200, 1)


@pytest.mark.parametrize("origins", [(GOOD, GOOD), (GOOD, "https://evil.example"), ("https://evil.example", GOOD)])
async def test_several_origins_are_none(origins: tuple[str, str]) -> None:
    _, headers, _ = await Edge().call(*(("origin", origin) for origin in origins))
    assert cors_fields(headers) == {}


async def test_many_origins_are_refused_with_the_head() -> None:
    status, headers, _ = await Edge().call(*(("origin", GOOD) for _ in range(80)))
    assert (status, cors_fields(headers)) == (431, {})


@pytest.mark.parametrize("origin", [GOOD, *ATTACKS])
async def test_credentials_of_the_browser_are_never_allowed_and_no_answer_is_for_every_origin(origin: str) -> None:
    """With cookies of a proxy in front, any page could act as its visitor."""
    for _, headers, _ in (await Edge().call(("origin", origin)), await Edge().preflight(origin)):
        fields = cors_fields(headers)
        assert "access-control-allow-credentials" not in fields
        assert "access-control-allow-private-network" not in fields
        assert fields.get("access-control-allow-origin") != "*"


@pytest.mark.parametrize("fields", [[], [("origin", GOOD)], [("origin", "https://evil.example")]])
async def test_caches_know_that_answers_differ_by_origin(fields: list[tuple[str, str]]) -> None:
    """One Vary with everything: some caches read only the first."""
    answer = [(b"vary", b"X-Auth-Token"), (b"content-type", b"x"), (b"vary", b"OpenStack-API-Version")]
    _, headers, _ = await Edge(answer=answer).call(*fields)
    varies = [value for name, value in headers if name == "vary"]
    assert varies == ["X-Auth-Token, OpenStack-API-Version, Origin"]
    assert ("content-type", "x") in headers


async def test_answer_without_vary_gets_one() -> None:
    _, headers, _ = await Edge(answer=[(b"x", b"y")]).call()
    assert [value for name, value in headers if name == "vary"] == ["Origin"]


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/refused", "GET", 413), ("/crash", "GET", 500), ("/%", "GET", 400), ("/" + "a" * 9_000, "GET", 431)],
)
async def test_page_can_read_why_it_was_refused(path: str, method: str, status: int) -> None:
    """Otherwise a script gets a network error without a reason."""
    got, headers, body = await Edge().call(("origin", GOOD), path=path, method=method)
    assert (got, cors_fields(headers)["access-control-allow-origin"]) == (status, GOOD)
    assert json.loads(body)["error"]["code"] == status


@pytest.mark.parametrize("fields", [[], [("origin", GOOD)]])
async def test_other_options_requests_reach_the_application(fields: list[tuple[str, str]]) -> None:
    edge = Edge()
    await edge.call(*fields, method="OPTIONS")
    assert len(edge.reached) == 1


async def test_preflight_of_another_method_is_a_request() -> None:
    edge = Edge()
    await edge.call(("origin", GOOD), ("access-control-request-method", "PUT"), method="GET")
    assert len(edge.reached) == 1


@pytest.mark.parametrize("origin", [GOOD, "null", "*"])
async def test_nothing_is_allowed_by_default(origin: str) -> None:
    edge = Edge(origins=RequestSettings().cors_origins)
    for _, headers, _ in (await edge.call(("origin", origin)), await edge.preflight(origin)):
        assert cors_fields(headers) == {}
        assert ("vary", "X-Auth-Token, Authorization") in headers
    assert len(edge.reached) == 2


@pytest.mark.parametrize(
    "value",
    [
        "*",
        "null",
        "https://*.good.example",
        "https://good.example/",
        "https://good.example/app",
        "https://good.example?x",
        "https://good.example#x",
        "https://Good.example",
        "HTTPS://good.example",
        "https://good.example:443",
        "http://good.example:80",
        "https://good.example:0",
        "https://good.example:08",
        "https://good.example:65536",
        "https://good.example:",
        "https://user@good.example",
        "https://good.example.",
        "https://",
        "good.example",
        "//good.example",
        "ftp://good.example",
        "https://göod.example",
        "https://good.example\n",
    ],
)
def test_setting_that_no_browser_would_match_stops_the_start(value: str) -> None:
    with pytest.raises(ValidationError, match="is not an origin as browsers send it"):
        RequestSettings(cors_origins=(GOOD, value))


@pytest.mark.parametrize(
    "value",
    ["https://a.example", "http://a.example:443", "https://a-b.c:8443", "http://localhost:1", "http://[::1]:3000"],
)
def test_setting_takes_what_browsers_send(value: str) -> None:
    assert RequestSettings(cors_origins=value).cors_origins == (value,)  # type: ignore[arg-type]


def test_what_is_compared_is_the_operators_word() -> None:
    """Nothing of a request gets into the answer, even if a comparison were lax."""
    cors = Cors([GOOD])
    origin = cors.origin_of([(b"origin", GOOD.encode())])
    assert origin is not None
    fields = dict(cors.answer_fields([], origin))
    assert fields[b"access-control-allow-origin"] == GOOD.encode()
