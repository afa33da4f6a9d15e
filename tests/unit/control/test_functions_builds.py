"""Functions with a source through the API: either image or source, and uploads where builds are set up."""

from dataclasses import replace

import pytest

from policies.names import ProjectId
from tests.unit.control.functions_api import IMAGE, PLATFORM, Api, code
from tests.unit.policies.test_own_build import BUILDS

OTHER = ProjectId("b" * 32)
SOURCE = "sha256:" + "0a" * 32


@pytest.fixture
def api() -> Api:
    return Api(replace(PLATFORM, builds=BUILDS))


async def put(api: Api, **fields: object):
    return await api.call("PUT", "/v1/functions/hello", {"function": fields})


async def test_function_has_either_an_image_or_a_source(api: Api) -> None:
    for fields in ({}, {"image": IMAGE, "source": SOURCE}, {"source": "sha256:1"}, {"source": 1}, {"source": None}):
        assert code(await put(api, **fields)) == "request.malformed"
    assert api.records.writes == 0


async def test_source_takes_the_place_of_the_image_and_the_other_way_round(api: Api) -> None:
    created = await put(api, source=SOURCE)
    assert (created.status_code, created.json()["function"]["source"]) == (202, SOURCE)
    assert created.json()["function"]["image"] is None
    changed = await api.call("PATCH", "/v1/functions/hello", {"function": {"image": IMAGE}})
    assert (changed.json()["function"]["image"], changed.json()["function"]["source"]) == (IMAGE, None)
    again = await api.call("PATCH", "/v1/functions/hello", {"function": {"source": SOURCE, "image": None}})
    assert (again.json()["function"]["image"], again.json()["function"]["source"]) == (None, SOURCE)
    nothing = await api.call("PATCH", "/v1/functions/hello", {"function": {"source": None}})
    assert code(nothing) == "request.malformed"


async def test_without_builds_neither_source_nor_archive_is_taken() -> None:
    api = Api()
    assert code(await put(api, source=SOURCE)) == "function.rejected"
    assert code(await api.call("PUT", "/v1/functions/hello/source", content=b"PK")) == "function.rejected"


async def test_below_l3_no_archive_is_taken(api: Api) -> None:
    from policies.model import IsolationLevel

    api.spec = replace(api.spec, isolation=IsolationLevel.L2)
    refused = await api.call("PUT", "/v1/functions/hello/source", content=b"PK")
    assert (code(refused), "level L3" in refused.json()["error"]["message"]) == ("function.rejected", True)


async def test_log_of_a_build_is_of_this_function(api: Api) -> None:
    assert code(await api.call("GET", "/v1/functions/hello/build-logs")) == "function.not_deployed"
    await put(api, source=SOURCE)
    found = await api.call("GET", "/v1/functions/hello/build-logs?tail=7")
    assert found.json()["logs"][0]["text"] == "7 lines\n"


async def test_project_that_uploads_in_a_loop_does_not_use_up_the_logins_of_others() -> None:
    """The registry's token endpoint sees one address for all projects."""
    api = Api(replace(PLATFORM, builds=BUILDS), logins_per_minute=2)

    async def uploads() -> list[str]:
        sent = [await api.call("PUT", "/v1/functions/hello/source", content=b"no archive") for _ in range(3)]
        return [code(response) for response in sent]

    taken, refused = "function.source_rejected", "registry.logins_exceeded"
    assert await uploads() == [taken, taken, refused]
    api.become(project_id=OTHER)
    api.spec = replace(api.spec, project_id=OTHER)
    assert await uploads() == [taken, taken, refused]


async def test_upload_is_charged_as_several_calls(api: Api) -> None:
    """What cannot be an archive costs as much as one, so nobody has the platform unpack at the price of a call."""
    statuses = [(await api.call("PUT", "/v1/functions/hello/source", content=b"no archive")) for _ in range(30)]
    assert code(statuses[0]) == "function.source_rejected"
    assert code(statuses[-1]) == "rate.exceeded"
