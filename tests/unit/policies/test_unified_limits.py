"""Which number is in force: Keystone's for the project, Keystone's default, or the record's."""

from collections.abc import Mapping
from typing import Any

import pytest

from policies.model import NO_RATE, UNLIMITED_RATE, Limits
from policies.names import ProjectId
from policies.unified_limits import (
    RESOURCES,
    IncompleteLimitsError,
    LimitSource,
    UnifiedLimits,
    limits_in_force,
    read_unified_limits,
    require_complete,
)

ATLAS, CMS = ProjectId("atlas"), ProjectId("cms")
RECORD = Limits(concurrent_calls=7, requests_per_second=70, own_functions=3)


def test_what_is_not_registered_keeps_the_records_number() -> None:
    found = limits_in_force(RECORD, UnifiedLimits(registered={"functions": 5}), ATLAS)
    assert found.limits.own_functions == 5
    assert found.limits.concurrent_calls == 7
    assert found.sources == {"own_functions": LimitSource.REGISTERED_LIMIT}


def test_nothing_in_keystone_changes_nothing() -> None:
    assert limits_in_force(RECORD, UnifiedLimits(), ATLAS).limits is RECORD


def test_limit_of_the_project_goes_before_the_default() -> None:
    unified = UnifiedLimits(registered={"functions": 5}, projects={ATLAS: {"functions": 8}})
    assert limits_in_force(RECORD, unified, ATLAS).sources == {"own_functions": LimitSource.PROJECT_LIMIT}
    assert limits_in_force(RECORD, unified, ATLAS).limits.own_functions == 8
    assert limits_in_force(RECORD, unified, CMS).limits.own_functions == 5


@pytest.mark.parametrize(
    ("value", "rate", "count"),
    [(-1, UNLIMITED_RATE, 100_000), (0, NO_RATE, 0), (9, 9, 9), (2**31, 2**31, 100_000)],
)
def test_minus_one_is_no_limit_and_zero_is_nothing(value: int, rate: int, count: int) -> None:
    unified = UnifiedLimits(registered={"function_requests_per_second": value, "function_concurrency": value})
    limits = limits_in_force(RECORD, unified, ATLAS).limits
    assert (limits.requests_per_second, limits.concurrent_calls) == (rate, count)


@pytest.mark.parametrize("resource", ["function_cpu_millis", "function_memory_mib"])
def test_project_without_cpu_or_memory_has_no_pods(resource: str) -> None:
    """Its quota has room for the sidecars of its pods, in which a function would fit."""
    assert limits_in_force(RECORD, UnifiedLimits(registered={resource: 0}), ATLAS).limits.pods == 0


def test_domain_caps_its_projects_and_only_in_two_levels() -> None:
    values: Any = {
        "registered": {"function_concurrency": 20, "functions": -1, "function_requests_per_second": -1},
        "domains": {"physics": {"function_concurrency": 10, "functions": 4, "function_requests_per_second": 6}},
    }
    flat = limits_in_force(RECORD, UnifiedLimits(**values), ATLAS, "physics")
    assert (flat.limits.concurrent_calls, dict(flat.domain)) == (20, {})
    two = limits_in_force(RECORD, UnifiedLimits(**values, two_level=True), ATLAS, "physics")
    limits = two.limits
    assert (limits.concurrent_calls, limits.own_functions, limits.requests_per_second) == (10, 4, 6)
    assert set(two.sources.values()) == {LimitSource.DOMAIN_LIMIT}
    assert two.domain == {"concurrent_calls": 10, "own_functions": 4, "requests_per_second": 6}
    # What one project may have at most is no maximum of a domain.
    many = UnifiedLimits(registered={"functions": 5_000}, two_level=True)
    large = limits_in_force(Limits(), many, ATLAS, "physics")
    assert (large.limits.own_functions, large.domain) == (1_000, {"own_functions": 5_000})
    # A domain without a limit of its own has the default, as in Keystone's own check.
    other = limits_in_force(RECORD, UnifiedLimits(**values, two_level=True), ATLAS, "chemistry")
    assert other.domain == {"concurrent_calls": 20}


