"""Who is an administrator of all tenants: tokens of the real Keystone, at the real process.

There is no cluster: whoever gets past the door is told that the cluster does not answer.
"""

import sys
from collections.abc import Callable, Iterator

import httpx
import pytest
import yaml
from keystoneauth1.identity import v3
from keystoneauth1.session import Session
from token_makers import ec2_token, trust_token

from localcloud.ports import free_ports
from localcloud.services import Service
from localcloud.stack import running

INSIDE, OUTSIDE = (503, "kubernetes.unavailable"), (403, "admin.required")
Ask = Callable[[str], tuple[int, str]]


@pytest.fixture(scope="module")
def start(cloud, tmp_path_factory) -> Callable[..., Service]:
    dead = free_ports(1)[0]
    kubeconfig = tmp_path_factory.mktemp("admin") / "kubeconfig"
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{dead}"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    users = [{"name": "u", "user": {}}]
    kubeconfig.write_text(
        yaml.safe_dump({"clusters": [cluster], "contexts": [context], "users": users, "current-context": "c"})
    )

    def service(name: str, **settings: str) -> Service:
        (port,) = free_ports(1)
        env = {
            "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml),
            "OS_CLOUD": "admin",
            "OSFAAS_LISTEN_PORT": str(port),
            "OSFAAS_KUBECONFIG": str(kubeconfig),
            **settings,
        }
        return Service(name, [sys.executable, "-m", "client.cli", "admin-api"], port, cloud.state, env)

    return service


def asking(service: Service) -> Ask:
    def ask(token: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{service.port}/v1/projects"
        response = httpx.get(url, headers={"X-Auth-Token": token}, timeout=60, trust_env=False)
        return response.status_code, response.json()["errors"][0]["code"]

    return ask


@pytest.fixture(scope="module")
def ask(start) -> Iterator[Ask]:
    """With the settings as they are."""
    with running(start("admin-api")) as service:
        yield asking(service)


@pytest.fixture(scope="module")
def ask_listed(cloud, start) -> Iterator[Ask]:
    """With the project `admin` in the list."""
    with running(start("admin-api-listed", OSFAAS_ADMIN_PROJECTS=cloud.users["admin"].project_id)) as service:
        yield asking(service)


@pytest.fixture(scope="module")
def domains_administrator(cloud) -> str:
    """The role `admin` on a project of a domain, as that domain's administrator can give it to himself."""
    admin, session = cloud.users["carol"], cloud.session("admin")
    role = session.get(f"{cloud.auth_url}/roles?name=admin").json()["roles"][0]["id"]
    session.put(f"{cloud.auth_url}/projects/{admin.project_id}/users/{admin.id}/roles/{role}")
    yield cloud.token("carol")
    session.delete(f"{cloud.auth_url}/projects/{admin.project_id}/users/{admin.id}/roles/{role}")


def application_credential_token(cloud) -> str:
    admin, session = cloud.users["admin"], cloud.session("admin")
    url = f"{cloud.auth_url}/users/{admin.id}/application_credentials"
    made = session.post(url, json={"application_credential": {"name": "tenants"}}).json()["application_credential"]
    plugin = v3.ApplicationCredential(
        cloud.auth_url, application_credential_id=made["id"], application_credential_secret=made["secret"]
    )
    return str(Session(plugin).get_token())


def test_the_role_on_some_project_makes_nobody_an_administrator_of_all_tenants(
    ask, ask_listed, cloud, domains_administrator
):
    assert ask(domains_administrator) == OUTSIDE
    assert ask_listed(domains_administrator) == OUTSIDE
    assert ask(cloud.token("admin")) == OUTSIDE


def test_tokens_of_trusts_and_ec2_credentials_are_refused_in_a_listed_project_too(ask_listed, cloud):
    admin = cloud.users["admin"]
    made = cloud.session("admin").post(
        f"{cloud.auth_url}/users/{admin.id}/credentials/OS-EC2", json={"tenant_id": admin.project_id}
    )
    credential = made.json()["credential"]
    delegated = {
        "trust": trust_token(cloud, roles=["admin"], trustor="admin"),
        "impersonating trust": trust_token(cloud, roles=["admin"], trustor="admin", impersonation=True),
        "ec2": ec2_token(cloud, credential=(credential["access"], credential["secret"])),
    }
    assert {name: ask_listed(token) for name, token in delegated.items()} == dict.fromkeys(delegated, OUTSIDE)


def test_administrators_are_those_of_the_system_and_of_listed_projects(ask, ask_listed, cloud):
    assert ask(cloud.system_token()) == INSIDE
    assert ask_listed(cloud.system_token()) == INSIDE
    assert ask_listed(cloud.token("admin")) == INSIDE
    assert ask_listed(application_credential_token(cloud)) == INSIDE
