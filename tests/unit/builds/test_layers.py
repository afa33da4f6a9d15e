"""Layers, manifests and bills of materials are the same for the same input."""

import gzip
import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from builds.dependencies import Package
from builds.errors import BuildError
from builds.image import Base, check_base, config_of, manifest_of, referrer_of, sbom_of
from builds.layers import Blob, Layer, write_layer

BASE = Base(
    "sha256:" + "b" * 64,
    {"layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "digest": "sha256:l", "size": 3}]},
    {
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": {"Env": ["A=b"], "Entrypoint": ["python"], "Labels": {"dev.osfaas.runtime": "asgi"}},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:d"]},
    },
)


def folder(parent: Path, *, mode: int = 0o644, mtime: int = 1) -> Path:
    """The same files, made in another order, with other rights and times."""
    files = {"main.py": b"pass\n", "lib/a.py": b"", "lib-b": b"x", "run.sh": b"#!/bin/sh\n", "ü" * 60 + "/x": b"y"}
    for name in sorted(files, reverse=bool(mtime % 2)):
        path = parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[name])
        path.chmod(0o700 if name == "run.sh" else mode)
        os.utime(path, (mtime, mtime))
    return parent


def test_same_files_give_the_same_layer(tmp_path: Path) -> None:
    first = write_layer(folder(tmp_path / "one"), "function", tmp_path / "1")
    second = write_layer(folder(tmp_path / "two", mode=0o600, mtime=2_000_000_000), "function", tmp_path / "2")
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    assert (first.blob.digest, first.diff_id) == (second.blob.digest, second.diff_id)


def test_layer_is_the_one_that_it_was(tmp_path: Path) -> None:
    """A change of order, numbers or compression would build every function anew."""
    layer = write_layer(folder(tmp_path / "one"), "function", tmp_path / "1")
    assert layer.diff_id == "sha256:d107cd6b31f665f2da114aa7439458493609ac8905e0df5072f36853320026c4"


@pytest.mark.parametrize("change", ["content", "name", "executable"])
def test_other_files_give_another_layer(change: str, tmp_path: Path) -> None:
    before = write_layer(folder(tmp_path / "one"), "function", tmp_path / "1").diff_id
    source = folder(tmp_path / "two")
    if change == "content":
        (source / "main.py").write_text("fail\n")
    elif change == "name":
        (source / "main.py").rename(source / "func.py")
    else:
        (source / "main.py").chmod(0o755)
    assert write_layer(source, "function", tmp_path / "2").diff_id != before


def test_layer_has_files_of_root_that_nobody_else_may_write(tmp_path: Path) -> None:
    source = folder(tmp_path / "one", mode=0o666)
    (source / "link").symlink_to("/etc/passwd")
    os.mkfifo(source / "fifo")
    layer = write_layer(source, "function", tmp_path / "layer")
    data = (tmp_path / "layer").read_bytes()
    assert layer.blob == Blob(f"sha256:{hashlib.sha256(data).hexdigest()}", len(data), tmp_path / "layer")
    assert layer.diff_id == f"sha256:{hashlib.sha256(gzip.decompress(data)).hexdigest()}"
    with tarfile.open(tmp_path / "layer") as archive:
        members = archive.getmembers()
    assert [member.name for member in members][:5] == [
        "function",
        "function/lib",
        "function/lib/a.py",
        "function/lib-b",
        "function/main.py",
    ]
    assert {(member.uid, member.gid, member.uname, member.mtime) for member in members} == {(0, 0, "", 0)}
    modes = {member.name: member.mode for member in members}
    assert (modes["function"], modes["function/main.py"], modes["function/run.sh"]) == (0o755, 0o644, 0o755)
    assert not any(member.issym() or member.isfifo() for member in members)


def test_base_image_of_another_runtime_is_refused() -> None:
    check_base(BASE, "asgi")
    with pytest.raises(BuildError, match="is for the runtime 'asgi' and not for 'framework'"):
        check_base(BASE, "framework")


def test_configuration_and_manifest_add_to_those_of_the_base() -> None:
    layer = Layer(Blob("sha256:n", 7, Path("x")), "sha256:e")
    config = json.loads(config_of(BASE, [layer]))
    assert config["rootfs"]["diff_ids"] == ["sha256:d", "sha256:e"]
    assert config["config"]["Entrypoint"] == ["python"]
    assert config["config"]["Labels"] == {"dev.osfaas.runtime": "asgi"}
    assert config["created"] == "1970-01-01T00:00:00Z"
    manifest = json.loads(manifest_of(BASE, {"digest": "sha256:c"}, [layer]))
    # Docker's types among those of OCI are refused by some runtimes.
    assert {each["mediaType"] for each in manifest["layers"]} == {"application/vnd.oci.image.layer.v1.tar+gzip"}
    assert [each["digest"] for each in manifest["layers"]] == ["sha256:l", "sha256:n"]
    assert manifest["annotations"] == {"org.opencontainers.image.base.digest": BASE.digest}


def test_bill_of_materials_is_what_the_library_of_its_format_reads() -> None:
    """The builder writes it itself: the library would double the packages that run beside untrusted code."""
    packages = [Package("Foo_Bar.baz", "1!1.0+cpu", "ab" * 32), Package("x", "2", "")]
    written = sbom_of(f"sha256:{'1' * 64}", f"sha256:{'2' * 64}", packages).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written) is None
    document = json.loads(written)
    Bom.from_json(document).validate()  # type: ignore[attr-defined]
    urls = [PackageURL("pypi", name=package.name, version=package.version).to_string() for package in packages]
    assert [each["purl"] for each in document["components"] if "purl" in each] == urls


def test_bill_of_materials_names_base_and_packages() -> None:
    packages = [Package("Foo_Bar", "1.0", "ab"), Package("x", "2", "")]
    document = json.loads(sbom_of("sha256:i", BASE.digest, packages))
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert [each.get("purl") for each in document["components"]] == [None, "pkg:pypi/foo-bar@1.0", "pkg:pypi/x@2"]
    assert document["components"][1]["hashes"] == [{"alg": "SHA-256", "content": "ab"}]
    assert document["components"][0]["name"] == BASE.digest
    assert document["dependencies"][0]["dependsOn"] == [each["bom-ref"] for each in document["components"]]
    assert sbom_of("sha256:i", BASE.digest, packages) == sbom_of("sha256:i", BASE.digest, packages)
    referrer = json.loads(referrer_of({"digest": "sha256:i"}, "sha256:s", 9, "sha256:e"))
    assert (referrer["artifactType"], referrer["subject"]) == ("application/vnd.cyclonedx+json", {"digest": "sha256:i"})
