"""`/v1/projects`: real administrators of a real Keystone change real Tenant records, and nobody else does."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from kubernetes import client

from localcloud import local_cloud
from localcloud.ports import free_ports
from localcloud.services import Service
from localcloud.stack import running
from policies.labels import API_GROUP, API_VERSION
from policies.names import ProjectId, namespace_of
from tests.machine import scaled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localcloud import LocalCloud
    from tests.cluster.testbed import Testbed


class Api:
    """The administrators' process, and the records that it writes."""

    def __init__(self, url: str, cloud: LocalCloud, cluster: Testbed) -> None:
        self.url = url
        self.cloud = cloud
        self._records = client.CustomObjectsApi(cluster.api)
        self.admin = cloud.system_token()
        self.project = cloud.users["alice"].project_id

    @property
    def path(self) -> str:
        return f"/v1/projects/{self.project}"

    def call(self, method: str, path: str, *, token: str | None = "", **more: Any) -> httpx.Response:
        token = self.admin if token == "" else token
        headers = {} if token is None else {"X-Auth-Token": token}
        return httpx.request(method, self.url + path, headers=headers, timeout=scaled(30), **more)

    def spec(self) -> dict[str, Any] | None:
        name = namespace_of(ProjectId(self.project))
        try:
            found: Any = self._records.get_cluster_custom_object(API_GROUP, API_VERSION, "tenants", name)
        except client.ApiException as error:
            if error.status != 404:
                raise
            return None
        spec: dict[str, Any] = found["spec"]
        return spec

    def remove(self) -> None:
        name = namespace_of(ProjectId(self.project))
        with contextlib.suppress(client.ApiException):
            self._records.delete_cluster_custom_object(API_GROUP, API_VERSION, "tenants", name)


@pytest.fixture(scope="module")
def api(cluster: Testbed, tenants_known: None) -> Iterator[Api]:
    with local_cloud() as cloud:
        (port,) = free_ports(1)
        settings = {
            "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml),
            "OS_CLOUD": "admin",
            "OSFAAS_LISTEN_PORT": str(port),
            "OSFAAS_KUBECONFIG": str(cluster.running.layout.host_kubeconfig),
        }
        command = [sys.executable, "-m", "client.cli", "admin-api"]
        with running(Service("admin-api", command, port, cloud.state, settings)):
            made = Api(f"http://127.0.0.1:{port}", cloud, cluster)
            yield made
            made.remove()


@pytest.fixture(autouse=True)
def no_record(api: Api) -> None:
    api.remove()


def code(response: httpx.Response) -> str:
    found: str = response.json()["errors"][0]["code"]
    return found


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_nobody_but_an_administrator_gets_anything_done(api: Api, method: str) -> None:
    """A member of the very project is none; nor is one without a token, with a bad one, or scoped to a project."""
    cloud = api.cloud
    tokens = {
        None: (401, "token.missing"),
        "gAAAAAforged": (401, "token.invalid"),
        cloud.token("alice"): (403, "admin.required"),
        cloud.token("admin"): (403, "admin.required"),
        cloud.unscoped_token("admin"): (403, "admin.required"),
        cloud.application_credential_token("plain"): (403, "admin.required"),
    }
    for token, (status, word) in tokens.items():
        response = api.call(method, api.path, token=token, json={"project": {}} if method in {"PUT", "PATCH"} else None)
        assert (response.status_code, code(response)) == (status, word)
    assert api.call("GET", "/v1/projects", token=cloud.token("alice")).status_code == 403
    assert api.spec() is None


def test_a_project_that_keystone_does_not_have_is_not_onboarded(api: Api) -> None:
    response = api.call("PUT", "/v1/projects/" + "0" * 32, json={"project": {}})
    assert (response.status_code, code(response)) == (404, "project.not_found")


@pytest.mark.parametrize(
    "project",
    [
        {"limits": {"pods": "many"}},
        {"limits": {"pods": True}},
        {"limits": {"gpus": 1}},
        {"isolation": "L9"},
        {"functions": "checksums"},
        {"namespace": "kube-system"},
        {"suspended": "unpaid"},
        {"projectID": "other"},
    ],
)
def test_what_is_not_a_wish_is_refused(api: Api, project: dict[str, Any]) -> None:
    response = api.call("PUT", api.path, json={"project": project})
    assert (response.status_code, code(response)) == (400, "request.malformed")
    assert api.spec() is None


def test_what_the_schema_of_the_record_refuses_is_told(api: Api) -> None:
    response = api.call("PUT", api.path, json={"project": {"limits": {"pods": 5000}}})
    assert (response.status_code, code(response)) == (422, "tenant.rejected")
    assert "pods" in response.json()["error"]["message"]


def test_a_project_lives_from_onboarding_to_offboarding(api: Api) -> None:
    wishes = {"project": {"limits": {"pods": 3}, "isolation": "L2"}}
    assert api.call("PUT", f"{api.path}?dry_run=true", json=wishes).json()["changed"]
    assert api.spec() is None
    made = api.call("PUT", api.path, json=wishes)
    assert (made.status_code, made.json()["project"]["limits"]["pods"]) == (201, 3)
    again = api.call("PUT", api.path, json=wishes)
    assert (again.status_code, again.json()["changed"]) == (200, False)
    spec = api.spec()
    assert spec is not None
    assert (spec["projectID"], spec["isolation"], spec["limits"]["pods"]) == (api.project, "L2", 3)

    assert api.project in [each["id"] for each in api.call("GET", "/v1/projects").json()["projects"]]
    assert api.call("PATCH", api.path, json={"project": {"suspended": "unpaid"}}).status_code == 200
    assert (api.spec() or {})["suspended"] == "unpaid"
    assert api.call("PATCH", api.path, json={"project": {"suspended": None}}).status_code == 200
    assert "suspended" not in (api.spec() or {})
    both = api.call("PATCH", api.path, json={"project": {"suspended": "x", "limits": {"pods": 4}}})
    assert both.status_code == 400

    early = api.call("DELETE", f"{api.path}?confirm=true")
    assert (early.status_code, code(early)) == (409, "project.conflict")
    assert api.call("DELETE", f"{api.path}?grace_seconds=3600").status_code == 202
    waiting = api.call("DELETE", f"{api.path}?confirm=true")
    assert (waiting.status_code, code(waiting)) == (409, "project.conflict")
    assert not (api.spec() or {})["offboarding"].get("confirmed")
    assert api.call("PATCH", api.path, json={"project": {"offboarding": None}}).status_code == 200
    assert "offboarding" not in (api.spec() or {})
