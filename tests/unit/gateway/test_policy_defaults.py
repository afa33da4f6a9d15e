"""The defaults of the policy rules, and that every route is in one."""

import pytest
from oslo_policy import generator
from oslo_policy.policy import DocumentedRuleDefault
from starlette.routing import Route

from control.app import _routes as admin_routes
from control.functions.app import _routes as function_routes
from control.registry.routes import PATH as REGISTRY
from gateway.http.metrics import Metrics
from gateway.policy.defaults import DEFAULTS
from gateway.policy.names import Rule
from gateway.policy.rules import load_rules
from gateway.policy.tools import get_enforcer
from gateway.server.app import routes as gateway_routes
from gateway.settings import Settings

PROJECT = {"user_id": "u", "project_id": "p", "project_domain_id": "d", "system_scope": None}
FLAGS = {"is_admin_project": False, "is_service_project": False}
TOKENS = {
    "nobody": {**PROJECT, **FLAGS, "roles": ["guest"]},
    "reader": {**PROJECT, **FLAGS, "roles": ["reader"]},
    "member": {**PROJECT, **FLAGS, "roles": ["member"]},
    "manager": {**PROJECT, **FLAGS, "roles": ["manager"]},
    "service": {**PROJECT, **FLAGS, "roles": ["service", "other"], "is_service_project": True},
    # Keystone expands what a role implies.
    "member and service": {**PROJECT, **FLAGS, "roles": ["member", "reader", "service"], "is_service_project": True},
    "reader and service": {**PROJECT, **FLAGS, "roles": ["reader", "service"], "is_service_project": True},
    "administrator and service": {
        **PROJECT,
        **FLAGS,
        "roles": ["admin", "manager", "member", "reader", "service"],
        "is_service_project": True,
    },
    "member and service elsewhere": {**PROJECT, **FLAGS, "roles": ["member", "reader", "service"]},
    "service elsewhere": {**PROJECT, **FLAGS, "roles": ["service"]},
    "member of a project of services": {**PROJECT, **FLAGS, "roles": ["member"], "is_service_project": True},
    "admin of a project": {**PROJECT, **FLAGS, "roles": ["admin"]},
    "admin": {**PROJECT, **FLAGS, "roles": ["admin"], "is_admin_project": True},
    "admin of the system": {**PROJECT, **FLAGS, "roles": ["admin"], "project_id": "", "system_scope": "all"},
    "reader of the system": {**PROJECT, **FLAGS, "roles": ["reader"], "project_id": "", "system_scope": "all"},
}
MEMBERS = {"member", "member of a project of services", "member and service elsewhere"}
# In a listed project they are services, whatever else they are, and services only.
SERVICES = {"service", "member and service", "reader and service", "administrator and service"}
READERS = {*MEMBERS, "reader"}
ADMINS = {"admin", "admin of the system"}
# Written by hand, as the pages promise it.
EXPECTED = {
    Rule.FUNCTIONS_INVOKE: MEMBERS,
    Rule.CHECKSUMS_GET: MEMBERS | SERVICES,
    Rule.CHECKSUMS_LIST: MEMBERS | SERVICES,
    Rule.EVENTS_SEND: MEMBERS | SERVICES,
    Rule.LIMITS_GET: READERS | SERVICES,
    Rule.USAGE_GET: READERS,
    Rule.OPERATIONS_LIST: READERS,
    Rule.OPERATIONS_GET: READERS,
    Rule.OPERATIONS_GET_RESULT: MEMBERS,
    Rule.OPERATIONS_CANCEL: MEMBERS,
    Rule.OPERATIONS_RETRY: MEMBERS,
    Rule.CALLBACK_KEY_GET: MEMBERS,
    Rule.SWEEPS_LIST: READERS,
    Rule.SWEEPS_GET: READERS,
    Rule.SWEEPS_CREATE: MEMBERS,
    Rule.FUNCTIONS_LIST: READERS,
    Rule.FUNCTIONS_GET: READERS,
    Rule.FUNCTIONS_GET_LOGS: READERS,
    Rule.FUNCTIONS_PUT: MEMBERS,
    Rule.FUNCTIONS_PUT_SOURCE: MEMBERS,
    Rule.FUNCTIONS_UPDATE: MEMBERS,
    Rule.FUNCTIONS_DELETE: MEMBERS,
    Rule.SECRETS_LIST: READERS,
    Rule.SECRETS_GET: READERS,
    Rule.SECRETS_PUT: MEMBERS,
    Rule.SECRETS_DELETE: MEMBERS,
    Rule.TRIGGERS_LIST: READERS,
    Rule.TRIGGERS_GET: READERS,
    Rule.TRIGGERS_PUT: MEMBERS,
    Rule.TRIGGERS_DELETE: MEMBERS,
    Rule.REGISTRY_PULL: READERS,
    Rule.REGISTRY_PUSH: MEMBERS,
    Rule.PROJECTS_LIST: ADMINS,
    Rule.PROJECTS_GET: ADMINS,
    Rule.PROJECTS_ONBOARD: ADMINS,
    Rule.PROJECTS_UPDATE: ADMINS,
    Rule.PROJECTS_OFFBOARD: ADMINS,
    Rule.USAGE_GET_ALL: ADMINS,
}
BASE = (Rule.CONTEXT_IS_ADMIN, Rule.PROJECT_MEMBER, Rule.PROJECT_READER, Rule.SERVICE_ROLE, Rule.SERVICE_CALLER)
# Routes that everybody may ask.
PUBLIC = {
    "/",
    "/v1",
    "/v1/",
    "/healthcheck",
    "/readyz",
    "/metrics",
    "/metrics/functions/{namespace}",
    "/v1/openapi.json",
    "/v1/info",
    "/v1/functions/openapi.json",
}


