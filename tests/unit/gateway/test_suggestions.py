"""An unknown name is answered with the one that was meant."""

import pytest

from gateway.suggestions import did_you_mean, unknown_name

KNOWN = ("objects", "algorithms", "force", "store")


@pytest.mark.parametrize("name", ["\udcff", "a\nb", "\0", "\x1b[31m", "o" * 3_000_000, "'", "", "\u202e"])
def test_name_of_any_kind_makes_a_short_sentence_that_can_be_sent(name: str) -> None:
    """No character of it can change the line that it stands in, and no length costs time."""
    sentence = unknown_name("field", name, KNOWN)
    assert sentence.isprintable()
    assert sentence.encode()
    assert len(sentence) < 400


def test_name_that_resembles_none_is_answered_with_all() -> None:
    assert did_you_mean("colour", KNOWN) == "(known: algorithms, force, objects, store)"


@pytest.mark.parametrize(
    ("name", "meant"),
    [("algorithm", "algorithms"), ("algoritms", "algorithms"), ("Objects", "objects"), ("forse", "force")],
)
def test_misspelt_name_is_answered_with_the_one_that_was_meant(name: str, meant: str) -> None:
    assert unknown_name("field", name, KNOWN) == f"unknown field {name!r} (did you mean '{meant}'?)"
