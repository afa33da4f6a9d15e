"""Who is an administrator, by Keystone's description of a token."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from control.administrator import Administrator, Administrators
from gateway.errors import ErrorCode, GatewayError
from gateway.http.head import RequestHead
from gateway.identity.permissions import Permissions
from gateway.identity.validation_limiter import ValidationLimiter
from gateway.policy.names import Rule
from gateway.policy.policy import Policy
from gateway.settings.identity import IdentitySettings

HEAD = RequestHead("PUT", b"/v1/projects/p1", b"", ((b"x-auth-token", b"t"),))
PROJECT = {"project": {"id": "p"}}
SYSTEM = {"system": {"all": True}}
RULES = IdentitySettings(service_type="function")
LISTED = IdentitySettings(service_type="function", admin_projects=("p",))


POLICY = Policy(None)


async def administrator(
    rules: IdentitySettings = LISTED, /, *, policy: Policy = POLICY, rule: Rule = Rule.PROJECTS_ONBOARD, **body: Any
) -> Administrator:
    whole = {"user": {"id": "u", "name": "ann"}, "roles": [{"name": "admin"}, {"name": "member"}], **body}

    class Keystone:
        async def validate_as(self, token: str, parse: Any) -> Any:
            return parse(token, whole)

    return await administrators(Keystone(), rules, policy).administrator_of(HEAD, rule)


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
async def test_nobody_else_is_an_administrator(body: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        await administrator(**body)
    assert caught.value.kind is ErrorCode.ADMIN_REQUIRED


@pytest.mark.parametrize("flags", [{}, {"is_admin_project": True}])
async def test_no_project_makes_one_unless_it_is_listed(flags: dict[str, Any]) -> None:
    """Whoever administers a domain can give himself the role on a project of his own."""
    with pytest.raises(GatewayError) as caught:
        await administrator(RULES, **PROJECT, **flags)
    assert caught.value.kind is ErrorCode.ADMIN_REQUIRED


@pytest.mark.parametrize("rules", [RULES, LISTED])
async def test_role_on_the_system_makes_one(rules: IdentitySettings) -> None:
    assert await administrator(rules, **SYSTEM) == Administrator("u", "ann", "system")


@pytest.mark.parametrize("more", [{}, {"application_credential": {"id": "ac"}}, {"is_admin_project": False}])
async def test_role_on_a_listed_project_makes_one(more: dict[str, Any]) -> None:
    """An application credential is the administrator's own, with roles that he has; so it is taken there."""
    assert await administrator(**PROJECT, **more) == Administrator("u", "ann", "project p")


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
    answers = await asyncio.gather(
        *(checker.administrator_of(head, Rule.PROJECTS_LIST) for head in heads), return_exceptions=True
    )
    assert {error.kind for error in answers if isinstance(error, GatewayError)} == {ErrorCode.TOKEN_INVALID}
    assert most == 4


async def test_keystone_is_not_asked_about_what_cannot_be_a_token() -> None:
    head = RequestHead("GET", b"/v1/projects", b"", ((b"x-auth-token", b"hopeless"),))
    with pytest.raises(GatewayError) as caught:
        await administrators(None, fernet_only=True).administrator_of(head, Rule.PROJECTS_LIST)
    assert caught.value.kind is ErrorCode.TOKEN_INVALID
    assert caught.value.headers["WWW-Authenticate"] == 'Keystone uri="http://keystone.test"'


def administrators(
    keystone: Any, rules: IdentitySettings = RULES, policy: Policy = POLICY, *, fernet_only: bool = False
) -> Administrators:
    settings = rules.model_copy(update={"token_format": "fernet" if fernet_only else "any"})
    return Administrators(
        keystone,
        ValidationLimiter(4, wait_seconds=5),
        settings,
        Permissions(policy, settings),
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
async def test_access_rules_bind_administrators_too(rules: list[dict[str, str]], allowed: bool) -> None:
    body = {**PROJECT, "application_credential": {"access_rules": rules}, "catalog": [{"type": "function"}]}
    if allowed:
        assert (await administrator(**body)).scope == "project p"
        return
    with pytest.raises(GatewayError) as caught:
        await administrator(**body)
    assert caught.value.kind is ErrorCode.ACCESS_DENIED_BY_RULE


@pytest.mark.parametrize(
    ("text", "rule", "body", "allowed"),
    [
        ('"projects:list": "role:reader and system_scope:all"', Rule.PROJECTS_LIST, SYSTEM, True),
        # Only the rule that the file names.
        ('"projects:list": "role:reader and system_scope:all"', Rule.PROJECTS_OFFBOARD, SYSTEM, False),
        ('"projects:list": "role:reader and system_scope:all"', Rule.PROJECTS_LIST, PROJECT, False),
        # No rule opens it for these.
        ('"context_is_admin": "@"', Rule.PROJECTS_LIST, {}, False),
        ('"context_is_admin": "@"', Rule.PROJECTS_LIST, {"domain": {"id": "d"}}, False),
        ('"context_is_admin": "@"', Rule.PROJECTS_LIST, {**SYSTEM, "OS-TRUST:trust": {"id": "t"}}, False),
        ('"context_is_admin": "@"', Rule.PROJECTS_LIST, {**PROJECT, "methods": ["ec2credential"]}, False),
        ('"context_is_admin": "!"', Rule.PROJECTS_LIST, {**SYSTEM, "roles": [{"name": "admin"}]}, False),
    ],
)
async def test_policy_file_decides_who_administers(
    tmp_path: Path, text: str, rule: Rule, body: dict[str, Any], allowed: bool
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    token: dict[str, Any] = {"roles": [{"name": "reader"}], **body}
    if allowed:
        assert (await administrator(RULES, policy=Policy(path), rule=rule, **token)).user_id == "u"
        return
    with pytest.raises(GatewayError) as caught:
        await administrator(RULES, policy=Policy(path), rule=rule, **token)
    assert caught.value.kind is ErrorCode.ADMIN_REQUIRED
    assert f"'{rule}'" in caught.value.message
