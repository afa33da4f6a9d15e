"""`conn.function` against a server of HTTP that remembers what it was asked: pages, waits, and what is sent."""

import base64
from typing import Any

import pytest
from keystoneauth1 import session
from keystoneauth1.noauth import NoAuth
from openstack import exceptions
from openstack.connection import Connection

from client.sdk.connection import FunctionService
from client.sdk.proxy import Proxy
from tests.unit.client.test_functions import Service, error, service
from tests.unit.client.test_triggers import CREATED, shown

__all__ = ["service"]
FIRST, SECOND = (f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 2))


def operation(id_: str, state: str = "succeeded", **changes: Any) -> dict[str, Any]:
    progress = {"bytes": 0, "objects": 0}
    return {"id": id_, "state": state, "attempts": 1, "progress": progress, "error": None, "links": [], **changes}


@pytest.fixture(params=["", "/v1"])
def proxy(service: Service, request: pytest.FixtureRequest) -> Proxy:
    """The catalog may name the service with or without its version."""
    endpoint = f"http://127.0.0.1:{service.server.server_port}{request.param}"
    connection = Connection(
        session=session.Session(NoAuth(endpoint=endpoint)), function_endpoint_override=endpoint, region_name="r"
    )
    connection.add_service(FunctionService())
    found: Proxy = connection.function
    return found


def asked(service: Service) -> list[str]:
    return [f"{method} {path}" for method, path, _, _ in service.asked]


def test_next_page_is_asked_for_when_it_is_needed_with_the_filters(service: Service, proxy: Proxy) -> None:
    """Its link has no origin, and openstacksdk would take the version out of it."""
    first, second = "GET /v1/operations?limit=1&state=failed", f"GET /v1/operations?state=failed&limit=1&marker={FIRST}"
    link = {"rel": "next", "href": second.removeprefix("GET ")}
    service.answers[first] = (200, {"operations": [operation(FIRST)], "links": [link]})
    service.answers[second] = (200, {"operations": [operation(SECOND)]})
    found = proxy.operations(states=["failed"], limit=1)
    assert next(found).id == FIRST
    assert asked(service) == [first]
    assert [each.id for each in found] == [SECOND]
    assert len(service.asked) == 2


def test_only_the_query_of_a_link_is_used(service: Service, proxy: Proxy) -> None:
    """The token is not for another origin."""
    link = {"rel": "next", "href": "https://elsewhere.test/steal?marker=a"}
    service.answers["GET /v1/secrets"] = (200, {"secrets": [{"name": "a"}], "secrets_links": [link]})
    service.answers["GET /v1/secrets?marker=a"] = (200, {"secrets": [{"name": "b"}]})
    assert [each.name for each in proxy.secrets()] == ["a", "b"]


def test_wait_says_what_changed_once_and_why_it_failed(service: Service, proxy: Proxy) -> None:
    failure = {"code": "function.failed", "message": "The function answered with 422."}
    states = [
        *(operation(FIRST, "running"), operation(FIRST, "running"), operation(FIRST, "running", attempts=2)),
        operation(FIRST, "failed", error=failure, attempts=2),
    ]
    said: list[str] = []

    def answer(_seconds: float = 0) -> None:
        service.answers[f"GET /v1/operations/{FIRST}"] = (200, states.pop(0))

    answer()
    with pytest.raises(exceptions.ResourceFailure, match=r"answered with 422"):
        proxy.wait_for_operation(FIRST, progress=said.append, sleep=answer)
    assert said == ["running", "running, attempt 2", "failed, attempt 2"]
    service.answers[f"GET /v1/operations/{FIRST}"] = (200, operation(FIRST, "queued"))
    with pytest.raises(exceptions.ResourceTimeout, match="it goes on"):
        proxy.wait_for_operation(FIRST, seconds=-1)


def test_what_is_no_id_is_not_asked_for(service: Service, proxy: Proxy) -> None:
    for work in (proxy.get_operation, proxy.cancel_operation, proxy.retry_operation, proxy.operation_result):
        with pytest.raises(exceptions.InvalidRequest, match="not the id of an operation"):
            work("../functions/hello")
    assert service.asked == []


