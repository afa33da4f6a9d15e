"""The group `osfaas function`. Each command imports what it needs when it runs."""

import click

from client.functions.commands import invoke


@click.group()
def function() -> None:
    """Functions of the project."""


function.add_command(invoke)
