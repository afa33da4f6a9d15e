"""The fixtures of all attacks: three attackers, two victims, and defences that can be removed.

- the *tenant*, at level L3: none of its attacks may work;
- the *low* tenant, at level L1: shows what a tenant can do without the network's default deny;
- the *outsider*, in a namespace of no tenant (L0): shows what an unrestricted pod can do.

The tenant and the low tenant attack a victim at level L3; the outsider attacks the low tenant, which is not protected
from it. `low_victim` is the tenant's attack on the low tenant, `top` a tenant at level L5 without any pod, `boxed` one
at level L4, whose pod runs in gVisor.
"""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from policies.model import Builds, CatalogueFunction, Destination, IsolationLevel, Platform, TenantSpec
from policies.names import NamespaceName, ProjectId
from tenancy.isolation.attack import Attack, Evidence, Outcome
from tenancy.isolation.attacks import all_attacks
from tenancy.isolation.fixtures import Fixtures
from tenancy.isolation.replay import run_probes
from tenancy.isolation.targets import Context, Targets, Victim
from tenancy.isolation.verdict import Finding, Verdict, evaluate
from tenancy.kubernetes.client import Cluster, Kind, Ref
from tests.cluster.commands import wait_until
from tests.cluster.node.facts import OPENSTACK_ADDRESS
from tests.cluster.platform.sandbox import RUNTIME_CLASS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from kubernetes import client

    from policies.model import Manifest
    from tenancy.isolation.runners import PodName
    from tests.cluster.testbed import Testbed

IMAGE = "dev.local/checksums:test"
# The OpenStack side of a running cluster may have a real Keystone and Swift, and the servers of builds (from 15000 on).
STORE_PORT, KEYSTONE_PORT, INDEX_PORT = 18080, 18081, 18082
SETTLING_SECONDS = 15
REFUSALS = frozenset([Outcome.REFUSED, Outcome.TIMED_OUT])
ADMISSION = "admissionregistration.k8s.io/v1"

PLATFORM = Platform(
    functions={"checksums": CatalogueFunction(name="checksums", image=IMAGE)},
    destinations=(Destination(f"{OPENSTACK_ADDRESS}/32", (STORE_PORT,)),),
    sandbox_runtime_class=RUNTIME_CLASS,
    builds=Builds(
        image=IMAGE,
        registry=f"{OPENSTACK_ADDRESS}:{INDEX_PORT}",
        registry_url=f"http://{OPENSTACK_ADDRESS}:{INDEX_PORT}",
        token_url=f"http://{OPENSTACK_ADDRESS}:{INDEX_PORT}/token",
        index_url=f"http://{OPENSTACK_ADDRESS}:{INDEX_PORT}/simple/",
        bases={runtime: f"base/{runtime}@sha256:{'0' * 64}" for runtime in ("asgi", "framework")},
        destinations=(Destination(f"{OPENSTACK_ADDRESS}/32", (INDEX_PORT,)),),
    ),
)
# Namespaces of an earlier run may still be on their way out.
_RUN = secrets.token_hex(3)
TENANT = TenantSpec(ProjectId(f"isotenant{_RUN}"), isolation=IsolationLevel.L3, functions=())
LOW = TenantSpec(ProjectId(f"isolow{_RUN}"), isolation=IsolationLevel.L1, functions=())
TOP = TenantSpec(ProjectId(f"isotop{_RUN}"), isolation=IsolationLevel.L5, functions=())
BOXED = TenantSpec(ProjectId(f"isoboxed{_RUN}"), isolation=IsolationLevel.L4, functions=())
VICTIM = TenantSpec(ProjectId(f"isovictim{_RUN}"), isolation=IsolationLevel.L3)

POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy")
AUTHORIZATION = Kind("security.istio.io/v1", "AuthorizationPolicy")
VALIDATION = Kind(ADMISSION, "ValidatingAdmissionPolicyBinding")
MUTATION = Kind(ADMISSION, "MutatingAdmissionPolicyBinding")


@dataclass(frozen=True)
class Place:
    """The origin and the victim of attacks.

    Attributes:
        spec: the attacking tenant; a substitute for the outsider, whose namespace belongs to no tenant.
        build: a pod that looks like one of its builds; None: there is none.
    """

    spec: TenantSpec
    probe: PodName
    victim: Victim
    decoy: PodName
    build: PodName | None = None


