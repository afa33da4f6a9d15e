"""The shell commands of documentation pages, as this cluster runs them: the page's words, this site's names."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.cluster.layout import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

INSTALLATION = "how-to/install-on-kubernetes.md"
VERIFICATION = "how-to/verify-isolation.md"
ONBOARDING = "tutorials/onboard-a-project.md"
_BLOCK = re.compile(r"^ *```bash\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


_EXAMPLE = re.compile(r"```bash\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)
# The project of the tutorial.
_PROJECT_ID = "3d1f0c5ab2f54ad5a7a2ab0e51b2a1c9"


@dataclass(frozen=True, slots=True)
class Example:
    """A command of a tutorial and the output that the page prints.

    Attributes:
        words: the command without `osfaas`.
        output: its lines; `…` is anything.
    """

    words: list[str]
    output: list[str]

    def missing_in(self, printed: str, project_id: str) -> list[str]:
        """Lines of the page that a command did not print for a project; columns may have other widths."""
        lines = [" ".join(line.split()) for line in printed.splitlines()]
        patterns = {line: _pattern(line.replace(_PROJECT_ID, project_id)) for line in self.output}
        return [line for line, pattern in patterns.items() if not any(map(pattern.fullmatch, lines))]


def _pattern(line: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(" ".join(part.split())) for part in re.split(r"\s*…\s*", line)))


def examples(page: str) -> list[Example]:
    """The commands of a tutorial that have their output behind them.

    Args:
        page: below `docs/`.
    """
    text = (CHECKOUT / "docs" / page).read_text(encoding="utf-8")
    return [Example(shlex.split(command)[1:], output.splitlines()) for command, output in _EXAMPLE.findall(text)]


def commands(page: str, program: str, names: Mapping[str, str] | None = None) -> Iterator[list[str]]:
    """The words of each line of a page's shell blocks that runs a program, without the program's own name.

    Args:
        page: below `docs/`.
        program: `osfaas` or `kubectl`.
        names: what the page's placeholders are called here.
    """
    text = (CHECKOUT / "docs" / page).read_text(encoding="utf-8")
    for block in _BLOCK.findall(text):
        for line in block.splitlines():
            first, *words = shlex.split(line, comments=True) or [""]
            if first == program:
                yield [(names or {}).get(word, word) for word in words]
