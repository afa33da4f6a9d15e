"""Version document, health and readiness, as OpenStack's clients and operators read them; and the API document."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from keystoneauth1 import discover, noauth, session
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.digests import BY_WIRE_NAME
from gateway.errors import ErrorCode
from gateway.http.metrics import Metrics
from gateway.identity.credential import IdentityService
from gateway.server.app import build_app, routes
from gateway.server.openapi import openapi_document
from gateway.settings import Settings
from policies.names import ProjectId
from tenancy.directory.protocol import Tenant
from tenancy.model.errors import NotOnboardedError

PUBLIC_URL = "https://faas.example/base"


class NoTenants:
    def tenant_of(self, project_id: ProjectId) -> Tenant:
        raise NotOnboardedError(project_id)

    def sync_age_seconds(self) -> float | None:
        return 0.0


@pytest.fixture
def disable_file(tmp_path: Path) -> Path:
    return tmp_path / "disabled"


@pytest.fixture
async def client(disable_file: Path) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(public_url=PUBLIC_URL + "/", disable_file=disable_file)
    identity = IdentityService("http://keystone.test/v3", None, verify=True)  # type: ignore[arg-type]
    transport = httpx.ASGITransport(build_app(settings, identity, NoTenants()))
    async with httpx.AsyncClient(transport=transport, base_url="http://internal.name") as http:
        yield http


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/"])
@pytest.mark.parametrize("host", ["internal.name", "evil.example"])
async def test_links_come_from_the_public_url_and_never_from_host(
    client: httpx.AsyncClient, path: str, host: str
) -> None:
    answer = await client.get(path, headers={"Host": host, "X-Forwarded-Host": "evil.example"})
    assert answer.status_code == 200
    assert answer.json()["versions"][0]["links"] == [{"rel": "self", "href": f"{PUBLIC_URL}/v1/"}]
    assert "evil" not in answer.text


async def test_version_document_is_the_same_at_the_root_and_below_v1_and_needs_no_token(
    client: httpx.AsyncClient,
) -> None:
    bodies = {(await client.get(path)).text for path in ("/", "/v1", "/v1/")}
    assert len(bodies) == 1
    (version,) = json.loads(bodies.pop())["versions"]
    assert {key: version[key] for key in ("id", "status", "min_version", "max_version")} == {
        "id": "v1.0",
        "status": "CURRENT",
        "min_version": "1.0",
        "max_version": "1.0",
    }


async def test_keystoneauth_discovers_version_1(client: httpx.AsyncClient) -> None:
    body = (await client.get("/")).content

    class Canned(requests.adapters.BaseAdapter):
        def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:
            response = requests.Response()
            response.status_code, response._content, response.request = 200, body, request
            response.url = request.url or ""
            response.headers["Content-Type"] = "application/json"
            return response

        def close(self) -> None: ...

    http = requests.Session()
    http.mount("https://", Canned())
    found = discover.Discover(session.Session(auth=noauth.NoAuth(), session=http), PUBLIC_URL)
    data = found.data_for("1")
    assert data["version"] == (1, 0)
    assert data["url"] == f"{PUBLIC_URL}/v1/"
    assert (data["min_microversion"], data["max_microversion"]) == ((1, 0), (1, 0))
    assert found.url_for("2") is None


async def test_healthcheck_answers_503_while_the_file_exists(client: httpx.AsyncClient, disable_file: Path) -> None:
    disable_file.touch()  # noqa: ASYNC240 - a file in memory
    assert [(await client.request(method, "/healthcheck")).status_code for method in ("GET", "HEAD")] == [503, 503]
    assert (await client.get("/readyz")).status_code == 200
    disable_file.unlink()  # noqa: ASYNC240 - a file in memory
    assert (await client.get("/healthcheck")).status_code == 200


async def test_healthcheck_answers_in_the_form_of_oslo_middleware(client: httpx.AsyncClient) -> None:
    get = await client.get("/healthcheck")
    assert (get.status_code, get.text) == (200, "OK")
    head = await client.head("/healthcheck")
    assert (head.status_code, head.content) == (204, b"")


@pytest.mark.parametrize("path", ["/none", "/v2/", "/v1/checksum", "/healthcheck/", "/v1/openapi.json/x"])
async def test_other_paths_are_nothing_and_nobody_is_redirected(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.json()["errors"][0]["code"] == "route.not_found"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "BREW"])
async def test_other_methods_are_not_allowed(client: httpx.AsyncClient, method: str) -> None:
    answer = await client.request(method, "/v1/")
    assert answer.status_code == 405
    assert answer.json()["errors"][0]["code"] == "method.not_allowed"
    assert "GET" in answer.headers["allow"]


async def test_api_document_is_served_without_a_token_and_is_valid(client: httpx.AsyncClient) -> None:
    document = (await client.get("/v1/openapi.json")).json()
    OpenAPIV31SpecValidator(document).validate()
    assert document["servers"] == [{"url": PUBLIC_URL}]


def test_each_route_is_in_the_api_document_with_its_methods() -> None:
    paths = openapi_document(PUBLIC_URL)["paths"]
    # A path with and without its last slash is one path here; the router's `{reset}` is container and object.
    documented = {path.rstrip("/"): item for path, item in paths.items()}
    served = {
        route.path.replace("invoke/{rest:path}", "invoke/{function}/{path}")
        .replace("{rest:name}", "{container}/{object}")
        .rstrip("/"): {m.lower() for m in route.methods or ()}
        for route in routes(Settings(public_url=PUBLIC_URL), Metrics())
    }
    # For the functions API alone; no edge has a route to it.
    assert set(documented) == set(served) - {"/metrics/functions/{namespace}"}
    for path, item in documented.items():
        assert {"get", "head", "post", "put", "delete"} & set(item) <= served[path]


def test_each_error_code_and_status_is_in_the_api_document() -> None:
    document = openapi_document(PUBLIC_URL)
    error = document["components"]["schemas"]["Error"]["properties"]["errors"]["items"]
    assert error["properties"]["code"]["enum"] == [kind.code for kind in ErrorCode]
    for path in ("/v1/checksums/{container}/{object}", "/v1/checksums/", "/checksums/"):
        for method in ("get", "head"):
            responses = document["paths"][path][method]["responses"]
            assert set(responses) == {"200", "204", *(str(kind.status) for kind in ErrorCode)}
            for kind in ErrorCode:
                assert f"`{kind.code}`" in responses[str(kind.status)]["description"]


def test_each_name_of_an_algorithm_is_in_the_api_document() -> None:
    (parameter,) = [
        p for p in openapi_document(PUBLIC_URL)["paths"]["/checksums/"]["parameters"] if p["name"] == "algorithm"
    ]
    assert set(BY_WIRE_NAME) <= set(re.findall(r"[a-z0-9_\-]+", parameter["description"]))
