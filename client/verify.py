"""Compares the digests of a container's objects with a file of checksums. Pure, but for reading lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from client.errors import CommandError

# As `rclone check --combined` prints them: the file of checksums is the source, the container the destination.
SAME, DIFFERS, MISSING, EXTRA, FAILED = "=", "*", "+", "-", "!"
_LINE = re.compile(r"(\\?)([0-9A-Fa-f]{8,128}) [ *](.+)")
_ESCAPES = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}
# crc32 has as many digits as adler32: it must be named.
_BY_DIGITS = {8: "adler32", 32: "md5", 40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}


def read_sums(lines: Iterable[str]) -> dict[str, str]:
    """Digest by name, of lines as `md5sum` and `osfaas checksum list` print them.

    Raises:
        CommandError: a line is malformed, or a name occurs with two digests.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        if not text:
            continue
        match = _LINE.fullmatch(text)
        if match is None:
            raise CommandError(f"Line {number} is not 'DIGEST  NAME', as md5sum prints it.")
        escaped, digest, name = match.groups()
        if escaped:
            name = re.sub(r"\\[\\nr]", lambda each: _ESCAPES[each[0]], name)
        if found.setdefault(name, digest.lower()) != digest.lower():
            raise CommandError(f"Line {number} has another digest of '{name}' than an earlier line.")
    return found


def algorithm_of(sums: Mapping[str, str]) -> str:
    """The algorithm whose digests have as many digits.

    Raises:
        CommandError: there are none, or they are of several algorithms.
    """
    lengths = {len(digest) for digest in sums.values()}
    if not lengths:
        raise CommandError("There is no checksum in the file.")
    if len(lengths) > 1 or next(iter(lengths)) not in _BY_DIGITS:
        raise CommandError("The file's checksums are not of one known algorithm. Name it with --algorithm.")
    return _BY_DIGITS[lengths.pop()]


def compared(
    sums: Mapping[str, str], lines: Iterable[Mapping[str, Any]], *, prefix: str
) -> Iterator[tuple[str, str, str]]:
    """Mark, name and explanation of each object, as it becomes known; then of those that are missing.

    Args:
        sums: digest by name.
        lines: the gateway's, of the container's objects.
        prefix: names without it are not looked for.
    """
    missing = {name for name in sums if name.startswith(prefix)}
    for line in lines:
        name = line["object"]
        missing.discard(name)
        if "error" in line:
            yield FAILED, name, line["error"]["message"]
        elif name not in sums:
            yield EXTRA, name, "not in the file"
        else:
            digest = next(iter(line["digests"].values()))
            same = digest == sums[name]
            yield (SAME, name, "") if same else (DIFFERS, name, f"is {digest}, not {sums[name]}")
    for name in sorted(missing):
        yield MISSING, name, "not in the container"
