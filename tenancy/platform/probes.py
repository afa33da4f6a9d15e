"""Short-lived pods that send one HTTP request and report its outcome."""

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from policies.model import Manifest
from tenancy.kubernetes.client import Cluster, Kind, Ref, ref_of
from tenancy.model.errors import ClusterError
from tenancy.platform.cluster_facts import Enforcement
from tenancy.platform.errors import PlatformError
from tenancy.platform.rollout import FIELD_MANAGER

NAMESPACE, POD = Kind("v1", "Namespace"), Kind("v1", "Pod")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount")
PORT = 8080
_PAUSE_SECONDS = 0.3
# Writes one line, `answered STATUS` or `failed WHY`, which the kubelet copies into the pod's status.
_PROGRAM = """
import sys, urllib.error, urllib.request
url, host, seconds = sys.argv[1:]
try:
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    with urllib.request.urlopen(request, timeout=float(seconds)) as reply:
        said = f"answered {reply.status}"
except urllib.error.HTTPError as error:
    said = f"answered {error.code}"
except OSError as error:
    said = f"failed {error}"
open("/dev/termination-log", "w").write(said)
"""


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """An HTTP request from a pod.

    Attributes:
        host: value of the Host header, or "" for the URL's own.
        seconds: timeout.
    """

    url: str
    host: str = ""
    seconds: float = 5.0


@contextmanager
def scratch_namespace(cluster: Cluster, prefix: str) -> Iterator[str]:
    """A temporary namespace in which pods can be created at once."""
    name = f"{prefix}-{secrets.token_hex(3)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "istio-injection": "disabled"}
    made = cluster.create(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}, manager=FIELD_MANAGER
    )
    try:
        _await_account(cluster, name)
        yield name
    finally:
        cluster.delete(ref_of(made), uid=made["metadata"]["uid"])


def try_enforcement(cluster: Cluster, image: str, *, start_seconds: float = 60.0) -> Enforcement:
    """Tests whether a NetworkPolicy stops one pod from reaching another.

    Args:
        cluster: the cluster to test.
        image: has `python3` in its path and can run as any user.
        start_seconds: timeout for each pod to start.
    """
    with scratch_namespace(cluster, "osfaas-probe") as namespace:
        serve = ["python3", "-m", "http.server", str(PORT), "--directory", "/tmp"]  # noqa: S108 - served to one pod
        server = cluster.create(pod(namespace, "server", image, serve), manager=FIELD_MANAGER)
        try:
            address = _address(cluster, server, start_seconds)
            probe = HttpProbe(f"http://{address}:{PORT}/")
            if not _answers_soon(cluster, namespace, image, probe, start_seconds):
                return Enforcement.UNCLEAR
            cluster.apply(_deny(namespace), force=True, manager=FIELD_MANAGER)
            # A policy takes effect within a second or two; a plugin that needs more than ten is useless for revocation.
            for _ in range(3):
                time.sleep(2)
                said = run_probe(cluster, namespace, image, probe, start_seconds=start_seconds)
                if said.startswith("failed"):
                    return Enforcement.ENFORCED
        except PlatformError:
            return Enforcement.UNCLEAR
    return Enforcement.IGNORED


def run_probe(
    cluster: Cluster,
    namespace: str,
    image: str,
    probe: HttpProbe,
    *,
    labels: Mapping[str, str] | None = None,
    start_seconds: float = 60.0,
) -> str:
    """Sends the request from a temporary pod in this namespace; returns `answered STATUS` or `failed WHY`.

    Raises:
        PlatformError: the pod did not run.
    """
    words = ["python3", "-c", _PROGRAM, probe.url, probe.host, str(probe.seconds)]
    name = f"osfaas-ask-{secrets.token_hex(3)}"
    # Never Ready, so that no Service whose selector matches sends calls to it.
    gates = [{"conditionType": "osfaas.dev/never"}]
    made = cluster.create(
        pod(namespace, name, image, words, labels=labels, readinessGates=gates), manager=FIELD_MANAGER
    )
    try:
        return _termination_message(cluster, made, start_seconds + probe.seconds)
    finally:
        cluster.delete(ref_of(made), uid=made["metadata"]["uid"])


def pod(
    namespace: str,
    name: str,
    image: str,
    words: list[str],
    *,
    labels: Mapping[str, str] | None = None,
    **fields: object,
) -> Manifest:
    """A pod that satisfies Pod Security `restricted` and runs once."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"osfaas.dev/probe": name, **(labels or {})}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "probe",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": words,
                    "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
            **fields,
        },
    }


def _answers_soon(cluster: Cluster, namespace: str, image: str, probe: HttpProbe, start_seconds: float) -> bool:
    """Whether the server responds, tried three times: it may start after its pod has an address."""
    return any(
        run_probe(cluster, namespace, image, probe, start_seconds=start_seconds).startswith("answered")
        for _ in range(3)
    )


def _deny(namespace: str) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "deny", "namespace": namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }


def _await_account(cluster: Cluster, namespace: str) -> None:
    deadline = time.monotonic() + 30
    while cluster.get(Ref(SERVICE_ACCOUNT, namespace, "default")) is None:
        if time.monotonic() > deadline:
            raise PlatformError(
                f"namespace {namespace} has no service account: check that kube-controller-manager runs"
            )
        time.sleep(_PAUSE_SECONDS)


def _address(cluster: Cluster, made: Manifest, seconds: float) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status = (cluster.get(ref_of(made)) or {}).get("status", {})
        if status.get("phase") == "Running" and status.get("podIP"):
            return str(status["podIP"])
        time.sleep(_PAUSE_SECONDS)
    raise PlatformError(f"{ref_of(made)} did not start within {seconds:.0f} s")


def _termination_message(cluster: Cluster, made: Manifest, seconds: float) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            status = (cluster.get(ref_of(made)) or {}).get("status", {})
        except ClusterError:
            status = {}
        for container in status.get("containerStatuses", ()):
            if ended := container.get("state", {}).get("terminated"):
                return str(ended.get("message") or f"broken: exit code {ended.get('exitCode')}")
        time.sleep(_PAUSE_SECONDS)
    raise PlatformError(f"{ref_of(made)} did not end within {seconds:.0f} s")
