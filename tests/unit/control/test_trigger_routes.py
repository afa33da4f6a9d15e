"""`/v1/functions/{name}/triggers`: who may define what, what is refused, and which trusts there are afterwards."""

import dataclasses
import logging
from typing import Any

import httpx
import pytest

from gateway.identity.caller import AccessRule
from policies.names import ProjectId
from tenancy.model.errors import UnavailableError
from tenancy.model.trigger import Readiness, TriggerStatus
from tests.unit.control.functions_api import SPEC, Api, code

FUNCTION = "/v1/functions/hello"
PATH = f"{FUNCTION}/triggers/uploads"
CREATED = {"container": "photos", "prefix": "in/", "output": "photos/small/{rest}"}
NIGHTLY = {"schedule": {"cron": "0 3 * * *", "time_zone": "Europe/Zurich"}}


@pytest.fixture
async def api() -> Api:
    found = Api()
    await found.put(objects=True)
    return found


async def put(api: Api, path: str = PATH, **more: Any) -> httpx.Response:
    headers = {key: more.pop(key) for key in list(more) if key.startswith("If_")}
    trigger = more.pop("trigger", None) or {"object_created": {**CREATED, **more}}
    return await api.call("PUT", path, {"trigger": trigger}, **headers)


async def test_trigger_is_stored_with_a_trust_of_its_maker_with_only_the_roles_needed(api: Api) -> None:
    api.become(roles=frozenset(["member", "admin", "reader"]))
    response = await put(api)
    assert response.status_code == 201
    (record,) = api.triggers.kept.values()
    (order,) = api.trusts.made.values()
    assert (record.spec.user_id, record.spec.trust_id, record.function_uid) == ("u", "trust-1", "u1")
    assert (order.trustor_id, order.trustee_id, order.project_id, order.roles) == ("u", "osfaas", "p1", ["member"])
    trigger = response.json()["trigger"]
    assert trigger["object_created"] == {**CREATED, "overwrite": False}
    shown = await api.call("GET", PATH)
    assert shown.json() == {"trigger": trigger}
    assert (await api.call("GET", f"{FUNCTION}/triggers")).json() == {"triggers": [trigger]}
    assert shown.headers["ETag"] == response.headers["ETag"]


async def test_schedule_shows_its_next_time(api: Api) -> None:
    response = await put(api, trigger=NIGHTLY)
    assert response.json()["trigger"]["next_at"] == "2026-11-30T02:00:00Z"