def test_trigger_is_changed_in_the_version_that_was_read(service: Service, proxy: Proxy) -> None:
    path = "/v1/functions/thumbnail/triggers/uploads"
    service.answers[f"GET {path}"] = (200, {"trigger": shown()})
    service.answers[f"PUT {path}"] = (200, {"trigger": shown(), "changed": True, "remains": "A trust remains."})
    changed = proxy.update_trigger("thumbnail", "uploads", overwrite=True)
    _, _, fields, body = service.asked[-1]
    assert (fields["If-Match"], body) == ('"u-1"', {"trigger": {"object_created": {**CREATED, "overwrite": True}}})
    assert (changed.name, changed.function, changed.remains) == ("uploads", "thumbnail", "A trust remains.")
    assert changed.condition["reason"] == "TrustRefused"
    for wrong in ({"container": "c", "cron": "* * * * *"}, {"prefix": "in/"}, {"every": "day"}):
        with pytest.raises(exceptions.InvalidRequest):
            proxy.create_trigger("thumbnail", "t", **wrong)
    assert len(service.asked) == 2


def test_deletion_of_a_trigger_says_what_remains(service: Service, proxy: Proxy) -> None:
    service.answers["DELETE /v1/functions/f/triggers/a"] = (204, None)
    service.answers["DELETE /v1/functions/f/triggers/b"] = (200, {"remains": "A trust remains."})
    assert [proxy.delete_trigger("f", name) for name in ("a", "b", "none")] == [None, "A trust remains.", None]
    with pytest.raises(exceptions.NotFoundException):
        proxy.delete_trigger("f", "none", ignore_missing=False)


def test_secret_is_sent_as_it_is_and_a_wrong_one_is_not_sent(service: Service, proxy: Proxy) -> None:
    service.answers["PUT /v1/secrets/db"] = (201, {"secret": {"name": "db", "used_by": ["hello"]}})
    stored = proxy.set_secret("db", b"\x00 two\n")
    assert (stored.name, stored.used_by) == ("db", ["hello"])
    assert base64.b64decode(service.asked[-1][3]["secret"]["payload"]) == b"\x00 two\n"
    for wrong in ("", "x" * 32_769):
        with pytest.raises(exceptions.InvalidRequest):
            proxy.set_secret("db", wrong)
    assert len(service.asked) == 1


def test_usage_has_the_groups_that_were_asked_for(service: Service, proxy: Proxy) -> None:
    asked_for = "GET /v1/usage?start=2026-11-01&group_by=user%2Cfunction"
    service.answers[asked_for] = (200, {"usage": [{"user_id": "u", "function": "f", "calls": 2}], "usage_links": []})
    (row,) = proxy.usage(start="2026-11-01", groups=["user", "function"])
    assert (row.user_id, row.function, row.calls, row.hour) == ("u", "f", 2, None)


def test_refusal_has_the_sentence_of_the_service(service: Service, proxy: Proxy) -> None:
    service.answers[f"GET /v1/operations/{FIRST}"] = (403, error(403, "Your roles are not enough."))
    with pytest.raises(exceptions.ForbiddenException, match="Your roles are not enough"):
        proxy.get_operation(FIRST)


@pytest.mark.parametrize("origin", ["", "http://127.0.0.1:{port}"])
def test_redirect_of_a_function_is_its_reply(service: Service, proxy: Proxy, origin: str) -> None:
    """keystoneauth would repeat the request there, with the token, and stumbles over a path without an origin."""
    place = f"{origin.format(port=service.server.server_port)}/elsewhere"
    requests = ["POST /v1/invoke/hello", f"GET /v1/operations/{FIRST}/result"]
    for each in requests:
        service.answers[each] = (302, None)
        service.locations[each] = place
    for answer in (proxy.invoke("hello"), proxy.operation_result(FIRST)):
        assert (answer.status_code, answer.headers["Location"]) == (302, place)
    assert asked(service) == requests
