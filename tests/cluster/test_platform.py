"""The platform's own parts on the real cluster: what the two identities may do, the probe, the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import tenancy.platform.probes as probing
from policies.model import Platform
from tenancy.kubernetes.client import Ref, connect, ref_of
from tenancy.platform.checks.runner import run_checks
from tenancy.platform.cluster_facts import Enforcement
from tenancy.platform.collect import collect_facts
from tenancy.platform.probes import HttpProbe, run_probe, scratch_namespace, try_enforcement
from tenancy.platform.rollout import Rollout
from tenancy.platform.sources import apply_phases, render
from tests.cluster.commands import CommandError, wait_until
from tests.cluster.layout import CHECKOUT
from tests.cluster.progress import say
from tests.cluster.testbed import PROBE_IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tenancy.kubernetes.client import Cluster
    from tests.cluster.testbed import Testbed

CONTROLLER = "--as=system:serviceaccount:osfaas-system:osfaas-controller"
GATEWAY = "--as=system:serviceaccount:osfaas-system:osfaas-gateway"
TRY = "--dry-run=server"
# What gives the two identities their rights; their Deployments are not needed to try these.
RIGHTS = {
    "Namespace", "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role",
    "RoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
}  # fmt: skip


@pytest.fixture(scope="module")
def api(cluster: Testbed) -> Cluster:
    return connect(cluster.running.layout.host_kubeconfig)


@pytest.fixture(scope="module")
def identities(cluster: Testbed, api: Cluster) -> Iterator[Testbed]:
    """Both identities; what was there before is left there."""
    overlay = render(cluster.kubectl.words[0], CHECKOUT / "manifests" / "overlays" / "example")
    rights = [item for item in overlay if item["kind"] in RIGHTS]
    made = [item for item in rights if _is_absent(api, ref_of(item))]
    Rollout(api, say, 60).apply(apply_phases(made))
    yield cluster
    for item in reversed(made):
        found = api.get(ref_of(item))
        # The kind holds everybody's tenants.
        if found and item["kind"] != "CustomResourceDefinition":
            api.delete(ref_of(item), uid=found["metadata"]["uid"])


def _is_absent(api: Cluster, ref: Ref) -> bool:
    return api.get(ref) is None


WRITES = [
    ("create", "namespace", "somebody"),
    ("label", "namespace", "kube-system", "touched=yes"),
    ("create", "quota", "closed", "-n", "kube-system"),
    ("create", "serviceaccount", "mine", "-n", "osfaas-system"),
]


@pytest.mark.parametrize("words", WRITES, ids=lambda words: " ".join(words[:3]))
def test_the_controller_writes_in_no_namespace_but_tenants(identities: Testbed, words: tuple[str, ...]) -> None:
    """RBAC would allow it; the admission policy does not."""
    wait_until("the policy counts", lambda: _refusal(identities, CONTROLLER, *words).find("only") > 0, seconds=20)
    assert "namespaces of tenants" in _refusal(identities, CONTROLLER, *words)


def test_without_the_policy_the_controller_could(identities: Testbed, api: Cluster) -> None:
    """The positive control: the same words, the binding taken away."""
    overlay = render(identities.kubectl.words[0], CHECKOUT / "manifests" / "controller")
    (binding,) = [item for item in overlay if item["kind"] == "ValidatingAdmissionPolicyBinding"]
    found = api.get(ref_of(binding))
    assert found
    api.delete(ref_of(binding), uid=found["metadata"]["uid"])
    try:
        wait_until("the policy is gone", lambda: not _refusal(identities, CONTROLLER, *WRITES[0]), seconds=20)
    finally:
        Rollout(api, say, 60).apply(apply_phases([binding]))
    wait_until("the policy is back", lambda: bool(_refusal(identities, CONTROLLER, *WRITES[0])), seconds=20)


def test_the_controller_may_make_a_tenants_namespace(identities: Testbed) -> None:
    """That is its work."""
    assert _refusal(identities, CONTROLLER, "create", "namespace", "faas-platformtest") == ""


@pytest.mark.parametrize("identity", [CONTROLLER, GATEWAY])
@pytest.mark.parametrize("kind", ["secrets", "clusterroles", "nodes"])
def test_neither_identity_reads_secrets_or_roles(identities: Testbed, identity: str, kind: str) -> None:
    """Nor nodes."""
    with pytest.raises(CommandError, match="Forbidden"):
        identities.kubectl(identity, "get", kind, "-A")


def test_the_gateway_reads_tenants_and_changes_none(identities: Testbed) -> None:
    """Reading works, so the refusal is no accident."""
    identities.kubectl(GATEWAY, "get", "tenants")
    for verb in ("create", "patch", "update", "delete"):
        with pytest.raises(CommandError):
            identities.kubectl(GATEWAY, "auth", "can-i", verb, "tenants.osfaas.dev", "-q")


def test_the_probe_shows_that_policies_are_enforced(api: Cluster) -> None:
    """Two pods that talk, and that no longer do."""
    assert try_enforcement(api, PROBE_IMAGE) is Enforcement.ENFORCED


def test_the_probe_would_notice_a_network_that_ignores_policies(api: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy that closes nothing stands for a network that does not read it."""
    honest = probing._deny

    def toothless(namespace: str) -> dict[str, Any]:
        policy = honest(namespace)
        return {**policy, "spec": {**policy["spec"], "ingress": [{}]}}

    monkeypatch.setattr(probing, "_deny", toothless)
    assert try_enforcement(api, PROBE_IMAGE) is Enforcement.IGNORED


