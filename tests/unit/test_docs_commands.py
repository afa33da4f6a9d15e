"""The commands in the documentation exist, with the options that they have."""

import re
import shlex
from pathlib import Path

import click
import pytest

from client.cli import main

CHECKOUT = Path(__file__).resolve().parents[2]
_TOP = "builds|gateway|control|tenancy|policies|client|functions|localcloud|manifests|tests|docs"
_PATH = re.compile(rf"(?<![\w./-])(?:{_TOP})/[\w./-]*\w(?=[`)*/ ,:;]|$)", re.MULTILINE)
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]


def commands() -> list[str]:
    """Each line of a page's shell blocks that runs `osfaas`."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    blocks = re.findall(r"^ *```bash\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return sorted({line for line in lines if re.match(r"(\w+=\S+ )*osfaas ", line)})


def parsed(line: str) -> tuple[click.Command, list[str]]:
    """The command that a line names, and its words behind the name."""
    words = shlex.split(line.partition(" >")[0], comments=True)
    words = words[words.index("osfaas") + 1 :]
    command: click.Command = main
    context = click.Context(command)
    while isinstance(command, click.Group):
        # Options of the group stand before the command's name; a group's parser stops there.
        _, words, _ = command.make_parser(context).parse_args(list(words))
        found = command.get_command(context, words[0])
        assert found is not None, line
        command, words = found, words[1:]
        context = click.Context(command, parent=context)
    return command, words


def test_the_documentation_has_commands() -> None:
    """Otherwise the tests below prove nothing."""
    text = " ".join(commands())
    for needed in ("platform install", "platform check", "tenant onboard", "tenant offboard", "checksum list"):
        assert needed in text


@pytest.mark.parametrize("line", commands())
def test_every_option_exists_and_every_required_one_is_given(line: str) -> None:
    """By the parser of the command itself; files need not exist."""
    command, words = parsed(line)
    parser = command.make_parser(click.Context(command))
    given, rest, _ = parser.parse_args(list(words))
    assert rest == []
    for parameter in command.params:
        if parameter.required:
            assert given.get(parameter.name or "") is not None, parameter.name


def test_a_wrong_option_would_be_noticed() -> None:
    """The parser is the real one."""
    command, _ = parsed("osfaas platform check")
    with pytest.raises(click.NoSuchOption):
        command.make_parser(click.Context(command)).parse_args(["--no-such-option"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_every_path_into_the_tree_exists(page: Path) -> None:
    """A page that names a moved folder sends its readers away."""
    text = page.read_text(encoding="utf-8")
    # The page of the worked example says in which files its reader writes.
    text = re.sub(r'title="[^"]*"|`gateway/lines/', "", text)
    for path in set(_PATH.findall(text)):
        assert (CHECKOUT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_every_module_that_is_named_without_its_folder_exists(page: Path) -> None:
    """As `reply.py`; a renamed module would leave its name behind."""
    # The last two are files in the folders of users.
    own = {"__init__.py", "main.py", "func.py"}
    modules = {path.name for top in _TOP.split("|") for path in (CHECKOUT / top).rglob("*.py")}
    assert set(re.findall(r"`(\w+\.py)`", page.read_text(encoding="utf-8"))) - own <= modules


def test_every_page_is_in_the_navigation() -> None:
    """A page without an entry is found by search only."""
    navigation = (CHECKOUT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    listed = re.findall(r": (\S+\.md)$", navigation, re.MULTILINE)
    assert sorted(listed) == sorted(str(page.relative_to(CHECKOUT / "docs")) for page in PAGES[1:])
