"""The tree speaks its field's language: no private word where Kubernetes, Knative, OpenStack or HTTP have one."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("builds", "gateway", "control", "tenancy", "policies", "client", "functions", "localcloud")
# Tests that a site may run against its own kind of store.
TESTS = ("tests/stores", "tests/faults", "tests/clients")
# A metaphor, and the standard term that takes its place.
METAPHORS = {
    "room": "component",
    "ledger": "limit backend",
    "courtesy": "background throttle",
    "deed": "audit event",
    "errand": "check",
    "hopeless": "malformed",
    "judge": "check",
    "patience": "timeout, retry policy",
    "rhythm": "interval",
    "stranger": "token that is not known yet",
    "trouble": "problem",
    "twin": "positive control",
    "wish": "patch, preference",
}
PHRASES = (
    "in vain",
    "shall not",
    "it is looked at",
    "is looked at",
    "told apart",
    "whoever",
    "the books",
    "so many seconds",
)
# Names of mechanisms that had one of their own; each has the standard one now. Separated by blanks.
_OLD = (
    "open_rooms Lines NoRoomError Courtesy give_way WaitingBudget Places Payer Allowance too_slow Troubles",
    "unless_in_vain refuse_hopeless Turns distrust challenged is_no_stores is_name_of_inside refuse_strange",
    "StoreOrigins may_pass can_be_sent_again Order BulkOrder Wanted patiently side_by_side deed_of Observed RequestIds",
    "StrictHead begin_log start_journal note_computation answer_refusals closed_at News Strip added_by_strangers",
    "Wishes open_twin vouched ledger budgets_shared call_role tenants_from",
)
OLD_NAMES = frozenset(" ".join(_OLD).split())
_CAMEL = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_WORD = re.compile(r"[A-Za-z]+")


def python_files() -> Iterator[Path]:
    for top in (*PRODUCT, *TESTS):
        yield from sorted((ROOT / top).rglob("*.py"))


def pages() -> Iterator[Path]:
    yield ROOT / "README.md"
    yield ROOT / "Makefile"
    yield from sorted((ROOT / "docs").rglob("*.md"))


def names_in(source: str) -> Iterator[tuple[int, str]]:
    """Each identifier of a module, with its line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME:
            yield token.start[0], token.string


def prose_in(source: str) -> Iterator[tuple[int, str]]:
    """Each comment, and each string of more than one word: docstrings, help texts, errors, log lines."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value


def singular(word: str) -> str:
    word = word.lower()
    return word[:-1] if word.endswith("s") and word[:-1] in METAPHORS else word.replace("wishes", "wish")


def metaphors_in(text: str, words: re.Pattern[str] = _WORD) -> list[str]:
    return [word for word in map(singular, words.findall(text)) if word in METAPHORS]


def phrases_in(text: str) -> list[str]:
    text = " ".join(text.lower().split())
    return [phrase for phrase in PHRASES if re.search(rf"\b{phrase}\b", text)]


def test_words_are_found_in_names_prose_and_phrases() -> None:
    assert metaphors_in("open_rooms FairLedger x", _CAMEL) == ["room", "ledger"]
    assert metaphors_in("The twins wish.") == ["twin", "wish"]
    assert phrases_in("It waits\n  in vain.") == ["in vain"]
    assert list(prose_in('x = "two words"  # a comment\n')) == [(1, "# a comment"), (1, "two words")]


def test_no_name_is_a_metaphor() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in python_files()
        for line, name in names_in(path.read_text(encoding="utf-8"))
        if metaphors_in(name, _CAMEL)
    ]
    assert not found, "\n".join(found)


def test_no_docstring_comment_or_sentence_has_a_metaphor() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {', '.join(words)}"
        for path in python_files()
        for line, text in prose_in(path.read_text(encoding="utf-8"))
        if (words := metaphors_in(text) + phrases_in(text))
    ]
    assert not found, "\n".join(found)


def test_no_page_has_a_metaphor() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {', '.join(words)}"
        for path in pages()
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (words := metaphors_in(text) + phrases_in(text))
    ]
    assert not found, "\n".join(found)


def test_no_mechanism_has_its_private_name_again() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in python_files()
        for line, name in names_in(path.read_text(encoding="utf-8"))
        if name.strip("_") in OLD_NAMES
    ]
    assert not found, "\n".join(found)
