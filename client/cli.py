"""The command `osfaas`. Each subcommand imports what it needs when it runs, so that the small ones start quickly.

The server's commands are named by string only: this package imports nothing of the server.
"""

from __future__ import annotations

import difflib
import importlib
from importlib.util import find_spec

import click

from client.commands import checksum

_DISTRIBUTION = "osfaas-client"
# Commands of other modules, imported on demand. Those modules import their dependencies when a command runs, because
# help and completion load all of them.
_ELSEWHERE = {
    "admin-api": "control.commands:admin_api",
    "db": "operations.commands:db",
    "controller": "tenancy.commands.controller:controller",
    "envoy-config": "gateway.commands:envoy_config",
    "events": "client.event_commands:events",
    "function": "client.functions.cli:function",
    "functions-api": "control.commands:functions_api",
    "operation": "client.operations.cli:operation",
    "platform": "tenancy.commands.platform:platform",
    "registry-tokens": "control.commands:registry_tokens",
    "scheduler": "control.commands:scheduler",
    "serve": "gateway.commands:serve",
    "settings": "gateway.commands:settings",
    "usage": "client.usage_command:usage",
    "worker": "operations.commands:worker",
    "tenant": "tenancy.commands.tenant:tenant",
}


class _WithLazyCommands(click.Group):
    """A group that imports some of its commands on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *filter(_is_installed, _ELSEWHERE)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _ELSEWHERE or not _is_installed(cmd_name):
            return super().get_command(ctx, cmd_name)
        module, _, name = _ELSEWHERE[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            # click would only suggest commands that are already imported.
            close = ", ".join(repr(each) for each in difflib.get_close_matches(name, self.list_commands(ctx)))
            hint = f" Did you mean {close}?" if close else ""
            raise click.UsageError(f"No such command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


def _is_installed(name: str) -> bool:
    """Whether the distribution of a command is installed: the server's is one of its own."""
    return find_spec(_ELSEWHERE[name].partition(".")[0]) is not None


@click.group(cls=_WithLazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=_DISTRIBUTION)
def main() -> None:
    """Multi-tenant functions for OpenStack projects."""


main.add_command(checksum)


@main.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed  # noqa: PLC0415

    click.echo(f"osfaas {installed(_DISTRIBUTION)}")


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a shell's completion.

    \b
    Example:
      eval "$(osfaas completion bash)"
    """  # noqa: D301 - click needs the character, which keeps the lines of the example
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(main, {}, "osfaas", "_OSFAAS_COMPLETE").source())


if __name__ == "__main__":
    main()
