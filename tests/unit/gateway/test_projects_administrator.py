"""Who is an administrator, by Keystone's description of a token."""

import asyncio
from typing import Any

import pytest

from gateway.edge.head import RequestHead
from gateway.errors import GatewayError, Kind
from gateway.identity.tokens import TokenForm
from gateway.identity.turns import Turns
from gateway.projects.administrator import Administrator, Administrators, administrator_from

HEAD = RequestHead("PUT", b"/v1/projects/p1", b"", ())
PROJECT = {"project": {"id": "p"}}
SYSTEM = {"system": {"all": True}}


def administrator(**body: Any) -> Administrator:
    whole = {"user": {"id": "u", "name": "ann"}, "roles": [{"name": "admin"}, {"name": "member"}], **body}
    return administrator_from("t", whole, HEAD, role="admin", service_type="function")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="unscoped"),
        pytest.param({"domain": {"id": "d"}}, id="domain"),
        pytest.param({"system": {}}, id="not-the-whole-system"),
        pytest.param({**PROJECT, "roles": [{"name": "member"}]}, id="member"),
        pytest.param({**PROJECT, "roles": [{"name": "administrator"}]}, id="similar-role"),
        pytest.param({**PROJECT, "roles": []}, id="no-role"),
        pytest.param({**SYSTEM, "roles": [{"name": "reader"}]}, id="reader-of-the-system"),
        pytest.param({**PROJECT, "is_admin_project": False}, id="admin-of-another-project"),
        pytest.param({**PROJECT, "is_admin_project": None}, id="admin-project-unclear"),
    ],
)
def test_nobody_else_is_an_administrator(body: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        administrator(**body)
    assert caught.value.kind is Kind.ADMIN_MISSING


@pytest.mark.parametrize("body", [PROJECT, {**PROJECT, "is_admin_project": True}, SYSTEM])
def test_role_on_the_system_or_a_project_makes_one(body: dict[str, Any]) -> None:
    assert administrator(**body).user_id == "u"


async def test_made_up_tokens_wait_for_their_turn_at_keystone() -> None:
    running, most = 0, 0

    class Slow:
        async def understood(self, token: str, understand: object) -> Administrator:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1
            raise GatewayError(Kind.TOKEN_INVALID)

    room = administrators(Slow())
    heads = [RequestHead("GET", b"/v1/projects", b"", ((b"x-auth-token", b"t%d" % n),)) for n in range(50)]
    answers = await asyncio.gather(*map(room.administrator_of, heads), return_exceptions=True)
    assert {error.kind for error in answers if isinstance(error, GatewayError)} == {Kind.TOKEN_INVALID}
    assert most == 4


async def test_keystone_is_not_asked_about_what_cannot_be_a_token() -> None:
    head = RequestHead("GET", b"/v1/projects", b"", ((b"x-auth-token", b"hopeless"),))
    with pytest.raises(GatewayError) as caught:
        await administrators(None, fernet_only=True).administrator_of(head)
    assert caught.value.kind is Kind.TOKEN_INVALID
    assert caught.value.headers["WWW-Authenticate"] == 'Keystone uri="http://keystone.test"'


def administrators(keystone: Any, *, fernet_only: bool = False) -> Administrators:
    form = TokenForm(fernet_only=fernet_only, max_age_seconds=0, skew_seconds=0)
    return Administrators(
        keystone,
        Turns(4, wait_seconds=5),
        form,
        role="admin",
        service_type="function",
        www_authenticate_uri="http://keystone.test",
    )


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        ([], False),
        ([{"service": "function", "method": "GET", "path": "/v1/projects/**"}], False),
        ([{"service": "identity", "method": "PUT", "path": "/v1/projects/**"}], False),
        ([{"service": "function", "method": "PUT", "path": "/v1/projects/**"}], True),
    ],
)
def test_access_rules_bind_administrators_too(rules: list[dict[str, str]], allowed: bool) -> None:
    body = {**PROJECT, "application_credential": {"access_rules": rules}, "catalog": [{"type": "function"}]}
    if allowed:
        assert administrator(**body).scope == "project p"
        return
    with pytest.raises(GatewayError) as caught:
        administrator(**body)
    assert caught.value.kind is Kind.ACCESS_RULE
