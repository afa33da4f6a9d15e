"""The built-in function of the worked example, built from its page, on a real Keystone and Swift."""

import dataclasses
import sys

import pytest
import yaml
from conftest import Gateway

from localcloud.ports import free_ports
from localcloud.services import Service
from localcloud.stack import gateway_service, running
from tests.worked_example import build

TEXT = b"one\ntwo\nthree"


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    """The product with the page's function."""
    folder = tmp_path_factory.mktemp("product")
    build(folder)
    return folder


@pytest.fixture(scope="module")
def lines_function(cloud, product):
    port = free_ports(1)[0]
    command = [sys.executable, str(product / "functions/lines/lines_function.py")]
    with running(Service("lines", command, port, cloud.state, {"HOST": "127.0.0.1", "PORT": str(port)})) as service:
        yield service


@pytest.fixture(scope="module", params=["tempurl", "stream"])
def gateway(request, cloud, product, lines_function):
    """A gateway of the built product for each way to get an object; bob's project has no function."""
    tenants = product / f"tenants-{request.param}.yaml"
    functions = {"alice": {"lines": {"url": f"http://127.0.0.1:{lines_function.port}"}}, "bob": {}}
    records = [{"project_id": cloud.users[user].project_id, "functions": own} for user, own in functions.items()]
    tenants.write_text(yaml.safe_dump({"tenants": records}))
    made = gateway_service(
        cloud,
        tenants=tenants,
        name=f"gateway-lines-{request.param}",
        port=free_ports(1)[0],
        env={
            "PYTHONPATH": str(product),
            "OSFAAS_CAPABILITIES": request.param,
            "OSFAAS_TEMPURL_SET_KEY": "true",
        },
    )
    # Without the working directory, in which the product is as it was.
    service = dataclasses.replace(made, command=[sys.executable, "-P", *made.command[1:]])
    with running(service):
        yield Gateway(f"http://127.0.0.1:{service.port}", service, cloud, tenants)


@pytest.fixture(scope="module")
def path(bucket):
    bucket.put("poem", TEXT)
    return f"/v1/lines/{bucket.name}/poem"


def code(answer) -> str:
    return answer.json()["errors"][0]["code"]


def test_without_a_token_nothing_is_counted(gateway, path):
    assert gateway.get(path).status_code == 401


def test_project_without_the_function_is_told_so(gateway, cloud):
    session, container = cloud.session("bob"), f"{cloud.account_url('bob')}/lines"
    session.put(container)
    session.put(f"{container}/poem", data=TEXT)
    answer = gateway.get("/v1/lines/lines/poem", cloud.token("bob"))
    assert (answer.status_code, "lines" in answer.json()["error"]["message"]) == (403, True)


def test_object_that_does_not_exist_is_not_found(gateway, bucket, alice):
    assert code(gateway.get(f"/v1/lines/{bucket.name}/none", alice)).endswith("object.not_found")


def test_parameter_that_does_not_exist_is_refused(gateway, path, alice):
    assert gateway.get(f"{path}?algorithm=md5", alice).status_code == 400


def test_lines_of_an_object_are_counted(gateway, path, alice):
    answer = gateway.get(path, alice)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert (document["size"], document["lines"]) == (len(TEXT), 2)


def test_empty_object_has_no_lines(gateway, bucket, alice):
    bucket.put("empty", b"")
    assert gateway.get(f"/v1/lines/{bucket.name}/empty", alice).json()["lines"] == 0
