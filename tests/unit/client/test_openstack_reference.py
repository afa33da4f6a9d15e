"""`docs/reference/openstack.md` is what the commands say of themselves.

python tests/unit/client/test_openstack_reference.py > docs/reference/openstack.md
"""

import argparse
import importlib
import tomllib
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "reference" / "openstack.md"
HEAD = """\
# Commands of openstack

Commands that the package `osfaas-client` adds to `openstack`; `function tenant verify` comes with
`openstack-faas-gateway`, because it needs access to the cluster. [How to use them](../how-to/openstack.md). Commands
that show or list have all formatters of `openstack` (`-f json`, `yaml`, `csv`, `value`, `table`) and `-c COLUMN`; each
has `--help`. Exit codes: 0 done, 1 failed, 2 wrong usage. This page is generated.
"""


def commands() -> dict[str, str]:
    """Class of each command by its words."""
    found: dict[str, str] = {}
    for file in ("pyproject.toml", "distributions/client/pyproject.toml"):
        project = tomllib.loads((ROOT / file).read_text(encoding="utf-8"))["project"]
        found |= project["entry-points"]["openstack.function.v1"]
    return {name.replace("_", " "): where for name, where in sorted(found.items())}


def section(name: str, where: str) -> str:
    module, _, class_name = where.partition(":")
    command = getattr(importlib.import_module(module), class_name)(SimpleNamespace(), None)
    parser = command.get_parser(f"openstack {name}")
    # The other groups are the formatters'.
    own = [*parser._positionals._group_actions, *parser._optionals._group_actions]
    own += [action for group in parser._mutually_exclusive_groups for action in group._group_actions]
    rows: dict[str, str] = {}
    for action in own:
        if isinstance(action, argparse._HelpAction) or any(word.startswith("--sort") for word in action.option_strings):
            continue
        metavar = action.metavar or ""
        words = ", ".join(f"{word} {metavar}".strip() for word in action.option_strings) or str(metavar)
        rows[words] = (action.help or "").replace("|", "\\|")
    table = "".join(f"| `{words}` | {text} |\n" for words, text in rows.items())
    table = f"\n| | |\n|---|---|\n{table}" if rows else ""
    examples = "\n".join(f"openstack {each}" for each in command.EXAMPLES)
    return f"\n## {name}\n\n{command.get_description()}\n{table}\n```bash\n{examples}\n```\n"


def page() -> str:
    return HEAD + "".join(section(*each) for each in commands().items())


def test_reference_is_what_the_commands_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run this file, and write what it prints into the page"


def test_every_command_has_an_example_that_its_parser_accepts() -> None:
    """A documented command that is refused helps nobody."""
    import shlex

    for name, where in commands().items():
        module, _, class_name = where.partition(":")
        command = getattr(importlib.import_module(module), class_name)(SimpleNamespace(), None)
        assert command.EXAMPLES, name
        for example in command.EXAMPLES:
            words = shlex.split(example.partition(" > ")[0])
            assert words[: len(name.split())] == name.split()
            command.get_parser(name).parse_args(words[len(name.split()) :])


if __name__ == "__main__":
    print(page(), end="")
