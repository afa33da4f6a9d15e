"""From a folder to a running function: an ordinary member, real Keystone, Swift, registry and package index."""

from __future__ import annotations

import json
import re
import secrets
import struct
import time
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from policies.names import ProjectId, namespace_of
from policies.own_build import PULL_SECRET
from tests.cluster.commands import wait_until
from tests.cluster.layout import CHECKOUT
from tests.cluster.platform.sandbox import RUNTIME_CLASS
from tests.cluster.product import EDGE_HOST
from tests.cluster.progress import say
from tests.integration.wheels import write_wheel

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.builds import BuildSite
    from tests.cluster.product import Product

MEMBER, STRANGER = "alice", "bob"
SIZE = ("--cpu", "100", "--memory", "128")
MAIN = "import greeting\n\ndef main(request):\n    return greeting.greet('{word}')\n"
FUNC = """
async def handle(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"func says " + scope["path"].encode()})
"""

pytestmark = pytest.mark.timeout(900)


class Developer:
    """A member with folders of his own, and the command line."""

    def __init__(self, product: Product, site: BuildSite, folder: Path) -> None:
        self.product = product
        self.site = site
        self.folder = folder
        # What the first deployment has printed.
        self.progress: list[str] = []
        self.project = ProjectId(product.openstack.inside.users[MEMBER].project_id)
        self.namespace = namespace_of(self.project)

    def function(
        self, verb: str, *words: str, user: str = MEMBER, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        words = ("function", verb, *(() if verb == "init" else ("-e", f"https://{EDGE_HOST}")), *words)
        return self.product.osfaas_as(user, *words, check=check, folder=self.folder)

    def write(self, name: str, **files: str) -> None:
        """A folder; underscores in names of files stand for dots."""
        (self.folder / name).mkdir(exist_ok=True)
        for file, text in files.items():
            (self.folder / name / file.replace("_", ".")).write_text(text)

    def show(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.function("show", name, "-f", "json").stdout)
        return found

    def jobs(self, name: str) -> list[dict[str, Any]]:
        selector = f"osfaas.dev/build={name}"
        found: list[dict[str, Any]] = self.product.cluster.kubectl.get("jobs", "-n", self.namespace, "-l", selector)[
            "items"
        ]
        return found

    def condition(self, name: str, type_: str) -> dict[str, Any]:
        found: dict[str, Any] = next(each for each in self.show(name)["status"]["conditions"] if each["type"] == type_)
        return found


@pytest.fixture(scope="module")
def developer(product: Product, site: BuildSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Developer]:
    write_wheel(
        site.packages / "greeting", "greeting", "1.0", "def greet(name):\n    return f'Good morning, {name}!'\n"
    )
    for project in ("alice-project", "bob-project"):
        product.osfaas(
            "tenant", "onboard", project, "--domain", "Default", "--requests-per-second", "200", "--timeout", "10m"
        )
    users = product.openstack.inside.users
    yield Developer(product, site, tmp_path_factory.mktemp("home"))
    for user in (MEMBER, STRANGER):
        product.remove_tenant(namespace_of(ProjectId(users[user].project_id)))


def png(width: int, height: int) -> bytes:
    """A grey image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = b"".join(b"\0" + bytes(index % 256 for index in range(width)) for _ in range(height))
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.fixture(scope="module")
def thumbnail(developer: Developer) -> dict[str, Any]:
    """The story of the tutorial; what the function is afterwards."""
    cloud = developer.product.openstack.outside
    session, account = cloud.session(MEMBER), cloud.account_url(MEMBER)
    session.put(f"{account}/demo", headers={"X-Container-Meta-Temp-URL-Key": secrets.token_hex(16)})
    session.put(f"{account}/demo/cat.png", data=png(200, 100))
    developer.function("init", "thumbnail")
    started = time.monotonic()
    deployed = developer.function("deploy", "thumbnail", *SIZE)
    ready = time.monotonic()
    invoked = developer.function("invoke", "thumbnail", "--input", "demo/cat.png", "--output", "demo/cat-small.png")
    say(f"deployed after {ready - started:.1f} s, first answer after {time.monotonic() - started:.1f} s")
    say(deployed.stderr)
    assert "written" in invoked.stderr, invoked.stderr
    small = session.get(f"{account}/demo/cat-small.png").content
    assert struct.unpack(">II", small[16:24]) == (64, 32)
    for stage in ("folder: runtime framework", "upload: ", "resolve: ", "assemble: ", "push: ", "ready: revision"):
        assert stage in deployed.stderr, (stage, deployed.stderr)
    developer.progress = deployed.stderr.splitlines()
    return developer.show("thumbnail")


def test_the_stages_are_those_of_the_tutorial(developer: Developer, thumbnail: dict[str, Any]) -> None:
    """How often the command says what it waits for depends on how fast the cluster is."""
    page = (CHECKOUT / "docs/tutorials/from-a-folder-to-a-url.md").read_text(encoding="utf-8")
    block = re.search(r"osfaas function deploy thumbnail\n```\n\n```text\n(.*?)```", page, re.DOTALL)
    assert block is not None
    shown, printed = (
        [re.sub(r"[0-9a-f]{8,}|[\d.,]+", "…", line) for line in lines if re.match(r"[a-z]", line)]
        for lines in (block[1].splitlines(), developer.progress)
    )
    assert printed == shown


def test_a_folder_becomes_a_function_that_reads_and_writes_objects(thumbnail: dict[str, Any]) -> None:
    build = thumbnail["status"]["build"]
    assert thumbnail["image"] is None
    assert build["source"] == thumbnail["source"]
    assert build["runtime"] == "framework"
    assert build["image"].endswith(thumbnail["status"]["image_digest"])


def test_the_same_folder_again_is_no_change(developer: Developer, thumbnail: dict[str, Any]) -> None:
    jobs = [job["metadata"]["uid"] for job in developer.jobs("thumbnail")]
    done = developer.function("deploy", "thumbnail", *SIZE)
    assert "nothing to change" in done.stderr
    assert "upload" not in done.stderr
    after = developer.show("thumbnail")
    for key in ("image_digest", "latest_created_revision"):
        assert after["status"][key] == thumbnail["status"][key]
    assert [job["metadata"]["uid"] for job in developer.jobs("thumbnail")] == jobs


@pytest.mark.long
def test_another_job_builds_the_same_digest(developer: Developer, thumbnail: dict[str, Any]) -> None:
    jobs = {job["metadata"]["uid"] for job in developer.jobs("thumbnail")}
    done = developer.function("deploy", "thumbnail", "--again", *SIZE)
    assert "push: " in done.stderr
    after = developer.show("thumbnail")
    assert after["status"]["image_digest"] == thumbnail["status"]["image_digest"]
    left = {job["metadata"]["uid"] for job in developer.jobs("thumbnail")}
    assert len(left) == 1
    assert not left & jobs


def test_a_build_is_as_isolated_as_a_function(developer: Developer, thumbnail: dict[str, Any]) -> None:
    (job,) = developer.jobs("thumbnail")
    name = job["metadata"]["name"]
    pods = developer.product.cluster.kubectl.get("pods", "-n", developer.namespace, "-l", f"job-name={name}")["items"]
    assert pods
    for pod in pods:
        spec, (container,) = pod["spec"], pod["spec"]["containers"]
        # The sandbox has a kernel of its own, and gVisor starts no pod in a user namespace.
        assert (spec["runtimeClassName"], spec.get("hostUsers", True)) == (RUNTIME_CLASS, True)
        assert spec["automountServiceAccountToken"] is False
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert not [volume for volume in spec["volumes"] if "projected" in volume or "hostPath" in volume]


def test_the_credential_to_push_is_there_during_builds_only(developer: Developer, thumbnail: dict[str, Any]) -> None:
    def secrets_left() -> set[str]:
        words = ("get", "secrets", "-n", developer.namespace, "-o", "jsonpath={.items[*].metadata.name}")
        return {each for each in developer.product.cluster.kubectl(*words).split() if each.startswith("osfaas-")}

    wait_until("the credential is gone", lambda: secrets_left() == {PULL_SECRET}, seconds=60)


@pytest.mark.long
def test_the_bill_of_materials_is_a_referrer_of_the_image(developer: Developer, thumbnail: dict[str, Any]) -> None:
    repository, digest = f"{developer.project}/thumbnail", thumbnail["status"]["image_digest"]
    token = developer.site.token(repository, "pull")
    index = developer.site.ask(f"{repository}/manifests/{digest.replace(':', '-')}", token).json()
    (referrer,) = index["manifests"]
    manifest = developer.site.ask(f"{repository}/manifests/{referrer['digest']}", token).json()
    document = developer.site.ask(f"{repository}/blobs/{manifest['layers'][0]['digest']}", token).json()
    assert "pkg:pypi/pillow@" in str([each.get("purl", "").lower() for each in document["components"]])


@pytest.mark.long
def test_knatives_own_convention_runs_too(developer: Developer) -> None:
    developer.write("asgi", func_py=FUNC)
    developer.function("deploy", "asgi", *SIZE)
    with developer.product.caller(MEMBER) as caller:
        assert caller.get("/v1/invoke/asgi/x").text == "func says /x"


@pytest.mark.long
def test_a_failed_build_takes_no_traffic_and_says_why(developer: Developer) -> None:
    with developer.product.caller(MEMBER) as caller:
        for word in ("Ada", "Bob"):
            developer.write("greeter", main_py=MAIN.format(word=word), requirements_txt="greeting==1.0\n")
            developer.function("deploy", "greeter", *SIZE)
            assert caller.get("/v1/invoke/greeter/").text == f"Good morning, {word}!"
        developer.write("greeter", requirements_txt="greeting==9.9\n")
        done = developer.function("deploy", "greeter", *SIZE, check=False)
        assert done.returncode == 1, done.stderr
        assert "No matching distribution found for greeting==9.9" in done.stderr
        assert "resolve: " in developer.function("show", "greeter").stdout
        assert '"stage": "resolve"' in developer.function("logs", "greeter", "--build").stdout
        assert caller.get("/v1/invoke/greeter/").text == "Good morning, Bob!"
        # The way back does not wait for a build that succeeds.
        developer.function("rollback", "greeter")
        before = "Good morning, Ada!"
        wait_until("it answers", lambda: caller.get("/v1/invoke/greeter/").text == before, seconds=30)
        assert developer.condition("greeter", "Built")["reason"] == "BuildFailed"
        developer.write("greeter", main_py=MAIN.format(word="Eve"), requirements_txt="greeting==1.0\n")
        developer.function("deploy", "greeter", *SIZE)
        assert caller.get("/v1/invoke/greeter/").text == "Good morning, Eve!"


def test_nothing_of_a_project_is_seen_by_another(developer: Developer, thumbnail: dict[str, Any]) -> None:
    for words in (("show", "thumbnail"), ("logs", "thumbnail", "--build")):
        done = developer.function(*words, user=STRANGER, check=False)
        assert (done.returncode, "has no function 'thumbnail' of its own" in done.stderr) == (1, True)
    # The image of another project, which the node has already.
    image = thumbnail["status"]["build"]["image"]
    done = developer.function("deploy", "stolen", "--image", image, *SIZE, user=STRANGER, check=False)
    assert done.returncode == 1
    assert "a project may run images of its own repositories" in done.stderr
