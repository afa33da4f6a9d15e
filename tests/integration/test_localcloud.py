"""What the other tests rely on: the local Keystone and Swift behave as real ones, and leave nothing behind."""

import contextlib
import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import botocore.session
import httpx
import pytest
from botocore.config import Config

from localcloud.cloud import DEFAULT_HOME, local_cloud
from tests.machine import scaled

SEGMENTS = [bytes([number]) * 70_000 for number in range(3)]
USERS = ("alice", "alice-member", "alice-reader", "bob", "dave", "carol", "osfaas", "dynafed", "admin")


@pytest.fixture(scope="module")
def account(cloud):
    return cloud.account_url("alice")


@pytest.fixture(scope="module")
def container(cloud, account):
    """URL of a container of alice's with a key of its own; plain, segmented and versioned objects are in it."""
    alice = cloud.session("alice")
    url = f"{account}/localcloud"
    alice.put(url, headers={"X-Container-Meta-Temp-URL-Key": "container-key"})
    alice.put(f"{account}/localcloud-segments")
    alice.put(f"{url}/plain", data=b"hello")
    entries = []
    for number, segment in enumerate(SEGMENTS):
        path = f"/localcloud-segments/part-{number}"
        alice.put(account + path, data=segment)
        entries.append({"path": path, "size_bytes": len(segment)})
    alice.put(f"{url}/slo?multipart-manifest=put", data=json.dumps(entries))
    alice.put(f"{url}/dlo", headers={"X-Object-Manifest": "localcloud-segments/part-"})
    return url


def validate(cloud, subject, validator="osfaas", **headers):
    tokens = {"X-Auth-Token": cloud.token(validator), "X-Subject-Token": subject}
    return read(f"{cloud.auth_url}/auth/tokens", tokens | headers)


def read(url, headers=None):
    return httpx.get(url, headers=headers, timeout=scaled(60))


def head(url, token):
    return httpx.head(url, headers={"X-Auth-Token": token}, timeout=scaled(60)).status_code


def temp_url(url, key):
    expires = int(time.time()) + 60
    signed = hmac.new(key.encode(), f"GET\n{expires}\n{urlsplit(url).path}".encode(), "sha256").hexdigest()
    return f"{url}?temp_url_sig={signed}&temp_url_expires={expires}"


def s3(cloud, secret):
    return botocore.session.Session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=cloud.swift_url,
        aws_access_key_id=cloud.seed.ec2[0],
        aws_secret_access_key=secret,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )


@pytest.mark.parametrize("user", ["alice-member", "alice-reader", "osfaas", "bob", "carol", "admin"])
def test_swift_refuses_who_neither_manages_the_project_nor_stands_in_an_acl(cloud, container, user):
    assert head(f"{container}/plain", cloud.token(user)) == 403
    assert head(f"{container}/missing", cloud.token(user)) == 403


def test_unscoped_and_system_scoped_tokens_open_no_account(cloud, container):
    for token in (cloud.unscoped_token("alice"), cloud.system_token()):
        assert validate(cloud, token).status_code == 200
        assert head(f"{container}/plain", token) == 403


def test_only_a_service_or_an_administrator_validates_the_token_of_another(cloud):
    token = cloud.token("alice")
    assert validate(cloud, token, "alice-member").status_code == 403
    assert validate(cloud, token, "osfaas").status_code == 200
    assert validate(cloud, token, "admin").status_code == 200


def test_a_revoked_token_is_refused_by_keystone_at_once_and_by_swift_when_its_cache_expires(cloud, container):
    token = cloud.token("alice")
    assert head(f"{container}/plain", token) == 200
    cloud.revoke(token)
    assert validate(cloud, token).status_code == 404
    deadline = time.monotonic() + scaled(20)
    while (status := head(f"{container}/plain", token)) == 200 and time.monotonic() < deadline:
        time.sleep(0.5)
    assert status == 401


def test_a_restricted_credential_is_shown_only_to_validators_that_know_of_access_rules(cloud):
    token = cloud.application_credential_token("no-store")
    assert validate(cloud, token).status_code == 404
    shown = validate(cloud, token, **{"OpenStack-Identity-Access-Rules": "1"}).json()["token"]
    rules = [
        {key: rule[key] for key in ("service", "method", "path")}
        for rule in shown["application_credential"]["access_rules"]
    ]
    assert rules == [{"service": "function", "method": "GET", "path": "/v1/checksums/**"}]


