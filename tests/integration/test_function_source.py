"""`PUT /v1/functions/{name}/source` on the real Keystone and registry; and a build of what it stored."""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from registries import package_index, push_base
from test_builds import tar_of, zip_of
from test_registry_tokens import Site, alice, bob, credential, site  # noqa: F401 - fixtures

from control.registry.tokens import Grant, claims_of
from localcloud.ports import free_ports
from localcloud.services import Service
from localcloud.stack import running, write_tenants
from tenancy.registry_credentials import CredentialSigner
from tests.machine import scaled, wait_until

FOLDER = {"func.py": "async def handle(scope, receive, send): pass\n"}
MAX_BYTES = 2_000_000


@dataclass(frozen=True)
class Api:
    """The process, and the registry behind it."""

    service: Service
    site: Site
    bases: dict[str, str]
    index: str

    def put(self, token: str | None, data: bytes, name: str = "hello", **fields: str) -> httpx.Response:
        headers = {**({"X-Auth-Token": token} if token else {}), **fields}
        url = f"http://127.0.0.1:{self.service.port}/v1/functions/{name}/source"
        return httpx.put(url, content=data, headers=headers, timeout=scaled(120), trust_env=False)

    def blob(self, project: str, name: str, digest: str) -> httpx.Response:
        """As the project's own credential reads it."""
        grant = Grant("repository", f"{project}/{name}", ("pull",))
        now = int(time.time())
        claims = claims_of([grant], subject="u", issuer="osfaas", audience="osfaas-registry", now=now, seconds=60)
        headers = {"Authorization": f"Bearer {self.site.key.sign(claims)}"}
        url = f"{self.site.url}/v2/{project}/{name}/blobs/{digest}"
        return httpx.get(url, headers=headers, timeout=scaled(60), trust_env=False)


@pytest.fixture(scope="module")
def api(cloud, site: Site, tmp_path_factory) -> Iterator[Api]:  # noqa: F811
    folder = tmp_path_factory.mktemp("functions-api")
    bases = {}
    for runtime in ("asgi", "framework"):
        grant = Grant("repository", f"base/{runtime}", ("pull", "push"))
        now = int(time.time())
        claims = claims_of([grant], subject="o", issuer="osfaas", audience="osfaas-registry", now=now, seconds=300)
        bases[runtime] = push_base(site.url, f"base/{runtime}", runtime, folder / runtime, site.key.sign(claims))
    (folder / "packages").mkdir()
    with package_index(folder / "packages") as (index, _):
        platform = {
            "functions": {},
            "builds": {
                "image": "unused",
                "registry": urlsplit(site.url).netloc,
                "registry_url": site.url,
                "token_url": site.tokens,
                "index_url": index,
                "bases": bases,
                "destinations": [{"cidr": "127.0.0.1/32", "ports": [80]}],
                "archive_max_bytes": MAX_BYTES,
            },
        }
        (folder / "platform.yaml").write_text(yaml.safe_dump(platform))
        write_tenants(
            folder / "tenants.yaml", {cloud.users[user].project_id: "http://127.0.0.1:9" for user in ("alice", "bob")}
        )
        (port,) = free_ports(1)
        temporary = folder / "tmp"
        temporary.mkdir()
        settings = {
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml),
            "OS_CLOUD": "osfaas",
            "OSFAAS_LISTEN_PORT": str(port),
            "OSFAAS_TENANT_SOURCE": "file",
            "OSFAAS_TENANTS_FILE": str(folder / "tenants.yaml"),
            "OSFAAS_STORE_ALLOWLIST": cloud.swift_url,
            "OSFAAS_PROJECT_REQUESTS_PER_SECOND": "200",
            "TMPDIR": str(temporary),
        }
        program = Path(__file__).with_name("functions_process.py")
        command = [sys.executable, str(program), str(folder / "platform.yaml")]
        with running(Service("functions-api", command, port, folder, settings)) as service:
            yield Api(service, site, bases, index)


@pytest.fixture
def nothing_stays(api: Api) -> Iterator[Path]:
    """The folder for temporary files, which is empty afterwards."""
    folder = Path(api.service.env["TMPDIR"])
    yield folder
    wait_until(lambda: not list(folder.iterdir()), what="the end of temporary files")


def error_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["errors"][0]["code"]


def test_nobody_stores_without_a_token_or_as_a_reader(api: Api, cloud) -> None:
    data = zip_of(FOLDER)
    assert error_of(api.put(None, data)) == (401, "token.missing")
    assert error_of(api.put(cloud.token("carol"), data))[0] == 403
    assert error_of(api.put(cloud.token("alice-reader"), data)) == (403, "role.missing")


