"""The local cloud: one context manager that the demo and the tests share."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from keystoneauth1.identity import v3
from keystoneauth1.session import Session

from localcloud.errors import CloudError
from localcloud.keystone import keystone_service, template_name
from localcloud.ports import free_ports
from localcloud.seed import INTERFACES, REGION, USERS, Keystone, Seed, password_of, seed, user_session
from localcloud.services import Service
from localcloud.swift import SwiftPorts, swift_services

DEFAULT_HOME = Path(__file__).resolve().parents[1] / ".cache" / "localcloud"


@dataclass(frozen=True, slots=True)
class User:
    """A user with a project."""

    name: str
    id: str
    password: str
    domain_id: str
    project_id: str
    project_name: str


@dataclass(frozen=True)
class LocalCloud:
    """A running cloud.

    Attributes:
        auth_url: Keystone, ending in `/v3`.
        swift_url: Swift's proxy, which answers S3 as well.
        gateway_port: reserved for a gateway or the Envoy in front of it; the catalog's `function` endpoint has it.
        services: the processes, by name, for tests that kill them.
        clouds_yaml: credentials of every user, for `OS_CLIENT_CONFIG_FILE` with `OS_CLOUD`.
        bin: folder with `openstack`, `swift`, `envoy`.
    """

    state: Path
    auth_url: str
    swift_url: str
    gateway_port: int
    users: Mapping[str, User]
    seed: Seed
    services: Mapping[str, Service]
    clouds_yaml: Path
    bin: Path
    region: str = REGION

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    def account_url(self, user: str) -> str:
        """Swift account of the user's project."""
        return f"{self.swift_url}/v1/AUTH_{self.users[user].project_id}"

    def session(self, user: str) -> Session:
        """A project-scoped session."""
        known = self.users[user]
        if user == "admin":
            return _admin_session(self.auth_url)
        return user_session(self.auth_url, known.name, known.id, known.project_id)

    def token(self, user: str) -> str:
        """A fresh project-scoped token."""
        return _token(self.session(user))

    def unscoped_token(self, user: str) -> str:
        known = self.users[user]
        return _token(Session(v3.Password(self.auth_url, user_id=known.id, password=known.password, unscoped=True)))

    def system_token(self) -> str:
        """A token of the administrator that is scoped to the system."""
        plugin = v3.Password(
            self.auth_url,
            user_id=self.users["admin"].id,
            password=password_of("admin"),
            system_scope="all",
        )
        return _token(Session(plugin))

    def application_credential_token(self, name: str) -> str:
        """A token from one of alice's application credentials: `plain`, `get-only` or `no-store`."""
        identifier, secret = self.seed.application_credentials[name]
        plugin = v3.ApplicationCredential(
            self.auth_url, application_credential_id=identifier, application_credential_secret=secret
        )
        return _token(Session(plugin))

    def revoke(self, token: str) -> None:
        """Revokes a token, as its owner."""
        Session().delete(f"{self.auth_url}/auth/tokens", headers={"X-Auth-Token": token, "X-Subject-Token": token})

    def keystone_requests(self, method: str, path: str, *, agent: str = "") -> int:
        """Number of requests with this method, path and User-Agent that Keystone has answered so far."""
        wanted = f"{method} {path} "
        with (self.state / "keystone" / "access.log").open(encoding="utf-8") as lines:
            return sum(line.startswith(wanted) and agent in line for line in lines)


@contextlib.contextmanager
def local_cloud(
    *,
    state: Path | None = None,
    home: Path = DEFAULT_HOME,
    address: str = "127.0.0.1",
    progress: Callable[[str], None] = lambda _: None,
) -> Iterator[LocalCloud]:
    """Runs Keystone and Swift on free ports; they end with the block, or with this process.

    Args:
        address: listen address of Keystone and Swift's proxy; all other servers listen on loopback.
        state: folder for databases, objects and logs; default: a temporary one that is removed at the end.
        home: folder in which `install.sh` put the programs.
        progress: called with each step.

    Raises:
        CloudError: a service did not start.
    """
    if not all((home / "venv" / "bin" / program).exists() for program in ("gunicorn", "envoy")):
        raise CloudError(f"{home}/venv is incomplete: run 'make install'")
    with contextlib.ExitStack() as stack:
        if state is None:
            state = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="localcloud-")))
        services: dict[str, Service] = {}
        stack.callback(_stop_all, services)
        yield _start(state, home, address=address, services=services, progress=progress)