def test_swift_keeps_to_the_rules_of_a_restricted_credential(cloud, container):
    assert head(f"{container}/plain", cloud.application_credential_token("no-store")) == 401
    assert head(f"{container}/plain", cloud.application_credential_token("get-only")) == 200
    assert head(f"{container}/plain", cloud.application_credential_token("plain")) == 200


@pytest.mark.parametrize("user", USERS)
def test_every_user_gets_a_token_of_their_own_project(cloud, user):
    token = validate(cloud, cloud.token(user)).json()["token"]
    assert (token["user"]["name"], token["project"]["id"]) == (user, cloud.users[user].project_id)


def test_namesakes_in_two_domains_are_two_projects(cloud):
    alice, carol = cloud.users["alice"], cloud.users["carol"]
    assert alice.project_name == carol.project_name
    assert alice.project_id != carol.project_id


def test_an_acl_lets_the_member_read(cloud, account):
    alice = cloud.session("alice")
    member = cloud.users["alice-member"]
    alice.put(f"{account}/shared", headers={"X-Container-Read": f"{member.project_id}:{member.id}"})
    alice.put(f"{account}/shared/o", data=b"hello")
    assert head(f"{account}/shared/o", cloud.token("alice-reader")) == 403
    assert head(f"{account}/shared/o", cloud.token("alice-member")) == 200


def test_a_temp_url_of_another_key_is_refused_and_one_with_sha256_serves_the_object(container):
    refused = read(temp_url(f"{container}/plain", "another-key"))
    assert (refused.status_code, refused.text) == (401, "401 Unauthorized: Temp URL invalid\n")
    assert read(temp_url(f"{container}/plain", "container-key")).content == b"hello"


@pytest.mark.parametrize(("name", "status"), [("slo", 409), ("dlo", 401)])
def test_the_key_of_a_container_does_not_open_segments_in_another_but_the_accounts_key_does(
    cloud, account, container, name, status
):
    alice = cloud.session("alice")
    alice.post(account, headers={"X-Account-Meta-Temp-URL-Key-2": "account-key"})
    try:
        assert read(temp_url(f"{container}/{name}", "container-key")).status_code == status
        assert read(temp_url(f"{container}/{name}", "account-key")).content == b"".join(SEGMENTS)
    finally:
        alice.post(account, headers={"X-Account-Meta-Temp-URL-Key-2": ""})


@pytest.mark.parametrize("name", ["slo", "dlo"])
def test_the_etag_of_a_large_object_is_quoted_and_is_not_its_md5(cloud, container, name):
    found = cloud.session("alice").head(f"{container}/{name}").headers
    of_segments = hashlib.md5("".join(hashlib.md5(part).hexdigest() for part in SEGMENTS).encode()).hexdigest()
    assert found["ETag"] == f'"{of_segments}"'
    assert found["Content-Length"] == str(sum(map(len, SEGMENTS)))


@pytest.mark.parametrize("name", ["plain", "slo", "dlo"])
def test_a_range_with_an_older_etag_is_refused(cloud, container, name):
    alice = cloud.session("alice")
    etag = alice.head(f"{container}/{name}").headers["ETag"]
    for condition, status in (('"0"', 412), (etag, 206)):
        answer = alice.get(f"{container}/{name}", headers={"Range": "bytes=2-", "If-Match": condition}, raise_exc=False)
        assert answer.status_code == status


def test_a_temp_url_serves_the_current_version_whatever_version_is_asked_for(cloud, account):
    alice = cloud.session("alice")
    url = f"{account}/versions"
    alice.put(url, headers={"X-Versions-Enabled": "true", "X-Container-Meta-Temp-URL-Key": "container-key"})
    first = alice.put(f"{url}/o", data=b"one").headers["X-Object-Version-Id"]
    alice.put(f"{url}/o", data=b"two")
    assert alice.get(f"{url}/o?version-id={first}").content == b"one"
    assert read(temp_url(f"{url}/o", "container-key") + f"&version-id={first}").content == b"two"


