"""`/v1/functions`: who may do what, what is refused, and what is stored."""

import json
import logging
from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import ErrorCode, GatewayError
from gateway.identity.caller import AccessRule
from policies.model import IsolationLevel, Limits
from policies.names import ProjectId
from policies.unified_limits import UnifiedLimits
from tenancy.model.errors import ClusterError, UnavailableError
from tests.unit.control.functions_api import DIGEST, IMAGE, SPEC, Api, code

PATH = "/v1/functions/hello"
METHODS = ("GET", "PUT", "PATCH", "DELETE")


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.mark.parametrize("method", METHODS)
async def test_without_a_valid_token_nothing_is_read_or_written(api: Api, method: str) -> None:
    api.caller = GatewayError(ErrorCode.TOKEN_INVALID)
    response = await api.call(method, PATH, {"function": {"image": IMAGE}})
    assert (response.status_code, code(response)) == (401, "token.invalid")
    assert "Keystone uri=" in response.headers["WWW-Authenticate"]
    assert api.records.writes == 0


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_reader_writes_nothing(api: Api, method: str) -> None:
    await api.put()
    api.become(roles=frozenset(["reader"]))
    assert (await api.call("GET", PATH)).status_code == 200
    assert (await api.call("GET", f"{PATH}/logs")).status_code == 200
    response = await api.call(method, PATH, {"function": {"image": IMAGE, "args": ["x"]}})
    assert (response.status_code, code(response)) == (403, "role.missing")
    assert api.records.writes == 1


async def test_other_roles_read_nothing(api: Api) -> None:
    api.become(roles=frozenset(["guest"]))
    for path in ("/v1/functions", PATH, f"{PATH}/logs", f"{PATH}/revisions"):
        assert code(await api.call("GET", path)) == "role.missing"


async def test_another_projects_member_sees_nothing_and_touches_nothing(api: Api) -> None:
    """The project is the token's; nothing in the path or the body names one."""
    await api.put()
    api.become(project_id=ProjectId("p2"))
    assert (await api.call("GET", "/v1/functions")).json() == {"functions": []}
    for method, path in (("GET", PATH), ("DELETE", PATH), ("GET", f"{PATH}/logs"), ("GET", f"{PATH}/revisions")):
        response = await api.call(method, path)
        assert (response.status_code, code(response)) == (404, "function.not_deployed")
    assert code(await api.call("PATCH", PATH, {"function": {"args": ["x"]}})) == "function.not_deployed"
    assert (await api.put(args=["other"])).status_code == 202
    assert api.records.kept[SPEC.namespace, "hello"].spec.args == ()


async def test_access_rules_hold_for_the_path_and_the_method(api: Api) -> None:
    api.become(access_rules=(AccessRule("function", "GET", "/v1/functions/hello"),))
    assert code(await api.call("GET", PATH)) == "function.not_deployed"
    for method, path in (("PUT", PATH), ("GET", "/v1/functions"), ("GET", f"{PATH}/logs")):
        assert code(await api.call(method, path, {"function": {"image": IMAGE}})) == "access.denied_by_rule"


async def test_a_suspended_or_unknown_project_deploys_nothing(api: Api) -> None:
    api.suspended = "unpaid"
    assert code(await api.put()) == "tenant.suspended"
    api.suspended, api.onboarded = None, False
    assert code(await api.put()) == "tenant.not_onboarded"
    assert api.records.writes == 0


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"image": f"other.example.org/x{DIGEST}"}, "allowed registries and repositories: registry.example.org/atlas"),
        ({"image": "registry.example.org/atlas/hello:latest"}, "a tag, which can be moved"),
        ({"image": f"registry.example.org/atlas-evil/x{DIGEST}"}, "not allowed"),
    ],
)
async def test_an_image_that_the_operator_does_not_allow_is_refused_with_a_sentence(
    api: Api, fields: dict[str, Any], said: str
) -> None:
    response = await api.put(**fields)
    assert (response.status_code, code(response)) == (422, "function.rejected")
    assert said in response.json()["error"]["message"]
    assert api.records.writes == 0


async def test_below_l3_and_under_a_name_of_the_catalogue_nothing_is_deployed(api: Api) -> None:
    response = await api.put("checksums")
    assert (response.status_code, code(response)) == (422, "function.rejected")
    api.spec = replace(SPEC, isolation=IsolationLevel.L2)
    response = await api.put()
    assert code(response) == "function.rejected"
    assert "level L3" in response.json()["error"]["message"]