def _start(
    state: Path,
    home: Path,
    *,
    address: str,
    services: dict[str, Service],
    progress: Callable[[str], None],
) -> LocalCloud:
    venv = home / "venv"
    keystone_port, memcached_port, gateway_port, *swift_ports = free_ports(7)
    ports = SwiftPorts(*swift_ports)
    auth_url, swift_url = f"http://{address}:{keystone_port}/v3", f"http://{address}:{ports.proxy}"
    template = home / template_name(venv)
    fresh = not template.exists()
    memcached = ["memcached", "-u", "root", "-l", "127.0.0.1", "-p", str(memcached_port), "-U", "0", "-m", "64"]

    def add(service: Service) -> None:
        services[service.name] = service
        service.start()

    add(Service("memcached", memcached, memcached_port, state))
    progress("Swift: object, container, account and proxy servers")
    swift = swift_services(
        state=state,
        python=venv / "bin" / "python",
        address=address,
        ports=ports,
        memcached=memcached_port,
        auth_url=auth_url,
        password=password_of("swift"),
    )
    for service in swift:
        add(service)
    progress("Keystone: creating its database, once" if fresh else "Keystone: database from the template")
    keystone = keystone_service(
        state=state,
        venv=venv,
        address=address,
        port=keystone_port,
        memcached=memcached_port,
        template=template,
        prepare=fresh,
    )
    add(keystone)
    keystone.wait()
    seeded = _seeded(state, auth_url, template, fresh=fresh)
    progress("Keystone: catalog")
    _point_endpoints(auth_url, seeded, swift_url, f"http://127.0.0.1:{gateway_port}")
    for service in swift:
        service.wait()
    users = {user.name: user for user in _users(seeded)}
    clouds_yaml = state / "clouds.yaml"
    clouds_yaml.write_text(yaml.safe_dump(_clouds(auth_url, users)), encoding="utf-8")
    cloud = LocalCloud(state, auth_url, swift_url, gateway_port, users, seeded, services, clouds_yaml, venv / "bin")
    # Keystone stores the day of each user's last login. Two first logins of a day at the same time deadlock in SQLite,
    # and one of them gets a 500; so each user logs in once here.
    for user in users:
        cloud.token(user)
    return cloud


def _stop_all(services: Mapping[str, Service]) -> None:
    for service in reversed(list(services.values())):
        service.stop()


def _seeded(state: Path, auth_url: str, template: Path, *, fresh: bool) -> Seed:
    """The content of Keystone; a fresh one is seeded, and becomes the template of the next."""
    if not fresh:
        return Seed.load(template / "seed.json")
    seeded = seed(_admin_session(auth_url), auth_url)
    # Another process may be doing the same: the folder is renamed atomically, and the first one wins.
    with tempfile.TemporaryDirectory(dir=template.parent) as making:
        draft = Path(making) / "draft"
        shutil.copytree(state / "keystone", draft / "keystone")
        seeded.save(draft / "seed.json")
        with contextlib.suppress(OSError):
            os.rename(draft, template)  # noqa: PTH104 - the same as Path.rename
    return seeded


def _point_endpoints(auth_url: str, seeded: Seed, swift_url: str, gateway_url: str) -> None:
    keystone = Keystone(_admin_session(auth_url), auth_url)
    urls = {
        "identity": auth_url,
        "object-store": f"{swift_url}/v1/AUTH_%(project_id)s",
        "s3": swift_url,
        "function": gateway_url,
    }
    for service_type, url in urls.items():
        for interface in INTERFACES:
            keystone.set_endpoint(seeded.endpoints[f"{service_type}/{interface}"], url)


def _users(seeded: Seed) -> Iterator[User]:
    for name, domain, project, _roles in (*USERS, ("admin", "Default", "admin", ())):
        yield User(
            name=name,
            id=seeded.users[name],
            password=password_of(name),
            domain_id=seeded.domains[domain],
            project_id=seeded.projects[f"{domain}/{project}"],
            project_name=project,
        )


def _clouds(auth_url: str, users: Mapping[str, User]) -> dict[str, object]:
    return {
        "clouds": {
            name: {
                "auth": {
                    "auth_url": auth_url,
                    "username": user.name,
                    "password": user.password,
                    "user_domain_id": user.domain_id,
                    "project_id": user.project_id,
                },
                "region_name": REGION,
                "identity_api_version": 3,
            }
            for name, user in users.items()
        }
    }


def _admin_session(auth_url: str) -> Session:
    return Session(
        v3.Password(
            auth_url,
            username="admin",
            password=password_of("admin"),
            user_domain_id="default",
            project_name="admin",
            project_domain_id="default",
        )
    )


def _token(session: Session) -> str:
    token = session.get_token()
    if token is None:
        raise CloudError("Keystone issued no token")
    return token
