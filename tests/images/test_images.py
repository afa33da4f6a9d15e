"""`make images`: one commit gives one digest, the bill of materials names what is in the image, and it starts."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from packageurl import PackageURL
from packaging.utils import canonicalize_name

from images.buildah import Buildah, buildah
from images.contents import SCRIPT, contents_of
from images.release import CONTEXTS
from localcloud.ports import free_ports
from releases.version import checkout_version
from tests.cluster.recipes.archives import ARCHIVE
from tests.cluster.recipes.base import BASE
from tests.cluster.recipes.recipe import make_recipe
from tests.machine import scaled

CHECKOUT = Path(__file__).resolve().parents[2]
LOCKS = {
    "gateway": "requirements.txt",
    "checksums": "functions/checksums/constraints.txt",
    "runtime-asgi": "functions/runtimes/asgi/asgi_runtime/constraints.txt",
    "runtime-framework": "functions/runtimes/framework/framework_runtime/constraints.txt",
}
# Where the image has what it does not share with the base.
ENVIRONMENTS = dict.fromkeys(CONTEXTS, "/runtime") | {"gateway": "/opt/osfaas", "checksums": "/function"}
OURS = {
    "gateway": {"openstack-faas-gateway", "osfaas-builder", "osfaas-client"},
    "checksums": {"checksums-function"},
    "runtime-asgi": {"asgi-runtime"},
    "runtime-framework": {"framework-runtime"},
}
FUNCTIONS = {
    "runtime-asgi": ("func.py", "async def handle(scope, receive, send): ...\n"),
    "runtime-framework": ("main.py", "def main(request): return 'answer'\n"),
}
HEALTH = {"checksums": "/healthz"} | dict.fromkeys(FUNCTIONS, "/health/readiness")
# Starts the program of the image inside of it, asks for its health, and ends it.
ASK = """
import os, signal, subprocess, sys, time, urllib.request
program = subprocess.Popen([sys.executable, "-m", sys.argv[1]], env={**os.environ, "PORT": sys.argv[3]})
url = f"http://127.0.0.1:{sys.argv[3]}{sys.argv[2]}"
while program.poll() is None:
    try:
        print("health", urllib.request.urlopen(url).status)
        break
    except OSError:
        time.sleep(0.1)
program.send_signal(signal.SIGTERM)
print("status", program.wait())
"""
# Bytecode whose head says that nobody has to look at the time of its source (PEP 552).
UNCHECKED = """
import pathlib, sys
heads = [path.read_bytes()[4:8] for path in pathlib.Path(sys.argv[1]).rglob("*.pyc")]
print(len(heads), sum(head != b"\\1\\0\\0\\0" for head in heads))
"""
pytestmark = pytest.mark.timeout(7200)


@dataclass(frozen=True)
class Made:
    """What `make images` printed for an image, and its bill of materials."""

    version: str
    digest: str
    layout: str
    bill: dict[str, object]


@pytest.fixture(scope="session")
def base() -> Path:
    return make_recipe(BASE) / ARCHIVE


def wheels(folder: Path) -> Path:
    subprocess.run([CHECKOUT / "distributions" / "build.sh", folder], check=True, timeout=scaled(600))
    return folder


@pytest.fixture(scope="session")
def dists(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Built twice."""
    folder = tmp_path_factory.mktemp("dist")
    return wheels(folder / "first"), wheels(folder / "second")


def images(folder: Path, dist: Path, source: str, *names: str) -> subprocess.CompletedProcess[str]:
    words = [str(folder), "--dist", str(dist), "--python", source, *names]
    return subprocess.run(
        [sys.executable, "-m", "images", *words],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=scaled(3000),
    )


def made(folder: Path, dist: Path, base: Path) -> dict[str, Made]:
    done = images(folder, dist, f"docker-archive:{base}")
    assert done.returncode == 0, done.stderr
    assert not (folder / "storage").exists()
    found = {}
    for line in done.stdout.splitlines():
        name, version, digest, layout, bill = line.split()
        found[name] = Made(version, digest, layout, json.loads(Path(bill).read_bytes()))
    return found


@pytest.fixture(scope="session")
def twice(
    dists: tuple[Path, Path], base: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Made], dict[str, Made]]:
    """All images, built twice from nothing."""
    first, second = (made(tmp_path_factory.mktemp("images"), dist, base) for dist in dists)
    return first, second


@pytest.fixture(scope="session")
def loaded(
    twice: tuple[dict[str, Made], dict[str, Made]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Buildah, dict[str, str]]]:
    """The images as whoever fetches them has them: by name."""
    with buildah(tmp_path_factory.mktemp("loaded") / "storage") as tool:
        yield tool, {name: tool.pull(f"oci:{image.layout}") for name, image in twice[0].items()}


def test_wheels_of_one_commit_are_the_same(dists: tuple[Path, Path]) -> None:
    first, second = ({path.name: path.read_bytes() for path in (dist / "dist").glob("*.whl")} for dist in dists)
    assert len(first) == sum(map(len, OURS.values()))
    assert first == second