def test_no_byte_of_a_body_is_read_before_the_caller_is_known(api: Api) -> None:
    """A body that never comes, announced with a wrong token, is answered at once."""
    connection = http.client.HTTPConnection("127.0.0.1", api.service.port, timeout=scaled(20))
    connection.putrequest("PUT", "/v1/functions/hello/source")
    connection.putheader("X-Auth-Token", "gAAAAA")
    connection.putheader("Content-Length", "1000000")
    connection.endheaders()
    assert connection.getresponse().status == 401
    connection.close()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"hello", "neither a zip nor a tar.gz"),
        (zip_of({"../func.py": ""}), "leads out of the folder"),
        (zip_of({"app.py": ""}), "The folder has no function"),
        (zip_of({"func.py": "", "main.py": ""}), "which are for different runtimes"),
    ],
    ids=["no-archive", "leads-out", "no-function", "two-runtimes"],
)
def test_what_cannot_be_built_is_refused_with_its_sentence(
    api: Api, cloud, nothing_stays: Path, data: bytes, why: str
) -> None:
    response = api.put(cloud.token("alice"), data)
    assert error_of(response) == (422, "function.source_rejected")
    assert why in response.json()["error"]["message"]


def test_an_empty_or_a_large_body_is_refused(api: Api, cloud, nothing_stays: Path) -> None:
    token = cloud.token("alice")
    assert error_of(api.put(token, b"")) == (400, "request.malformed")
    assert error_of(api.put(token, os.urandom(MAX_BYTES + 1))) == (413, "request.body_too_large")
    endless = (os.urandom(65_536) for _ in range(1_000))
    url = f"http://127.0.0.1:{api.service.port}/v1/functions/hello/source"
    with contextlib.suppress(httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        # Without a length; the connection may be closed while more is being sent.
        answer = httpx.put(url, content=endless, headers={"X-Auth-Token": token}, timeout=scaled(60), trust_env=False)
        assert error_of(answer) == (413, "request.body_too_large")


def test_an_archive_is_stored_under_its_digest_once(api: Api, cloud, alice, nothing_stays: Path) -> None:  # noqa: F811
    data = tar_of(FOLDER)
    first = api.put(cloud.token("alice"), data)
    assert first.status_code == 201, first.text
    source = first.json()["source"]
    assert (source["bytes"], source["files"], source["runtime"]) == (len(data), 1, "asgi")
    assert api.blob(alice, "hello", source["digest"]).content == data
    assert api.put(cloud.token("alice"), data).json() == first.json()


def test_another_project_neither_reads_nor_replaces_it(api: Api, cloud, alice, bob) -> None:  # noqa: F811
    data = zip_of({**FOLDER, "secret.txt": "of alice"})
    digest = api.put(cloud.token("alice"), data).json()["source"]["digest"]
    assert api.blob(alice, "hello", digest).status_code == 200
    # The same name of a function is another repository.
    assert api.put(cloud.token("bob"), zip_of(FOLDER)).status_code == 201
    assert api.blob(bob, "hello", digest).status_code == 404
    scope = f"repository:{alice}/hello:pull"
    assert api.site.access("token", cloud.token("bob"), scope) == []


def test_one_project_uploads_one_at_a_time_and_others_meanwhile(api: Api, cloud, nothing_stays: Path) -> None:
    """A caller who sends slowly keeps his own project waiting, and nobody else."""
    tokens = {user: cloud.token(user) for user in ("alice", "bob")}
    data, go_on = zip_of(FOLDER), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield data[:10]
        go_on.wait(scaled(60))
        yield data[10:]

    answers: list[httpx.Response] = []
    url = f"http://127.0.0.1:{api.service.port}/v1/functions/slow/source"
    headers = {"X-Auth-Token": tokens["alice"]}

    def upload() -> None:
        answers.append(httpx.put(url, content=slowly(), headers=headers, timeout=scaled(120), trust_env=False))

    slow = threading.Thread(target=upload)
    slow.start()
    try:
        # It has its slot when it has a file.
        wait_until(lambda: list(nothing_stays.iterdir()), what="the first upload")
        assert error_of(api.put(tokens["alice"], data)) == (429, "concurrency.exceeded")
        assert api.put(tokens["bob"], data).status_code == 201
    finally:
        go_on.set()
        slow.join()
    assert answers[0].status_code == 201


def test_a_caller_who_goes_away_leaves_nothing(api: Api, cloud, nothing_stays: Path) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", api.service.port, timeout=scaled(20))
    connection.putrequest("PUT", "/v1/functions/hello/source")
    connection.putheader("X-Auth-Token", cloud.token("alice"))
    connection.putheader("Content-Length", "1000")
    connection.endheaders()
    connection.send(b"PK\3\4")
    wait_until(lambda: list(nothing_stays.iterdir()), what="the upload")
    connection.close()


def test_what_was_stored_is_built_with_the_controllers_credential(api: Api, cloud, alice, bob, tmp_path: Path) -> None:  # noqa: F811
    """The program with the settings that its Job gets."""
    digest = api.put(cloud.token("alice"), tar_of(FOLDER), name="built").json()["source"]["digest"]
    signer = CredentialSigner.from_file(api.site.credential_key)
    result = tmp_path / "result"

    def build(push: str, owner: str) -> "subprocess.CompletedProcess[str]":
        secret = tmp_path / "credential"
        secret.write_text(f"workload:{push}")
        environment = {
            "PATH": os.environ["PATH"],
            "OSFAAS_BUILD_SOURCE": digest,
            "OSFAAS_BUILD_REPOSITORY": f"{owner}/built",
            "OSFAAS_BUILD_REGISTRY_URL": api.site.url,
            "OSFAAS_BUILD_TOKEN_URL": api.site.tokens,
            "OSFAAS_BUILD_CREDENTIAL_FILE": str(secret),
            "OSFAAS_BUILD_BASES": ",".join(f"{name}={base}" for name, base in api.bases.items()),
            "OSFAAS_BUILD_INDEX_URL": api.index,
            "OSFAAS_BUILD_RESULT_FILE": str(result),
        }
        program = Path(sys.executable).with_name("osfaas-build")
        return subprocess.run(
            [program], env=environment, capture_output=True, text=True, check=False, timeout=scaled(200)
        )

    credentials = signer.credentials_of(alice, time.time())
    done = build(credentials.push, alice)
    assert done.returncode == 0, done.stderr
    said = json.loads(result.read_text())
    assert said["runtime"] == "asgi"
    assert json.loads(done.stdout.splitlines()[-1])["digest"] == said["digest"]
    # Another project's archive is not read, and with the credential of pulls nothing is written.
    other = build(signer.credentials_of(bob, time.time()).push, alice)
    assert (other.returncode, "not in the registry" in json.loads(result.read_text())["error"]) == (65, True)
    reading = build(credentials.pull, alice)
    assert reading.returncode == 0 or "refused" in reading.stderr


def test_an_object_is_taken_in_the_version_that_is_named(api: Api, cloud, alice, nothing_stays: Path) -> None:  # noqa: F811
    """With the caller's token: what he may not read, he cannot build."""
    session, account, data = cloud.session("alice"), cloud.account_url("alice"), zip_of(FOLDER)
    session.put(f"{account}/code")
    etag = session.put(f"{account}/code/hello.zip", data=data).headers["etag"]

    def put(user: str, **changed: str) -> httpx.Response:
        named = {"container": "code", "object": "hello.zip", "etag": etag, **changed}
        body = json.dumps({"source": named}).encode()
        return api.put(cloud.token(user), body, **{"Content-Type": "application/json"})

    stored = put("alice")
    assert stored.status_code == 201, stored.text
    assert api.blob(alice, "hello", stored.json()["source"]["digest"]).content == data
    assert put("alice", etag=f'"{etag}"').status_code == 201
    assert error_of(put("alice", etag="0" * 32)) == (409, "object.changed")
    assert error_of(put("alice", object="other.zip")) == (404, "object.not_found")
    assert error_of(put("alice", container="..")) == (400, "request.malformed")
    assert error_of(put("bob")) == (404, "object.not_found")
    for body in (b"{}", b"[]", b'{"source": {"container": "code"}}', b"{" + b" " * 10_000):
        answer = api.put(cloud.token("alice"), body, **{"Content-Type": "application/json"})
        assert answer.status_code in {400, 413}
    session.put(f"{account}/code/large.zip", data=bytes(MAX_BYTES + 1))
    large = session.head(f"{account}/code/large.zip").headers["etag"]
    assert error_of(put("alice", object="large.zip", etag=large)) == (413, "request.body_too_large")


def test_a_registry_that_is_gone_is_said_and_the_upload_works_afterwards(api: Api, cloud, nothing_stays: Path) -> None:
    token = cloud.token("alice")
    api.site.registry.kill()
    try:
        started = time.monotonic()
        response = api.put(token, zip_of({**FOLDER, "later.txt": "x"}))
        assert error_of(response) == (503, "registry.unavailable"), time.monotonic() - started
    finally:
        api.site.registry.restart()
    assert api.put(token, zip_of({**FOLDER, "later.txt": "x"})).status_code == 201
