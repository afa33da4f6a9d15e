"""Metrics of a function: the counts of all replicas together, and what is said if some are missing."""

import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from control.functions.metrics import GatewayReplicas, quantile, summed
from policies.names import NamespaceName
from tenancy.model.function import ActiveRevision, OwnFunctionStatus, RevisionStarts
from tests.unit.control.functions_api import SPEC, Api

BOUNDS = [0.1, 1.0]


def answer(since: float = 1.0, **revisions: tuple[int, list[int]]) -> dict[str, Any]:
    found = {
        name.replace("_", "-"): {"calls": sum(buckets), "errors": errors, "buckets": buckets}
        for name, (errors, buckets) in revisions.items()
    }
    return {"since": since, "bounds": BOUNDS, "revisions": found}


def test_replicas_are_added_up() -> None:
    counts = summed(
        3, [answer(1.0, hello_1=(1, [1, 2, 0])), answer(9.0, hello_1=(0, [0, 3, 1]), hello_2=(0, [1, 0, 0]))]
    )
    assert (counts.replicas, counts.answered, counts.since) == (3, 2, 9.0)
    one = counts.revisions["hello-1"]
    assert (one.calls, one.errors, one.buckets) == (7, 1, (1, 5, 1))
    assert counts.revisions["hello-2"].calls == 1


def test_a_replica_with_other_buckets_is_left_out() -> None:
    other = {**answer(2.0), "bounds": [0.5]}
    assert (summed(2, [answer(), other]).answered, summed(0, []).since) == (1, None)


@pytest.mark.parametrize(
    ("share", "buckets", "value"),
    [
        (0.5, [0, 0, 0], None),
        (0.5, [10, 0, 0], 0.05),
        (0.5, [5, 5, 0], 0.1),
        (0.95, [0, 100, 0], 0.955),
        (0.95, [90, 0, 10], 1.0),
        (1.0, [1, 0, 0], 0.1),
    ],
)
def test_quantiles_are_those_of_prometheus(share: float, buckets: list[int], value: float | None) -> None:
    assert quantile(share, BOUNDS, buckets) == value


@pytest.fixture
def gateway() -> Iterator[tuple[str, list[str]]]:
    """A replica, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = json.dumps(answer(hello_0a0a0a0a=(1, [3, 1, 0]), other_1=(0, [1, 0, 0]))).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}", asked
    server.shutdown()
    server.server_close()


async def test_each_address_of_the_name_is_asked_for_this_namespace_only(gateway: tuple[str, list[str]]) -> None:
    """`localhost` may have two addresses, of which one answers."""
    url, asked = gateway
    counts = await GatewayReplicas(url).counts(SPEC.namespace)
    assert (counts.answered, set(asked)) == (1, {f"/metrics/functions/{SPEC.namespace}"})
    assert counts.revisions["hello-0a0a0a0a"].calls == 4


async def test_without_gateways_there_are_no_counts_and_no_error() -> None:
    for url in (None, "http://no-such-host.invalid:1", "http://127.0.0.1:1"):
        counts = await GatewayReplicas(url).counts(NamespaceName("faas-p"))
        assert (counts.answered, counts.revisions) == (0, {})


async def test_the_functions_own_revisions_are_shown_and_no_others(gateway: tuple[str, list[str]]) -> None:
    api = Api()
    await api.put()
    starts = (RevisionStarts("hello-0a0a0a0a", 2, "x"), RevisionStarts("hello-11111111"))
    active = (ActiveRevision("hello-0a0a0a0a", 100),)
    record = api.records.kept[SPEC.namespace, "hello"]
    api.records.kept[SPEC.namespace, "hello"] = replace(record, status=OwnFunctionStatus(active=active, starts=starts))
    api.gateways(gateway[0])
    response = await api.call("GET", "/v1/functions/hello/metrics")
    assert response.status_code == 200
    first, second = response.json()["metrics"]["revisions"]
    assert first == {
        "name": "hello-0a0a0a0a", "percent": 100, "calls": 4, "errors": 1, "p50_seconds": 0.066667,
        "p95_seconds": 0.82, "cold_starts": 2,
    }  # fmt: skip
    assert (second["name"], second["calls"], second["p50_seconds"], second["cold_starts"]) == (
        "hello-11111111", 0, None, 0,
    )  # fmt: skip
    api.become(roles=frozenset(["reader"]))
    assert (await api.call("GET", "/v1/functions/hello/metrics")).status_code == 200
    api.become(project_id="p2")
    assert (await api.call("GET", "/v1/functions/hello/metrics")).status_code == 404
