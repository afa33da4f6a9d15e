"""What `check` looks at, as values: read by `collect`, checked by `checks`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from policies.model import Manifest


class Enforcement(Enum):
    """What two pods and a policy between them have shown."""

    NOT_TRIED = "not tried"
    ENFORCED = "enforced"
    IGNORED = "ignored"
    # The pods could not talk without a policy either, so nothing is proved.
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Facts:
    """A cluster, as far as it matters here.

    Attributes:
        kubernetes, knative, istio: versions as they call themselves; "" if it is not there or does not say.
        has_knative, has_istio: whether they are there at all.
        kinds: names of the CustomResourceDefinitions, and `group/version/kind` of the admission kinds that are served.
        daemonsets: names of all DaemonSets.
        knative_config: Knative's ConfigMaps, by name.
        mesh_config: istiod's mesh configuration.
        network_policies: all of Knative's, Istio's and our own namespace.
        missing: objects of `policies.platform` that are not there, as words.
        ambient_namespaces: those that ask for the ambient mesh.
        tenant_roles: ClusterRoles that administrators usually give to tenants (edit, admin), with their rules.
        runtime_classes: their names.
        enforcement: of NetworkPolicies.
        translated_gateways: Services of Istio's namespace whose port 80 leads to another port of the pods that Istio's
            public gateway runs in, without the label that keeps Istio from translating Gateways by them.
        images: of the Deployments in our own namespace, by their names.
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


class Severity(Enum):
    """How much it matters."""

    UNSAFE = "unsafe"
    MISSING = "missing"
    ADVICE = "advice"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        code: short, stable, for scripts.
        what: a sentence: what is so, and what follows from it.
        remedy: a sentence: what to do.
    """

    severity: Severity
    code: str
    what: str
    remedy: str
