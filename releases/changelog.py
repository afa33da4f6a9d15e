"""CHANGELOG.md, in the form of Keep a Changelog. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from releases.version import ReleaseError

KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
UNRELEASED = "Unreleased"
_HEADING = re.compile(r"^## (?P<name>\S+)(?: - (?P<date>\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Section:
    """What changed in one version.

    Attributes:
        name: the version, or `Unreleased`.
        date: of the release; "" if there is none.
        text: below the heading.
    """

    name: str
    date: str
    text: str


def sections_of(changelog: str) -> list[Section]:
    """The sections, the newest first."""
    headings = list(_HEADING.finditer(changelog))
    ends = [*(heading.start() for heading in headings[1:]), len(changelog)][: len(headings)]
    return [
        Section(heading["name"], heading["date"] or "", changelog[heading.end() : end].strip())
        for heading, end in zip(headings, ends, strict=True)
    ]


def problems_of(changelog: str) -> Iterator[str]:
    """What is not in the form of Keep a Changelog."""
    sections = sections_of(changelog)
    if not sections or sections[0].name != UNRELEASED:
        yield f"CHANGELOG.md does not begin with the section {UNRELEASED}."
    headings = re.findall(r"^## .*$", changelog, re.MULTILINE)
    if len(headings) != len(sections):
        yield "CHANGELOG.md has a heading that is neither `## Unreleased` nor `## 1.2.3 - 2026-01-31`."
    for section in sections:
        if bool(section.date) == (section.name == UNRELEASED):
            yield f"CHANGELOG.md: {section.name} needs the date of its release, and {UNRELEASED} has none."
        kinds = re.findall(r"^### (.*)$", section.text, re.MULTILINE)
        if unknown := set(kinds) - set(KINDS):
            yield f"CHANGELOG.md: {section.name} has sections of other kinds: {', '.join(sorted(unknown))}."
        if len(set(kinds)) < len(kinds):
            yield f"CHANGELOG.md: {section.name} has a kind twice."
    released = [section.name for section in sections if section.name != UNRELEASED]
    if released != sorted(set(released), key=_order, reverse=True):
        yield "CHANGELOG.md: releases are not in the order of their versions."


def released(changelog: str, version: str, date: str) -> str:
    """The text with what was unreleased as a release.

    Raises:
        ReleaseError: nothing has changed, or the release exists.
    """
    sections = {section.name: section for section in sections_of(changelog)}
    if version in sections:
        raise ReleaseError(f"CHANGELOG.md has the release {version} already.")
    if not sections.get(UNRELEASED, Section("", "", "")).text:
        raise ReleaseError(f"CHANGELOG.md has nothing in the section {UNRELEASED}.")
    return changelog.replace(f"## {UNRELEASED}\n", f"## {UNRELEASED}\n\n## {version} - {date}\n", 1)


def notes(changelog: str, version: str) -> str:
    """The notes of a release.

    Raises:
        ReleaseError: there is no such section.
    """
    for section in sections_of(changelog):
        if section.name == version:
            return section.text
    raise ReleaseError(f"CHANGELOG.md has no section {version}.")


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
