"""Policy files at a real gateway, with tokens of the real Keystone."""

import os
import subprocess

import pytest
from conftest import content_of
from oslo_policy.policy import DocumentedRuleDefault

from gateway.policy.defaults import DEFAULTS
from localcloud.stack import gateway_service
from tests.machine import scaled, wait_until

CONTENT = content_of(b"for readers")
NOBODY = "".join(f'"{rule.name}": "!"\n' for rule in DEFAULTS)
OWN_PROCESSES = ("functions:", "secrets:", "triggers:", "registry:", "projects:", "usage:get_all")
OPERATIONS = [
    (rule.name, each["method"], each["path"].replace("{", "").replace("}", ""))
    for rule in DEFAULTS
    if isinstance(rule, DocumentedRuleDefault)
    if not rule.name.startswith(OWN_PROCESSES) or rule.name == "functions:invoke"
    for each in rule.operations
]


def verdict(response) -> tuple[int, str | None]:
    if response.status_code == 200:
        return 200, None
    return response.status_code, response.json()["errors"][0]["code"]


@pytest.fixture(scope="module")
def path(bucket):
    bucket.put("for-readers", CONTENT.data)
    return bucket.path("for-readers")


def test_every_operation_is_refused_by_the_rule_that_documents_it(start_gateway, cloud, tmp_path):
    (tmp_path / "policy.yaml").write_text(NOBODY)
    token = cloud.token("alice")
    with start_gateway(OSFAAS_POLICY_FILE=str(tmp_path / "policy.yaml")) as gateway:
        for rule, method, operation in OPERATIONS:
            response = gateway.call(method, operation, token, headers={"Accept": "application/json"})
            assert response.status_code == 403, (method, operation, response.text)
            if method != "HEAD":
                assert f"policy rule '{rule}'" in response.json()["error"]["message"], (method, operation)


def test_file_lets_readers_in_and_keeps_members_out_and_its_changes_count_at_once(
    start_gateway, bucket, cloud, path, tmp_path
):
    file = tmp_path / "policy.yaml"
    file.write_text('"checksums:get": "role:reader and not role:member"\n')
    tokens = {user: cloud.token(user) for user in ("alice-reader", "alice")}

    def ask(gateway) -> dict[str, tuple[int, str | None]]:
        headers = {"Accept": "application/json"}
        return {user: verdict(gateway.get(path, token, headers=headers)) for user, token in tokens.items()}

    readers = bucket.readable_by(cloud.users["alice-reader"])
    with start_gateway(OSFAAS_POLICY_FILE=str(file)) as gateway, readers:
        assert ask(gateway) == {"alice": (403, "role.missing"), "alice-reader": (200, None)}
        file.write_text('"checksums:get": "rule:project_member"\n')
        wait_until(lambda: ask(gateway) == {"alice": (200, None), "alice-reader": (403, "role.missing")})
        file.write_text('"checksum:get": "@"\n')
        wait_until(lambda: (ask(gateway), "policy unchanged" in gateway.service.log.read_text())[1])
        assert ask(gateway) == {"alice": (200, None), "alice-reader": (403, "role.missing")}


def test_gateway_does_not_start_with_a_file_that_has_a_mistake(cloud, tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text('"checksum:get": "role:reader"\n')
    service = gateway_service(
        cloud, tenants=tmp_path / "tenants.yaml", name="refused", port=1, env={"OSFAAS_POLICY_FILE": str(file)}
    )
    (tmp_path / "tenants.yaml").write_text("tenants: []\n")
    done = subprocess.run(
        service.command,
        env={**os.environ, **service.env},
        capture_output=True,
        text=True,
        timeout=scaled(60),
        check=False,
    )
    assert done.returncode == 2
    assert f"{file}: unknown rule 'checksum:get' (did you mean 'checksums:get'?)" in done.stderr