def test_a_presigned_url_of_another_secret_is_refused_and_alices_serves_the_object(cloud, container):
    order = {"Bucket": "localcloud", "Key": "plain"}
    assert read(s3(cloud, "wrong").generate_presigned_url("get_object", Params=order)).status_code == 403
    url = s3(cloud, cloud.seed.ec2[1]).generate_presigned_url("get_object", Params=order)
    assert read(url).content == b"hello"


def test_the_openstack_command_works_with_the_clouds_file(cloud, container):
    done = subprocess.run(
        [cloud.bin / "openstack", "--os-cloud", "alice", "container", "show", "localcloud", "-f", "json"],
        env={**os.environ, "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml)},
        capture_output=True,
        check=True,
        text=True,
    )
    assert json.loads(done.stdout)["container"] == "localcloud"


@pytest.mark.long
def test_a_keystone_that_is_started_again_knows_its_rules_from_the_first_requests_on():
    """Its restart ends neither while the killed one still listens, nor before all of its workers can judge."""
    with local_cloud() as own, ThreadPoolExecutor(16) as callers:
        subject, validator = own.token("alice"), own.token("osfaas")
        headers = {"X-Auth-Token": validator, "X-Subject-Token": subject}
        for _ in range(3):
            own.services["keystone"].kill()
            own.services["keystone"].restart()
            asked = [callers.submit(read, f"{own.auth_url}/auth/tokens", headers) for _ in range(16)]
            assert [each.result().status_code for each in asked] == [200] * 16


@pytest.mark.long
def test_a_keystone_does_not_judge_a_request_by_what_it_knew_at_the_last_one():
    """Each of its threads has heard that the project is disabled, when it no longer is."""
    with local_cloud() as own, ThreadPoolExecutor(16) as callers:
        admin, token, validator = own.session("admin"), own.token("alice"), own.token("osfaas")
        project = f"{own.auth_url}/projects/{own.users['alice'].project_id}"

        def said(by: str) -> set[int]:
            headers = {"X-Auth-Token": by, "X-Subject-Token": token}
            asked = [callers.submit(read, f"{own.auth_url}/auth/tokens", headers) for _ in range(64)]
            return {each.result().status_code for each in asked}

        for _ in range(3):
            admin.patch(project, json={"project": {"enabled": False}})
            assert said(validator) == {404}
            admin.patch(project, json={"project": {"enabled": True}})
            assert said(token) == {200}


STARTER = """
import pathlib, signal, sys, time
from localcloud import local_cloud
began = time.monotonic()
with local_cloud(home=pathlib.Path(sys.argv[1]), state=pathlib.Path(sys.argv[2])):
    print(time.monotonic() - began, flush=True)
    signal.pause()
"""


def start_and_kill(home: Path, state: Path) -> float:
    """Starts a cloud in a process, which is killed once the cloud is ready; returns the seconds of the start."""
    with subprocess.Popen([sys.executable, "-c", STARTER, home, state], stdout=subprocess.PIPE, text=True) as starter:
        seconds = float(starter.stdout.readline())
        assert processes_of(state)
        starter.kill()
    return seconds


def processes_of(state: Path) -> list[str]:
    """Command lines that name the folder, except this one."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(state) in line and entry.parent.name != str(os.getpid()):
                found.append(line)
    return found


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@dataclass(frozen=True)
class Killed:
    """A cloud whose starter was killed: where it was, and how long its start took."""

    home: Path
    state: Path
    seconds: float


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The first start of all, without a template."""
    home, state = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("first")
    (home / "venv").symlink_to(DEFAULT_HOME / "venv")
    return Killed(home, state, start_and_kill(home, state))


@pytest.mark.long
def test_nothing_outlives_a_killed_starter(killed):
    groups = [int(file.read_text()) for file in (killed.state / "run").glob("*.pid")]
    assert len(groups) == 6  # memcached, Keystone, and Swift's four servers
    deadline = time.monotonic() + scaled(10)
    while (alive := [group for group in groups if group_lives(group)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert alive == []
    assert processes_of(killed.state) == []


@pytest.mark.long
def test_a_second_start_takes_the_database_of_the_first_and_is_faster(killed, tmp_path):
    assert start_and_kill(killed.home, tmp_path / "second") < killed.seconds