@pytest.mark.parametrize("name", CONTEXTS)
def test_one_commit_gives_one_digest(twice: tuple[dict[str, Made], dict[str, Made]], name: str) -> None:
    first, second = twice
    assert first[name].version == checkout_version(CHECKOUT)
    assert re.fullmatch("sha256:[0-9a-f]{64}", first[name].digest)
    assert first[name].digest == second[name].digest
    assert first[name].bill == second[name].bill


@pytest.mark.parametrize("name", CONTEXTS)
def test_bill_of_materials_names_what_is_locked_what_is_ours_and_the_base(
    twice: tuple[dict[str, Made], dict[str, Made]], name: str
) -> None:
    image = twice[0][name]
    components = image.bill["components"]
    assert isinstance(components, list)
    urls = [PackageURL.from_string(each["purl"]) for each in components if "purl" in each]
    found = {(canonicalize_name(url.name), str(url.version)) for url in urls if url.type == "pypi"}
    lock = (CHECKOUT / LOCKS[name]).read_text(encoding="utf-8")
    # Without those that another Python or system needs, and what built the wheels of a function.
    pinned = {
        (canonicalize_name(each), version) for each, version in re.findall(r"^(\S+)==(\S+) \\$", lock, re.MULTILINE)
    }
    wanted = {pin for pin in pinned if name == "gateway" or pin[0] != "setuptools"}
    assert len(wanted) >= 3
    assert wanted - found == set()
    assert {(own, image.version) for own in OURS[name]} - found == set()
    assert any((url.type, url.name) == ("deb", "libc6") for url in urls)


@pytest.mark.parametrize("name", CONTEXTS)
def test_bytecode_of_an_image_depends_on_no_time(loaded: tuple[Buildah, dict[str, str]], name: str) -> None:
    """All files have the time of the commit: other bytecode would be written again at each start, if that could."""
    tool, found = loaded
    count, checked = map(int, tool.run(found[name], "python", "-c", UNCHECKED, ENVIRONMENTS[name]).split())
    assert count > 100
    assert checked == 0


def test_gateway_says_its_version(loaded: tuple[Buildah, dict[str, str]]) -> None:
    tool, found = loaded
    said = tool.run(found["gateway"], "osfaas", "--version")
    assert checkout_version(CHECKOUT) in said


@pytest.mark.parametrize("name", HEALTH)
def test_function_answers(loaded: tuple[Buildah, dict[str, str]], tmp_path: Path, name: str) -> None:
    tool, found = loaded
    folders = {}
    if name in FUNCTIONS:
        file, text = FUNCTIONS[name]
        (tmp_path / file).write_text(text, encoding="utf-8")
        tmp_path.chmod(0o755)
        folders[tmp_path] = "/function"
    (module,) = (own.replace("-", "_") for own in OURS[name])
    said = tool.run(found[name], "python", "-c", ASK, module, HEALTH[name], str(*free_ports(1)), folders=folders)
    assert {"health 200", "status 0"} <= set(said.splitlines()), said


@pytest.mark.parametrize("name", CONTEXTS)
def test_dockerfile_alone_builds_its_wheels_from_the_checkout(base: Path, tmp_path: Path, name: str) -> None:
    """As `docker build` does: nothing takes the place of the stage of the wheels."""
    with buildah(tmp_path / "storage") as tool:
        tool.build(CHECKOUT / CONTEXTS[name], "localhost/alone", tool.pull(f"docker-archive:{base}"))
        contents = contents_of(tool.run("localhost/alone", "python", "-c", SCRIPT))
    assert OURS[name] <= {each.name for each in contents.distributions}


def test_without_one_time_for_all_files_each_build_has_a_digest_of_its_own(base: Path, tmp_path: Path) -> None:
    """So the time of the commit is what makes them equal. A stage gives way to a folder of its name."""
    context, dist = tmp_path / "context", tmp_path / "dist"
    context.mkdir()
    dist.mkdir()
    (context / "Dockerfile").write_text(
        "ARG PYTHON\nFROM ${PYTHON} AS wheels\nRUN exit 1\n"
        "FROM ${PYTHON}\nCOPY --from=wheels /file /file\nRUN touch /made\n"
    )
    digests = []
    with buildah(tmp_path / "storage") as tool:
        python = tool.pull(f"docker-archive:{base}")
        for number, epoch in enumerate((None, 1, 1)):
            (dist / "file").write_text("the same")
            tag = f"localhost/small-{number}"
            tool.build(context, tag, python, epoch=epoch, stages={"wheels": dist})
            digests.append(tool.push(tag, f"oci:{tmp_path / str(number)}"))
        assert tool.run("localhost/small-1", "cat", "/file") == "the same"
    assert digests[1] == digests[2] != digests[0]
    assert not (tmp_path / "storage").exists()


def test_what_buildah_says_is_shown(dists: tuple[Path, Path], base: Path, tmp_path: Path) -> None:
    done = images(tmp_path, dists[0], f"docker-archive:{base.with_name('missing.tar')}", "checksums")
    assert done.returncode == 1
    assert "buildah pull" in done.stderr
    assert "missing.tar" in done.stderr
