"""JSON of answers: readable by people, and by every reader of lines."""

import json

import pytest

from gateway.json_text import json_bytes


@pytest.mark.parametrize("name", ["\ud800", "a\udfffb", "ü\ud83d"])
def test_half_a_surrogate_pair_is_no_reason_to_fail(name: str) -> None:
    written = json_bytes({"object": name})
    assert json.loads(written.decode("ascii")) == {"object": name}


@pytest.mark.parametrize("name", ["a\u2028b", "a\u2029b", "a\x85b", "\x9b31m", "a\nb", "\x1b[31m"])
def test_no_name_ends_a_line_or_steers_a_terminal(name: str) -> None:
    written = json_bytes({"object": name, "other": "ü"}).decode()
    assert written.splitlines() == [written]
    assert not any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in written)
    assert json.loads(written)["object"] == name


def test_names_are_shown_as_they_are() -> None:
    assert json_bytes({"object": "ü/日本", "size": 1}) == '{"object":"ü/日本","size":1}'.encode()
