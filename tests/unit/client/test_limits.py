"""The limits of the SDK, against the document that the gateway makes and the resources that Keystone has."""

import datetime as dt
from typing import Any

from client.sdk.values import Limit, limits_of
from gateway.limit_use import LimitUse
from gateway.limits_api.document import limits_document
from policies.model import Limits
from policies.names import ProjectId
from policies.unified_limits import RESOURCES, UnifiedLimits, limits_in_force

NOW = dt.datetime(2026, 11, 30, tzinfo=dt.UTC)
UNIFIED = UnifiedLimits(
    registered={"functions": 20, "function_concurrency": 64}, projects={"p1": {"function_concurrency": 7}}
)
NAMES = ("concurrent_calls", "requests_per_second", "bytes_per_second")


def document(*, of_record: bool) -> dict[str, Any]:
    in_force = limits_in_force(Limits(), UNIFIED, ProjectId("p1"))
    used = [LimitUse(name=name, value=7, usage=3, remaining=4) for name in NAMES]
    return limits_document(used, in_force, of_record=of_record, now=NOW)


def test_each_resource_of_keystone_has_a_limit_with_its_source() -> None:
    found = {each.resource: each for each in limits_of(document(of_record=True))}
    assert list(found) == [resource.name for resource in RESOURCES]
    assert found["functions"] == Limit("functions", 20, None, "functions", "registered_limit")
    assert found["function_concurrency"] == Limit("concurrent_calls", 7, 3, "function_concurrency", "project_limit")
    assert found["function_memory_mib"].source == "tenant"


def test_project_without_a_record_has_what_the_gateway_counts() -> None:
    found = list(limits_of(document(of_record=False)))
    assert [each.name for each in found] == list(NAMES)
    assert {each.name: each.source for each in found}["bytes_per_second"] == "gateway"


def test_gateway_that_names_no_sources_is_no_failure() -> None:
    answer = document(of_record=True)
    del answer["sources"]
    assert {each.source for each in limits_of(answer)} == {None}
