"""`/v1/secrets`: values go in, and never come out; who may do what; and what becomes of the versions."""

import base64
import json
import logging
import re
from dataclasses import replace
from typing import Any

import httpx
import pytest

from control.functions.openapi import openapi_document
from policies.model import Manifest
from policies.names import ProjectId
from policies.own_function_secrets import MAX_BYTES, MAX_SECRETS, MAX_VERSIONS, secret_object_name
from tenancy.kubernetes.client import Ref
from tenancy.model.errors import ClusterError, ForbiddenError, SecretError, UnavailableError
from tenancy.model.function import ActiveRevision, MalformedFunction, OwnFunctionStatus
from tenancy.secret_repository import KubernetesSecretRepository
from tests.unit.control.functions_api import SPEC, Api, code

VALUE = "hunter2-äöü\n"
PATH = "/v1/secrets/db-password"


@pytest.fixture
def api() -> Api:
    return Api()


async def put(api: Api, name: str = "db-password", payload: Any = VALUE, **more: Any) -> httpx.Response:
    return await api.call("PUT", f"/v1/secrets/{name}", {"secret": {"payload": payload, **more}})


async def test_a_value_is_stored_and_no_answer_has_it(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        answers = [await put(api), await put(api), *[await api.call("GET", path) for path in ("/v1/secrets", PATH)]]
        answers.append(await api.put(secrets=["db-password"]))
        answers.append(await api.call("GET", "/v1/functions/hello"))
        answers.append(await api.call("DELETE", PATH))
    assert [answer.status_code for answer in answers] == [201, 200, 200, 200, 202, 200, 409]
    assert set(api.secrets.values.values()) == {VALUE.encode()}
    said = caplog.text + "".join(answer.text + str(answer.headers) for answer in answers)
    said += json.dumps(openapi_document("https://faas.test"))
    said += repr(api.secrets.kept) + repr(api.records.kept)
    for hidden in (VALUE.strip(), "hunter2", base64.b64encode(VALUE.encode()).decode()):
        assert hidden not in said
    (listed,) = answers[2].json()["secrets"]
    assert listed.keys() == {"name", "changed_at", "used_by"}
    assert "service/security/secret" in caplog.text


async def test_binary_values_come_in_base64(api: Api) -> None:
    blob = bytes(range(256))
    response = await put(api, payload=base64.b64encode(blob).decode(), payload_content_encoding="base64")
    assert response.status_code == 201
    assert list(api.secrets.values.values()) == [blob]


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"secret": {}},
        {"secret": {"payload": ""}},
        {"secret": {"payload": 5}},
        {"secret": {"payload": ["hunter2"]}},
        {"secret": {"payload": "hunter2", "value": "hunter2"}},
        {"secret": {"payload": "hunter2", "payload_content_encoding": "base64"}},
        {"secret": {"payload": "hunter2", "payload_content_encoding": "rot13"}},
        {"secret": {"payload": "hunter2" * MAX_BYTES}},
        {"secret": {"payload": "hunter2"}, "more": "hunter2"},
    ],
)
async def test_what_is_malformed_is_refused_and_not_quoted(
    api: Api, body: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        response = await api.call("PUT", PATH, body)
    assert response.status_code in {400, 413}
    assert "hunter2" not in response.text + caplog.text
    assert api.secrets.values == {}


async def test_a_lone_surrogate_is_no_value(api: Api) -> None:
    response = await api.call("PUT", PATH, content=b'{"secret": {"payload": "\\ud800hunter2"}}')
    assert (response.status_code, "hunter2" in response.text) == (400, False)


async def test_readers_list_and_do_not_write_and_others_see_nothing(api: Api) -> None:
    await put(api)
    api.become(roles=frozenset(["reader"]))
    assert [each["name"] for each in (await api.call("GET", "/v1/secrets")).json()["secrets"]] == ["db-password"]
    assert code(await put(api)) == "role.missing"
    assert code(await api.call("DELETE", PATH)) == "role.missing"
    api.become(roles=frozenset(["guest"]))
    assert code(await api.call("GET", "/v1/secrets")) == "role.missing"
    api.become(roles=frozenset(["member"]), project_id=ProjectId("p2"))
    assert (await api.call("GET", "/v1/secrets")).json() == {"secrets": []}
    assert code(await api.call("DELETE", PATH)) == "secret.not_found"
    assert len(api.secrets.values) == 1


async def test_their_number_is_limited(api: Api) -> None:
    for number in range(MAX_SECRETS):
        assert (await put(api, f"s{number}")).status_code == 201
    response = await put(api, "more")
    assert (response.status_code, code(response)) == (403, "secret.count_exceeded")
    assert (await put(api, "s0")).status_code == 200


async def test_a_list_comes_in_pages(api: Api) -> None:
    for name in ("a", "b", "c"):
        await put(api, name)
    page = (await api.call("GET", "/v1/secrets?limit=2")).json()
    assert [each["name"] for each in page["secrets"]] == ["a", "b"]
    (link,) = page["secrets_links"]
    assert link["href"] == "https://faas.test/v1/secrets?limit=2&marker=b"
    last = (await api.call("GET", "/v1/secrets?limit=2&marker=b")).json()
    assert ([each["name"] for each in last["secrets"]], "secrets_links" in last) == (["c"], False)


async def test_a_function_names_secrets_that_exist(api: Api) -> None:
    response = await api.put(secrets=["db-password"])
    assert (response.status_code, code(response)) == (422, "function.rejected")
    assert "osfaas function secret set db-password" in response.json()["error"]["message"]
    await put(api)
    assert (await api.put(secrets=["db-password"])).json()["function"]["secrets"] == ["db-password"]
    (listed,) = (await api.call("GET", "/v1/secrets")).json()["secrets"]
    assert listed["used_by"] == ["hello"]


@pytest.mark.parametrize("secrets", ["db", [1], ["A"], ["a", "a"], ["../x"], ["x" * 41], [f"s{n}" for n in range(17)]])
async def test_malformed_names_are_refused(api: Api, secrets: Any) -> None:
    assert code(await api.put(secrets=secrets)) == "request.malformed"


async def test_what_is_used_is_not_deleted(api: Api) -> None:
    """By a specification, by a revision that still gets calls, or perhaps by a record that cannot be read."""
    await put(api)
    await api.put(secrets=["db-password"])
    response = await api.call("DELETE", PATH)
    assert (response.status_code, code(response)) == (409, "secret.in_use")
    assert "hello" in response.json()["error"]["message"]
    await api.call("PATCH", "/v1/functions/hello", {"function": {"secrets": None}})
    (mounted,) = api.secrets.values
    api.secrets.mounted = {"hello-0a0a0a0a": frozenset([mounted])}
    api.records.touch("hello", status=OwnFunctionStatus(active=(ActiveRevision("hello-0a0a0a0a", 100),)))
    assert code(await api.call("DELETE", PATH)) == "secret.in_use"
    api.records.touch("hello", status=OwnFunctionStatus(active=(ActiveRevision("hello-11111111", 100),)))
    api.records.malformed = (MalformedFunction("odd", "Function odd is malformed", frozenset(["db-password"])),)
    assert code(await api.call("DELETE", PATH)) == "secret.in_use"
    api.records.malformed = ()
    assert (await api.call("DELETE", PATH)).status_code == 204
    assert (api.secrets.values, api.secrets.kept) == ({}, {})


async def test_values_that_revisions_mount_are_kept_and_others_are_not(api: Api) -> None:
    for number in range(4):
        await put(api, payload=f"value-{number}")
    # The current one, and the one before: a revision may be on its way to mount that.
    assert sorted(api.secrets.values.values()) == [b"value-2", b"value-3"]
    api.secrets.mounted = {"hello-1": frozenset(api.secrets.values)}
    for number in range(4, 7):
        await put(api, payload=f"value-{number}")
    assert sorted(api.secrets.values.values()) == [b"value-2", b"value-3", b"value-5", b"value-6"]


async def test_versions_are_bounded(api: Api) -> None:
    for number in range(MAX_VERSIONS):
        api.secrets.mounted = {"hello-1": frozenset(api.secrets.values)}
        assert (await put(api, payload=f"value-{number}")).status_code < 300
    api.secrets.mounted = {"hello-1": frozenset(api.secrets.values)}
    response = await put(api, payload="one more")
    assert (response.status_code, code(response)) == (409, "secret.in_use")
    assert len(api.secrets.values) == MAX_VERSIONS


async def test_what_an_interrupted_change_left_is_removed_by_the_next(api: Api) -> None:
    """The list of secrets does not show one of which nothing was ever stored."""
    api.secrets.refusal = UnavailableError("no answer")
    assert (await put(api)).status_code == 503
    (record,) = api.secrets.kept.values()
    assert (record.current, len(record.versions)) == ("", 1)
    assert (await api.call("GET", "/v1/secrets")).json() == {"secrets": []}
    left = secret_object_name("db-password", record.versions[0])
    api.secrets.values[left], api.secrets.refusal = b"left", None
    assert (await put(api)).status_code == 201
    assert list(api.secrets.values.values()) == [VALUE.encode()]


async def test_preconditions_decide(api: Api) -> None:
    first = await api.call("PUT", PATH, {"secret": {"payload": "a"}}, If_None_Match="*")
    assert first.status_code == 201
    assert (await api.call("PUT", PATH, {"secret": {"payload": "b"}}, If_None_Match="*")).status_code == 412
    changed = await api.call("PUT", PATH, {"secret": {"payload": "b"}}, If_Match=first.headers["ETag"])
    assert changed.status_code == 200
    assert changed.headers["ETag"] != first.headers["ETag"]
    late = await api.call("DELETE", PATH, If_Match=first.headers["ETag"])
    assert (late.status_code, code(late)) == (412, "secret.precondition")


async def test_the_version_of_the_same_value_is_another_one(api: Api) -> None:
    """It is random: a digest could be guessed from."""
    tags = [(await put(api)).headers["ETag"] for _ in range(2)]
    assert all(re.fullmatch(r'"[0-9a-f]{12}"', tag) for tag in tags)
    assert len(set(tags)) == 2


class Quoting:
    """An API server whose refusal quotes what it was sent."""

    def __init__(self, kind: type[ClusterError]) -> None:
        self.kind = kind

    def create(self, manifest: Manifest, *, manager: str) -> Manifest:
        raise self.kind(f"POST …: Invalid value: {manifest['data']}; exceeded quota")

    def delete(self, ref: Ref, **_: Any) -> None:
        raise AssertionError(ref)


@pytest.mark.parametrize("kind", [ClusterError, ForbiddenError, UnavailableError])
async def test_a_refusal_of_kubernetes_that_quotes_the_value_goes_no_further(
    api: Api, kind: type[ClusterError], caplog: pytest.LogCaptureFixture
) -> None:
    real = KubernetesSecretRepository(Quoting(kind))  # type: ignore[arg-type]
    api.secrets.store = real.store  # type: ignore[method-assign]
    with caplog.at_level(logging.DEBUG):
        response = await put(api)
    assert response.status_code in {422, 503}
    encoded = base64.b64encode(VALUE.encode()).decode()
    assert encoded not in response.text + caplog.text
    with pytest.raises((SecretError, UnavailableError)) as caught:
        real.store(SPEC.namespace, "x", "0" * 12, VALUE.encode())
    error: BaseException | None = caught.value
    assert encoded not in str(error)
    assert error is not None
    assert error.__suppress_context__


async def test_one_record_that_cannot_be_read_hides_no_other(api: Api) -> None:
    await api.put()
    api.records.malformed = (MalformedFunction("odd", "Function odd is malformed: KeyError('image')"),)
    body = (await api.call("GET", "/v1/functions")).json()
    assert [each["name"] for each in body["functions"]] == ["hello"]
    assert body["functions_malformed"] == [{"name": "odd", "message": "Function odd is malformed: KeyError('image')"}]
    response = await api.put("odd")
    assert (response.status_code, code(response)) == (422, "function.rejected")
    assert (await api.put("other")).status_code == 202
    api.spec = replace(SPEC, limits=replace(SPEC.limits, own_functions=3))
    assert code(await api.put("fourth")) == "function.count_exceeded"
