"""Comparing a container with a file of checksums."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.errors import CommandError
from client.listing import md5sum_line
from client.verify import algorithm_of, compared, read_sums

MD5 = "d41d8cd98f00b204e9800998ecf8427e"
OTHER = "0" * 32


def line(name: str, digest: str) -> dict[str, object]:
    return {"object": name, "digests": {"md5": digest}}


@given(st.dictionaries(st.text(min_size=1).filter(lambda name: "\x00" not in name), st.just(MD5), max_size=4))
def test_what_list_prints_is_read_back(sums):
    assert read_sums([md5sum_line(digest, name) + "\n" for name, digest in sums.items()]) == sums


def test_forms_of_other_tools_are_read():
    assert read_sums([f"{MD5.upper()} *a b\r\n", "\n", f"{OTHER}  c\n"]) == {"a b": MD5, "c": OTHER}


@pytest.mark.parametrize(
    "lines", [["no checksum at all"], ["abc  short"], [f"{MD5} one-blank"], [f"{MD5}  a", f"{OTHER}  a"]]
)
def test_malformed_file_is_refused(lines):
    """A line that is passed over would be an object that nobody compares."""
    with pytest.raises(CommandError, match=r"Line [12] "):
        read_sums(lines)


def test_algorithm_is_known_by_the_length():
    assert algorithm_of({"a": MD5}) == "md5"
    assert algorithm_of({"a": "0" * 8}) == "adler32"
    for sums in ({}, {"a": MD5, "b": "0" * 8}, {"a": "0" * 10}):
        with pytest.raises(CommandError):
            algorithm_of(sums)


def test_marks_are_those_of_rclone():
    sums = {"same": MD5, "differs": MD5, "missing": MD5, "failed": MD5, "elsewhere/x": MD5}
    lines = [line("same", MD5), line("differs", OTHER), line("extra", MD5)]
    lines.append({"object": "failed", "error": {"message": "away"}})
    marks = {name: mark for mark, name, _ in compared(sums, lines, prefix="")}
    assert marks == {"same": "=", "differs": "*", "extra": "-", "failed": "!", "missing": "+", "elsewhere/x": "+"}


def test_names_without_the_prefix_are_not_missing():
    assert list(compared({"a/1": MD5, "b/1": MD5}, [line("a/1", MD5)], prefix="a/")) == [("=", "a/1", "")]