@dataclass
class Arena:
    """Runs attacks by name, with and without defences."""

    cluster: Testbed
    objects: Cluster
    configuration: client.Configuration
    targets: Targets
    tenant: Place
    low: Place
    outsider: Place
    top: Place
    boxed: Place
    low_victim: Place
    defended: Mapping[str, Finding] = field(default_factory=dict)

    def attack(self, name: str, place: Place) -> Attack:
        context = Context(place.spec, PLATFORM, place.victim, self.targets)
        return next(each for each in all_attacks(context) if each.name == name)

    def find(self, names: list[str], place: Place) -> dict[str, Finding]:
        """The findings of these attacks now, each with its positive control."""
        attacks = [self.attack(name, place) for name in names]
        victim, user = place.victim, user_of(place.spec)
        fixtures = Fixtures(place.probe, place.decoy, victim.decoy, victim.word, user, place.build)
        answers = run_probes(
            self.configuration, fixtures, [*(a.attempt for a in attacks), *(a.control for a in attacks)]
        )
        pairs = zip(attacks, answers, answers[len(attacks) :], strict=False)
        level = place.spec.isolation
        return {attack.name: evaluate(attack, evidence, control, level) for attack, evidence, control in pairs}

    def assert_defended(self, name: str) -> None:
        """The attack failed from inside the tenant with all defences in place, and its positive control succeeded."""
        finding = self.defended[name]
        assert finding.verdict is Verdict.DEFENDED, finding

    def expect_answered(self, name: str, place: Place) -> Evidence:
        """The attack works, at the latest when the cluster has applied the removal of the defence."""
        return self._expect(name, place, {Outcome.ANSWERED})

    def expect_refused(self, name: str, place: Place) -> Evidence:
        """The attack is refused while its positive control succeeds."""
        return self._expect(name, place, REFUSALS)

    def _expect(self, name: str, place: Place, wanted: AbstractSet[Outcome]) -> Evidence:
        seen: list[Finding] = []

        def as_wanted() -> bool:
            finding = self.find([name], place)[name]
            seen.append(finding)
            return finding.evidence.outcome in wanted and finding.control.outcome is Outcome.ANSWERED

        try:
            wait_until(name, as_wanted, seconds=SETTLING_SECONDS, pause=0.5)
        except Exception as error:
            raise AssertionError(f"{name} from {place.spec.namespace}: wanted {wanted}, saw {seen[-3:]}") from error
        return seen[-1].evidence

    @contextlib.contextmanager
    def without(self, *refs: Ref) -> Iterator[None]:
        """Removes these objects of the defence for the block, and restores them afterwards."""
        saved = []
        for ref in refs:
            found = self.objects.get(ref)
            assert found is not None, f"there is no {ref} to remove"
            saved.append(found)
        try:
            for ref, item in zip(refs, saved, strict=True):
                self.objects.delete(ref, uid=item["metadata"]["uid"])
            yield
        finally:
            for item in saved:
                self.objects.apply(applicable(item), force=True)

    @contextlib.contextmanager
    def without_pod_security(self, place: Place) -> Iterator[None]:
        """The block in which the namespace admits any pod."""
        label = "pod-security.kubernetes.io/enforce"
        namespace = place.spec.namespace
        self.cluster.kubectl("label", "--overwrite", "namespace", namespace, f"{label}=privileged")
        try:
            yield
        finally:
            self.cluster.kubectl("label", "--overwrite", "namespace", namespace, f"{label}=restricted")

    @contextlib.contextmanager
    def right(self, place: Place, group: str, resource: str, *verbs: str) -> Iterator[None]:
        """The block in which the tenant's user has one more right: what a careless administrator might give."""
        name = f"iso-right-{resource}"
        rule = {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
        # Namespaces themselves are cluster-scoped, but a Role in a namespace covers that one.
        role = {**_rbac("Role", place.spec.namespace, name), "rules": [rule]}
        binding = {
            **_rbac("RoleBinding", place.spec.namespace, name),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [user_subject(place.spec)],
        }
        self.cluster.kubectl.apply(role, binding)
        try:
            yield
        finally:
            for kind in ("role", "rolebinding"):
                self.cluster.kubectl("delete", kind, name, "-n", place.spec.namespace)


def applicable(item: Manifest) -> Manifest:
    """An object of the cluster in a form in which it can be applied again."""
    metadata = {key: item["metadata"][key] for key in ("name", "namespace", "labels") if key in item["metadata"]}
    return {**{key: value for key, value in item.items() if key not in {"metadata", "status"}}, "metadata": metadata}


def user_of(spec: TenantSpec) -> str:
    return f"osfaas:verify:{spec.namespace}"


def user_subject(spec: TenantSpec) -> dict[str, str]:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user_of(spec)}


def edit_binding(spec: TenantSpec) -> dict[str, Any]:
    """What an administrator does who lets a tenant's people use Kubernetes."""
    return {
        **_rbac("RoleBinding", spec.namespace, "iso-edit"),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [user_subject(spec)],
    }


def network_policy(namespace: str, name: str) -> Ref:
    return Ref(POLICY, namespace, name)


def authorization(namespace: str, name: str) -> Ref:
    return Ref(AUTHORIZATION, namespace, name)


def validation(name: str) -> Ref:
    return Ref(VALIDATION, "", name)


def mutation(name: str) -> Ref:
    return Ref(MUTATION, "", name)


def _rbac(kind: str, namespace: NamespaceName, name: str) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
    }
