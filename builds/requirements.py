"""Reads `requirements.txt`, and keeps from pip everything that would reach another place than the index.

A requirements file can name other indexes, URLs, repositories of code and further files, and pip expands variables in
it. Only names with versions, markers and hashes are left.
"""

import re
from dataclasses import dataclass

from builds.errors import DependencyError

MOST_BYTES = 262_144
_MOST_SHOWN = 80
# Extras, versions and a marker follow the name. Neither `@`, `/`, `$` nor a backslash can be in them.
_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9 \t._\-\[\],<>=!~*+;()'\"]*")
_HASH = re.compile(r"--hash[= ](sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})")
_COMMENT = re.compile(r"(^|\s)#.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a function needs.

    Attributes:
        lines: one requirement each, with its hashes; what pip gets.
        hashed: whether all archives are known by their hashes.
    """

    lines: tuple[str, ...]
    hashed: bool


def parse_requirements(text: bytes) -> Requirements:
    """Reads a requirements file.

    Raises:
        DependencyError: it is too large or not UTF-8, or a line is not a name with versions, markers and hashes.
    """
    if len(text) > MOST_BYTES:
        raise DependencyError(f"requirements.txt has more than {MOST_BYTES:,} bytes.")
    try:
        decoded = text.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise DependencyError("requirements.txt is not UTF-8.") from error
    joined = _COMMENT.sub("", re.sub(r"\\\n", " ", decoded))
    lines = tuple(_checked(line.strip()) for line in joined.split("\n") if line.strip())
    hashed = [" --hash=" in line for line in lines]
    if any(hashed) and not all(hashed):
        missing = lines[hashed.index(False)]
        raise DependencyError(
            f"requirements.txt has hashes for some packages but none for '{missing}'. Add --hash to each line, or to "
            "none."
        )
    return Requirements(lines, bool(hashed) and all(hashed))


def _checked(line: str) -> str:
    # Hashes stand behind the requirement, where pip accepts other options too.
    requirement, *options = re.split(r"[ \t]+(?=-)", line)
    hashes = [match[1] for option in options if (match := _HASH.fullmatch(option))]
    if not _REQUIREMENT.fullmatch(requirement) or len(hashes) < len(options):
        shown = ascii(line[:_MOST_SHOWN])
        raise DependencyError(
            f"The line {shown} of requirements.txt is refused. A line may have a package's name, versions, a marker "
            "and --hash; no URL, file or option, because packages come from the platform's index only."
        )
    return " ".join([requirement, *(f"--hash={each}" for each in hashes)])
