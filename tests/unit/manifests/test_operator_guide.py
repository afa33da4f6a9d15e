"""The commands in the operator guide are ones that exist, with the options that they have."""

import re
import shlex

import click
import pytest

from gateway.cli import main
from tests.unit.manifests.rendered import CHECKOUT

GUIDE = CHECKOUT / "docs" / "how-to" / "operator-guide.md"


def commands() -> list[str]:
    """Each line of the guide's shell blocks that runs `osfaas`."""
    blocks = re.findall(r"```bash\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("osfaas ")]


def parsed(line: str) -> tuple[click.Command, list[str]]:
    """The command that a line names, and its words behind the name."""
    _, *words = shlex.split(line)
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


def test_the_guide_has_commands():
    """Otherwise the tests below prove nothing."""
    text = " ".join(commands())
    for needed in ("platform install", "platform check", "platform verify", "tenant onboard", "tenant offboard"):
        assert needed in text


@pytest.mark.parametrize("line", commands())
def test_every_option_exists_and_every_required_one_is_given(line: str):
    """By the parser of the command itself; files need not exist."""
    command, words = parsed(line)
    parser = command.make_parser(click.Context(command))
    given, rest, _ = parser.parse_args(list(words))
    assert rest == []
    for parameter in command.params:
        if parameter.required:
            assert given.get(parameter.name or "") is not None, parameter.name


def test_a_wrong_option_would_be_noticed():
    """The parser is the real one."""
    command, _ = parsed("osfaas platform check")
    with pytest.raises(click.NoSuchOption):
        command.make_parser(click.Context(command)).parse_args(["--no-such-option"])


def test_every_path_into_the_tree_exists():
    """A guide that names a moved folder sends people away."""
    for path in set(re.findall(r"manifests/[\w/-]+", GUIDE.read_text(encoding="utf-8"))):
        assert (CHECKOUT / path).exists(), path
