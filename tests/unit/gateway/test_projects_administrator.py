"""Who is an administrator, by Keystone's description of a token."""

import asyncio
from typing import Any

import pytest

from control.administrator import Administrator, Administrators, administrator_from
from gateway.errors import ErrorCode, GatewayError
from gateway.http.head import RequestHead
from gateway.identity.validation_limiter import ValidationLimiter
from gateway.settings.identity import IdentitySettings

HEAD = RequestHead("PUT", b"/v1/projects/p1", b"", ())
PROJECT = {"project": {"id": "p"}}
SYSTEM = {"system": {"all": True}}
RULES = IdentitySettings(admin_role="admin", service_type="function")
LISTED = IdentitySettings(admin_role="admin", service_type="function", admin_projects=("p",))


def administrator(rules: IdentitySettings = LISTED, /, **body: Any) -> Administrator:
    whole = {"user": {"id": "u", "name": "ann"}, "roles": [{"name": "admin"}, {"name": "member"}], **body}
    return administrator_from("t", whole, HEAD, rules)


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
        pytest.param({"project": {"id": "other"}}, id="admin-of-another-project"),
        pytest.param({"project": {"id": "other"}, "is_admin_project": True}, id="admin-project-that-is-not-listed"),
        pytest.param({"project": {"id": ""}}, id="empty-project"),
        pytest.param({**SYSTEM, "OS-TRUST:trust": {"id": "t"}}, id="trust-on-the-system"),
        pytest.param({**PROJECT, "OS-TRUST:trust": {"id": "t"}}, id="trust"),
        pytest.param({**PROJECT, "OS-OAUTH1": {"consumer_id": "c"}}, id="oauth"),
        pytest.param({**PROJECT, "methods": ["ec2credential"]}, id="ec2-credential"),
    ],
)
def test_nobody_else_is_an_administrator(body: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        administrator(**body)
    assert caught.value.kind is ErrorCode.ADMIN_REQUIRED


@pytest.mark.parametrize("flags", [{}, {"is_admin_project": True}])
def test_no_project_makes_one_unless_it_is_listed(flags: dict[str, Any]) -> None:
    """Whoever administers a domain can give himself the role on a project of his own."""
    with pytest.raises(GatewayError) as caught:
        administrator(RULES, **PROJECT, **flags)
    assert caught.value.kind is ErrorCode.ADMIN_REQUIRED


@pytest.mark.parametrize("rules", [RULES, LISTED])
def test_role_on_the_system_makes_one(rules: IdentitySettings) -> None:
    assert administrator(rules, **SYSTEM) == Administrator("u", "ann", "system")


@pytest.mark.parametrize("more", [{}, {"application_credential": {"id": "ac"}}, {"is_admin_project": False}])
def test_role_on_a_listed_project_makes_one(more: dict[str, Any]) -> None:
    """An application credential is the administrator's own, with roles that he has; so it is taken there."""
    assert administrator(**PROJECT, **more) == Administrator("u", "ann", "project p")


async def test_made_up_tokens_wait_for_their_turn_at_keystone() -> None:
    running, most = 0, 0

    class Slow:
        async def validate_as(self, token: str, parse: object) -> Administrator:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1
            raise GatewayError(ErrorCode.TOKEN_INVALID)

    checker = administrators(Slow())
    heads = [RequestHead("GET", b"/v1/projects", b"", ((b"x-auth-token", b"t%d" % n),)) for n in range(50)]
    answers = await asyncio.gather(*map(checker.administrator_of, heads), return_exceptions=True)
    assert {error.kind for error in answers if isinstance(error, GatewayError)} == {ErrorCode.TOKEN_INVALID}
    assert most == 4


async def test_keystone_is_not_asked_about_what_cannot_be_a_token() -> None:
    head = RequestHead("GET", b"/v1/projects", b"", ((b"x-auth-token", b"hopeless"),))
    with pytest.raises(GatewayError) as caught:
        await administrators(None, fernet_only=True).administrator_of(head)
    assert caught.value.kind is ErrorCode.TOKEN_INVALID
    assert caught.value.headers["WWW-Authenticate"] == 'Keystone uri="http://keystone.test"'


def administrators(keystone: Any, *, fernet_only: bool = False) -> Administrators:
    settings = RULES.model_copy(update={"token_format": "fernet" if fernet_only else "any"})
    return Administrators(
        keystone,
        ValidationLimiter(4, wait_seconds=5),
        settings,
        auth_url="http://keystone.test",
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
    assert caught.value.kind is ErrorCode.ACCESS_DENIED_BY_RULE