async def test_id_of_a_trust_is_in_no_answer_and_in_no_log(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [await put(api), await api.call("GET", PATH), await api.call("GET", f"{FUNCTION}/triggers")]
    api.trusts.unusable, api.trusts.of_user = True, "nobody"
    answers.append(await api.call("DELETE", PATH))
    assert "remains" in answers[-1].json()
    for text in (*(answer.text for answer in answers), caplog.text):
        assert "trust-1" not in text


async def test_changes_are_audited_by_trigger(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="gateway.audit")
    await put(api)
    assert '"id": "hello/triggers/uploads"' in caplog.text


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_reader_defines_and_deletes_nothing(api: Api, method: str) -> None:
    await put(api)
    api.become(roles=frozenset(["reader"]))
    assert (await api.call("GET", PATH)).status_code == 200
    response = await api.call(method, PATH, {"trigger": NIGHTLY})
    assert (response.status_code, code(response)) == (403, "role.missing")
    assert (len(api.trusts.made), len(api.triggers.kept)) == (1, 1)


async def test_another_projects_member_sees_and_touches_nothing(api: Api) -> None:
    await put(api)
    api.become(project_id=ProjectId("p2"))
    for method in ("GET", "PUT"):
        assert code(await api.call(method, PATH, {"trigger": NIGHTLY})) == "function.not_deployed"
    assert code(await api.call("DELETE", PATH)) == "trigger.not_found"
    assert len(api.trusts.made) == 1


async def test_token_that_may_make_no_trust_is_told_so_and_nothing_is_stored(api: Api) -> None:
    api.trusts.refusal = "Delegated tokens cannot manage trusts"
    response = await put(api)
    assert (response.status_code, code(response)) == (403, "trigger.trust_refused")
    assert "Delegated tokens cannot manage trusts" in response.json()["error"]["message"]
    assert not api.triggers.kept


async def test_access_rules_are_not_escaped_by_a_trust(api: Api) -> None:
    """Keystone would make it for an unrestricted credential."""
    api.become(access_rules=(AccessRule("function", "PUT", "/v1/functions/**"),))
    assert code(await put(api)) == "trigger.trust_refused"
    assert not api.trusts.made


async def test_trust_of_a_trigger_that_could_not_be_stored_is_withdrawn(api: Api) -> None:
    api.triggers.broken = UnavailableError("down")
    assert (await put(api)).status_code == 503
    assert not api.trusts.made


@pytest.mark.parametrize(
    ("trigger", "why"),
    [
        ({}, "either"),
        ({"object_created": CREATED, **NIGHTLY}, "either"),
        ({"object_create": CREATED}, "did you mean"),
        ({"object_created": {**CREATED, "prefx": "x"}}, "did you mean"),
        ({"object_created": {**CREATED, "container": ""}}, "container"),
        ({"object_created": {**CREATED, "container": "a/b"}}, "container"),
        ({"object_created": {**CREATED, "output": "photos"}}, "container/name"),
        ({"object_created": {**CREATED, "output": "{object}/x"}}, "placeholders in the name only"),
        ({"object_created": {**CREATED, "output": "photos/small/{foo}"}}, "unknown placeholder {foo}"),
        ({"object_created": {**CREATED, "prefix": "é" * 600}}, "1024 bytes"),
        ({"object_created": {**CREATED, "prefix": "\0"}}, "character"),
        ({"object_created": {**CREATED, "overwrite": "yes"}}, "true or false"),
        ({"schedule": {"cron": "* * * * * *"}}, "five fields"),
        ({"schedule": {"cron": "0 0 30 2 *"}}, "Bad day"),
        ({"schedule": {"cron": "0 0 * * *", "time_zone": "../x"}}, "time zone"),
    ],
)
async def test_malformed_trigger_is_refused_with_a_sentence(api: Api, trigger: dict[str, Any], why: str) -> None:
    response = await api.call("PUT", PATH, {"trigger": trigger})
    assert (response.status_code, code(response)) == (400, "request.malformed")
    assert why in response.json()["error"]["message"]
    assert not api.trusts.made


@pytest.mark.parametrize("output", ["photos/in/x/{rest}", "photos/{object}", "photos/i{rest}"])
async def test_output_under_the_own_prefix_is_refused(api: Api, output: str) -> None:
    response = await put(api, output=output)
    assert (response.status_code, code(response)) == (422, "trigger.rejected")
    assert "loop (hello.uploads → hello.uploads)" in response.json()["error"]["message"]
    assert not api.trusts.made


async def test_loop_through_another_function_is_refused_with_its_way(api: Api) -> None:
    await api.put("other", objects=True)
    await put(api)
    back = {"prefix": "small/", "output": "photos/in/{rest}"}
    response = await put(api, "/v1/functions/other/triggers/back", **back)
    assert code(response) == "trigger.rejected"
    assert "other.back" in response.json()["error"]["message"]
    assert (await put(api, "/v1/functions/other/triggers/on", **{**back, "output": "photos/end/{rest}"})).is_success


async def test_function_without_objects_has_schedules_only(api: Api) -> None:
    await api.put("plain")
    path = "/v1/functions/plain/triggers/t"
    assert code(await put(api, path)) == "trigger.rejected"
    assert (await put(api, path, trigger=NIGHTLY)).status_code == 201


async def test_number_of_triggers_is_bounded_for_a_function_and_for_a_project(api: Api) -> None:
    await api.put("other", objects=True)
    for number in range(3):
        assert (await put(api, f"{FUNCTION}/triggers/t{number}", trigger=NIGHTLY)).is_success
    refused = await put(api, f"{FUNCTION}/triggers/t3", trigger=NIGHTLY)
    assert (refused.status_code, code(refused)) == (403, "trigger.count_exceeded")
    assert "the function has 3 triggers" in refused.json()["error"]["message"]
    assert (await put(api, "/v1/functions/other/triggers/t", trigger=NIGHTLY)).is_success
    assert "the project has 4" in (await put(api, "/v1/functions/other/triggers/u", trigger=NIGHTLY)).text
    # A trigger that exists may be changed.
    assert (await put(api, f"{FUNCTION}/triggers/t0")).status_code == 200


async def test_unchanged_trigger_stays_and_keeps_its_trust(api: Api) -> None:
    first = await put(api)
    second = await put(api)
    assert (second.status_code, second.json()["changed"], second.headers["ETag"]) == (200, False, first.headers["ETag"])
    assert list(api.trusts.made) == ["trust-1"]


async def test_changed_trigger_gets_a_new_trust_and_the_old_one_is_gone(api: Api) -> None:
    await put(api)
    assert (await put(api, overwrite=True)).json()["changed"]
    assert list(api.trusts.made) == ["trust-2"]


async def test_other_member_who_sets_a_trigger_becomes_its_user(api: Api) -> None:
    await put(api)
    api.become(user_id="v")
    api.trusts.of_user = "v"
    response = await put(api)
    assert response.json()["trigger"]["user_id"] == "v"
    # The trust of before is deleted under itself: its user need not be there.
    assert [order.trustor_id for order in api.trusts.made.values()] == ["v"]
    assert "remains" not in response.json()


async def test_refused_trust_is_renewed_by_setting_the_same_again(api: Api) -> None:
    await put(api)
    (record,) = api.triggers.kept.values()
    readiness = Readiness(status=False, reason="TrustRefused")
    api.triggers.keep(dataclasses.replace(record, status=TriggerStatus(readiness=readiness)))
    assert (await put(api)).json()["changed"]
    assert list(api.trusts.made) == ["trust-2"]


async def test_lost_updates_are_refused(api: Api) -> None:
    first = await put(api)
    etag = first.headers["ETag"]
    assert (await put(api, overwrite=True, If_Match=etag)).status_code == 200
    assert (await put(api, prefix="x/", If_Match=etag)).status_code == 412
    assert (await api.call("DELETE", PATH, If_Match=etag)).status_code == 412
    assert (await put(api, If_None_Match="*")).status_code == 412
    assert list(api.trusts.made) == ["trust-2"]


async def test_deleted_trigger_takes_its_trust_along(api: Api) -> None:
    await put(api)
    api.become(user_id="v")
    api.trusts.of_user = "v"
    assert (await api.call("DELETE", PATH)).status_code == 204
    assert (api.triggers.kept, api.trusts.made) == ({}, {})
    assert code(await api.call("GET", PATH)) == "trigger.not_found"


async def test_trust_that_cannot_be_deleted_is_said(api: Api) -> None:
    """Its user is disabled, so nobody may act as this user."""
    await put(api)
    api.trusts.unusable, api.trusts.of_user = True, "v"
    response = await api.call("DELETE", PATH)
    assert response.status_code == 200
    assert "a trust of the user u" in response.json()["remains"]
    assert not api.triggers.kept


async def test_deleted_function_takes_the_trusts_of_its_triggers_along(api: Api) -> None:
    await api.put("other", objects=True)
    await put(api)
    await put(api, "/v1/functions/other/triggers/t", trigger=NIGHTLY)
    assert (await api.call("DELETE", FUNCTION)).status_code == 204
    # The object goes with its owner, by Kubernetes' garbage collection.
    assert list(api.trusts.made) == ["trust-2"]


async def test_function_that_is_not_deleted_keeps_its_trusts(api: Api) -> None:
    await put(api)
    assert (await api.call("DELETE", FUNCTION, If_Match='"old"')).status_code == 412
    assert list(api.trusts.made) == ["trust-1"]


@pytest.mark.parametrize("name", ["Up", "a_b", "-a", "a" * 41, "a.b"])
async def test_names_that_are_no_labels_have_no_route(api: Api, name: str) -> None:
    assert code(await put(api, f"{FUNCTION}/triggers/{name}")) == "route.not_found"


async def test_suspended_project_defines_nothing(api: Api) -> None:
    api.suspended = "unpaid"
    assert code(await put(api)) == "tenant.suspended"


def test_names_of_the_objects_are_those_of_one_tenant() -> None:
    assert SPEC.namespace == "faas-p1"
