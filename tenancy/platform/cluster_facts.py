"""The facts about a cluster as values: read by `collect`, checked by `checks`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from policies.model import Manifest


class Enforcement(Enum):
    """Result of the probe of NetworkPolicies: two pods with a policy between them."""

    NOT_TRIED = "not tried"
    ENFORCED = "enforced"
    IGNORED = "ignored"
    # The pods could not connect without a policy either, so nothing is proved.
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """The facts about a cluster that the checks need.

    Attributes:
        kubernetes, knative, istio: reported versions; "" if it is not installed or reports none.
        has_knative, has_istio: whether they are installed.
        kinds: names of the CustomResourceDefinitions, and `group/version/kind` of the admission kinds that are served.
        daemonsets: names of all DaemonSets.
        knative_config: Knative's ConfigMaps, by name.
        mesh_config: istiod's mesh configuration.
        network_policies: all of Knative's, Istio's and our own namespace.
        missing: descriptions of objects of `policies.platform` that do not exist.
        ambient_namespaces: namespaces that use the ambient mesh.
        tenant_roles: ClusterRoles that administrators commonly grant to tenants (edit, admin), with their rules.
        runtime_classes: their names.
        enforcement: of NetworkPolicies.
        translated_gateways: Services of Istio's namespace whose port 80 leads to another port of the pods that Istio's
            public gateway runs in, without the label that keeps Istio from translating Gateways by them.
        images: of the Deployments in our own namespace, by their names.
        injection: the values from which istiod makes sidecars.
        outside_mesh: Knative's Deployments that call tenants' pods and have no sidecar.
    """

    kubernetes: str = ""
    knative: str = ""
    istio: str = ""
    has_knative: bool = False
    has_istio: bool = False
    kinds: frozenset[str] = frozenset()
    daemonsets: frozenset[str] = frozenset()
    knative_config: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    mesh_config: Mapping[str, object] = field(default_factory=dict)
    network_policies: tuple[Manifest, ...] = ()
    missing: tuple[str, ...] = ()
    ambient_namespaces: tuple[str, ...] = ()
    tenant_roles: tuple[Manifest, ...] = ()
    runtime_classes: frozenset[str] = frozenset()
    enforcement: Enforcement = Enforcement.NOT_TRIED
    translated_gateways: tuple[str, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)
    injection: Mapping[str, Any] = field(default_factory=dict)
    outside_mesh: tuple[str, ...] = ()


class Severity(Enum):
    """The severity of a finding."""

    UNSAFE = "unsafe"
    MISSING = "missing"
    ADVICE = "advice"


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem of the cluster.

    Attributes:
        code: short and stable, for scripts.
        message: a sentence: the problem and its consequence.
        remedy: a sentence: what to do.
    """

    severity: Severity
    code: str
    message: str
    remedy: str
