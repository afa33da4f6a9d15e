"""A Knative Service made from the real checksums image: Ready, reached through Istio, asleep, awake again."""

from __future__ import annotations

import hashlib
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.commands import wait_until
from tests.cluster.probes import Outcome, Reply
from tests.cluster.progress import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.testbed import Testbed

_BODY = b"hello, cluster"
# Knative's window (10 s) and grace period (5 s) in this cluster, and what pods need to end.
_ASLEEP_SECONDS = 90


@dataclass(frozen=True)
class Function:
    """The Knative Service under test."""

    cluster: Testbed
    namespace: str
    ready_seconds: float

    @property
    def host(self) -> str:
        return f"checksums.{self.namespace}.svc.cluster.local"

    def pods(self) -> list[dict[str, Any]]:
        selector = "serving.knative.dev/service=checksums"
        listed: list[dict[str, Any]] = self.cluster.kubectl.get("pods", "-n", self.namespace, "-l", selector)["items"]
        return listed

    def call(self, host: str, seconds: float = 30) -> Reply:
        """From the node, through Istio's local gateway, by its Host name alone."""
        gateway = self.cluster.service_address("istio-system", "knative-local-gateway")
        etag = hashlib.md5(_BODY).hexdigest()
        headers = {
            "Host": host,
            "Content-Type": "application/octet-stream",
            "X-Checksum-Algorithms": "adler32,md5",
            "X-Object-Size": str(len(_BODY)),
            "X-Object-ETag": etag,
        }
        words = [word for name, value in headers.items() for word in ("--header", f"{name}: {value}")]
        post = ("--request", "POST", "--data-binary", "@-", *words)
        return self.cluster.curl_from_node(f"http://{gateway}/", *post, seconds=seconds, data=_BODY)


@pytest.fixture(scope="module")
def function(cluster: Testbed) -> Iterator[Function]:
    with cluster.namespace("functions") as namespace:
        started = time.monotonic()
        cluster.kubectl.apply(knative_service(namespace))
        cluster.kubectl("wait", "--for=condition=Ready", "ksvc/checksums", "-n", namespace, "--timeout=90s")
        yield Function(cluster, namespace, time.monotonic() - started)


def knative_service(namespace: str) -> dict[str, Any]:
    container = {
        "image": "dev.local/checksums:test",
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/healthz"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": "checksums",
            "namespace": namespace,
            "labels": {"networking.knative.dev/visibility": "cluster-local"},
        },
        "spec": {"template": {"spec": {"containers": [container]}}},
    }


def assert_right(reply: Reply) -> None:
    assert (reply.outcome, reply.status) == (Outcome.ANSWERED, 200), reply
    digests = reply.json()["digests"]
    assert digests["md5"] == hashlib.md5(_BODY).hexdigest()
    assert digests["adler32"] == f"{zlib.adler32(_BODY):08x}"


def test_an_unknown_host_name_is_not_found(function: Function) -> None:
    """The gateway answers, and knows no such function."""
    reply = function.call(f"nobody.{function.namespace}.svc.cluster.local")
    assert (reply.outcome, reply.status) == (Outcome.ANSWERED, 404)


def test_it_becomes_ready_and_answers_by_its_host_name(function: Function) -> None:
    """The digests come back right, through Istio's local gateway."""
    say(f"Knative Service Ready after {function.ready_seconds:.1f} s")
    assert_right(function.call(function.host))


def test_it_sleeps_after_its_window_and_wakes_for_the_next_call(function: Function) -> None:
    """No pod is left after the window; the next call is answered, and its time is the cold start."""
    assert_right(function.call(function.host))
    started = time.monotonic()
    wait_until("scaled to zero", lambda: not function.pods(), seconds=_ASLEEP_SECONDS)
    say(f"scaled to zero {time.monotonic() - started:.1f} s after the last call")
    cold = function.call(function.host)
    assert_right(cold)
    warm = function.call(function.host)
    assert_right(warm)
    say(f"cold start {cold.seconds:.2f} s, warm call {warm.seconds * 1000:.0f} ms")
    assert cold.seconds > warm.seconds
