"""`python -m releases …`; docs/how-to/release.md has the steps of a release.

version            print the version of the checkout
stamp FOLDER…      write it into the pyproject.toml of folders that were copied from the checkout
prepare 1.2.3      write a version into all projects and the changelog
check              say what is missing for a release at this commit
notes [1.2.3]      print the notes of a release; default: the version of the checkout
"""

import datetime as dt
import re
import sys
from pathlib import Path

from releases.changelog import notes, problems_of, released
from releases.version import (
    PROJECTS,
    ReleaseError,
    checkout_version,
    commit_of,
    declared_version,
)

CHECKOUT = Path(__file__).resolve().parents[1]
_VERSION = re.compile(r"\d+\.\d+\.\d+")


def main(words: list[str], checkout: Path = CHECKOUT) -> int:
    """Runs one command."""
    changelog = checkout / "CHANGELOG.md"
    try:
        match words:
            case ["version"]:
                sys.stdout.write(f"{checkout_version(checkout)}\n")
            case ["stamp", *folders] if folders:
                for folder in folders:
                    set_version(Path(folder), declared_version(checkout), checkout_version(checkout))
            case ["prepare", version] if _VERSION.fullmatch(version):
                today = dt.datetime.now(dt.UTC).date().isoformat()
                text = released(changelog.read_text(encoding="utf-8"), version, today)
                declared = declared_version(checkout)
                for folder in PROJECTS:
                    set_version(checkout / folder, declared, version)
                changelog.write_text(text, encoding="utf-8")
            case ["check"]:
                found = problems(checkout)
                sys.stderr.write("".join(f"{problem}\n" for problem in found))
                return 1 if found else 0
            case ["notes", *given] if len(given) < 2:  # noqa: PLR2004 - at most one version
                version = given[0] if given else checkout_version(checkout)
                sys.stdout.write(f"{notes(changelog.read_text(encoding='utf-8'), version)}\n")
            case _:
                sys.stderr.write(str(__doc__))
                return 2
    except ReleaseError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def set_version(folder: Path, old: str, new: str) -> None:
    """Replaces the version of a project, and that of our distributions on which it depends."""
    path = folder / "pyproject.toml"
    text = path.read_text(encoding="utf-8").replace(f'\nversion = "{old}"\n', f'\nversion = "{new}"\n')
    path.write_text(
        re.sub(rf"(osfaas-[a-z]+(?:\[[a-z,]+\])?==){re.escape(old)}\b", rf"\g<1>{new}", text), encoding="utf-8"
    )


def problems(checkout: Path) -> list[str]:
    """What is missing for a release at this commit."""
    text = (checkout / "CHANGELOG.md").read_text(encoding="utf-8")
    found = list(problems_of(text))
    commit = commit_of(checkout)
    declared = declared_version(checkout)
    if commit is None or commit.distance or commit.tag != f"v{declared}":
        found.append(f"This commit has no tag v{declared}.")
    if commit and commit.changed:
        found.append("Files differ from the commit.")
    try:
        notes(text, declared)
    except ReleaseError as error:
        found.append(str(error))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
