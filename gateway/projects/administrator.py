"""Who may onboard and offboard projects: a token with the role for it, on the system or on a project."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.edge.head import RequestHead
from gateway.errors import GatewayError, Kind
from gateway.identity import access_rules
from gateway.identity.caller import AccessRule, Caller
from gateway.identity.keystone import Keystone
from gateway.identity.tokens import TokenForm, token_of
from gateway.identity.turns import Turns
from policies.names import ProjectId


@dataclass(frozen=True, slots=True)
class Administrator:
    """The one who asks; ids and a name for the audit record."""

    user_id: str
    user_name: str
    scope: str


class Administrators:
    """Knows administrators by their tokens.

    Keystone is asked each time: there are few such calls, and much power. What cannot be a token is refused before, and
    the others wait for their turn, because everybody may send some.
    """

    def __init__(
        self,
        keystone: Keystone,
        turns: Turns,
        form: TokenForm,
        *,
        role: str,
        service_type: str,
        www_authenticate_uri: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keystone = keystone
        self._turns = turns
        self._form = form
        self._clock = clock
        self._role = role
        self._service_type = service_type
        self._www_authenticate_uri = www_authenticate_uri

    async def administrator_of(self, head: RequestHead) -> Administrator:
        """The administrator who makes a request.

        Raises:
            GatewayError: TOKEN_*, KEYSTONE_UNAVAILABLE, ADMIN_MISSING, ACCESS_RULE.
        """

        def understand(token: str, body: Mapping[str, Any]) -> Administrator:
            return administrator_from(token, body, head, role=self._role, service_type=self._service_type)

        try:
            token = token_of(head)
            self._form.refuse_hopeless(token, now=self._clock())
            async with self._turns.one():
                return await self._keystone.understood(token, understand)
        except GatewayError as error:
            if error.kind.status == Kind.TOKEN_MISSING.status:
                error.headers["WWW-Authenticate"] = f'Keystone uri="{self._www_authenticate_uri}"'
            raise


def administrator_from(
    token: str, body: Mapping[str, Any], head: RequestHead, *, role: str, service_type: str
) -> Administrator:
    """The administrator in Keystone's description of a token.

    A cloud that has named an admin project says of each token whether it is of that project; the role on another one
    is then not an administrator's. A domain's administrator is none of the cloud's.

    Raises:
        GatewayError: ADMIN_MISSING, ACCESS_RULE.
        KeyError, TypeError: it is not such a description.
    """
    system = bool((body.get("system") or {}).get("all"))
    project = body.get("project")
    scoped = system or (project is not None and body.get("is_admin_project", True) is True)
    roles = frozenset(each["name"] for each in body.get("roles", ()))
    if not scoped or role not in roles:
        raise GatewayError(Kind.ADMIN_MISSING, role=role)
    user = body["user"]
    rules = (body.get("application_credential") or {}).get("access_rules")
    caller = Caller(
        token=token,
        user_id=user["id"],
        user_name=user["name"],
        project_id=ProjectId(project["id"] if project else ""),
        project_name="",
        roles=roles,
        expires_at=0,
        service_types=frozenset(service["type"] for service in body.get("catalog", ())),
        access_rules=None
        if rules is None
        else tuple(AccessRule(rule["service"], rule["method"], rule["path"]) for rule in rules),
    )
    if not access_rules.allows(caller, service_type=service_type, method=head.method, path=head.path.decode("ascii")):
        raise GatewayError(Kind.ACCESS_RULE, method=head.method, service=service_type)
    return Administrator(user["id"], user["name"], "system" if system else f"project {caller.project_id}")
