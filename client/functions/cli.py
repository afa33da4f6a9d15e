"""The group `osfaas function`. Each command imports what it needs when it runs."""

import click

from client.functions.commands import invoke
from client.functions.init import init
from client.functions.serve import serve


@click.group()
def function() -> None:
    """Functions of your project."""


for command in (init, serve, invoke):
    function.add_command(command)