async def test_the_number_of_functions_is_limited_with_the_numbers(api: Api) -> None:
    api.spec = replace(SPEC, limits=Limits(own_functions=1))
    assert (await api.put()).status_code == 202
    response = await api.put("second")
    assert (response.status_code, code(response)) == (403, "function.count_exceeded")
    assert "has 1 functions of its own, and its limit is 1" in response.json()["error"]["message"]
    assert response.json()["errors"][0]["over_limit"] == [
        {"resource_name": "functions", "limit": 1, "current_usage": 1, "delta": 1}
    ]
    assert (await api.put(args=["x"])).status_code == 202


async def test_keystones_limits_are_in_force_over_those_of_the_tenant(api: Api) -> None:
    registered = {"functions": 1, "function_cpu_millis": 100}
    api.limits.replace(UnifiedLimits(registered=registered, projects={SPEC.project_id: {"function_cpu_millis": 4000}}))
    assert (await api.put()).status_code == 202
    assert code(await api.put("second")) == "function.count_exceeded"
    api.limits.replace(UnifiedLimits(registered=registered))
    response = await api.put(args=["x"])
    assert code(response) == "function.too_large"
    (over,) = response.json()["errors"][0]["over_limit"]
    assert (over["resource_name"], over["limit"], over["current_usage"]) == ("function_cpu_millis", 100, 0)
    api.limits.replace(UnifiedLimits())
    assert (await api.put("second")).status_code == 202


async def test_pods_that_do_not_fit_are_refused_with_the_numbers(api: Api) -> None:
    response = await api.put(memory_mib=8192)
    assert (response.status_code, code(response)) == (403, "function.too_large")
    assert "8192 MiB" in response.json()["error"]["message"]
    assert "4096 MiB" in response.json()["error"]["message"]
    assert (await api.put("first", min_scale=3, memory_mib=1024)).status_code == 202
    response = await api.put(min_scale=2, memory_mib=1024)
    assert "1024 MiB are not reserved" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"function": []},
        {"function": {}, "more": 1},
        {"function": {"image": 5}},
        {"function": {"image": None}},
        {"function": {}},
        {"function": {"image": IMAGE, "name": "other"}},
        {"function": {"image": IMAGE, "namespace": "kube-system"}},
        {"function": {"image": IMAGE, "cpu_millis": "1"}},
        {"function": {"image": IMAGE, "cpu_millis": True}},
        {"function": {"image": IMAGE, "cpu_millis": 1.5}},
        {"function": {"image": IMAGE, "cpu_millis": 0}},
        {"function": {"image": IMAGE, "run_as_user": 0}},
        {"function": {"image": IMAGE, "port": 80}},
        {"function": {"image": IMAGE, "port": 8012}},
        {"function": {"image": IMAGE, "timeout_seconds": 100_000}},
        {"function": {"image": IMAGE, "min_scale": 6}},
        {"function": {"image": IMAGE, "command": "sh"}},
        {"function": {"image": IMAGE, "args": [1]}},
        {"function": {"image": IMAGE, "args": ["\x00"]}},
        {"function": {"image": IMAGE, "health_path": "healthz"}},
        {"function": {"image": IMAGE, "environment": {"PORT": "1"}}},
        {"function": {"image": IMAGE, "environment": {"K_SERVICE": "x"}}},
        {"function": {"image": IMAGE, "environment": {"a b": "x"}}},
        {"function": {"image": IMAGE, "environment": {"A": 1}}},
        {"function": {"image": IMAGE, "environment": {"A": "x" * 5000}}},
        {"function": {"image": IMAGE, "objects": "yes"}},
        {"function": {"image": IMAGE, "objects": 1}},
        {"function": {"image": IMAGE, "traffic": []}},
        {"function": {"image": IMAGE, "traffic": [{"percent": 50}]}},
        {"function": {"image": IMAGE, "traffic": [{"percent": 100, "revision": "other-1"}]}},
        {"function": {"image": IMAGE, "traffic": [{"percent": 100, "tag": "Not a tag"}]}},
        {"function": {"image": IMAGE, "traffic": [{"percent": 50, "tag": "a"}, {"percent": 50, "tag": "a"}]}},
        {"function": {"image": IMAGE, "traffic": [{"percent": 100, "weight": 1}]}},
    ],
)
async def test_a_malformed_specification_is_refused_before_anything_is_stored(api: Api, body: Any) -> None:
    response = await api.call("PUT", PATH, body)
    assert (response.status_code, code(response)) == (400, "request.malformed")
    assert api.records.writes == 0


