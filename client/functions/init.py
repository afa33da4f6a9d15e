"""`osfaas function init`: a folder that is a function, with a test that passes."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from string import Template

import click

from client.errors import CommandError

# A function's name is a label of DNS; Knative appends the number of the revision.
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
GREETING, THUMBNAIL = "greeting", "thumbnail"
TEMPLATES = (GREETING, THUMBNAIL)
# Those of `builds.runtimes`, which needs a newer Python than this command.
RUNTIMES = ("framework", "asgi")
# Templates end in this, so that no tool takes them for code of ours.
_SUFFIX = ".txt"


@click.command()
@click.argument("name")
@click.option(
    "--runtime",
    type=click.Choice(RUNTIMES),
    default=RUNTIMES[0],
    show_default=True,
    help="framework: main.py with functions-framework. asgi: func.py with Knative's conventions.",
)
@click.option(
    "--template",
    type=click.Choice(TEMPLATES),
    help="greeting, or thumbnail, which has objects as input and output. Default: that of the name NAME, or greeting.",
)
def init(name: str, runtime: str, template: str | None) -> None:
    """Create the folder NAME with a function, its test and a README."""
    try:
        folder = write_template(Path(), name, runtime, template or _default_template(name, runtime))
    except CommandError as error:
        click.echo(f"osfaas: {error}", err=True)
        sys.exit(1)
    click.echo(f"Created {folder}. Next: osfaas function serve {folder}")


def _default_template(name: str, runtime: str) -> str:
    return THUMBNAIL if (name, runtime) == (THUMBNAIL, RUNTIMES[0]) else GREETING


def write_template(parent: Path, name: str, runtime: str, template: str = GREETING) -> Path:
    """Writes the template of a runtime.

    Args:
        parent: folder that gets the new folder.
        name: of the function and its folder.
        runtime: name of a runtime.
        template: one of `TEMPLATES`.

    Returns:
        The new folder.

    Raises:
        CommandError: the name cannot be a function's, or the folder exists and is not empty.
    """
    if not _NAME.fullmatch(name):
        raise CommandError(
            f"{name!r} cannot be the name of a function. Use lower-case letters, digits and hyphens, at most 40, "
            "beginning with a letter and not ending with a hyphen."
        )
    if template == THUMBNAIL and runtime != RUNTIMES[0]:
        raise CommandError(f"The template '{THUMBNAIL}' is for the runtime '{RUNTIMES[0]}'.")
    folder = parent / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise CommandError(f"{folder} exists and is not empty. Choose another name, or remove the folder.")
        for file, text in _files(template if template == THUMBNAIL else runtime):
            (folder / file).write_text(Template(text).substitute(name=name), encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{folder} cannot be written: {error.strerror}.") from error
    return folder


def _files(template: str) -> Iterator[tuple[str, str]]:
    """Name and text of each file of a template: those of all, which its own ones replace."""
    templates = resources.files("client.functions") / "templates"
    for source in (templates / "all", templates / template):
        for file in sorted(source.iterdir(), key=lambda each: each.name):
            yield file.name.removesuffix(_SUFFIX).replace("dot-", "."), file.read_text(encoding="utf-8")
