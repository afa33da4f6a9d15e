"""The trusts of triggers at the real Keystone: made and deleted by `/v1/functions`, and used by the scheduler."""

import asyncio
import contextlib
import datetime as dt
import socket
import threading
import time
from dataclasses import dataclass, replace

import httpx
import pytest
import uvicorn
import yaml
from echo import echo
from test_inputs_and_outputs import EMPTY
from test_triggers import undone
from token_makers import ec2_token, trust_token

from control.functions.app import FunctionsApi, build_functions_app
from control.scheduler.checks import TriggerChecks
from control.scheduler.fire import GatewayFire
from gateway.identity.credential import IdentityService, find_identity_service
from gateway.identity.trusts import Trustee, TrustTokens
from gateway.settings import Settings
from gateway.settings.identity import TokenCacheSettings
from localcloud import LocalCloud
from policies.model import TenantSpec
from policies.names import NamespaceName, ProjectId, namespace_of
from policies.own_function import OwnFunction
from tenancy.directory.protocol import FunctionAddress, Tenant
from tenancy.directory.triggers import ProjectTriggers
from tenancy.model.function import FunctionRecord
from tenancy.model.record import TenantRecord
from tenancy.model.schedule import Schedule
from tenancy.model.trigger import Outcome, Trigger, TriggerRecord
from tests.machine import scaled
from tests.unit.control.functions_api import PLATFORM, Logs, Records, Secrets, Triggers

OWNER, OTHER, READER = "alice-member", "alice", "alice-reader"
PATH = "/v1/functions/hello/triggers/nightly"
NIGHTLY = {"trigger": {"schedule": {"cron": "0 3 * * *"}}}


@pytest.fixture(scope="module")
def identity(cloud) -> IdentityService:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OS_CLIENT_CONFIG_FILE", str(cloud.clouds_yaml))
        patch.setenv("OS_CLOUD", "osfaas")
        return find_identity_service(timeout_seconds=scaled(30))


class Directory:
    """Every project is onboarded, and has one function that can be called."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.project_id = ProjectId(cloud.users[OWNER].project_id)
        self.suspended: str | None = None

    def tenant_of(self, project_id: ProjectId) -> Tenant:
        address = FunctionAddress("http://f.test", callable=True, objects=True)
        return Tenant(project_id, namespace_of(project_id), {"hello": address}, self.suspended)

    def project_in(self, namespace: NamespaceName) -> ProjectId:
        assert namespace == namespace_of(self.project_id)
        return self.project_id

    def get(self, project_id: ProjectId) -> TenantRecord:
        return TenantRecord(TenantSpec(project_id))

    def namespaces_in(self, domain_id: str) -> frozenset[NamespaceName]:
        return frozenset()

    def sync_age_seconds(self) -> float:
        return 0.0


@dataclass
class Api:
    """The real process' application with records in memory, and Keystone."""

    url: str
    cloud: LocalCloud
    triggers: Triggers

    def call(self, method: str, user: str = OWNER, *, token: str = "", path: str = PATH) -> httpx.Response:
        headers = {"X-Auth-Token": token or self.cloud.token(user)}
        body = NIGHTLY if method == "PUT" else None
        return httpx.request(method, self.url + path, headers=headers, json=body, timeout=scaled(120), trust_env=False)

    def trusts(self, user: str = OWNER) -> list[dict]:
        """The trusts of a user for the service user."""
        url = f"{self.cloud.auth_url}/OS-TRUST/trusts"
        session, trustor = self.cloud.session(user), self.cloud.users[user].id
        listed = session.get(f"{url}?trustor_user_id={trustor}").json()["trusts"]
        trustee = self.cloud.session("osfaas").get_user_id()
        found = [session.get(f"{url}/{each['id']}").json()["trust"] for each in listed]
        return [each for each in found if each["trustee_user_id"] == trustee]


