"""The command `osfaas` itself: its help, its completion, and what they cost."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from client.cli import _ELSEWHERE, _SERVER, _SHORT_HELP, main

OURS = {"client", "control", "gateway", "operations", "policies", "tenancy"}
HEAVY = {"kubernetes", "openstack", "keystoneauth1", "requests", "uvicorn", "starlette", "pydantic", "httpx", "aiohttp"}
PROGRAM = """
import atexit, json, sys
sys.argv[0] = "osfaas"
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
from client.cli import main
main(prog_name="osfaas")
"""


def run(*arguments: str, **environment: str) -> tuple[subprocess.CompletedProcess[str], set[str]]:
    """The program in a process of its own, and the modules that it has loaded."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    said, _, modules = done.stderr.rstrip("\n").rpartition("\n")
    done.stderr = said
    return done, set(json.loads(modules))


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] in OURS}


def completions(words: str) -> tuple[list[str], set[str]]:
    """What TAB offers after the words, the last of which is unfinished, and the modules that it took."""
    variables = {"_OSFAAS_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done, loaded = run(**variables)
    return [line.partition(",")[2] for line in done.stdout.splitlines()], loaded


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("tennant",), "tenant"),
        (("chekcsum",), "checksum"),
        (("tenant", "onbord"), "onboard"),
        (("server", "schedular"), "scheduler"),
        (("checksum", "list", "c", "--prefx", "p"), "--prefix"),
        (("tenant", "set", "p", "--isolaton", "L1"), "--isolation"),
    ],
    ids=str,
)
def test_misspelt_word_is_answered_with_the_one_that_was_meant(arguments: tuple[str, ...], meant: str) -> None:
    """As kubectl and `openstack` do."""
    done, _ = run(*arguments)
    assert done.returncode == 2
    assert "Did you mean" in done.stderr
    assert f"'{meant}'" in done.stderr.partition("Did you mean")[2]


@pytest.mark.parametrize("words", ["-h", "checksum -h", "checksum get -h", "tenant onboard -h", "events forward -h"])
def test_short_option_shows_the_help(words: str) -> None:
    """Everybody tries it."""
    done, _ = run(*words.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: osfaas")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        *(
            (group, "--help")
            for group in ("tenant", "platform", "events", "controller", "serve", "admin-api", "functions-api")
        ),
        ("server", "--help"),
        ("keystone", "bootstrap", "--help"),
        ("limits", "register", "--help"),
        ("tenant", "onboard", "--help"),
        ("tenant", "verify", "--help"),
        ("platform", "install", "--help"),
        ("events", "forward", "--help"),
    ],
    ids=" ".join,
)
def test_help_loads_no_library_of_the_work_itself(arguments: tuple[str, ...]) -> None:
    """They take ten times as long to load as everything that the help needs."""
    done, loaded = run(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: osfaas")
    assert loaded & HEAVY == set()


def test_lists_of_commands_import_none_of_them() -> None:
    """The table of short helps stands in for them, so that `--help` and TAB take little more than click itself."""
    for found in (run("--help"), run("server", "--help"), run("--version")):
        assert ours(found[1]) == {"client", "client.cli"}
    for words in ("osfaas ", "osfaas che", "osfaas server s"):
        assert ours(completions(words)[1]) == {"client", "client.cli"}


def test_short_helps_of_the_table_are_those_of_the_commands() -> None:
    """Else `osfaas --help` says one thing, and the command's own help another."""
    context = click.Context(main, info_name="osfaas")
    for name, (_, short) in {**_ELSEWHERE, **_SERVER}.items():
        command = main.get_command(context, name)
        assert command is not None
        assert (name, short) == (name, command.get_short_help_str(_SHORT_HELP))


@pytest.mark.parametrize(
    ("words", "offered"),
    [("osfaas te", ["tenant"]), ("osfaas tenant on", ["onboard"]), ("osfaas platform ch", ["check"])],
)
def test_completion_loads_no_library_of_the_work_itself(words: str, offered: list[str]) -> None:
    """A shell runs it at each TAB."""
    found, loaded = completions(words)
    assert found == offered
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("command", ["serve", "admin-api"])
@pytest.mark.parametrize("environment", [{}, {"OS_CLOUD": "none"}], ids=["nothing", "no-such-cloud"])
def test_server_without_a_credential_says_where_one_is_looked_for(
    command: str, environment: dict[str, str], tmp_path: Path
) -> None:
    """And not only which parameter of a plug-in is missing."""
    done, _ = run(command, HOME=str(tmp_path), **environment)
    assert (done.returncode, done.stdout) == (2, "")
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("osfaas: no usable OpenStack credential: ")
    assert "OS_CLOUD" in sentence
    assert "OS_AUTH_URL" in sentence


@pytest.mark.parametrize("command", ["serve", "admin-api"])
def test_server_with_a_setting_of_no_use_says_which_in_one_line(command: str) -> None:
    """By the variable's name, which is what the operator can change."""
    done, _ = run(command, OSFAAS_LISTEN_PORT="http")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("osfaas: OSFAAS_LISTEN_PORT=http: ")
    assert len(done.stderr.splitlines()) == 1


def commands(group: click.Group, context: click.Context) -> Iterator[tuple[click.Context, click.Command]]:
    """All commands below a group, the group itself among them."""
    yield context, group
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        below = click.Context(command, parent=context, info_name=name)
        if isinstance(command, click.Group):
            yield from commands(command, below)
        else:
            yield below, command


def test_programs_of_the_server_are_one_level_down_and_their_short_names_still_work() -> None:
    """A user's list of commands has none of them; scripts and manifests of before go on."""
    context = click.Context(main, info_name="osfaas")
    server = main.get_command(context, "server")
    assert isinstance(server, click.Group)
    programs = set(server.list_commands(context))
    assert {"serve", "controller", "worker", "settings"} <= programs
    assert programs.isdisjoint(main.list_commands(context))
    for name in programs:
        assert main.get_command(context, name) is server.get_command(context, name)


def test_every_option_says_what_it_is_for_and_no_summary_is_cut_off() -> None:
    """A list of commands or options is all that most users ever read."""
    for context, command in commands(main, click.Context(main, info_name="osfaas")):
        silent = [
            option.opts[0]
            for option in command.get_params(context)
            if isinstance(option, click.Option) and not option.hidden and not option.help
        ]
        assert silent == [], context.command_path
        text = command.get_help(context)
        assert "..." not in text.partition("Commands:")[2], context.command_path
        assert "\\" not in text, context.command_path  # a marker of click that was not recognised
