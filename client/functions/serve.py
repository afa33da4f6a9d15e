"""`osfaas function serve`: runs a folder on this machine as the platform runs it."""

import os
import sys
from pathlib import Path

import click

from client.errors import CommandError

_PORT = 8080
# What a process needs to run here. Nothing else of the shell: the platform gives a function no credential either.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE")


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=Path())
@click.option("--port", type=click.IntRange(1, 65535), default=_PORT, show_default=True, help="Port on 127.0.0.1.")
@click.option("--env", "variables", multiple=True, metavar="NAME=VALUE", help="Environment variable. May be repeated.")
@click.option("--source-distributions", is_flag=True, help="Allow packages without a wheel; their code runs here.")
@click.option("--test", is_flag=True, help="Run the folder's tests in the function's environment, and end.")
def serve(folder: Path, port: int, variables: tuple[str, ...], source_distributions: bool, test: bool) -> None:
    """Run the function in FOLDER on this machine until Ctrl-C.

    Packages are installed once into FOLDER/.osfaas, and again after requirements.txt has changed. Nothing is isolated
    from this machine.
    """
    try:
        from client.functions.environment import prepare  # noqa: PLC0415
    except ImportError:
        click.echo("osfaas: functions run with Python 3.11 or later, and with the package osfaas-builder.", err=True)
        sys.exit(1)
    try:
        own = dict(_variable(each) for each in variables)
        environment = prepare(folder.resolve(), source_distributions=source_distributions, progress=_say)
    except CommandError as error:
        click.echo(f"osfaas: {error}", err=True)
        sys.exit(1)
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    settings = {
        "PORT": str(port),
        "FUNCTION_HOST": "127.0.0.1",
        "FUNCTION_FOLDER": str(environment.folder),
        "PYTHONPATH": str(environment.runtime_path),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    words = ["-m", "unittest"] if test else ["-m", environment.runtime.module]
    os.chdir(environment.folder)
    sys.stdout.flush()
    # The function takes this process's place, and with it the terminal and its signals.
    os.execve(environment.python, [str(environment.python), *words], {**inherited, **own, **settings})  # noqa: S606


def _say(sentence: str) -> None:
    click.echo(f"osfaas: {sentence}", err=True)


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise CommandError(f"--env needs NAME=VALUE, not {text!r}.")
    return name, value
