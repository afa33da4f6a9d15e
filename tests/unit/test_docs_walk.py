"""The walk through the layout: each question is answered by at most two files, and they exist."""

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
TEXT = (CHECKOUT / "docs/explanation/architecture.md").read_text(encoding="utf-8")
TABLE = TEXT.partition("## Where would I")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| (.+?) \| (.+) \|$", TABLE, re.MULTILINE)[1:]
QUESTIONS = (
    *(
        "token is validated",
        "NetworkPolicy is built",
        "digest is encoded",
        "namespace is created",
        "rate limit is decided",
    ),
    *("reply is checked", "add an algorithm", "add a store", "second built-in function", "asynchronous call"),
)


@pytest.mark.parametrize("question", QUESTIONS)
def test_question_has_an_answer(question: str) -> None:
    assert [row for row in ROWS if question in row[0]]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_answer_is_at_most_two_files_that_exist(row: tuple[str, str]) -> None:
    files = re.findall(r"`([\w./]+)`", row[1])
    assert 1 <= len(files) <= 2
    for path in files:
        assert (CHECKOUT / path).exists(), path
