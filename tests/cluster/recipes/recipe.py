"""A recipe makes one folder from named inputs; its content key decides whether it must be made again."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.cluster.layout import LAYOUT
from tests.cluster.progress import say, step

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY_FILE = ".key"


@dataclass(frozen=True)
class Recipe:
    """What to make, from what, and how."""

    name: str
    # Called with an empty folder; everything it leaves there is the result.
    make: Callable[[Path], None]
    # Files and folders whose content is part of the key.
    files: tuple[Path, ...] = ()
    # Versions, flags, names: any other words that the result depends on.
    words: tuple[str, ...] = ()
    # Recipes whose results this one reads.
    needs: tuple[Recipe, ...] = field(default=())

    @property
    def folder(self) -> Path:
        """Where the result lies."""
        return LAYOUT.built_by(self.name)

    def key(self) -> str:
        """The same inputs give the same key, on every machine and in every checkout."""
        digest = hashlib.sha256(self.name.encode())
        for path in self.files:
            for file in sorted([path] if path.is_file() else path.rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    digest.update(f"\0{file.relative_to(path.parent)}\0".encode())
                    digest.update(file.read_bytes())
        for word in (*self.words, *(recipe.key() for recipe in self.needs)):
            digest.update(f"\0{word}".encode())
        return digest.hexdigest()

    def is_made(self) -> bool:
        """Whether the result is there and belongs to today's inputs."""
        stamp = self.folder / KEY_FILE
        return stamp.is_file() and stamp.read_text() == self.key()


def make_recipe(recipe: Recipe) -> Path:
    """Makes the result, or reuses it. It appears whole or not at all."""
    if recipe.is_made():
        say(f"{recipe.name}: reused")
        return recipe.folder
    unfinished = recipe.folder.with_name(recipe.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    say(f"{recipe.name}: building")
    with step(f"{recipe.name}: built", processor=True):
        recipe.make(unfinished)
    (unfinished / KEY_FILE).write_text(recipe.key())
    shutil.rmtree(recipe.folder, ignore_errors=True)
    unfinished.rename(recipe.folder)
    return recipe.folder
