"""Calls are counted for the revision that the ingress names, in bounded memory."""

import contextlib
import ssl

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from gateway.errors import GatewayError
from gateway.invoke.body import InboundBody
from gateway.invoke.proxy import Proxy
from gateway.invoke.revision_stats import BOUNDS, PER_NAMESPACE, RevisionStats
from gateway.settings.upstream import FunctionSettings
from gateway.upstream.diagnostics import FunctionDiagnostics
from gateway.upstream.function_client import FunctionClient
from policies.names import NamespaceName
from policies.revision_field import revision_of_upstream
from tests.unit.gateway.test_invoke_proxy import HEAD, Directory, allowed, discard, function, invocation_of, never_ends

HOME, OTHER = NamespaceName("faas-p"), NamespaceName("faas-q")
FIELD = b"outbound|80||f-0a0a0a0a.faas-p.svc.cluster.local"


@pytest.mark.parametrize(
    ("value", "revision"),
    [
        (FIELD, "f-0a0a0a0a"),
        (b"f-0a0a0a0a.faas-p.svc", "f-0a0a0a0a"),
        (b"outbound|80||f-00001.faas-p.svc.cluster.local", "f-00001"),
        (b"outbound|80||f-0a0a0a0a.faas-q.svc.cluster.local", None),
        (b"outbound|80||f-0a0a0a0a.faas-p2.svc.cluster.local", None),
        (b"outbound|80||g-0a0a0a0a.faas-p.svc.cluster.local", None),
        (b"outbound|80||f-b-0a0a0a0a.faas-p.svc.cluster.local", None),
        (b"outbound|80||f-.faas-p.svc.cluster.local", None),
        (b"outbound|80||f.faas-p.svc.cluster.local", None),
        (b"f-\xff.faas-p.svc", None),
        (b"f-" + b"x" * 600 + b".faas-p.svc", None),
        (b"", None),
        (None, None),
    ],
)
def test_a_field_names_a_revision_of_this_function_or_none(value: bytes | None, revision: str | None) -> None:
    assert revision_of_upstream(value, "f", HOME) == revision


def test_counts_and_buckets() -> None:
    stats = RevisionStats(10, clock=lambda: 5.0)
    for seconds, failed in ((0.004, False), (0.2, False), (0.2, True), (4_000.0, False)):
        stats.count(HOME, "f", FIELD, seconds, failed=failed)
    document = stats.document(HOME)
    counts = document["revisions"]["f-0a0a0a0a"]
    assert (document["since"], counts["calls"], counts["errors"]) == (5.0, 4, 1)
    assert (counts["buckets"][0], counts["buckets"][BOUNDS.index(0.25)], counts["buckets"][-1]) == (1, 2, 1)
    assert stats.document(OTHER)["revisions"] == {}


def test_the_number_of_revisions_is_bounded_for_a_project_and_for_all() -> None:
    """A project that makes many takes no place from another."""
    stats = RevisionStats(2 * PER_NAMESPACE)
    stats.count(OTHER, "f", b"f-1.faas-q.svc", 1, failed=False)
    for number in range(5 * PER_NAMESPACE):
        stats.count(HOME, "f", f"f-{number}.faas-p.svc".encode(), 1, failed=False)
    assert len(stats.document(HOME)["revisions"]) == PER_NAMESPACE
    assert len(stats.document(OTHER)["revisions"]) == 1
    small = RevisionStats(3)
    for number in range(9):
        small.count(NamespaceName(f"faas-{number}"), "f", None, 1, failed=False)
    assert len(small._counts) == len(small._sizes) == 3
    none = RevisionStats(0)
    none.count(HOME, "f", FIELD, 1, failed=False)
    assert none.document(HOME)["revisions"] == {}


def test_prometheus_gets_the_same_counts() -> None:
    stats, registry = RevisionStats(10), CollectorRegistry()
    registry.register(stats)
    stats.count(HOME, "f", FIELD, 0.2, failed=True)
    text = generate_latest(registry).decode()
    labels = 'function="f",namespace="faas-p",revision="f-0a0a0a0a"'
    assert f"osfaas_function_errors_total{{{labels}}} 1.0" in text
    assert f"osfaas_function_duration_seconds_count{{{labels}}} 1.0" in text
    assert f'osfaas_function_duration_seconds_bucket{{function="f",le="0.25",{labels.partition(",")[2]}}} 1.0' in text


async def counted(reply: bytes | None) -> dict[str, tuple[int, int]]:
    """Calls and errors by revision after one call that was replied to so."""
    stats = RevisionStats(10)
    settings = FunctionSettings(retry_seconds=0)
    async with function(reply) as url, FunctionClient(settings, ssl.create_default_context()) as client:
        proxy = Proxy(client, FunctionDiagnostics(Directory(None)), recheck=allowed, recheck_seconds=60, stats=stats)
        with contextlib.suppress(GatewayError):
            await proxy.carry(invocation_of(url, None), InboundBody(never_ends, HEAD, 1), discard)
    return {name: (counts["calls"], counts["errors"]) for name, counts in stats.document("faas-p")["revisions"].items()}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nOsfaas-Upstream: " + FIELD + b"\r\nContent-Length: 2\r\n\r\nok", {"f-0a0a0a0a": (1, 0)}),
        (b"HTTP/1.1 404 x\r\nOsfaas-Upstream: " + FIELD + b"\r\nContent-Length: 0\r\n\r\n", {"f-0a0a0a0a": (1, 0)}),
        (b"HTTP/1.1 500 x\r\nOsfaas-Upstream: " + FIELD + b"\r\nContent-Length: 0\r\n\r\n", {"f-0a0a0a0a": (1, 1)}),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", {"f-unknown": (1, 0)}),
        (b"", {"f-unknown": (1, 1)}),
    ],
)
async def test_a_call_is_counted_once_with_its_outcome(reply: bytes, expected: dict[str, tuple[int, int]]) -> None:
    assert await counted(reply) == expected
