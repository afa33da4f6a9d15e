"""Seeds Keystone: domains, projects, users, roles, catalog, credentials. Returned as plain data."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from keystoneauth1.identity import v3
from keystoneauth1.session import Session

REGION = "RegionOne"
INTERFACES = ("public", "internal", "admin")
DOMAINS = ("Default", "physics")
# name → domain. One name is in both domains on purpose: names are not identities.
PROJECTS = (
    ("alice-project", "Default"),
    ("bob-project", "Default"),
    ("not-onboarded", "Default"),
    ("service", "Default"),
    ("alice-project", "physics"),
)
# user, domain, roles by project
USERS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("alice", "Default", "alice-project", ("manager",)),
    ("alice-member", "Default", "alice-project", ("member",)),
    ("alice-reader", "Default", "alice-project", ("reader",)),
    ("bob", "Default", "bob-project", ("manager",)),
    ("dave", "Default", "not-onboarded", ("member",)),
    ("carol", "physics", "alice-project", ("manager",)),
    ("swift", "Default", "service", ("service",)),
    ("osfaas", "Default", "service", ("service",)),
    ("dynafed", "Default", "alice-project", ("service", "reader")),
)


@dataclass(frozen=True, slots=True)
class Seed:
    """Ids and secrets by name.

    Attributes:
        domains: ids.
        projects: ids by `domain/name`.
        users: ids by user name.
        application_credentials: `[id, secret]` by name.
        ec2: `[access, secret]` of alice.
        endpoints: ids by `service type/interface`.
    """

    domains: dict[str, str]
    projects: dict[str, str]
    users: dict[str, str]
    application_credentials: dict[str, list[str]]
    ec2: list[str]
    endpoints: dict[str, str]

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Seed":
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def password_of(user: str) -> str:
    """Passwords are for loopback only."""
    return f"secret-{user}"


class Keystone:
    """The few calls that seeding needs."""

    def __init__(self, session: Session, auth_url: str) -> None:
        self._session = session
        self._url = auth_url

    def create(self, kind: str, **fields: Any) -> dict[str, Any]:
        body: dict[str, Any] = self._session.post(f"{self._url}/{kind}s", json={kind: fields}).json()
        found: dict[str, Any] = body[kind]
        return found

    def list(self, kind: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._session.get(f"{self._url}/{kind}s").json()[f"{kind}s"]
        return found

    def grant(self, project: str, user: str, role: str) -> None:
        self._session.put(f"{self._url}/projects/{project}/users/{user}/roles/{role}")

    def set_endpoint(self, endpoint: str, url: str) -> None:
        self._session.patch(f"{self._url}/endpoints/{endpoint}", json={"endpoint": {"url": url}})


def seed(session: Session, auth_url: str) -> Seed:
    """Fills an empty Keystone, as its administrator."""
    keystone = Keystone(session, auth_url)
    domains = {"Default": "default", "physics": keystone.create("domain", name="physics")["id"]}
    roles = {role["name"]: role["id"] for role in keystone.list("role")}
    projects = {
        f"{domain}/{name}": keystone.create("project", name=name, domain_id=domains[domain])["id"]
        for name, domain in PROJECTS
    }
    users = {}
    for name, domain, project, granted in USERS:
        users[name] = keystone.create("user", name=name, domain_id=domains[domain], password=password_of(name))["id"]
        for role in granted:
            keystone.grant(projects[f"{domain}/{project}"], users[name], roles[role])
    users["admin"] = next(user["id"] for user in keystone.list("user") if user["name"] == "admin")
    projects["Default/admin"] = next(
        project["id"] for project in keystone.list("project") if project["name"] == "admin"
    )
    endpoints = _catalog(keystone)
    alice = user_session(auth_url, "alice", users["alice"], projects["Default/alice-project"])
    return Seed(
        domains,
        projects,
        users,
        _application_credentials(alice, auth_url, users),
        _ec2(alice, auth_url, users, projects),
        endpoints,
    )


def _catalog(keystone: Keystone) -> dict[str, str]:
    endpoints = {}
    for service_type in ("object-store", "s3", "function"):
        service = keystone.create("service", type=service_type, name=service_type)
        for interface in INTERFACES:
            endpoint = keystone.create(
                "endpoint", service_id=service["id"], interface=interface, region_id=REGION, url="http://127.0.0.1:1"
            )
            endpoints[f"{service_type}/{interface}"] = endpoint["id"]
    identity = next(service["id"] for service in keystone.list("service") if service["type"] == "identity")
    for endpoint in keystone.list("endpoint"):
        if endpoint["service_id"] == identity:
            endpoints[f"identity/{endpoint['interface']}"] = endpoint["id"]
    return endpoints


def _application_credentials(alice: Session, auth_url: str, users: dict[str, str]) -> dict[str, list[str]]:
    url = f"{auth_url}/users/{users['alice']}/application_credentials"
    # The object store gets the same token, so the rules must allow it there too.
    rules = [
        {"service": "function", "method": "GET", "path": "/v1/checksums/**"},
        *({"service": "object-store", "method": method, "path": "/v1/**"} for method in ("HEAD", "GET")),
    ]
    made = {}
    for name, more in (("plain", {}), ("get-only", {"access_rules": rules}), ("no-store", {"access_rules": rules[:1]})):
        body = {"application_credential": {"name": name, **more}}
        entry = alice.post(url, json=body).json()["application_credential"]
        made[name] = [entry["id"], entry["secret"]]
    return made


def _ec2(alice: Session, auth_url: str, users: dict[str, str], projects: dict[str, str]) -> list[str]:
    url = f"{auth_url}/users/{users['alice']}/credentials/OS-EC2"
    entry = alice.post(url, json={"tenant_id": projects["Default/alice-project"]}).json()["credential"]
    return [entry["access"], entry["secret"]]


def user_session(auth_url: str, name: str, user_id: str, project_id: str) -> Session:
    """A project-scoped session of a seeded user."""
    return Session(v3.Password(auth_url, user_id=user_id, password=password_of(name), project_id=project_id))
