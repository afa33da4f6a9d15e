"""Sets our service up in Keystone: service, endpoints, roles, service users, registered limits.

Every step reads before it writes, so it can be repeated; it deletes nothing. Numbers, passwords and users that an
administrator has changed stay as they are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import openstack.exceptions
from keystoneauth1 import exceptions as ksa_exceptions

from policies.unified_limits import RESOURCES
from tenancy.model.errors import ProjectsError

# Of the id of an object that a dry run would create.
_NEW = ""
SERVICE_NAME, SERVICE_DESCRIPTION = "osfaas", "Functions"
SERVICE_PROJECT = "service"
ROLES = ("reader", "member", "manager", "service")


@dataclass(frozen=True, slots=True)
class ServiceUser:
    """A user of our programs.

    Attributes:
        name: in the domain of the set-up.
        role: its role.
        system: whether it has the role on the system; otherwise on the project of services.
    """

    name: str
    role: str
    system: bool = False


SERVICE_USERS = (ServiceUser("osfaas", "service"), ServiceUser("osfaas-controller", "reader", system=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One step: `created`, `changed` or `unchanged`, and what it is about."""

    state: str
    what: str


@dataclass
class KeystoneSetup:
    """The steps; each reports what it did, or in a dry run what it would do.

    Attributes:
        connection: openstacksdk's, of an administrator.
        service_type: of our service.
        region: of endpoints, and of limits if `limits_of_region`.
        report: is told of each step.
        dry_run: nothing is written.
        limits_of_region: whether limits are registered for the region alone.
        domain: id of the domain of the service users and their project.
    """

    connection: Any
    service_type: str
    report: Callable[[Change], None]
    region: str | None = None
    dry_run: bool = False
    limits_of_region: bool = False
    domain: str = "default"
    _ids: dict[str, str] = field(default_factory=dict)

    def service(self) -> str:
        """The id of the service.

        Raises:
            ProjectsError: Keystone did not answer, or refused; as all steps.
        """
        found = self._list("services", type=self.service_type)
        body = {"type": self.service_type, "name": SERVICE_NAME, "description": SERVICE_DESCRIPTION}
        return self._ensure("services", f"service {self.service_type}", found[0] if found else None, body)

    def endpoints(self, service: str, urls: Mapping[str, str]) -> None:
        """The endpoints, by interface; one with another URL gets the wanted one."""
        if not self.region:
            raise ProjectsError("endpoints need a region: --os-region-name, or OS_REGION_NAME")
        found = self._list("endpoints", service_id=service) if service else []
        self._ensure("regions", f"region {self.region}", self._region(), {"id": self.region})
        for interface, url in urls.items():
            old = next(
                (each for each in found if each["interface"] == interface and each["region_id"] == self.region), None
            )
            body = {"service_id": service, "interface": interface, "region_id": self.region, "url": url}
            self._ensure("endpoints", f"endpoint {interface} {url}", old, body, kept=("url",))

    def roles(self) -> None:
        """The roles that our programs and users have."""
        found = {role["name"]: role for role in self._list("roles")}
        for name in ROLES:
            self._ids[name] = self._ensure("roles", f"role {name}", found.get(name), {"name": name})

    def users(self) -> list[str]:
        """The service users, without a password; returns the names of those that were created."""
        made = []
        project = self._ensure(
            "projects",
            f"project {SERVICE_PROJECT}",
            self._named("projects", SERVICE_PROJECT),
            {"name": SERVICE_PROJECT, "domain_id": self.domain},
        )
        for user in SERVICE_USERS:
            old = self._named("users", user.name)
            if old is None:
                made.append(user.name)
            user_id = self._ensure("users", f"user {user.name}", old, {"name": user.name, "domain_id": self.domain})
            target = "system" if user.system else f"projects/{project}"
            where = "the system" if user.system else f"project {SERVICE_PROJECT}"
            path = f"/{target}/users/{user_id}/roles"
            has = user_id and project and any(role["name"] == user.role for role in self._get(path)["roles"])
            self._count("unchanged" if has else "created", f"role {user.role} of {user.name} on {where}")
            if not has and not self.dry_run:
                self._send("put", f"{path}/{self._ids[user.role]}")
        return made

    def limits(self, service: str, numbers: Mapping[str, int], *, overwrite: bool = False) -> None:
        """Registers limits, by name of the resource; existing ones keep their number unless `overwrite`."""
        region = self.region if self.limits_of_region else None
        found = self._list("registered_limits", service_id=service) if service else []
        described = {resource.name: resource.description for resource in RESOURCES}
        for name, number in numbers.items():
            old = next((each for each in found if each["resource_name"] == name and each["region_id"] == region), None)
            body = {
                "service_id": service,
                "region_id": region,
                "resource_name": name,
                "default_limit": number,
                "description": described[name],
            }
            kept = ("default_limit", "description") if overwrite else ("description",)
            shown = number if old is None or overwrite else old["default_limit"]
            self._ensure("registered_limits", f"registered limit {name} {shown}", old, body, kept=kept)

    def _ensure(
        self,
        kind: str,
        what: str,
        old: Mapping[str, Any] | None,
        body: Mapping[str, Any],
        *,
        kept: tuple[str, ...] = (),
    ) -> str:
        """The id of an object that has the values of `body`; of an existing one only those of `kept` are corrected."""
        wrong = {name: body[name] for name in kept if old is not None and old.get(name) != body[name]}
        if old is not None and not wrong:
            self._count("unchanged", what)
            return str(old["id"])
        self._count("created" if old is None else "changed", what)
        if self.dry_run:
            return _NEW if old is None else str(old["id"])
        one = kind.removesuffix("s")
        if old is not None:
            self._send("patch", f"/{kind}/{old['id']}", {one: wrong})
            return str(old["id"])
        # Limits are created as a list.
        many = kind == "registered_limits"
        made = self._send("post", f"/{kind}", {kind: [body]} if many else {one: dict(body)})
        return str((made[kind][0] if many else made[one])["id"])

    def _count(self, state: str, what: str) -> None:
        self.report(Change(state=state, what=what))

    def _region(self) -> Mapping[str, Any] | None:
        return next((each for each in self._list("regions") if each["id"] == self.region), None)

    def _named(self, kind: str, name: str) -> Mapping[str, Any] | None:
        # The filter is not trusted: a server that ignores it would return any object.
        found = self._list(kind, name=name, domain_id=self.domain)
        return next((each for each in found if each["name"] == name and each["domain_id"] == self.domain), None)

    def _list(self, kind: str, **filters: str) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self._get(f"/{kind}?{urlencode(filters)}")[kind]
        return found

    def _get(self, path: str) -> Mapping[str, Any]:
        return self._send("get", path)

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        more = {} if body is None else {"json": body}
        try:
            response = getattr(self.connection.identity, method)(path, **more)
            openstack.exceptions.raise_from_response(response)
            answer: Mapping[str, Any] = response.json() if response.content else {}
        except (openstack.exceptions.SDKException, ksa_exceptions.ClientException, ValueError) as error:
            raise ProjectsError(f"Keystone: {error}") from error
        return answer
