"""Limits in a real Keystone: registered by our command, set by an administrator, in force in the gateway."""

import asyncio
import collections
import contextlib
import datetime as dt
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import httpx
import pytest
import yaml
from conftest import Gateway
from echo import echo

from localcloud import LocalCloud
from localcloud.ports import free_ports
from localcloud.services import Service
from localcloud.stack import running
from policies.model import TenantSpec
from policies.names import ProjectId
from tenancy.controller.project_states import ProjectStates
from tenancy.controller.report import ReconcileResult, status_of, status_patch
from tenancy.keystone_projects import connect_projects
from tenancy.model.record import TenantRecord, manifest_of
from tests.machine import scaled
from tests.unit.control.functions_api import IMAGE

CHECKOUT = Path(__file__).resolve().parents[2]

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
SETTINGS = {"OSFAAS_UNIFIED_LIMITS_SECONDS": "0.5", "OSFAAS_LIMIT_WAIT_SECONDS": "0"}
CONCURRENCY = "function_concurrency"
# Of concurrent calls, for one project.
LIMIT = 7


def osfaas(cloud: LocalCloud, *words: str) -> str:
    """What a command prints for the administrator."""
    env = {**os.environ, "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml), "OS_CLOUD": "admin"}
    command = [sys.executable, "-m", "client.cli", *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=scaled(120), check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Administrator:
    """Limits as `openstack limit create|set|delete` changes them."""

    def __init__(self, cloud: LocalCloud) -> None:
        self._session, self._url = cloud.session("admin"), cloud.auth_url
        catalog = self._session.get(f"{self._url}/services?type=function").json()
        self.service = catalog["services"][0]["id"]

    def limit(self, number: int, resource: str = CONCURRENCY, **owner: str) -> str:
        """The id of a new limit."""
        entry = {"service_id": self.service, "resource_name": resource, "resource_limit": number, **owner}
        made = self._session.post(f"{self._url}/limits", json={"limits": [entry]}).json()
        return str(made["limits"][0]["id"])

    def delete(self, kind: str, each: str) -> None:
        self._session.delete(f"{self._url}/{kind}/{each}")

    def ids(self, kind: str) -> list[str]:
        found = self._session.get(f"{self._url}/{kind}?service_id={self.service}").json()[kind]
        return [each["id"] for each in found]

    def register(self, number: int, resource: str = CONCURRENCY) -> None:
        entry = {"service_id": self.service, "resource_name": resource, "default_limit": number}
        self._session.post(f"{self._url}/registered_limits", json={"registered_limits": [entry]})

    def clear(self) -> None:
        for kind in ("limits", "registered_limits"):
            for each in self.ids(kind):
                self.delete(kind, each)


@pytest.fixture
def admin(cloud: LocalCloud) -> Iterator[Administrator]:
    made = Administrator(cloud)
    try:
        yield made
    finally:
        made.clear()


@pytest.fixture
def strict(cloud: LocalCloud) -> Iterator[None]:
    """Keystone with the model `strict_two_level`; afterwards as it was."""
    conf, keystone = cloud.state / "keystone" / "keystone.conf", cloud.services["keystone"]
    usual = conf.read_text(encoding="utf-8")
    try:
        conf.write_text(f"{usual}[unified_limit]\nenforcement_model = strict_two_level\n", encoding="utf-8")
        keystone.kill()
        keystone.restart()
        yield
    finally:
        conf.write_text(usual, encoding="utf-8")
        keystone.kill()
        keystone.restart()


class Held:
    """A function that answers when it is told so."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.running = self.most = 0
        self._lock = threading.Lock()

    def answer(self, connection, seen) -> None:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.free.wait(scaled(60))
        with self._lock:
            self.running -= 1
        connection.sendall(EMPTY)


@contextlib.contextmanager
def gateways_of(
    start_gateway, cloud: LocalCloud, held: Held, *, count: int = 1, **settings: str
) -> Iterator[list[Gateway]]:
    """Gateways with the function `echo` of alice and of bob."""
    with contextlib.ExitStack() as stack:
        backend = stack.enter_context(echo(held.answer))
        made = [stack.enter_context(start_gateway(**{**SETTINGS, **settings})) for _ in range(count)]
        function = {"echo": {"url": backend.url, "callable": True}}
        projects = (cloud.users[user].project_id for user in ("alice", "bob"))
        tenants = [{"project_id": project, "functions": function} for project in projects]
        for gateway in made:
            gateway.tenants.write_text(yaml.safe_dump({"tenants": tenants}), encoding="utf-8")
        time.sleep(1.1)
        yield made


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + scaled(60)
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def seen_by(gateway: Gateway, token: str) -> tuple[int, str]:
    """The limit of concurrent calls, and its source."""
    document = gateway.get("/v1/limits", token).json()
    return document["usage"]["concurrent_calls"]["limit"], document["sources"][CONCURRENCY]


async def calls(made: list[Gateway], token: str, number: int) -> collections.Counter[int]:
    """Statuses of so many calls at once, to the gateways in turn."""
    timeout = aiohttp.ClientTimeout(total=scaled(120))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as client:

        async def one(each: int) -> int:
            url = f"{made[each % len(made)].url}/v1/invoke/echo/"
            async with client.get(url, headers={"X-Auth-Token": token}) as response:
                await response.read()
                return response.status

        return collections.Counter(await asyncio.gather(*map(one, range(number))))


async def at_the_edge(made: list[Gateway], held: Held, token: str, *, number: int, limit: int) -> None:
    """Of so many calls at once, as many as the limit allows run, and no more at any time."""
    held.free.clear()
    held.most, before = 0, refused(made)
    asked = asyncio.create_task(calls(made, token, number))
    await asyncio.to_thread(until, lambda: held.running >= limit and refused(made) - before >= number - limit)
    held.free.set()
    seen = await asked
    assert seen == {200: limit, 429: number - limit}
    assert held.most == limit


def refused(made: list[Gateway]) -> float:
    words = {"limit": "concurrent_calls", "outcome": "rejected"}
    return sum(gateway.metric("osfaas_limit_decisions_total", **words) for gateway in made)


async def test_limits_of_keystone_are_in_force_and_go_away_again(start_gateway, cloud, admin, alice) -> None:
    """Registered, set, at the edge, while Keystone is away, deleted."""
    held = Held()
    with gateways_of(start_gateway, cloud, held) as (gateway,):
        assert seen_by(gateway, alice) == (32, "gateway")
        planned = osfaas(cloud, "limits", "register", "--dry-run", f"{CONCURRENCY}=20", "functions")
        assert "would create: registered limit function_concurrency 20" in planned
        assert admin.ids("registered_limits") == []
        done = osfaas(cloud, "limits", "register", f"{CONCURRENCY}=20", "functions")
        assert done.splitlines() == [
            "unchanged: service function",
            "created: registered limit function_concurrency 20",
            "created: registered limit functions 10",
        ]
        again = osfaas(cloud, "limits", "register", CONCURRENCY, "functions")
        assert again.splitlines()[1:] == [
            "unchanged: registered limit function_concurrency 20",
            "unchanged: registered limit functions 10",
        ]
        until(lambda: seen_by(gateway, alice) == (20, "registered_limit"))
        own = admin.limit(7, project_id=cloud.users["alice"].project_id)
        until(lambda: seen_by(gateway, alice) == (7, "project_limit"))
        await at_the_edge([gateway], held, alice, number=60, limit=7)
        # What is not registered keeps the number of before.
        sources = gateway.get("/v1/limits", alice).json()["sources"]
        assert sources["function_requests_per_second"] == "gateway"

        unusable = gateway.metric("osfaas_unified_limit_reads_total", result="unusable")
        cloud.services["keystone"].kill()
        try:
            until(lambda: gateway.metric("osfaas_unified_limit_reads_total", result="unusable") >= unusable + 3)
            assert seen_by(gateway, alice) == (7, "project_limit")
        finally:
            cloud.services["keystone"].restart()
        admin.delete("limits", own)
        until(lambda: seen_by(gateway, alice) == (20, "registered_limit"))
        admin.clear()
        until(lambda: seen_by(gateway, alice) == (32, "gateway"))


async def test_projects_of_a_domain_share_its_limit(start_gateway, cloud, strict, admin) -> None:
    """The domain has 10, two of its projects 6 each: the eleventh call is refused in either."""
    held = Held()
    alice, bob = cloud.token("alice"), cloud.token("bob")
    admin.register(10)
    for user in ("alice", "bob"):
        admin.limit(6, project_id=cloud.users[user].project_id)
    with gateways_of(start_gateway, cloud, held) as (gateway,):
        until(lambda: seen_by(gateway, alice) == seen_by(gateway, bob) == (6, "project_limit"))
        first = asyncio.create_task(calls([gateway], alice, 6))
        await asyncio.to_thread(until, lambda: held.running == 6)
        second = asyncio.create_task(calls([gateway], bob, 4))
        await asyncio.to_thread(until, lambda: held.running == 10)
        eleventh = await asyncio.to_thread(gateway.get, "/v1/invoke/echo/", bob)
        assert eleventh.status_code == 429
        error = eleventh.json()["errors"][0]
        assert "all projects of the domain" in error["detail"]
        assert error["over_limit"] == [{"resource_name": CONCURRENCY, "limit": 10, "current_usage": 10, "delta": 1}]
        seventh = await asyncio.to_thread(gateway.get, "/v1/invoke/echo/", alice)
        assert (seventh.status_code, seventh.json()["errors"][0]["over_limit"][0]["limit"]) == (429, 6)
        held.free.set()
        assert (await first, await second) == ({200: 6}, {200: 4})
        assert held.most == 10
        # And together again: 12 are asked for, 10 run.
        await at_the_edge([gateway], held, alice, number=9, limit=6)


class FunctionsApi:
    """The functions API as a process, with the projects of alice and bob in its directory."""

    def __init__(self, cloud: LocalCloud, service: Service) -> None:
        self._cloud, self._url = cloud, f"http://127.0.0.1:{service.port}"
        self._tokens = {user: cloud.token(user) for user in ("alice", "bob")}

    def ask(self, method: str, user: str, name: str) -> httpx.Response:
        body = {"function": {"image": IMAGE}} if method == "PUT" else None
        url, fields = f"{self._url}/v1/functions/{name}", {"X-Auth-Token": self._tokens[user]}
        return httpx.request(method, url, headers=fields, json=body, timeout=scaled(60))

    def reads(self, result: str) -> float:
        """How often Keystone's limits were read."""
        text = httpx.get(f"{self._url}/metrics", timeout=scaled(60)).text
        found = re.search(rf'^osfaas_unified_limit_reads_total{{result="{result}"}} (\S+)$', text, re.MULTILINE)
        return float(found[1]) if found else 0.0


@pytest.fixture
def tenants_file(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The `Tenant` objects of two projects, with the status that the controller writes because of this Keystone."""
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(cloud.clouds_yaml))
    monkeypatch.setenv("OS_CLOUD", "admin")
    projects = [ProjectId(cloud.users[user].project_id) for user in ("alice", "bob")]
    states = ProjectStates(connect_projects(timeout_seconds=scaled(60)))
    states.refresh(projects)
    objects = []
    for project in projects:
        record, facts = TenantRecord(TenantSpec(project)), states.of(project)
        assert facts is not None
        manifest, status = manifest_of(record), status_of(ReconcileResult(record, record.spec, facts))
        objects.append({**manifest, **(status_patch(manifest, status, dt.datetime.now(dt.UTC)) or {})})
    file = tmp_path / "tenants.json"
    file.write_text(json.dumps(objects), encoding="utf-8")
    return file


def test_projects_of_a_domain_share_its_functions(cloud, admin, strict, tenants_file) -> None:
    """The domain has 10, two of its projects 6 each: the eleventh function is refused in either."""
    admin.register(10, "functions")
    for user in ("alice", "bob"):
        admin.limit(6, "functions", project_id=cloud.users[user].project_id)
    (port,) = free_ports(1)
    env = {
        "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml),
        "OS_CLOUD": "osfaas",
        "OSFAAS_LISTEN_PORT": str(port),
        "OSFAAS_UNIFIED_LIMITS_SECONDS": "0.5",
        "PYTHONPATH": str(CHECKOUT),
    }
    command = [sys.executable, "-m", "tests.integration.control_plane", "functions", str(tenants_file)]
    with running(Service("control-shared", command, port, cloud.state, env)) as service:
        api = FunctionsApi(cloud, service)
        until(lambda: api.reads("complete") >= 1)

        def refused_in(user: str) -> tuple[int, list[dict[str, object]]]:
            answer = api.ask("PUT", user, "one-more")
            return answer.status_code, answer.json()["errors"][0].get("over_limit", [])

        of_domain = [{"resource_name": "functions", "limit": 10, "current_usage": 10, "delta": 1}]
        of_project = [{"resource_name": "functions", "limit": 6, "current_usage": 6, "delta": 1}]
        made = [
            api.ask("PUT", user, f"f{each}") for user, number in (("alice", 6), ("bob", 4)) for each in range(number)
        ]
        assert [each.status_code for each in made] == [202] * 10
        assert refused_in("bob") == (403, of_domain)
        assert refused_in("alice") == (403, of_project)
        # One moves from the one to the other: now it is the other's turn.
        assert api.ask("DELETE", "alice", "f0").status_code == 204
        assert api.ask("PUT", "bob", "f4").status_code == 202
        assert refused_in("alice") == (403, of_domain)
        unusable = api.reads("unusable")
        cloud.services["keystone"].kill()
        try:
            until(lambda: api.reads("unusable") >= unusable + 2)
            assert refused_in("alice") == refused_in("bob") == (403, of_domain)
            assert api.ask("DELETE", "alice", "f1").status_code == 204
            assert api.ask("PUT", "bob", "f5").status_code == 202
        finally:
            cloud.services["keystone"].restart()


@pytest.mark.long
@pytest.mark.parametrize(
    ("count", "shared", "most"),
    [(1, False, LIMIT), (2, True, LIMIT), (2, False, 2 * LIMIT)],
    ids=["one", "two-with-a-store", "two-without"],
)
async def test_thousand_calls_at_once_never_pass_the_limit(
    start_gateway, cloud, admin, alice, valkey, count: int, shared: bool, most: int
) -> None:
    """One gateway counts exactly, and several with a store together; without one, each has the whole limit."""
    held = Held()
    admin.register(20)
    admin.limit(LIMIT, project_id=cloud.users["alice"].project_id)
    store = {"OSFAAS_LIMIT_STORE_URL": valkey.url, "OSFAAS_LIMIT_STORE_TIMEOUT_SECONDS": str(scaled(10))}
    with gateways_of(start_gateway, cloud, held, count=count, **(store if shared else {})) as made:
        for gateway in made:
            until(lambda gateway=gateway: seen_by(gateway, alice) == (LIMIT, "project_limit"))
        await at_the_edge(made, held, alice, number=1_000, limit=most)
        # Nothing of it stays: the limit is free again.
        await at_the_edge(made, held, alice, number=2 * most, limit=most)


def test_bootstrap_sets_up_what_is_missing_and_can_be_repeated(cloud) -> None:
    """In the region of the test: the endpoints of the others stay."""
    words = ("keystone", "bootstrap", "--public-url", "https://faas.test", "--os-region-name", "Bootstrapped")
    session, url = cloud.session("admin"), cloud.auth_url

    def endpoints() -> dict[str, str]:
        found = session.get(f"{url}/endpoints").json()["endpoints"]
        return {each["interface"]: each["url"] for each in found if each["region_id"] == "Bootstrapped"}

    planned = osfaas(cloud, *words, "--dry-run")
    assert "would create: endpoint public https://faas.test" in planned
    assert "would create: user osfaas-controller" in planned
    assert endpoints() == {}
    made = osfaas(cloud, *words)
    try:
        assert endpoints() == {"public": "https://faas.test", "internal": "https://faas.test"}
        assert "created: role reader of osfaas-controller on the system" in made
        assert "unchanged: user osfaas" in made
        assert "openstack user set --password-prompt osfaas-controller" in made
        again = osfaas(cloud, *words, "--internal-url", "http://inside.test")
        changed = [line for line in again.splitlines() if not line.startswith("unchanged: ")]
        assert changed == ["changed: endpoint internal http://inside.test"]
        assert endpoints()["internal"] == "http://inside.test"
    finally:
        for each in session.get(f"{url}/endpoints").json()["endpoints"]:
            if each["region_id"] == "Bootstrapped":
                session.delete(f"{url}/endpoints/{each['id']}")
        for each in session.get(f"{url}/users?name=osfaas-controller").json()["users"]:
            session.delete(f"{url}/users/{each['id']}")
        session.delete(f"{url}/regions/Bootstrapped")
