"""Each route of functions, secrets and triggers asks its policy rule."""

from pathlib import Path

import pytest
from oslo_policy.policy import DocumentedRuleDefault

from gateway.identity.permissions import Permissions
from gateway.policy.defaults import DEFAULTS
from gateway.policy.names import Rule
from gateway.policy.policy import Policy
from gateway.settings.identity import IdentitySettings
from tests.unit.control.functions_api import Api, code

FAMILIES = ("functions:", "secrets:", "triggers:")
OPERATIONS = [
    pytest.param(rule, each["method"], each["path"], id=f"{each['method']} {each['path']}")
    for rule in DEFAULTS
    if isinstance(rule, DocumentedRuleDefault) and rule.name.startswith(FAMILIES) and rule.name != Rule.FUNCTIONS_INVOKE
    for each in rule.operations
]


@pytest.fixture
def api() -> Api:
    return Api()


def restrict(api: Api, folder: Path, text: str) -> None:
    """The rules of the API become those of a file."""
    path = folder / "policy.yaml"
    path.write_text(text)
    api.authenticator._permissions = Permissions(Policy(path), IdentitySettings())


@pytest.mark.parametrize(("rule", "method", "path"), OPERATIONS)
async def test_route_is_refused_by_its_rule_and_by_no_other(
    api: Api, tmp_path: Path, rule: DocumentedRuleDefault, method: str, path: str
) -> None:
    path = path.replace("{name}", "hello").replace("{trigger}", "uploads")
    restrict(api, tmp_path, f'"{rule.name}": "!"')
    response = await api.call(method, path, {})
    assert (response.status_code, code(response)) == (403, "role.missing")
    assert f"'{rule.name}'" in response.json()["error"]["message"]
    others = "\n".join(f'"{each.name}": "!"' for each in DEFAULTS if each.name != rule.name)
    restrict(api, tmp_path, f'{others}\n"{rule.name}": "role:member"')
    response = await api.call(method, path, {})
    assert response.status_code not in {401, 403}, response.text
