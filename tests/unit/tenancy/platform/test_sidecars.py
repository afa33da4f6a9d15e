"""What sidecars change of Knative's manifests and of Istio's installation."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from policies.model import Platform
from tenancy.platform.errors import PlatformError
from tenancy.platform.helm import Charts
from tenancy.platform.readiness import is_everywhere
from tenancy.platform.sidecars import knative_settings, with_sidecars

PLAIN = Platform(functions={})
MESHED = replace(PLAIN, sidecars=True)


def deployment(name: str, namespace: str = "knative-serving") -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": []}}
    return {
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": 1, "template": template},
    }


def labels(item: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = item["spec"]["template"]["metadata"]["labels"]
    return found


@pytest.mark.parametrize("name", ["activator", "autoscaler"])
def test_callers_of_tenants_pods_get_a_sidecar(name: str) -> None:
    """By the label of their pods, which makes Kubernetes replace them."""
    before = deployment(name)
    (after,) = with_sidecars([before], MESHED)
    assert labels(after) == {"app": name, "sidecar.istio.io/inject": "true"}
    assert labels(before) == {"app": name}
    assert after["spec"]["replicas"] == 1


@pytest.mark.parametrize(
    "item",
    [
        deployment("webhook"),
        deployment("activator", "elsewhere"),
        {"kind": "Service", "metadata": {"name": "activator"}},
    ],
)
def test_other_objects_stay_as_they_are(item: dict[str, Any]) -> None:
    """The API server, which calls the webhook, has no identity."""
    assert with_sidecars([item], MESHED) == [item]


def test_without_sidecars_knative_stays_as_it_is() -> None:
    """Its own default for the mesh, and no label."""
    assert with_sidecars([deployment("activator")], PLAIN) == [deployment("activator")]
    assert knative_settings(PLAIN) == ()


def test_knative_calls_services_in_the_mesh() -> None:
    """Not addresses of pods, to which proxies know no mutual TLS."""
    (config,) = knative_settings(replace(MESHED, knative_namespace="knative"))
    assert config["metadata"] == {"name": "config-network", "namespace": "knative"}
    assert config["data"] == {"mesh-compatibility-mode": "enabled"}


@pytest.mark.parametrize("folder", ["cni", "istio-cni"])
def test_chart_of_the_plugin_is_found_under_both_names(tmp_path: Path, folder: str) -> None:
    """In a folder of unpacked charts and in Istio's release."""
    with pytest.raises(PlatformError, match="no chart cni"):
        Charts(str(tmp_path)).words("cni")
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "Chart.yaml").touch()
    assert Charts(str(tmp_path)).words("cni") == [str(tmp_path / folder)]


READY = {"observedGeneration": 2, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberReady": 3}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"numberReady": 2}, False),
        ({"updatedNumberScheduled": 2}, False),
        ({"observedGeneration": 1}, False),
        ({"desiredNumberScheduled": 0, "updatedNumberScheduled": 0, "numberReady": 0}, False),
    ],
)
def test_daemon_set_is_there_when_each_node_has_its_pod(changed: dict[str, int], expected: bool) -> None:
    """Of the current generation. None wanted: it was just made, and nobody has counted the nodes yet."""
    assert is_everywhere({"metadata": {"generation": 2}, "status": {**READY, **changed}}) is expected
