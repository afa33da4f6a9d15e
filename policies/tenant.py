"""All objects of one tenant, in the order in which they are applied."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from policies.access import build_controller_binding, build_functions_api_binding, build_service_account
from policies.errors import PolicyError
from policies.function import build_function
from policies.mesh import build_tenant_mesh
from policies.model import CatalogueFunction, IsolationLevel, Manifest, Platform, TenantSpec
from policies.namespace import build_namespace
from policies.network import build_network_policies
from policies.own_build import build_job, build_pull_secret, build_push_secret
from policies.own_function import OwnFunctions, Rejection
from policies.own_function_rules import LOWEST_LEVEL, rejection_of
from policies.own_function_secrets import secret_rejection
from policies.own_function_service import build_own_function, shares_without_latest
from policies.quota import build_limit_range, build_quota, require_capacity


@dataclass(frozen=True, slots=True)
class TenantObjects:
    """The objects of a tenant.

    Attributes:
        manifests: the namespace first, functions last.
        problems: why functions of the specification are missing, one sentence each.
        suspended: whether no pod of the tenant may run.
        rejected: why own functions are missing, by name.
        kept: names of the Knative Services of own functions that stay as they are, though they were not built; None:
            the own functions are not known, and all of theirs stay.
        unbuilt: names of own functions whose image is not built yet, or cannot be.
        traffic: shares for the Knative Services of some of those, whose other fields stay as they are.
        jobs: names of the Jobs of builds that stay as they are.
    """

    manifests: tuple[Manifest, ...]
    problems: tuple[str, ...] = ()
    suspended: bool = False
    rejected: Mapping[str, Rejection] = field(default_factory=dict)
    kept: frozenset[str] | None = frozenset()
    unbuilt: frozenset[str] = frozenset()
    traffic: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    jobs: frozenset[str] = frozenset()


def build_tenant(spec: TenantSpec, platform: Platform, own: OwnFunctions | None = None) -> TenantObjects:
    """Builds the objects of a tenant. Those that isolate and limit it are always included.

    Only functions can fail to build: not in the catalogue, limits too small for one pod, an unsupported level. Even
    then the tenant must be isolated, limited and suspended.

    A suspended tenant has no Knative Service: without it there is no route and no pod, and a resume creates it again
    from the catalogue, which holds all of its state. The controller deletes its Knative Services that are not in the
    result, and remaining pods; the quota allows no new ones.

    Args:
        spec: of the tenant.
        platform: the cluster.
        own: the tenant's own functions; None: not known, nothing of theirs is changed unless the tenant is suspended.
    """
    foundation = (
        build_namespace(spec, platform),
        build_service_account(spec),
        build_controller_binding(spec, platform),
        build_functions_api_binding(spec, platform),
        build_quota(spec, platform),
        build_limit_range(spec, platform),
        *build_network_policies(spec, platform),
        *build_tenant_mesh(spec, platform),
    )
    if spec.suspended is not None:
        return TenantObjects(foundation, suspended=True)
    try:
        require_level(spec, platform)
    except PolicyError as error:
        return TenantObjects(foundation, (str(error),), kept=None)
    functions, problems = [], []
    for name in dict.fromkeys(spec.functions):
        try:
            functions.append(build_function(spec, platform, _function(name, spec, platform)))
        except PolicyError as error:
            problems.append(str(error))
    manifests = (*foundation, *functions)
    if own is None:
        return TenantObjects(manifests, tuple(problems), kept=None)
    built, rejected, unbuilt = _own_functions(spec, platform, own)
    kept = {name for name, rejection in rejected.items() if not rejection.stops} | own.malformed | unbuilt
    return TenantObjects(
        (*manifests, *_builds(spec, platform, own, unbuilt), *built),
        tuple(problems),
        rejected=rejected,
        kept=frozenset(kept),
        unbuilt=frozenset(unbuilt),
        traffic=_traffic(own, unbuilt),
        jobs=own.builds.jobs,
    )


def _own_functions(
    spec: TenantSpec, platform: Platform, own: OwnFunctions
) -> tuple[list[Manifest], dict[str, Rejection], set[str]]:
    """The Knative Services; why functions are missing; and which of them have no image yet."""
    built, rejected, unbuilt = [], {}, set()
    for function in own.functions:
        rejection = rejection_of(function, spec, platform) or secret_rejection(function, own.secrets)
        image = own.builds.images.get(function.name, "") if function.source else function.image
        if rejection is not None:
            rejected[function.name] = rejection
        elif not image:
            unbuilt.add(function.name)
        else:
            ready = replace(function, image=image)
            built.append(build_own_function(spec, platform, ready, own.revisions, secrets=own.secrets))
    return built, rejected, unbuilt


def _traffic(own: OwnFunctions, unbuilt: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    shares = {
        function.name: shares_without_latest(function, own.revisions)
        for function in own.functions
        if function.name in unbuilt
    }
    return {name: wanted for name, wanted in shares.items() if wanted is not None}


def _builds(spec: TenantSpec, platform: Platform, own: OwnFunctions, unbuilt: Collection[str]) -> list[Manifest]:
    """Secrets first: a Job's pod waits for the one that it mounts."""
    credentials = own.builds.credentials
    if platform.builds is None or credentials is None or not spec.isolation >= LOWEST_LEVEL:
        return []
    jobs = [
        build_job(spec, platform.builds, function)
        for function in own.functions
        if function.name in unbuilt and function.name in own.builds.wanted
    ]
    secrets = [build_pull_secret(spec, platform.builds, credentials)]
    if jobs or own.builds.running:
        secrets.append(build_push_secret(spec, credentials))
    return [*secrets, *jobs]


def tenant_manifests(spec: TenantSpec, platform: Platform) -> tuple[Manifest, ...]:
    """All objects of a tenant.

    Raises:
        PolicyError: an unknown function, a level that the platform does not support, or limits too small for one pod.
    """
    built = build_tenant(spec, platform)
    if built.problems:
        raise PolicyError("; ".join(built.problems))
    return built.manifests


def require_level(spec: TenantSpec, platform: Platform) -> None:
    """Raises PolicyError if the platform does not support the level."""
    if spec.isolation >= IsolationLevel.L4 and platform.sandbox_runtime_class is None:
        raise PolicyError(
            f"level {spec.isolation.value} needs a sandboxed runtime (gVisor or Kata), but the platform file names no"
            " RuntimeClass; set sandbox_runtime_class or choose L3"
        )


def _function(name: str, spec: TenantSpec, platform: Platform) -> CatalogueFunction:
    function = platform.functions.get(name)
    if function is None:
        known = ", ".join(sorted(platform.functions)) or "none"
        raise PolicyError(f"the catalogue has no function {name}; its functions: {known}")
    require_capacity(function, spec.limits)
    return function
