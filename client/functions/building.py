"""Deploys a folder: uploads it if it has changed, and shows the stages of its build."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from client.errors import CommandError
from client.functions.api import Function, FunctionsClient

if TYPE_CHECKING:
    from client.functions.folder import Folder

# Of osfaas-build, in their order, and what they are called here.
_SHOWN = {"fetch": "fetch", "check": "check", "resolve": "resolve", "assemble": "assemble", "push": "push"}


@dataclass(frozen=True)
class Progress:
    """Where lines of progress go, and since when the time is counted."""

    say: Callable[[str], None]
    clock: Callable[[], float] = field(default=time.monotonic)


def upload(client: FunctionsClient, folder: Folder, current: Function | None, progress: Progress) -> str:
    """Stores the archive of a folder if the function has another one; returns the value for the field `source`."""
    progress.say(f"folder: runtime {folder.runtime.name} ({folder.runtime.file}), {len(folder.archive):,} bytes packed")
    if current is not None and current.get("source") == folder.digest:
        return folder.digest
    begun = progress.clock()
    digest = client.put_source(folder.name, folder.archive)
    if digest != folder.digest:
        raise CommandError("The archive has arrived with another content. Deploy it again.")
    progress.say(f"upload: {progress.clock() - begun:.1f} s")
    return digest


class BuildStages:
    """The stages of a build that were not shown yet. Its log is read again each time; it has few lines."""

    def __init__(self, read: Callable[[], list[dict[str, Any]]], say: Callable[[str], None]) -> None:
        self._read = read
        self._say = say
        self._shown: set[tuple[str, str]] = set()

    def show(self) -> None:
        """Shows the stages that have ended since the last time."""
        try:
            logs = self._read()
        except CommandError:
            # The function's conditions decide; this is decoration.
            return
        for log in logs[:1]:
            for line in stage_lines(log["text"]):
                key = (log["pod"], str(line["stage"]))
                if key not in self._shown:
                    self._shown.add(key)
                    self._say(described(line))


def stage_lines(text: str) -> Iterator[Mapping[str, Any]]:
    """The lines about stages in the output of a build, which may have other lines."""
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and found.get("stage") in _SHOWN and isinstance(found.get("seconds"), int | float):
            yield found


def described(line: Mapping[str, Any]) -> str:
    """A stage in a few words."""
    more = {
        "resolve": f", {line.get('packages', 0)} packages",
        "assemble": f", {line.get('bytes', 0):,} bytes",
        "push": f", {line.get('digest', '')}",
    }.get(str(line["stage"]), "")
    return f"{_SHOWN[str(line['stage'])]}: {line['seconds']:.1f} s{'' if 'error' in line else more}"