def test_a_probe_that_cannot_run_proves_nothing(api: Cluster) -> None:
    """No such image."""
    assert try_enforcement(api, "dev.local/no-such:image", start_seconds=5) is Enforcement.UNCLEAR


def test_what_the_harness_installed_lacks_nothing_but_policies(api: Cluster) -> None:
    """Istio and Knative come from the product's own installation, so check has nothing to say against them."""
    findings = run_checks(collect_facts(api, Platform(functions={})), Platform(functions={}))
    serious = {finding.code for finding in findings if finding.severity.value != "advice"}
    assert serious <= {"policies.missing", "kind.tenant", "overlay.placeholder"}


@pytest.fixture(scope="module")
def server(identities: Testbed, api: Cluster) -> Iterator[str]:
    """The address of a pod that listens where the gateway does, with its labels and its policies; never Ready."""
    system = "osfaas-system"
    folders = [CHECKOUT / "manifests" / name for name in ("system", "gateway")]
    objects = [item for folder in folders for item in render(identities.kubectl.words[0], folder)]
    policies = [item for item in objects if item["kind"] == "NetworkPolicy"]
    # An installed product's policies name the addresses of its site; those of the manifests would lock it out.
    made = [item for item in policies if _is_absent(api, ref_of(item))]
    Rollout(api, say, 60).apply(apply_phases(made))
    listen = ["python3", "-m", "http.server", "8788", "--directory", "/tmp"]
    gates = [{"conditionType": "osfaas.dev/never"}]
    labels = {**Platform(functions={}).gateway_labels, "app.kubernetes.io/part-of": "osfaas"}
    pod = api.create(probing.pod(system, "listens", PROBE_IMAGE, listen, labels=labels, readinessGates=gates))
    try:
        yield probing._address(api, pod, 60)
    finally:
        for item in (pod, *made):
            found = api.get(ref_of(item))
            if found:
                api.delete(ref_of(item), uid=found["metadata"]["uid"])


def test_nobody_but_the_edge_reaches_the_gateway(server: str, api: Cluster) -> None:
    """From any namespace: closed. From the ingress pods' place, with their labels: open."""
    question = HttpProbe(f"http://{server}:8788/")
    with scratch_namespace(api, "platform-try") as elsewhere:
        assert run_probe(api, elsewhere, PROBE_IMAGE, question).startswith("failed")
        assert run_probe(api, elsewhere, PROBE_IMAGE, question, labels={"istio": "ingressgateway"}).startswith("failed")
    ingress = {"istio": "ingressgateway"}
    assert run_probe(api, "istio-system", PROBE_IMAGE, question, labels=ingress) == "answered 200"


def test_the_gateway_reaches_the_local_gateway_and_no_pod_of_anybody(server: str, api: Cluster) -> None:
    """404 of Istio is an answer; a pod in another namespace gives none, though it listens."""
    platform = Platform(functions={})
    with scratch_namespace(api, "platform-try") as elsewhere:
        listen = ["python3", "-m", "http.server", "8080", "--directory", "/tmp"]
        pod = api.create(probing.pod(elsewhere, "listens", PROBE_IMAGE, listen))
        question = HttpProbe(f"http://{probing._address(api, pod, 60)}:8080/")
        assert run_probe(api, elsewhere, PROBE_IMAGE, question) == "answered 200"
        said = run_probe(api, "osfaas-system", PROBE_IMAGE, question, labels=platform.gateway_labels)
        assert said.startswith("failed")
    local = HttpProbe(platform.local_gateway_url, host="nobody.nowhere.svc.cluster.local")
    assert run_probe(api, "osfaas-system", PROBE_IMAGE, local, labels=platform.gateway_labels) == "answered 404"


def _refusal(cluster: Testbed, identity: str, *words: str) -> str:
    """What kubectl says; "" if it is allowed."""
    try:
        cluster.kubectl(identity, *words, TRY)
    except CommandError as error:
        return str(error)
    return ""
