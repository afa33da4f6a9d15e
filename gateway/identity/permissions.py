"""What a caller may do: the policy rules on a validated token."""

from collections.abc import Mapping
from typing import Any

from gateway.identity.caller import Caller
from gateway.policy.names import Rule
from gateway.policy.policy import Policy
from gateway.settings.identity import IdentitySettings


class Permissions:
    """Decides by policy rules. A verdict is kept with the caller, as long as these rules are in force."""

    def __init__(self, policy: Policy, settings: IdentitySettings) -> None:
        self._policy = policy
        self._settings = settings

    def allows(self, caller: Caller, rule: Rule) -> bool:
        """Whether a caller may do what the rule is about, in the project of its token."""
        rules = self._policy.current()
        kept = caller.verdicts.get(rule)
        if kept is None or kept[0] is not rules:
            credentials = credentials_of(caller, self._settings)
            kept = rules, rules.allows(rule, credentials, {"project_id": caller.project_id})
            caller.verdicts[rule] = kept
        return kept[1]

    def allows_administrator(self, caller: Caller, rule: Rule, *, system: bool) -> bool:
        """The same for what is in no project; `system`: whether the token is scoped to the system."""
        credentials = credentials_of(caller, self._settings, system=system)
        return self._policy.current().allows(rule, credentials, {})


def credentials_of(caller: Caller, settings: IdentitySettings, *, system: bool = False) -> Mapping[str, Any]:
    """The attributes of a token, as policy rules name them."""
    return {
        "user_id": caller.user_id,
        "project_id": caller.project_id,
        "project_domain_id": caller.domain_id,
        "roles": sorted(caller.roles),
        "system_scope": "all" if system else None,
        "is_admin_project": caller.project_id in settings.admin_projects,
        "is_service_project": caller.project_id in settings.service_projects,
    }
