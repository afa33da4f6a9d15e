"""The shell commands of the operator guide, as this cluster runs them: the guide's words, this site's names."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from tests.cluster.layout import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_GUIDE = CHECKOUT / "docs" / "how-to" / "operator-guide.md"
_BLOCK = re.compile(r"^ *```bash\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def commands(heading: str, program: str, names: Mapping[str, str] | None = None) -> Iterator[list[str]]:
    """The words of each line under a heading that runs a program, without the program's own name.

    Args:
        heading: as it stands in the guide, without its `###`.
        program: `osfaas` or `kubectl`.
        names: what the guide's placeholders are called here.
    """
    text = _GUIDE.read_text(encoding="utf-8")
    _, found, rest = text.partition(f"\n### {heading}\n")
    assert found, f"the operator guide has no part {heading!r}"
    for block in _BLOCK.findall(rest.partition("\n### ")[0]):
        for line in block.splitlines():
            first, *words = shlex.split(line, comments=True) or [""]
            if first == program:
                yield [(names or {}).get(word, word) for word in words]