async def test_a_lone_surrogate_is_no_text(api: Api) -> None:
    """JSON can spell one; UTF-8 cannot."""
    body = b'{"function": {"image": "i", "args": ["\\ud800"]}}'
    response = await api.call("PUT", PATH, content=body)
    assert (response.status_code, code(response)) == (400, "request.malformed")
    assert "args" in response.json()["error"]["message"]


async def test_a_long_body_is_refused_by_its_length(api: Api) -> None:
    response = await api.put(args=["x" * 8000] * 20)
    assert (response.status_code, code(response)) == (413, "request.body_too_large")


@pytest.mark.parametrize("name", ["Hello", "1hello", "-a", "a-", "a_b", "a" * 41, "a.b", "%2e%2e"])
async def test_what_is_no_name_is_no_route(api: Api, name: str) -> None:
    assert code(await api.call("GET", f"/v1/functions/{name}")) == "route.not_found"


@pytest.mark.parametrize("query", ["limt=1", "limit=0", "limit=1001", "limit=x", "limit=1&limit=2"])
async def test_a_malformed_query_is_refused(api: Api, query: str) -> None:
    assert code(await api.call("GET", f"/v1/functions?{query}")) == "request.malformed"


async def test_a_function_is_stored_and_becomes_ready_later(api: Api) -> None:
    response = await api.put(environment={"B": "2", "A": "1"}, cpu_millis=100)
    assert response.status_code == 202
    body = response.json()
    assert body["changed"] is True
    assert body["function"]["name"] == "hello"
    assert body["function"]["environment"] == {"A": "1", "B": "2"}
    assert body["function"]["url"] == "https://faas.test/v1/invoke/hello/"
    assert body["function"]["status"]["current"] is False
    shown = await api.call("GET", PATH)
    assert shown.json()["function"] == body["function"]
    assert shown.headers["ETag"] == response.headers["ETag"]


async def test_the_same_again_changes_nothing(api: Api) -> None:
    await api.put()
    response = await api.put()
    assert (response.status_code, response.json()["changed"]) == (200, False)
    assert api.records.writes == 1


async def test_put_replaces_and_patch_changes(api: Api) -> None:
    await api.put(args=["x"], cpu_millis=100, traffic=[{"percent": 100, "revision": "hello-1"}])
    patched = (await api.call("PATCH", PATH, {"function": {"memory_mib": 64, "traffic": None}})).json()["function"]
    assert (patched["args"], patched["cpu_millis"], patched["memory_mib"]) == (["x"], 100, 64)
    assert patched["traffic"] is None
    replaced = (await api.put()).json()["function"]
    assert (replaced["args"], replaced["cpu_millis"], replaced["memory_mib"]) == ([], 250, 256)


async def test_no_update_is_lost(api: Api) -> None:
    """Two members read the same version; the second is told."""
    tag = (await api.put()).headers["ETag"]
    mine = await api.call("PATCH", PATH, {"function": {"args": ["mine"]}}, If_Match=tag)
    assert mine.status_code == 202
    for method in ("PATCH", "PUT", "DELETE"):
        theirs = await api.call(method, PATH, {"function": {"image": IMAGE, "args": ["theirs"]}}, If_Match=tag)
        assert (theirs.status_code, code(theirs)) == (412, "function.precondition")
    assert api.records.kept[SPEC.namespace, "hello"].spec.args == ("mine",)
    assert (await api.call("DELETE", PATH, If_Match=mine.headers["ETag"])).status_code == 204


async def test_a_change_between_reading_and_writing_is_not_overwritten(api: Api) -> None:
    """The write is repeated on what the other has written; with If-Match it is refused."""
    tag = (await api.put()).headers["ETag"]
    pending = [
        lambda: api.records.touch("hello", spec=replace(api.records.kept[SPEC.namespace, "hello"].spec, port=9999))
    ]

    def other_writer() -> None:
        if pending:
            pending.pop()()

    api.records.before_write = other_writer
    response = await api.call("PATCH", PATH, {"function": {"args": ["x"]}})
    assert (response.json()["function"]["args"], response.json()["function"]["port"]) == (["x"], 9999)
    refused = await api.call("PATCH", PATH, {"function": {"args": ["y"]}}, If_Match=tag)
    assert refused.status_code == 412


async def test_calls_can_be_moved_though_a_rule_has_changed_since(api: Api) -> None:
    """A rollback in need must not wait for an administrator; a new revision is refused."""
    await api.put(memory_mib=2048)
    api.spec = replace(SPEC, limits=Limits(memory_mib=1024))
    shares = [{"percent": 100, "revision": "hello-0a0a0a0a"}]
    assert (await api.call("PATCH", PATH, {"function": {"traffic": shares}})).status_code == 202
    assert code(await api.call("PATCH", PATH, {"function": {"args": ["x"]}})) == "function.too_large"


