"""The code of `docs/how-to/add-a-built-in-function.md`, and a gateway that is built from it."""

import re
import shutil
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
PAGE = CHECKOUT / "docs/how-to/add-a-built-in-function.md"
BLOCK = re.compile(r'^```(python|diff) title="([^"]+)"\n(.*?)^```', re.DOTALL | re.MULTILINE)
PRODUCT = ("client", "control", "gateway", "policies", "tenancy")


def blocks() -> list[tuple[str, str, str]]:
    """Kind, file and content of each block."""
    found = [(match[1], match[2], match[3]) for match in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))]
    assert len(found) > 3
    return found


def added_lines() -> int:
    """Lines of code that a reader of the page writes, without blank ones."""
    count = 0
    for kind, _, text in blocks():
        count += sum(bool(line.strip()) and (kind == "python" or line.startswith("+")) for line in text.splitlines())
    return count


def patched(text: str, diff: str) -> str:
    """A file after the hunks of a diff, each of which has to fit exactly one place."""
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines()
        old = "\n".join(line[1:] for line in lines if line[:1] != "+")
        new = "\n".join(line[1:] for line in lines if line[:1] != "-")
        assert text.count(f"{old}\n") == 1, f"the page does not fit the code: {old}"
        text = text.replace(f"{old}\n", f"{new}\n")
    return text


def build(folder: Path) -> None:
    """The product with the page's function, in a folder."""
    for top in PRODUCT:
        shutil.copytree(CHECKOUT / top, folder / top, ignore=shutil.ignore_patterns("__pycache__"))
    for kind, name, text in blocks():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if kind == "python" else patched(path.read_text(encoding="utf-8"), text), encoding="utf-8")
    (folder / "gateway/lines/__init__.py").touch()
