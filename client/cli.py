"""The command `osfaas`. Each subcommand imports what it needs when it runs, so that the small ones start quickly.

The server's commands are named by string only: this package imports nothing of the server.
"""

import importlib

import click
from click.exceptions import NoSuchCommand

from client.commands import checksum

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
    "serve": "gateway.commands:serve",
    "settings": "gateway.commands:settings",
    "usage": "client.usage_command:usage",
    "worker": "operations.commands:worker",
    "tenant": "tenancy.commands.tenant:tenant",
}


class _WithLazyCommands(click.Group):
    """A group that imports some of its commands on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_ELSEWHERE})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        module, _, name = _ELSEWHERE[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:
            # click would only suggest commands that are already imported.
            raise NoSuchCommand(error.command_name, possibilities=self.list_commands(ctx), ctx=ctx) from error


@click.group(cls=_WithLazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="openstack-faas-gateway")
def main() -> None:
    """Multi-tenant functions for OpenStack projects."""


main.add_command(checksum)


if __name__ == "__main__":
    main()
