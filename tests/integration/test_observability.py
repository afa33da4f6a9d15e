"""What a call leaves behind: a line, a trace that goes on, spans at a collector; and no secret anywhere."""

import http.server
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import yaml
from echo import echo, plainly
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.machine import scaled

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1"}
SIGNED = re.compile(r"(?i)temp_url_sig=[0-9a-f]|x-amz-signature=[0-9a-f]")


def lines(gateway) -> list[dict]:
    """The canonical lines of a gateway that writes JSON."""
    documents = [json.loads(line) for line in gateway.service.log.read_text().splitlines()]
    return [document for document in documents if document["logger"] == "gateway.access"]


def lines_of(gateway, route: str, count: int) -> list[dict]:
    """The lines of a route, once there are so many: a line is written when its answer has been sent."""
    deadline = time.monotonic() + scaled(30)
    while len(found := [line for line in lines(gateway) if line["route"] == route]) < count:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


@dataclass
class Collector:
    """Takes spans over OTLP/HTTP."""

    url: str
    spans: list = field(default_factory=list)


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector("")

    class Take(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                made.spans += [span for scope in resource.scope_spans for span in scope.spans]
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Take)
    made.url = f"http://127.0.0.1:{server.server_port}/v1/traces"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()


def invokable(gateway, cloud, backend) -> None:
    function = {"echo": {"url": backend.url, "callable": True}}
    tenants = [{"project_id": cloud.users["alice"].project_id, "functions": function}]
    gateway.tenants.write_text(yaml.safe_dump({"tenants": tenants}))
    time.sleep(1.1)


def test_trace_goes_on_to_the_function_and_spans_to_the_collector(start_gateway, cloud, alice, collector):
    settings = {
        "OSFAAS_OTLP_ENDPOINT": collector.url,
        "OSFAAS_LOG_FORMAT": "json",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    with echo() as backend, start_gateway(**settings) as gateway:
        invokable(gateway, cloud, backend)
        answer = gateway.get("/v1/invoke/echo/x", alice, headers=PARENT)
        gateway.get("/v1/invoke/echo/x", alice, headers={"traceparent": "00-nonsense", "tracestate": "vendor=1"})
        line = lines_of(gateway, "invoke", 2)[0]
        deadline = time.monotonic() + scaled(30)
        # Two calls, and what went out for each.
        while len(collector.spans) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert answer.status_code == 200
    first, second = backend.seen
    (parent,), (state,) = first.all("traceparent"), first.all("tracestate")
    version, trace_id, span_id, flags = parent.decode().split("-")
    assert (version, trace_id, flags, state) == ("00", TRACE, "01", b"vendor=1")
    assert span_id not in {SPAN, line["span_id"]}
    assert (line["trace_id"], line["outcome"]) == (TRACE, "answered")
    assert TRACE not in second.all("traceparent")[0].decode()
    assert "nonsense" not in second.all("traceparent")[0].decode()
    assert second.all("tracestate") == []

    spans = {span.span_id.hex(): span for span in collector.spans}
    sent, received = spans[span_id], spans[line["span_id"]]
    assert sent.parent_span_id.hex() == line["span_id"]
    assert received.parent_span_id.hex() == SPAN
    attributes = {each.key: each.value for each in received.attributes}
    assert attributes["http.response.status_code"].int_value == 200
    assert attributes["osfaas.request_id"].string_value == answer.headers["X-Openstack-Request-Id"]
    assert received.name == "GET invoke"
    assert alice not in str(collector.spans)


def test_trace_goes_on_to_the_store(start_gateway, alice):
    with (
        echo(plainly(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")) as store,
        start_gateway(OSFAAS_SWIFT_ENDPOINT=f"{store.url}/v1/AUTH_{{project_id}}") as gateway,
    ):
        assert gateway.get("/v1/checksums/c/o", alice, headers=PARENT).status_code == 404
    (parent,) = store.seen[0].all("traceparent")
    assert parent.decode().split("-")[1] == TRACE
    assert SPAN.encode() not in parent


@pytest.mark.parametrize("capability", ["tempurl", "s3", "stream"])
def test_no_token_and_no_signed_url_is_in_the_log_of_calls_that_work_and_calls_that_fail(
    start_gateway, cloud, bucket, alice, capability
):
    bucket.put("logged", b"content of a logged call")
    path = bucket.path("logged") + "?algorithm=sha1&force=true"
    with start_gateway(
        OSFAAS_CAPABILITIES=capability, OSFAAS_TEMPURL_SET_KEY="true", OSFAAS_LOG_FORMAT="json"
    ) as gateway:
        assert gateway.get(path, alice).status_code == 200
        assert gateway.get(path, headers={"Authorization": f"Bearer {alice}"}).status_code == 200
        assert gateway.get(path, alice[:-8] + "AAAAAAAA").status_code == 401
        assert gateway.get(f"/v1/none?temp_url_sig={'a' * 64}", alice).status_code == 404
        gone = {cloud.users["alice"].project_id: "http://127.0.0.1:1"}
        document = {"tenants": [{"project_id": p, "functions": {"checksums": {"url": u}}} for p, u in gone.items()]}
        gateway.tenants.write_text(yaml.safe_dump(document))
        time.sleep(1.1)
        assert gateway.get(path, alice).status_code == 503
        calls = lines_of(gateway, "checksums.object", 4)
        text = gateway.service.log.read_text()
    assert [line["status"] for line in calls] == [200, 200, 401, 503]
    assert [line["outcome"] for line in calls] == ["answered", "answered", "refused", "function"]
    assert len({line["request_id"] for line in calls}) == 4
    for secret in (alice, alice[:60], "a" * 64):
        assert secret not in text
    assert not SIGNED.search(text)


def test_outcomes_are_counted_by_whose_doing_they_were(gateway, alice):
    labels = {"route": "none", "status_class": "4xx", "outcome": "refused"}
    before = gateway.metric("osfaas_request_outcomes_total", **labels)
    gateway.get("/v1/no-such-thing", alice)
    deadline = time.monotonic() + scaled(30)
    while gateway.metric("osfaas_request_outcomes_total", **labels) < before + 1:
        assert time.monotonic() < deadline
    assert gateway.metric("osfaas_request_outcomes_total", **labels) == before + 1
