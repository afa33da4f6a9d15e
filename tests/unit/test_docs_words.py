"""Pages use the words of the field: no metaphors for mechanisms, no relative clause as a subject."""

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = [
    *(CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((CHECKOUT / "docs").rglob("*.md")),
]
# Tables that the code makes, code, and the targets of links are not prose.
_NO_PROSE = (
    re.compile(r"<!-- (settings|errors|figures|cluster figures) -->.*?<!-- /\1 -->", re.DOTALL),
    re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE),
    re.compile(r"^    .*$", re.MULTILINE),
    re.compile(r"`[^`]*`"),
    re.compile(r"\[[\w./-]+/[\w./-]*\]\([^)]*\)"),
    re.compile(r"\]\([^)]*\)"),
)
_METAPHORS = re.compile(
    r"\b(rooms?|books|courtesy|twins?|guards?|judges?|gives? way|takes? turns|wish(es)?|passed over|patience"
    r"|told apart|in vain|shall|made-up|sign of life|place in the line"
    r"|[Ww]hoever|Who (calls?|asks?|finds?|cannot|can|may|gets?|has|wants?)|What (came|comes|goes))\b(?![^.\n]*\?)"
)


def found(text: str) -> list[str]:
    """The words of a page that name a mechanism by a picture."""
    for pattern in _NO_PROSE:
        text = pattern.sub("", text)
    return [match[0] for match in _METAPHORS.finditer(text)]


def test_a_metaphor_is_noticed_in_prose_only() -> None:
    """Names in code are another matter."""
    assert found("Who calls takes turns.\n```\nwhoever\n```\n`rooms.py` [gateway/rooms.py](../rooms.py)\n") == [
        "Who calls",
        "takes turns",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_a_page_has_no_metaphor_for_a_mechanism(page: Path) -> None:
    """A reader searches for the standard term."""
    assert found(page.read_text(encoding="utf-8")) == []