async def test_a_changed_status_is_no_change_of_the_specification(api: Api) -> None:
    tag = (await api.put()).headers["ETag"]
    record = api.records.kept[SPEC.namespace, "hello"]
    api.records.kept[SPEC.namespace, "hello"] = replace(record, resource_version="999")
    assert (await api.call("PATCH", PATH, {"function": {"args": ["x"]}}, If_Match=tag)).status_code == 202


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"If_None_Match": "*"}, 412),
        ({"If_None_Match": '"x"'}, 400),
        ({"If_Match": '"x"'}, 412),
        ({"If_Match": "x"}, 400),
        ({"If_Match": ", ".join(['"x"'] * 40)}, 400),
        ({"If_Match": "*"}, 200),
    ],
)
async def test_preconditions_decide(api: Api, fields: dict[str, str], status: int) -> None:
    await api.put()
    assert (await api.call("PUT", PATH, {"function": {"image": IMAGE}}, **fields)).status_code == status


async def test_a_weak_etag_never_matches(api: Api) -> None:
    tag = (await api.put()).headers["ETag"]
    assert (await api.call("DELETE", PATH, If_Match=f"W/{tag}")).status_code == 412


async def test_what_is_not_there_cannot_be_changed(api: Api) -> None:
    assert code(await api.call("PATCH", PATH, {"function": {"image": IMAGE}})) == "function.not_deployed"
    assert code(await api.call("PUT", PATH, {"function": {"image": IMAGE}}, If_Match="*")) == "function.not_deployed"
    assert code(await api.call("PUT", PATH, {"function": {"image": IMAGE}}, If_Match='"x"')) == "function.precondition"
    assert code(await api.call("DELETE", PATH)) == "function.not_deployed"


async def test_a_list_comes_in_pages(api: Api) -> None:
    for name in ("c", "a", "b"):
        await api.put(name)
    first = (await api.call("GET", "/v1/functions?limit=2")).json()
    assert [each["name"] for each in first["functions"]] == ["a", "b"]
    (link,) = first["functions_links"]
    assert link == {"rel": "next", "href": "https://faas.test/v1/functions?limit=2&marker=b"}
    last = (await api.call("GET", link["href"].removeprefix("https://faas.test"))).json()
    assert ([each["name"] for each in last["functions"]], "functions_links" in last) == (["c"], False)


async def test_revisions_and_logs_are_those_of_the_function(api: Api) -> None:
    await api.put()
    (revision,) = (await api.call("GET", f"{PATH}/revisions")).json()["revisions"]
    assert (revision["name"], revision["ready"], revision["percent"]) == ("hello-0a0a0a0a", True, 0)
    (log,) = (await api.call("GET", f"{PATH}/logs?tail=7")).json()["logs"]
    assert (log["text"], log["running"]) == ("7 lines\n", True)


@pytest.mark.parametrize(
    ("error", "status", "named"),
    [
        (UnavailableError("503"), 503, "kubernetes.unavailable"),
        (ClusterError("422 spec.image is invalid"), 422, "function.rejected"),
    ],
)
async def test_errors_of_kubernetes_become_errors_of_the_list(
    api: Api, error: Exception, status: int, named: str
) -> None:
    api.records.broken = error
    for method, path in (("GET", "/v1/functions"), ("GET", PATH), ("PUT", PATH)):
        response = await api.call(method, path, {"function": {"image": IMAGE}})
        assert (response.status_code, code(response)) == (status, named)


@pytest.mark.parametrize(("method", "action"), [("PUT", "update"), ("PATCH", "update"), ("DELETE", "delete")])
async def test_every_attempt_to_write_leaves_a_record_without_the_token(
    api: Api, method: str, action: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await api.put()
        api.become(roles=frozenset(["reader"]))
        caplog.clear()
        await api.call(method, PATH, {"function": {"image": IMAGE, "environment": {"KEY": "hidden-value"}}})
    (record,) = [each for each in caplog.records if each.name == "gateway.audit"]
    event = json.loads(record.getMessage())
    assert (event["action"], event["outcome"], event["target"]["id"]) == (action, "failure", "hello")
    assert api.token not in caplog.text
    assert "hidden-value" not in caplog.text


async def test_rate_limit_holds_here_too(api: Api) -> None:
    api.spec = replace(SPEC, limits=Limits(requests_per_second=1))
    answers = [await api.call("GET", "/v1/functions") for _ in range(8)]
    assert {answer.status_code for answer in answers} == {200, 429}
    assert code(answers[-1]) == "rate.exceeded"