@pytest.fixture(scope="module")
def served(cloud, identity):
    records, triggers, directory = Records(), Triggers(), Directory(cloud)
    parts = FunctionsApi(
        directory=directory,
        domains=directory,
        tenants=directory,
        functions=records,
        secrets=Secrets(),
        logs=Logs(),
        platform=PLATFORM,
        triggers=triggers,
    )
    listener = socket.create_server(("127.0.0.1", 0))
    app = build_functions_app(Settings(keystone_timeout_seconds=scaled(30)), identity, parts)
    server = uvicorn.Server(uvicorn.Config(app, lifespan="on", log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    namespace = namespace_of(directory.project_id)
    records.kept[namespace, "hello"] = FunctionRecord(namespace, OwnFunction(name="hello", image="i"), uid="uid")
    while not server.started:
        time.sleep(0.05)
    yield Api(f"http://127.0.0.1:{listener.getsockname()[1]}", cloud, triggers)
    server.should_exit = True
    thread.join(scaled(30))


@pytest.fixture
def api(served):
    """Without triggers and trusts of another test or file."""
    clear(served)
    yield served
    clear(served)


def clear(served: Api) -> None:
    for record in list(served.triggers.kept.values()):
        served.triggers.delete(record)
    for user in (OWNER, OTHER):
        for trust in served.trusts(user):
            served.cloud.session(user).delete(f"{served.cloud.auth_url}/OS-TRUST/trusts/{trust['id']}")


def test_trust_is_the_makers_with_the_role_that_is_needed_and_goes_with_the_trigger(api, cloud):
    assert api.call("PUT").status_code == 201
    (trust,) = api.trusts()
    assert trust["impersonation"] is True
    assert trust["redelegation_count"] == 0
    assert [role["name"] for role in trust["roles"]] == ["member"]
    assert trust["project_id"] == cloud.users[OWNER].project_id
    shown = api.call("GET", READER)
    assert shown.status_code == 200
    assert trust["id"] not in shown.text
    assert api.call("DELETE").status_code == 204
    assert api.trusts() == []


def test_reader_makes_no_trigger_and_no_trust(api):
    response = api.call("PUT", READER)
    assert response.json()["errors"][0]["code"] == "role.missing"
    assert (api.triggers.kept, api.trusts(READER)) == ({}, [])


@pytest.mark.parametrize("kind", ["application credential", "trust", "ec2"])
def test_delegated_token_makes_no_trust_and_nothing_is_stored(api, cloud, kind):
    makers = {
        "application credential": lambda: cloud.application_credential_token("plain"),
        "trust": lambda: trust_token(cloud, roles=["member"]),
        "ec2": lambda: ec2_token(cloud),
    }
    response = api.call("PUT", token=makers[kind]())
    assert response.status_code == 403, response.text
    assert response.json()["errors"][0]["code"] == "trigger.trust_refused"
    assert not api.triggers.kept


def test_other_member_takes_over_and_deletes_and_no_trust_stays(api):
    assert api.call("PUT").status_code == 201
    assert api.call("PUT", OTHER).json()["trigger"]["user_id"] == api.cloud.users[OTHER].id
    assert (api.trusts(OWNER), len(api.trusts(OTHER))) == ([], 1)
    assert api.call("DELETE", OWNER).status_code == 204
    assert api.trusts(OTHER) == []


def test_trust_of_a_disabled_user_remains_and_the_answer_says_so(api, cloud):
    assert api.call("PUT").status_code == 201
    with undone(cloud, "user", ""):
        response = api.call("DELETE", OTHER)
        assert response.status_code == 200
        assert cloud.users[OWNER].id in response.json()["remains"]
    assert len(api.trusts(OWNER)) == 1


def record_of(cloud, trust_id: str, user: str = OWNER) -> TriggerRecord:
    owner = cloud.users[user]
    spec = Trigger(function="hello", name="t", source=Schedule("* * * * *"), user_id=owner.id, trust_id=trust_id)
    return TriggerRecord(namespace=namespace_of(ProjectId(owner.project_id)), spec=spec, uid="1")


@pytest.fixture
def record(api, cloud) -> TriggerRecord:
    api.call("PUT")
    (trust,) = api.trusts()
    return record_of(cloud, trust["id"])


def checks_of(cloud, trustee: Trustee, directory: Directory) -> TriggerChecks:
    tokens = TrustTokens(trustee, TokenCacheSettings(token_rejection_cache_seconds=0))
    unused = None
    return TriggerChecks(
        triggers=unused, tenants=directory, tokens=tokens, statuses=unused, leads=lambda: True, seconds=1
    )


@pytest.mark.parametrize("what", ["trust", "user"])
def test_check_says_that_the_authority_is_gone(record, cloud, identity, what):
    checks, none = checks_of(cloud, identity.trustee, Directory(cloud)), ProjectTriggers({})

    def reason() -> str:
        return asyncio.run(checks.readiness_of(record, none)).reason

    assert reason() == "Ready"
    with undone(cloud, what, record.spec.trust_id):
        assert reason() == "TrustRefused"


def test_check_of_a_withdrawn_role(record, cloud, identity):
    """Of the role `member`, which is all that the trust has."""
    checks, none = checks_of(cloud, identity.trustee, Directory(cloud)), ProjectTriggers({})
    admin, user = cloud.session("admin"), cloud.users[OWNER]
    roles = {each["name"]: each["id"] for each in admin.get(f"{cloud.auth_url}/roles").json()["roles"]}
    grant = f"{cloud.auth_url}/projects/{user.project_id}/users/{user.id}/roles/{roles['member']}"
    admin.delete(grant)
    try:
        assert asyncio.run(checks.readiness_of(record, none)).reason == "TrustRefused"
    finally:
        admin.put(grant)


def test_check_of_a_suspended_project_asks_keystone_nothing(record, cloud):
    directory = Directory(cloud)
    directory.suspended = "unpaid"
    checks = checks_of(cloud, None, directory)
    found = asyncio.run(checks.readiness_of(record, ProjectTriggers({})))
    assert (found.reason, "unpaid" in found.message) == ("ProjectSuspended", True)


def test_wrong_password_of_ours_condemns_no_trust(record, cloud, identity):
    """Keystone answers it like a trust that is gone."""
    login = {**identity.trustee._login, "password": "wrong"}
    trustee = Trustee(identity.trustee._session, identity.auth_url, login)
    checks = checks_of(cloud, trustee, Directory(cloud))
    assert asyncio.run(checks.readiness_of(record, ProjectTriggers({}))) is None


@contextlib.contextmanager
def function_behind(start_gateway, cloud):
    """A gateway with the function `hello`, which records who calls it."""
    seen = []

    def answer(connection, request):
        seen.append(request)
        connection.sendall(EMPTY)

    with echo(answer) as backend, start_gateway(OSFAAS_RETRY_SECONDS="0.5") as gateway:
        functions = {"hello": {"url": backend.url, "callable": True}}
        tenants = [{"project_id": cloud.users[OWNER].project_id, "functions": functions}]
        gateway.tenants.write_text(yaml.safe_dump({"tenants": tenants}))
        time.sleep(1.2)
        yield gateway, seen


def test_schedule_calls_the_function_as_the_user_of_the_trust_and_not_without_it(
    record, cloud, identity, start_gateway
):
    at = dt.datetime(2026, 11, 29, 3, tzinfo=dt.UTC)
    tokens = TrustTokens(identity.trustee, TokenCacheSettings(token_cache_seconds=0, token_rejection_cache_seconds=0))

    async def fire(of: TriggerRecord, url: str):
        async with httpx.AsyncClient(timeout=scaled(60), trust_env=False) as http:
            return await GatewayFire(http, tokens, url)(of, at)

    with function_behind(start_gateway, cloud) as (gateway, seen):
        result = asyncio.run(fire(record, gateway.url))
        assert result.outcome is Outcome.SUCCEEDED, result
        (request,) = seen
        assert request.all("X-User-Id") == [cloud.users[OWNER].id.encode()]
        assert request.all("Ce-Id") == [result.id.encode()]
        assert not request.all("X-Auth-Token")
        other = replace(record, spec=replace(record.spec, user_id=cloud.users[OTHER].id))
        assert asyncio.run(fire(other, gateway.url)).reason == "TrustForeign"
        with undone(cloud, "trust", record.spec.trust_id):
            assert asyncio.run(fire(record, gateway.url)).reason == "TrustRefused"
        assert len(seen) == 1
