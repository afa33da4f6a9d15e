"""`osfaas-build` from an archive to an image: the real program, a real registry, a real index of wheels."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from registries import manifest_of, package_index, push_base, registry
from test_function_runtimes import running as serving
from wheels import write_sdist, write_wheel

from builds.errors import TemporaryError
from builds.layers import Blob
from builds.registry import Registry
from tests.machine import scaled

OSFAAS_BUILD = Path(sys.executable).with_name("osfaas-build")
MAIN_PY = "import greeting\n\ndef main(request):\n    return greeting.greet('you')\n"
FOLDER = {"main.py": MAIN_PY, "requirements.txt": "greeting==1.0\n", "data/words.txt": "a b\n"}


def zip_of(files: Mapping[str, str]) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return output.getvalue()


def tar_of(files: Mapping[str, str]) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size, info.mtime = len(text), 1_700_000_000
            archive.addfile(info, io.BytesIO(text.encode()))
    return output.getvalue()


@dataclass(frozen=True)
class Site:
    """Registry, index and base images."""

    url: str
    index: str
    requested: list[str]
    packages: Path
    bases: dict[str, str]
    folder: Path

    def build(self, data: bytes, repository: str = "p1/hello", **settings: str) -> "subprocess.CompletedProcess[str]":
        """A build in an environment of its own."""
        archive = self.folder / "archive"
        archive.write_bytes(data)
        environment = {
            "OSFAAS_BUILD_SOURCE": str(archive),
            "OSFAAS_BUILD_REPOSITORY": repository,
            "OSFAAS_BUILD_REGISTRY_URL": self.url,
            "OSFAAS_BUILD_INDEX_URL": self.index,
            "OSFAAS_BUILD_BASES": ",".join(f"{runtime}={base}" for runtime, base in self.bases.items()),
            "PATH": os.environ["PATH"],
            "SECRET_OF_THE_JOB": "must not reach pip",
            **settings,
        }
        return subprocess.run(
            [OSFAAS_BUILD], env=environment, capture_output=True, text=True, timeout=scaled(200), check=False
        )

    def built(self, data: bytes, repository: str = "p1/hello", **settings: str) -> list[dict[str, Any]]:
        """The lines of a build that succeeds."""
        done = self.build(data, repository, **settings)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def refused(self, data: bytes, **settings: str) -> str:
        """The sentence of a build that cannot succeed, now or later."""
        done = self.build(data, "p1/refused", **settings)
        assert done.returncode == 65, done.stderr
        last = json.loads(done.stdout.splitlines()[-1])
        assert done.stderr == f"osfaas-build: {last['error']}\n"
        return str(last["error"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    packages = folder / "packages"
    write_wheel(packages / "greeting", "greeting", "1.0", "def greet(name):\n    return f'Good morning, {name}!'\n")
    write_wheel(packages / "greeting", "greeting", "2.0", "raise SystemExit('too new')\n")
    write_wheel(packages / "oldfashioned", "oldfashioned", "1.0", "", requires="click<8")
    write_wheel(packages / "needsclick", "needsclick", "1.0", "", requires="click")
    write_sdist(
        packages / "sourceonly", "sourceonly", "1.0", f"import os\nopen({str(folder / 'ran')!r}, 'w').close()\n"
    )
    wheels = Path(__file__).resolve().parents[2] / ".cache" / "functions" / "wheels"
    for wheel in wheels.glob("click-*.whl"):
        (packages / "click").mkdir()
        shutil.copy(wheel, packages / "click")
    with registry(folder) as service, package_index(packages) as (index, requested):
        url = f"http://127.0.0.1:{service.port}"
        bases = {name: push_base(url, f"base/{name}", name, folder / "bases") for name in ("framework", "asgi")}
        yield Site(url, index, requested, packages, bases, folder)


def test_archive_that_is_refused_says_why(site: Site) -> None:
    assert "leads out of the folder" in site.refused(zip_of({"../main.py": ""}))
    assert "neither a zip nor a tar.gz" in site.refused(b"hello")


def test_folder_without_a_function_is_refused(site: Site) -> None:
    assert "Add main.py with main(request)" in site.refused(zip_of({"app.py": ""}))


def test_requirements_that_name_another_index_are_refused(site: Site) -> None:
    sentence = site.refused(zip_of({**FOLDER, "requirements.txt": "--index-url https://evil.example/\n"}))
    assert "packages come from the platform's index only" in sentence


def test_package_that_does_not_exist_is_named(site: Site) -> None:
    sentence = site.refused(zip_of({**FOLDER, "requirements.txt": "nosuchpackage\n"}))
    assert "No matching distribution found for nosuchpackage" in sentence


def test_package_that_needs_another_version_of_the_runtimes_is_refused(site: Site) -> None:
    sentence = site.refused(zip_of({**FOLDER, "requirements.txt": "oldfashioned\n"}))
    assert "oldfashioned 1.0 depends on click<8" in sentence


def test_code_of_a_source_distribution_does_not_run(site: Site) -> None:
    archive = zip_of({**FOLDER, "requirements.txt": "sourceonly\n"})
    assert "No matching distribution found for sourceonly" in site.refused(archive)
    assert not (site.folder / "ran").exists()
    # The positive control: where the operator allows it, the code runs.
    site.build(archive, "p1/refused", OSFAAS_BUILD_SOURCE_DISTRIBUTIONS="true")
    assert (site.folder / "ran").exists()


def test_archive_with_another_hash_is_refused(site: Site) -> None:
    line = f"greeting==1.0 --hash=sha256:{'0' * 64}\n"
    assert "DO NOT MATCH THE HASHES" in site.refused(zip_of({**FOLDER, "requirements.txt": line}))


def test_package_without_a_hash_is_refused_where_hashes_are_given(site: Site) -> None:
    """Its dependency would be what nobody has looked at."""
    (wheel,) = (site.packages / "needsclick").iterdir()
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    line = f"needsclick==1.0 --hash=sha256:{digest}\n"
    sentence = site.refused(zip_of({**FOLDER, "requirements.txt": line}))
    assert "click" in sentence
    assert "hash" in sentence.lower()


def test_hashes_that_are_right_are_accepted_beside_the_runtimes_pins(site: Site) -> None:
    """pip wants a hash of everything in this mode, and the pins have none."""
    lines = ""
    for name in ("needsclick", "click"):
        (wheel,) = (site.packages / name).iterdir()
        version = wheel.name.split("-")[1]
        lines += f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"
    stages = site.built(zip_of({**FOLDER, "requirements.txt": lines}), "p1/hashed")
    assert stages[2]["packages"] == 2


def test_base_image_of_another_runtime_is_refused(site: Site) -> None:
    bases = f"framework={site.bases['asgi']}"
    assert "is for the runtime 'asgi'" in site.refused(zip_of(FOLDER), OSFAAS_BUILD_BASES=bases)


def test_base_image_without_a_digest_is_refused(site: Site) -> None:
    assert "has no digest" in site.refused(zip_of(FOLDER), OSFAAS_BUILD_BASES="framework=base/framework:latest")


def test_index_that_does_not_answer_may_be_tried_again(site: Site) -> None:
    done = site.build(
        zip_of(FOLDER), OSFAAS_BUILD_INDEX_URL="http://127.0.0.1:9/", OSFAAS_BUILD_TIMEOUT_SECONDS="3"
    )  # fmt: skip
    assert (done.returncode, "Try again" in done.stderr) == (75, True), done.stderr


def test_registry_that_does_not_answer_is_asked_some_times_and_may_be_tried_again() -> None:
    pauses: list[float] = []
    with httpx.Client(timeout=scaled(60), trust_env=False) as http, pytest.raises(TemporaryError, match="reached"):
        Registry("http://127.0.0.1:9", None, http, sleep=pauses.append).manifest("base/asgi", "latest")
    assert pauses == [1, 2, 4, 8]


@pytest.mark.parametrize("missing", ["SOURCE", "REPOSITORY", "REGISTRY_URL", "INDEX_URL", "BASES"])
def test_missing_setting_is_named(missing: str, site: Site) -> None:
    done = site.build(b"", **{f"OSFAAS_BUILD_{missing}": ""})
    assert (done.returncode, done.stderr) == (64, f"osfaas-build: OSFAAS_BUILD_{missing} is not set.\n")


def test_stages_are_reported_and_the_image_runs(site: Site, tmp_path: Path) -> None:
    site.requested.clear()
    *stages, done = site.built(zip_of(FOLDER))
    assert [line["stage"] for line in stages] == ["fetch", "check", "resolve", "assemble", "push"]
    assert all(line["seconds"] >= 0 for line in stages)
    assert (stages[1]["runtime"], stages[1]["files"], stages[2]["packages"]) == ("framework", 3, 1)
    assert done["image"] == f"p1/hello@{done['digest']}"
    manifest = manifest_of(site.url, "p1/hello", done["digest"])
    base = manifest_of(site.url, "base/framework", site.bases["framework"].partition("@")[2])
    assert manifest["layers"][: len(base["layers"])] == base["layers"]
    with httpx.Client(timeout=scaled(60), trust_env=False) as http:
        read = Registry(site.url, None, http)
        config = json.loads(read.blob("p1/hello", manifest["config"]["digest"]))
        for layer in manifest["layers"]:
            with tarfile.open(fileobj=io.BytesIO(read.blob("p1/hello", layer["digest"]))) as archive:
                archive.extractall(tmp_path, filter="data")
    assert config["config"]["Entrypoint"] == ["python", "-m", "framework_runtime"]
    with serving("framework", tmp_path / "function", {}, PYTHONPATH=str(tmp_path / "function-packages")) as function:
        assert function.get("/").text == "Good morning, you!"
    # Nothing but the package was asked of the index.
    assert {path.split("/")[1] for path in site.requested} == {"greeting"}


def test_same_folder_gives_the_same_digest_however_it_is_packed(site: Site) -> None:
    """Built in two repositories, so that nothing is found there, from zip and from tar with other times and order."""
    first = site.built(zip_of(FOLDER), "p1/one")
    second = site.built(zip_of(FOLDER), "p2/two")
    assert (first[-1]["digest"], first[-2]["pushed"]) == (second[-1]["digest"], second[-2]["pushed"])
    packed_otherwise = site.built(tar_of(dict(reversed(FOLDER.items()))), "p3/three")
    assert packed_otherwise[-1]["digest"] == first[-1]["digest"]


def test_second_build_of_an_unchanged_folder_pushes_nothing(site: Site) -> None:
    first = site.built(zip_of(FOLDER), "p1/again")
    second = site.built(zip_of(FOLDER), "p1/again")
    assert first[-1] == second[-1]
    assert (first[-2]["pushed"], second[-2]["pushed"]) == (True, False)


def test_bill_of_materials_is_found_from_the_image(site: Site) -> None:
    """By the referrers API, or by the tag that the specification has for registries without it."""
    digest = site.built(zip_of(FOLDER), "p1/sbom")[-1]["digest"]
    site.built(zip_of(FOLDER), "p1/sbom")
    found = httpx.get(f"{site.url}/v2/p1/sbom/referrers/{digest}", timeout=scaled(60), trust_env=False)
    index = found.json() if found.status_code == 200 else manifest_of(site.url, "p1/sbom", digest.replace(":", "-"))
    (referrer,) = index["manifests"]
    assert referrer["artifactType"] == "application/vnd.cyclonedx+json"
    manifest = manifest_of(site.url, "p1/sbom", referrer["digest"])
    assert manifest["subject"]["digest"] == digest
    with httpx.Client(timeout=scaled(60), trust_env=False) as http:
        document = json.loads(Registry(site.url, None, http).blob("p1/sbom", manifest["layers"][0]["digest"]))
    (package,) = [each for each in document["components"] if each["type"] == "library"]
    assert (package["purl"], len(package["hashes"][0]["content"])) == ("pkg:pypi/greeting@1.0", 64)


def test_source_is_fetched_from_a_url_in_the_version_that_was_named(site: Site) -> None:
    sources = site.folder / "sources"
    sources.mkdir()
    (sources / "a.zip").write_bytes(zip_of({"func.py": "async def handle(scope, receive, send): pass\n"}))
    with package_index(sources) as (url, _):
        lines = site.built(b"", "p1/url", OSFAAS_BUILD_SOURCE=f"{url}a.zip")
        assert lines[1]["runtime"] == "asgi"
        assert "has changed" in site.refused(b"", OSFAAS_BUILD_SOURCE=f"{url}a.zip", OSFAAS_BUILD_SOURCE_ETAG="x")
        assert "answers 404" in site.refused(b"", OSFAAS_BUILD_SOURCE=f"{url}b.zip")
        assert "more than 100 bytes" in site.refused(
            b"", OSFAAS_BUILD_SOURCE=f"{url}a.zip", OSFAAS_BUILD_ARCHIVE_MAX_BYTES="100"
        )


class _Cut(httpx.HTTPTransport):
    """Fails some of the chunks of uploads, after the registry has them."""

    def __init__(self, *, cuts: int) -> None:
        super().__init__()
        self.cuts = cuts
        self.patches = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        if request.method == "PATCH":
            self.patches += 1
            if self.cuts and self.patches % 2 == 0:
                self.cuts -= 1
                response.close()
                raise httpx.ReadError("cut")
        return response


def test_interrupted_upload_goes_on_where_the_registry_is(site: Site, tmp_path: Path) -> None:
    data = os.urandom(10_000)
    path = tmp_path / "blob"
    path.write_bytes(data)
    blob = Blob(f"sha256:{hashlib.sha256(data).hexdigest()}", len(data), path)
    transport = _Cut(cuts=2)
    with httpx.Client(timeout=scaled(60), transport=transport) as http:
        target = Registry(site.url, None, http, chunk_bytes=1000, sleep=lambda _: None)
        assert target.push_blob("p1/resumed", blob)
        assert target.blob("p1/resumed", blob.digest) == data
        assert not target.push_blob("p1/resumed", blob)
    # No chunk twice.
    assert (transport.patches, transport.cuts) == (10, 0)


def test_layers_of_the_base_are_mounted_and_not_sent(site: Site, tmp_path: Path) -> None:
    repository, _, digest = site.bases["asgi"].partition("@")
    (layer,) = manifest_of(site.url, repository, digest)["layers"]
    transport = _Cut(cuts=0)
    with httpx.Client(timeout=scaled(60), transport=transport) as http:
        Registry(site.url, None, http).mount("p1/mounted", layer["digest"], repository, tmp_path)
    assert (transport.patches, list(tmp_path.iterdir())) == (0, [])
