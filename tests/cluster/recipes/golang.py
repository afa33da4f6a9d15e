"""Go programs: each component is a module of ours that pins the real one and names the commands to build."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.commands import CommandError, run
from tests.cluster.layout import LAYOUT, PACKAGE
from tests.cluster.recipes.recipe import Recipe

COMPONENTS = PACKAGE / "components"


@dataclass(frozen=True)
class Patched:
    """A module that builds only from a copy with some packages replaced (the component's `overlay/`)."""

    module: str
    version: str
    # The module's own checksum. The copy is a local folder to Go, so that its go.sum would not guard it.
    checksum: str
    # Packages whose files all make way for those of the overlay.
    replaced_packages: tuple[str, ...] = ()
    # Words of a file that others replace: (file, old, new).
    edits: tuple[tuple[str, str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class GoComponent:
    """One component: the folder `components/NAME` with its go.mod and go.sum."""

    name: str
    target: str = "tool"
    cgo: bool = False
    tags: str = ""
    linker_flags: str = "-s -w"
    # The name of the binary, where the target is one package of our own.
    output: str = ""
    patched: Patched | None = None
    # Other names for the binary `output`.
    links: tuple[str, ...] = ()
    # Packages whose own tests become programs: (package, build tags, name of the program).
    tests: tuple[tuple[str, str, str], ...] = field(default=(), repr=False)
    # Folders of Go modules that the cluster needs beside the programs: (module, path in it, name of the copy).
    copies: tuple[tuple[str, str, str], ...] = ()

    @property
    def source(self) -> Path:
        return COMPONENTS / self.name

    def recipe(self) -> Recipe:
        """The recipe that builds it."""
        edits = self.patched.edits if self.patched else ()
        words = (go_version(), repr(self), *map(repr, self.tests), *map(repr, edits))
        return Recipe(self.name, make=self.make, files=(self.source,), words=words)

    def make(self, folder: Path) -> None:
        """Builds in a scratch copy, which leaves the checkout as it was."""
        scratch = LAYOUT.work / self.name
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(self.source, scratch)
        try:
            if self.patched:
                lay_out_patched(self.patched, scratch)
            go = ["go", "build", "-trimpath", "-mod=readonly", "-buildvcs=false", f"-ldflags={self.linker_flags}"]
            tags = [f"-tags={self.tags}"] if self.tags else []
            output = folder / self.output if self.output else f"{folder}/"
            run([*go, *tags, "-o", output, self.target], folder=scratch, environment=self.environment())
            for package, test_tags, name in self.tests:
                test = ["go", "test", "-c", "-vet=off", "-trimpath", "-mod=readonly", f"-tags={test_tags}"]
                run([*test, "-o", folder / name, package], folder=scratch, environment=self.environment())
            for link in self.links:
                (folder / link).symlink_to(self.output)
            for module, path, name in self.copies:
                copy_tree(module_folder(scratch, module) / path, folder / name)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def environment(self) -> dict[str, str]:
        # The compiler lives for seconds and spends a quarter of them on collecting its own garbage; memory is at hand.
        return {"CGO_ENABLED": "1" if self.cgo else "0", "GOFLAGS": "", "GOWORK": "off", "GOGC": "400"}


def go_version() -> str:
    """The compiler is an input like any other."""
    return run(["go", "env", "GOVERSION"]).strip()


def module_folder(component: Path, module: str) -> Path:
    """Where Go keeps the unpacked module (or the copy that replaces it)."""
    return Path(run(["go", "list", "-m", "-f", "{{.Dir}}", module], folder=component).strip())


def lay_out_patched(patched: Patched, scratch: Path) -> None:
    """Copies the module to `src/`, empties the replaced packages and lays the overlay over it."""
    described = run(
        ["go", "mod", "download", "-json", f"{patched.module}@{patched.version}"],
        folder=LAYOUT.cache,
        environment={"GOFLAGS": "-mod=mod", "GOWORK": "off"},
    )
    download = json.loads(described)
    if download["Sum"] != patched.checksum:
        raise CommandError(f"{patched.module} {patched.version} has checksum {download['Sum']}, not {patched.checksum}")
    source = scratch / "src"
    copy_tree(Path(download["Dir"]), source)
    for package in patched.replaced_packages:
        for file in (source / package).glob("*.go"):
            file.unlink()
    if (scratch / "overlay").is_dir():
        shutil.copytree(scratch / "overlay", source, dirs_exist_ok=True)
    for name, old, new in patched.edits:
        text = (source / name).read_text()
        if text.count(old) != 1:
            raise CommandError(f"{name} of {patched.module} has {old!r} {text.count(old)} times, not once")
        (source / name).write_text(text.replace(old, new))


def copy_tree(source: Path, target: Path) -> None:
    """Copies a folder out of Go's module cache, whose files are read-only."""
    target.parent.mkdir(parents=True, exist_ok=True)
    run(["cp", "--recursive", "--dereference", "--no-preserve=mode", source, target])
