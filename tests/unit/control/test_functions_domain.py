"""The limit of functions that the projects of a domain share, at `PUT /v1/functions/{name}`."""

import logging
from dataclasses import replace

import pytest

from policies.names import ProjectId, namespace_of
from policies.unified_limits import UnifiedLimits
from tenancy.model.errors import ForbiddenError, UnavailableError
from tests.unit.control.functions_api import SPEC, Api, code

TWO_LEVELS = UnifiedLimits(
    registered={"functions": 10}, projects={"p1": {"functions": 6}, "p2": {"functions": 6}}, two_level=True
)
P2 = namespace_of(ProjectId("p2"))


@pytest.fixture
def api() -> Api:
    made = Api()
    made.limits.replace(TWO_LEVELS)
    made.domains = {"p1": "physics", "p2": "physics"}
    made.become(domain_id="physics")
    return made


async def fill(api: Api, project: str, number: int) -> None:
    """So many functions of a project, whose member the caller is afterwards."""
    api.become(project_id=ProjectId(project))
    for each in range(number):
        assert (await api.put(f"f{each}")).status_code == 202


@pytest.mark.parametrize(("first", "second"), [("p1", "p2"), ("p2", "p1")])
async def test_eleventh_function_of_a_domain_with_ten_is_refused_in_either_project(
    api: Api, first: str, second: str
) -> None:
    """With the numbers of the domain; what exists can still be changed, and a deletion makes room."""
    await fill(api, first, 6)
    await fill(api, second, 4)
    writes = api.records.writes
    response = await api.put("eleventh")
    assert (response.status_code, code(response)) == (403, "function.count_exceeded")
    assert "the domain physics has 10 functions" in response.json()["errors"][0]["detail"]
    assert response.json()["errors"][0]["over_limit"] == [
        {"resource_name": "functions", "limit": 10, "current_usage": 10, "delta": 1}
    ]
    assert api.records.writes == writes
    assert (await api.put("f0", args=["x"])).status_code == 202
    api.become(project_id=ProjectId(first))
    own = (await api.put("seventh")).json()["errors"][0]
    assert own["over_limit"][0]["limit"] == 6
    assert (await api.call("DELETE", "/v1/functions/f0")).status_code == 204
    api.become(project_id=ProjectId(second))
    assert (await api.put("eleventh")).status_code == 202
    assert code(await api.put("twelfth")) == "function.count_exceeded"


async def test_projects_of_other_or_unknown_domains_do_not_count(api: Api) -> None:
    await fill(api, "p1", 6)
    for domains in ({"p1": "chemistry", "p2": "physics"}, {"p2": "physics"}, {}):
        api.domains = domains
        await fill(api, "p2", 6)
        assert (await api.put("seventh")).json()["errors"][0]["over_limit"][0]["limit"] == 6
        for each in range(6):
            await api.call("DELETE", f"/v1/functions/f{each}")


async def test_without_a_shared_limit_no_other_project_is_counted(api: Api) -> None:
    """With the flat model, without a registered limit, and for a caller whose domain is not known."""
    flat = UnifiedLimits(registered=TWO_LEVELS.registered, projects=TWO_LEVELS.projects)
    others = UnifiedLimits(registered={"function_concurrency": 10}, two_level=True)
    for unified, domain in ((flat, "physics"), (others, "physics"), (TWO_LEVELS, "")):
        api.limits.replace(unified)
        api.become(domain_id=domain)
        assert (await api.put()).status_code == 202
        assert (await api.call("DELETE", "/v1/functions/hello")).status_code == 204
    assert api.records.counted == []


async def test_creates_at_the_same_moment_leave_no_more_than_the_limit(api: Api) -> None:
    """Both found room. The one that sees the other takes back what it made, whatever has changed of it meanwhile."""
    await fill(api, "p2", 4)
    await fill(api, "p1", 5)
    before = dict(api.records.kept)
    other = before[P2, "f0"]

    def first() -> None:
        # After the first count and before the create: the tenth function, of the other project.
        api.records.before_write = lambda: None
        api.records.create(replace(other, spec=replace(other.spec, name="tenth")))

    def second() -> None:
        if (SPEC.namespace, "also-tenth") in api.records.kept:
            api.records.touch("also-tenth")

    api.records.before_write, api.records.before_count = first, second
    response = await api.put("also-tenth")
    assert (response.status_code, code(response)) == (403, "function.count_exceeded")
    assert response.json()["errors"][0]["over_limit"] == [
        {"resource_name": "functions", "limit": 10, "current_usage": 10, "delta": 1}
    ]
    assert set(api.records.kept) == {*before, (P2, "tenth")}


async def test_project_that_is_just_built_or_removed_stops_nobody(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """The permission comes and goes with its namespace. No answer at all is an error, and nothing is created."""
    api.records.uncountable[P2] = ForbiddenError("403")
    with caplog.at_level(logging.WARNING):
        assert (await api.put()).status_code == 202
    assert f"the functions in {P2} do not count" in caplog.text
    api.records.uncountable[P2] = UnavailableError("away")
    writes = api.records.writes
    response = await api.put("second")
    assert (response.status_code, code(response)) == (503, "kubernetes.unavailable")
    assert api.records.writes == writes
