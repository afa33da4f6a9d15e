"""Versions from tags, and release notes from the changelog: on a git repository of its own."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from releases.__main__ import main
from releases.changelog import notes, problems_of, released
from releases.version import PROJECTS, Commit, ReleaseError, declared_version, semantic, version_of

CHECKOUT = Path(__file__).resolve().parents[2]
CHANGELOG = "# Changelog\n\n## Unreleased\n\n### Added\n\n- Something.\n"


def at(tag: str, distance: int = 0, *, changed: bool = False) -> Commit:
    return Commit(tag=tag, distance=distance, changed=changed)


@pytest.mark.parametrize(
    ("declared", "commit", "version"),
    [
        ("1.2.3", at("v1.2.3"), "1.2.3"),
        ("1.2.3", None, "1.2.3"),
        ("1.2.3", at("v1.2.3", 4), "1.2.4.dev4"),
        ("1.2.3", at("v1.2.3", changed=True), "1.2.4.dev0+changed"),
        ("1.3.0", at("v1.2.3", 4), "1.3.0.dev4"),
        ("0.1.0", at("", 9), "0.1.0.dev9"),
    ],
)
def test_version_of_a_commit(declared: str, commit: Commit | None, version: str) -> None:
    assert version_of(declared, commit) == version


def test_tag_of_another_version_is_refused() -> None:
    with pytest.raises(ReleaseError, match=r"The tag is v1\.3\.0, but the projects have 1\.2\.3"):
        version_of("1.2.3", at("v1.3.0"))


def test_helm_gets_a_semantic_version() -> None:
    assert [semantic(each) for each in ("1.2.3", "1.2.4.dev4", "1.2.4.dev4+changed")] == [
        "1.2.3", "1.2.4-dev.4", "1.2.4-dev.4+changed",
    ]  # fmt: skip


def test_changelog_of_the_tree_keeps_its_form() -> None:
    assert list(problems_of((CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("changelog", "problem"),
    [
        ("# Changelog\n", "does not begin with the section Unreleased"),
        ("## 1.0.0 - 2026-01-31\n", "does not begin with the section Unreleased"),
        ("## Unreleased\n\n## 1.0.0\n", "needs the date"),
        ("## Unreleased\n\n## Version 1.0.0\n", "has a heading that is neither"),
        ("## Unreleased\n\n### New\n", "other kinds: New"),
        ("## Unreleased\n\n### Added\n\n### Added\n", "a kind twice"),
        ("## Unreleased\n\n## 1.9.0 - 2026-01-31\n\n## 1.10.0 - 2026-02-28\n", "not in the order"),
    ],
)
def test_other_forms_are_named(changelog: str, problem: str) -> None:
    assert any(problem in each for each in problems_of(changelog))


def test_unreleased_changes_become_a_release() -> None:
    text = released(CHANGELOG, "1.2.3", "2026-01-31")
    assert list(problems_of(text)) == []
    assert notes(text, "1.2.3") == "### Added\n\n- Something."
    for again in ("1.2.3", "1.2.4"):
        with pytest.raises(ReleaseError):
            released(text, again, "2026-02-28")


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", folder, *identity, *words], check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with the projects of this tree."""
    for folder in PROJECTS:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / folder / "pyproject.toml", tmp_path / folder)
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG, encoding="utf-8")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    return tmp_path


def test_release_by_the_commands_of_the_page(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """prepare, commit, tag, check, notes; the next commit is a development version after it."""
    assert main(["check"], tree) == 1
    assert "This commit has no tag" in capsys.readouterr().err
    assert main(["prepare", "7.8.9"], tree) == 0
    for folder in PROJECTS:
        project = tomllib.loads((tree / folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert project["version"] == "7.8.9"
        ours = [line for line in project["dependencies"] if line.startswith("osfaas-")]
        assert all(re.search(r"==7\.8\.9\b", line) for line in ours)
    git(tree, "commit", "-a", "-m", "Release 7.8.9")
    git(tree, "tag", "v7.8.9")
    assert main(["check"], tree) == 0
    assert main(["notes"], tree) == 0
    assert capsys.readouterr().out == "### Added\n\n- Something.\n"
    git(tree, "commit", "--allow-empty", "-m", "next")
    assert main(["version"], tree) == 0
    assert capsys.readouterr().out == "7.8.10.dev1\n"
    assert main(["check"], tree) == 1


def test_wrong_tag_stops_the_version(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(tree, "tag", "v7.8.9")
    assert main(["version"], tree) == 1
    assert "run `prepare 7.8.9`" in capsys.readouterr().err


def test_copies_are_stamped(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """As `make dist` does before it builds; the checkout stays as it is."""
    copy = tmp_path_factory.mktemp("copy")
    shutil.copy(tree / "distributions/client/pyproject.toml", copy)
    declared = declared_version(tree)
    assert main(["stamp", str(copy)], tree) == 0
    text = (copy / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{declared}.dev1"' in text
    assert f"osfaas-builder=={declared}.dev1;" in text
    assert declared_version(tree) == declared


def test_unknown_command_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["prepare", "1.2"], ["stamp"], ["notes", "1", "2"]):
        assert main(words) == 2
    assert "prepare 1.2.3" in capsys.readouterr().err
