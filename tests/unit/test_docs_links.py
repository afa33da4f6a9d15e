"""Links between the documents lead somewhere."""

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    *(CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((CHECKOUT / "docs").rglob("*.md")),
]
# Comments, error sentences and help texts that name a page.
_NAMED = re.compile(r"\bdocs/(?:[\w-]+/)*[\w-]+\.(?:md|json|svg)\b")
_CODE = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_ELSEWHERE = re.compile(r"[a-z]+:")


def tracked() -> list[Path]:
    """Source files that may name a page."""
    folders = ("gateway", "tenancy", "policies", "client", "functions", "localcloud", "manifests", "tests", ".ci")
    files = [path for folder in folders for path in (CHECKOUT / folder).rglob("*")]
    named = [path for path in files if path.suffix in {".py", ".yaml", ".mk", ".sh", ""} and path.is_file()]
    return [*(CHECKOUT / name for name in ("Makefile", "Dockerfile", "mkdocs.yml")), *named]


def links(document: Path) -> list[str]:
    """Every relative link of a document: a path, an anchor, or both."""
    prose = _CODE.sub("", document.read_text(encoding="utf-8"))
    return [link for link in _LINK.findall(prose) if not _ELSEWHERE.match(link)]


def anchors(document: Path) -> set[str]:
    """The anchors that a forge makes of a document's headings."""
    prose = _CODE.sub("", document.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken(document: Path, root: Path = CHECKOUT) -> list[str]:
    """The links of a document that lead to no file below `root`, or to no heading of it."""
    found = []
    for link in links(document):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not (target.is_relative_to(root) and target.exists()) or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


def test_a_link_to_nothing_is_seen(tmp_path: Path) -> None:
    """A missing file, a missing heading and a file beyond the checkout are found; what is there is not."""
    document = tmp_path / "a.md"
    document.write_text("# Here we are\n[1](a.md#here-we-are) [2](b.md) [3](#gone) [4](../x.md) [5](https://c.test/)\n")
    assert broken(document, tmp_path) == ["b.md", "#gone", "../x.md"]


def test_the_documents_have_links() -> None:
    """Otherwise the first test proves nothing."""
    assert "docs/explanation/architecture.md" in links(CHECKOUT / "README.md")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(CHECKOUT)))
def test_relative_links_lead_to_a_file_and_a_heading(document: Path) -> None:
    """What a reader clicks on is there."""
    assert broken(document) == []


def test_every_page_that_the_code_names_exists() -> None:
    """Comments, error sentences and manifests send readers to pages."""
    for file in tracked():
        for page in set(_NAMED.findall(file.read_text(encoding="utf-8"))):
            assert (CHECKOUT / page).exists(), (file, page)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(CHECKOUT)))
def test_pages_of_the_site_link_to_pages_of_the_site(document: Path) -> None:
    """A link into the tree would be dead on the site."""
    site = CHECKOUT / "docs"
    if document.is_relative_to(site):
        targets = [(document.parent / link.partition("#")[0]).resolve() for link in links(document)]
        assert [target for target in targets if not target.is_relative_to(site)] == []
