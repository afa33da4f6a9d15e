"""Keystone's unified limits: the numbers that are in force for a project. Pure, for gateway and controller alike.

A resource that is registered in Keystone has Keystone's number: the limit of the project, or the default of the
registered limit. A resource that is not registered keeps the number of the project's record. With Keystone's model
`strict_two_level`, the projects of a domain also share the limit of the domain.
"""

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote

from policies.model import NO_RATE, UNLIMITED_RATE, Limits
from policies.names import ProjectId

UNLIMITED = -1
STRICT_TWO_LEVEL = "strict_two_level"
_NOTHING: Mapping[str, int] = MappingProxyType({})


class Resource(NamedTuple):
    """A resource in Keystone.

    Attributes:
        name: as in registered limits.
        field: of `Limits`.
        description: for `openstack registered limit show`.
        most: maximum of the number in force, as in a Tenant's record; None: it is a rate, which may be unlimited.
    """

    name: str
    field: str
    description: str
    most: int | None


RESOURCES = (
    Resource("functions", "own_functions", "Functions of a project's own.", 1_000),
    Resource("function_concurrency", "concurrent_calls", "Concurrent calls of functions and of checksums.", 100_000),
    Resource("function_requests_per_second", "requests_per_second", "Calls per second, averaged. -1: no limit.", None),
    Resource("function_cpu_millis", "cpu_millis", "CPU of all function pods, in thousandths of a core.", 1_000_000),
    Resource("function_memory_mib", "memory_mib", "Memory of all function pods, in MiB.", 4_194_304),
    Resource(
        "checksum_bytes_per_second",
        "bytes_per_second",
        "Bytes of objects read per second for checksums and functions, averaged. -1: no limit.",
        None,
    ),
)
RESOURCE_OF_FIELD = {resource.field: resource for resource in RESOURCES}
_NAMES = frozenset(resource.name for resource in RESOURCES)


class LimitSource(Enum):
    """Where a number comes from, as `GET /v1/limits` names it."""

    PROJECT_LIMIT = "project_limit"
    REGISTERED_LIMIT = "registered_limit"
    DOMAIN_LIMIT = "domain_limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnifiedLimits:
    """The limits of our service in Keystone, by name of resource.

    Attributes:
        registered: default limits of the registered resources.
        projects: limits of projects that have their own.
        domains: limits of domains that have their own.
        two_level: whether the projects of a domain share its limit.
    """

    registered: Mapping[str, int] = field(default_factory=dict)
    projects: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    domains: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    two_level: bool = False

    def of_project(self, project_id: ProjectId, domain_id: str) -> Mapping[str, tuple[int, LimitSource]]:
        """Number and source for each registered resource."""
        own = self.projects.get(project_id, _NOTHING)
        found = {
            name: (own[name], LimitSource.PROJECT_LIMIT) if name in own else (default, LimitSource.REGISTERED_LIMIT)
            for name, default in self.registered.items()
        }
        for name, most in self.of_domain(domain_id).items():
            if found[name][0] == UNLIMITED or found[name][0] > most:
                found[name] = most, LimitSource.DOMAIN_LIMIT
        return found

    def of_domain(self, domain_id: str) -> Mapping[str, int]:
        """What the projects of a domain may use together: its own limit, or the registered default."""
        if not self.two_level or not domain_id:
            return _NOTHING
        own = self.domains.get(domain_id, _NOTHING)
        together = {name: own.get(name, default) for name, default in self.registered.items()}
        return {name: value for name, value in together.items() if value != UNLIMITED}


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsInForce:
    """The limits of a project.

    Attributes:
        limits: the numbers.
        sources: by field of `Limits`, for the numbers that are not the record's.
        domain: by field of `Limits`: what all projects of the domain may use together.
    """

    limits: Limits
    sources: Mapping[str, LimitSource] = field(default_factory=dict)
    domain: Mapping[str, int] = field(default_factory=dict)


