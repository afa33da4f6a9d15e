"""Every kustomization renders, with the pinned kubectl, to objects that Kubernetes knows."""

from collections import Counter
from typing import Any

import kubernetes_validate
import pytest

from tests.unit.manifests.rendered import kustomizations, rendered

# Kinds that Kubernetes itself does not bring; the test cluster's API server checks them.
OTHERS = {"networking.istio.io/v1", "cilium.io/v2", "eventing.knative.dev/v1", "monitoring.coreos.com/v1"}
VERSIONS = ("1.35", "1.36")


def test_a_misspelled_field_is_refused_by_the_schema():
    """Otherwise the test below could not fail."""
    wrong = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}, "automountToken": False}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.36", strict=True)


@pytest.mark.parametrize("folder", kustomizations())
@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_fits_the_schema(folder: str, version: str):
    """Strictly: an unknown field is one that Kubernetes would drop."""
    objects = rendered(folder)
    assert objects
    for item in objects:
        if item["apiVersion"] in OTHERS:
            continue
        kubernetes_validate.validate(item, version, strict=True)


@pytest.mark.parametrize("folder", kustomizations())
def test_no_object_is_rendered_twice(folder: str):
    """The later one would win without a word."""
    identities = Counter(_identity(item) for item in rendered(folder))
    assert [identity for identity, count in identities.items() if count > 1] == []


@pytest.mark.parametrize("folder", kustomizations())
def test_no_secret_is_kept_in_the_tree(folder: str):
    """Credentials are made on the cluster."""
    assert [item for item in rendered(folder) if item["kind"] == "Secret"] == []


CLUSTER_SCOPED = {
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "Namespace",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}


# A project's own; whoever applies it says where.
PLACED_LATER = {"manifests/eventing"}


@pytest.mark.parametrize("folder", sorted(set(kustomizations()) - PLACED_LATER))
def test_every_object_is_where_it_belongs(folder: str):
    """Without a namespace it would land in the administrator's; kustomize gives one to kinds that have none."""
    for item in rendered(folder):
        assert ("namespace" in item["metadata"]) == (item["kind"] not in CLUSTER_SCOPED), item["kind"]


def _identity(item: dict[str, Any]) -> tuple[str, str, str, str]:
    metadata = item["metadata"]
    return item["apiVersion"], item["kind"], metadata.get("namespace", ""), metadata["name"]


def test_no_two_kinds_have_the_same_short_name():
    """The API server would store the second definition, and serve none of its objects."""
    names = [name for item in rendered("manifests/crd") for name in item["spec"]["names"]["shortNames"]]
    assert len(set(names)) == len(names)