CATALOG = {"catalog": [{"id": "nova", "type": "compute"}, {"id": "ours", "type": "function"}]}
REGISTERED = [
    {"resource_name": "functions", "default_limit": 10, "region_id": None},
    {"resource_name": "functions", "default_limit": 4, "region_id": "here"},
    {"resource_name": "functions", "default_limit": 99, "region_id": "elsewhere"},
    {"resource_name": "bicycles", "default_limit": 1, "region_id": None},
]
LIMITS = [
    {"resource_name": "functions", "resource_limit": 6, "region_id": "here", "project_id": ATLAS, "domain_id": None},
    {"resource_name": "functions", "resource_limit": 1, "region_id": "elsewhere", "project_id": CMS},
    {"resource_name": "functions", "resource_limit": 9, "region_id": None, "project_id": None, "domain_id": "physics"},
    {"resource_name": "function_concurrency", "resource_limit": 9, "region_id": None, "project_id": CMS},
]


def answers(**changed: Any) -> dict[str, Any]:
    return {
        "/auth/catalog": CATALOG,
        "/services?type=function": {"services": CATALOG["catalog"][1:]},
        "/registered_limits?service_id=ours": {"registered_limits": REGISTERED},
        "/limits/model": {"model": {"name": "strict_two_level"}},
        "/limits?service_id=ours": {"limits": LIMITS},
    } | changed


def read(bodies: Mapping[str, Any], *, system: bool = False) -> tuple[UnifiedLimits, list[str]]:
    requests, paths = read_unified_limits("function", "here", system=system), []
    path = next(requests)
    while True:
        paths.append(path)
        try:
            path = requests.send(bodies[path])
        except StopIteration as end:
            return end.value, paths


@pytest.mark.parametrize("system", [False, True])
def test_limits_are_read_with_four_requests_for_all_projects(system: bool) -> None:
    found, paths = read(answers(), system=system)
    assert found == UnifiedLimits(
        registered={"functions": 4},
        projects={ATLAS: {"functions": 6}},
        domains={"physics": {"functions": 9}},
        two_level=True,
    )
    assert len(paths) == 4


def test_service_that_is_not_in_the_catalog_or_has_no_limits_costs_less() -> None:
    assert read(answers(**{"/auth/catalog": {"catalog": []}})) == (UnifiedLimits(), ["/auth/catalog"])
    nothing = answers(**{"/registered_limits?service_id=ours": {"registered_limits": []}})
    assert read(nothing) == (UnifiedLimits(), ["/auth/catalog", "/registered_limits?service_id=ours"])


@pytest.mark.parametrize(
    "changed",
    [
        {"/limits?service_id=ours": {"limits": LIMITS, "truncated": True}},
        {"/registered_limits?service_id=ours": {"registered_limits": REGISTERED, "truncated": True}},
        {"/limits?service_id=ours": {"error": "?"}},
        {"/limits/model": {"model": None}},
        {"/auth/catalog": []},
        {"/limits?service_id=ours": {"limits": [LIMITS[0] | {"resource_limit": "many"}]}},
        {"/limits?service_id=ours": {"limits": [LIMITS[0] | {"resource_limit": -2}]}},
    ],
)
def test_answer_that_is_not_complete_is_no_answer(changed: dict[str, Any]) -> None:
    with pytest.raises(IncompleteLimitsError):
        read(answers(**changed))


def test_credential_that_sees_only_its_own_limits_is_refused() -> None:
    """Keystone answers it with 200 and a list that lacks the limits of all other projects."""
    with pytest.raises(IncompleteLimitsError, match="'service'"):
        require_complete(["member", "reader"], system=False)
    require_complete(["reader"], system=True)
    require_complete(["service"], system=False)


def test_resources_are_fields_of_the_record() -> None:
    assert {resource.field for resource in RESOURCES} <= set(Limits.__slots__)
