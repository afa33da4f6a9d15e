"""The command `osfaas`. Each subcommand imports what it needs when it runs, so that the small ones start quickly.

The server's commands are named by string only: this package imports nothing of the server.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_DISTRIBUTION = "osfaas-client"
# Characters of a short help, which wraps on a narrow terminal.
_SHORT_HELP = 100
# Commands of other modules: where they are, and their short help. They are imported when they run, not for a list.
_ELSEWHERE = {
    "checksum": ("client.commands:checksum", "Checksums of objects in Swift and S3."),
    "events": ("client.event_commands:events", "Forward object events to the gateway."),
    "function": ("client.functions.cli:function", "Functions of your project."),
    "info": ("client.info_command:info", "Show what the service offers."),
    "keystone": ("tenancy.commands.keystone:keystone", "Set the service up in Keystone."),
    "limits": ("tenancy.commands.keystone:limits", "Register the limits of functions in Keystone."),
    "operation": ("client.operations.cli:operation", "Asynchronous calls of your project."),
    "platform": ("tenancy.commands.platform:platform", "Install, check and verify the platform."),
    "tenant": ("tenancy.commands.tenant:tenant", "Onboard, show, change, suspend and remove tenants."),
    "usage": ("client.usage_command:usage", "Show what your project has used."),
}
# Programs of the server: `osfaas server …`. Their names work without `server` as well.
_SERVER = {
    "admin-api": ("control.commands:admin_api", "Run the administrators' API, /v1/projects."),
    "controller": ("tenancy.commands.controller:controller", "Run the controller of Tenant records."),
    "db": ("operations.commands:db", "Database of asynchronous calls (OSFAAS_DATABASE_URL)."),
    "envoy-config": ("gateway.commands:envoy_config", "Print the configuration of an Envoy for gateways."),
    "functions-api": ("control.commands:functions_api", "Run the functions API, /v1/functions."),
    "registry-tokens": ("control.commands:registry_tokens", "Run the token endpoint of the registry."),
    "scheduler": ("control.commands:scheduler", "Run the scheduler of triggers."),
    "serve": ("gateway.commands:serve", "Run the gateway."),
    "settings": ("gateway.commands:settings", "Print all settings as a Markdown table."),
    "worker": ("operations.commands:worker", "Run a worker of asynchronous calls; any number may run."),
}


class _WithLazyCommands(click.Group):
    """A group that imports some of its commands on demand; its help and completion import none of them.

    Attributes:
        listed: commands in the help, each as `module:name`, and its short help.
        unlisted: commands that work and are not in the help.
    """

    listed: Mapping[str, tuple[str, str]] = {}
    unlisted: Mapping[str, tuple[str, str]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        names = {*super().list_commands(ctx), *filter(_is_installed, self.listed)}
        return sorted(name for name in names if name != "server" or any(map(_is_installed, _SERVER)))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        known = {**self.listed, **self.unlisted}
        if cmd_name not in known or not _is_installed(cmd_name):
            return super().get_command(ctx, cmd_name)
        module, _, name = known[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(self._summaries(ctx))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem  # noqa: PLC0415

        found = [
            CompletionItem(name, help=short) for name, short in self._summaries(ctx) if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def _summaries(self, ctx: click.Context) -> list[tuple[str, str]]:
        own = {name: command.get_short_help_str(_SHORT_HELP) for name, command in self.commands.items()}
        return [(name, own[name] if name in own else self.listed[name][1]) for name in self.list_commands(ctx)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            import difflib  # noqa: PLC0415

            # click would only suggest commands that are already imported.
            close = ", ".join(repr(each) for each in difflib.get_close_matches(name, self.list_commands(ctx)))
            hint = f" Did you mean {close}?" if close else ""
            raise click.UsageError(f"No such command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


class _Main(_WithLazyCommands):
    listed = _ELSEWHERE
    unlisted = _SERVER


class _Server(_WithLazyCommands):
    listed = _SERVER


def _is_installed(name: str) -> bool:
    """Whether the distribution of a command is installed: the server's is one of its own."""
    package = {**_ELSEWHERE, **_SERVER}[name][0].partition(".")[0]
    # As `importlib.util.find_spec` does, which takes long to import.
    return package in sys.modules or any(finder.find_spec(package, None) for finder in sys.meta_path)


@click.group(cls=_Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=_DISTRIBUTION)
def main() -> None:
    """Multi-tenant functions for OpenStack projects."""


@main.group("server", cls=_Server)
def server() -> None:
    """Run the programs of the server, and print their settings."""


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