def limits_in_force(
    record: Limits, unified: UnifiedLimits, project_id: ProjectId, domain_id: str = ""
) -> LimitsInForce:
    """The limits in force for a project.

    Args:
        record: its limits without Keystone's.
        unified: Keystone's.
        project_id: of the project.
        domain_id: its domain; "": not known, so no limit of a domain applies.
    """
    found = unified.of_project(project_id, domain_id)
    if not found:
        return LimitsInForce(limits=record)
    values: dict[str, int] = {}
    sources: dict[str, LimitSource] = {}
    for resource in RESOURCES:
        if resource.name in found:
            value, sources[resource.field] = found[resource.name]
            values[resource.field] = _number(value, resource)
    limits = replace(record, **values)
    if not limits.cpu_millis or not limits.memory_mib:
        # The quota includes queue-proxies, and one pod would fit into their share.
        limits = replace(limits, pods=0)
    together = unified.of_domain(domain_id)
    # The maximum of a count is that of one project.
    domain = {
        each.field: _number(together[each.name], each) if each.most is None else together[each.name]
        for each in RESOURCES
        if each.name in together
    }
    return LimitsInForce(limits=limits, sources=sources, domain=domain)


def _number(value: int, resource: Resource) -> int:
    """Keystone's number as one of `Limits`."""
    if resource.most is None:
        return {UNLIMITED: UNLIMITED_RATE, 0: NO_RATE}.get(value, value)
    return resource.most if value == UNLIMITED else min(value, resource.most)


class IncompleteLimitsError(Exception):
    """Keystone's answers are malformed, or do not have all limits; the message has the remedy."""


def read_unified_limits(
    service_type: str, region: str | None, *, system: bool
) -> Generator[str, Mapping[str, Any], UnifiedLimits]:
    """The requests that read all limits of our service, for any HTTP client.

    It yields paths of Keystone's v3 API and takes the bodies of the answers.

    Args:
        service_type: of our service in the catalog.
        region: our region. Its limits apply before those without a region; those of other regions do not apply.
        system: whether the credential is scoped to the system, for which Keystone has no catalog.

    Raises:
        IncompleteLimitsError: see there.
    """
    try:
        services = yield f"/services?type={quote(service_type, safe='')}" if system else "/auth/catalog"
        ids = [entry["id"] for entry in services["services" if system else "catalog"] if entry["type"] == service_type]
        if not ids:
            return UnifiedLimits()
        service = quote(ids[0], safe="")
        registered = _complete((yield f"/registered_limits?service_id={service}"), "registered_limits")
        defaults = _numbers(registered, region, "default_limit")
        if not defaults:
            return UnifiedLimits()
        model = (yield "/limits/model")["model"]["name"]
        limits = _complete((yield f"/limits?service_id={service}"), "limits")
        return UnifiedLimits(
            registered=defaults,
            projects=_by_owner(limits, region, "project_id", defaults),
            domains=_by_owner(limits, region, "domain_id", defaults),
            two_level=model == STRICT_TWO_LEVEL,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise IncompleteLimitsError(f"Keystone's limits are malformed: {error!r}") from error


def require_complete(roles: Iterable[str], *, system: bool) -> None:
    """Raises IncompleteLimitsError if Keystone lists only some limits for a credential with these roles."""
    if not system and not {"admin", "service"}.intersection(roles):
        raise IncompleteLimitsError(
            "Keystone lists the limits of all projects only for the role 'service' or 'admin', or for a scope on the "
            "system; give the credential one of them"
        )


def _complete(body: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    if body.get("truncated"):
        raise IncompleteLimitsError(f"Keystone truncated its list of {key}: raise list_limit in keystone.conf")
    return list(body[key])


def _numbers(entries: Iterable[Mapping[str, Any]], region: str | None, key: str) -> dict[str, int]:
    """Numbers by resource. Entries of our region come last, so they win."""
    ours = [entry for entry in entries if entry["resource_name"] in _NAMES and entry.get("region_id") in {None, region}]
    found = {}
    for entry in sorted(ours, key=lambda entry: entry.get("region_id") is not None):
        value = entry[key]
        if not isinstance(value, int) or value < UNLIMITED:
            raise ValueError(f"{entry['resource_name']} has the limit {value!r}")
        found[str(entry["resource_name"])] = value
    return found


def _by_owner(
    entries: Iterable[Mapping[str, Any]], region: str | None, owner: str, defaults: Mapping[str, int]
) -> dict[str, dict[str, int]]:
    owned: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        if entry.get(owner) and entry["resource_name"] in defaults:
            owned.setdefault(entry[owner], []).append(entry)
    found = {key: _numbers(own, region, "resource_limit") for key, own in owned.items()}
    return {key: numbers for key, numbers in found.items() if numbers}