@pytest.mark.parametrize("rule", EXPECTED)
def test_default_allows_whom_it_should(rule: Rule) -> None:
    rules = load_rules(None)
    target = {} if EXPECTED[rule] is ADMINS else {"project_id": "p"}
    assert {name for name, token in TOKENS.items() if rules.allows(rule, token, target)} == EXPECTED[rule]


def test_every_rule_has_one_default_and_an_expectation() -> None:
    assert [each.name for each in DEFAULTS] == [rule.value for rule in Rule]
    assert set(EXPECTED) | set(BASE) == set(Rule)
    # The stock tools show what this class has.
    assert {each.name for each in DEFAULTS if isinstance(each, DocumentedRuleDefault)} == set(EXPECTED)


def operations() -> set[tuple[str, str]]:
    return {
        (each["method"], each["path"].replace("{", "x").replace("}", "x"))
        for default in DEFAULTS
        if isinstance(default, DocumentedRuleDefault)
        for each in default.operations
    }


def all_routes() -> list[Route]:
    settings, directory = Settings(), None
    return [
        *gateway_routes(settings, Metrics()),
        *function_routes(settings, Metrics(), directory),  # type: ignore[arg-type]
        *admin_routes(settings, Metrics()),
        Route(REGISTRY, lambda _: None, methods=["GET"]),
    ]


def test_every_route_is_an_operation_of_a_rule_and_every_operation_is_a_route() -> None:
    found = operations()
    routes = [route for route in all_routes() if route.path not in PUBLIC]
    for route in routes:
        # A rule says nothing of HEAD beside GET where nobody sends it, nor of a slash at the end.
        for method in set(route.methods or ()) - {"HEAD", "TRACE", "CONNECT"}:
            path = route.path.rstrip("/")
            same = [each for each in routes if each.path.rstrip("/") == path]
            assert any(
                method == known and any(each.path_regex.match(path_) for each in same) for known, path_ in found
            ), (method, route.path)
    for method, path in found:
        assert any(method in (route.methods or ()) and route.path_regex.match(path) for route in routes), (method, path)


def test_stock_tools_find_the_rules(tmp_path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """`oslopolicy-sample-generator --namespace osfaas`, and `-validator`, by the entry points of the distribution."""
    assert {each.name for each in generator.get_policies_dict(["osfaas"])["osfaas"]} == {rule.value for rule in Rule}
    path = tmp_path / "policy.yaml"
    path.write_text('"checksums:get": "role:auditor"\n')
    monkeypatch.setenv("OSFAAS_POLICY_FILE", str(path))
    assert get_enforcer().policy_file == str(path)
    assert generator._validate_policy("osfaas") == 0
    path.write_text('"checksum:get": "role:auditor"\n')
    assert generator._validate_policy("osfaas") == 1
    assert "Unknown rule found in policy file: checksum:get" in capsys.readouterr().out


def test_no_two_rules_have_one_operation() -> None:
    """But the token of the registry, which is for both."""
    seen: dict[tuple[str, str], list[str]] = {}
    for default in DEFAULTS:
        for each in getattr(default, "operations", ()):
            seen.setdefault((each["method"], each["path"]), []).append(default.name)
    twice = {key: names for key, names in seen.items() if len(names) > 1}
    # Usage is served by two processes.
    assert twice == {
        ("GET", "/v1/usage"): ["usage:get", "usage:get_all"],
        ("GET", REGISTRY): ["registry:pull", "registry:push"],
    }
