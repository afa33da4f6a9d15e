"""The command `osfaas`. Each subcommand imports what it needs when it runs, so that the small ones start quickly."""

import importlib
import sys

import click
from click.exceptions import NoSuchCommand

from client.commands import checksum

# Commands of other modules, imported on demand. Those modules import their dependencies when a command runs, because
# help and completion load all of them.
_ELSEWHERE = {
    "controller": "tenancy.commands.controller:controller",
    "platform": "tenancy.commands.platform:platform",
    "events": "client.event_commands:events",
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
            # click compares with the commands that it knows, which are not all.
            raise NoSuchCommand(error.command_name, possibilities=self.list_commands(ctx), ctx=ctx) from error


@click.group(cls=_WithLazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="openstack-faas-gateway")
def main() -> None:
    """Multi-tenant functions for OpenStack projects."""


@main.command()
def serve() -> None:
    """Run the gateway.

    Settings come from OSFAAS_* variables (see `osfaas settings`), the credential from OS_* or clouds.yaml.
    """
    from gateway.server.serve import serve as run  # noqa: PLC0415

    sys.exit(run())


@main.command("admin-api")
def admin_api() -> None:
    """Run the administrators' API, /v1/projects.

    It is a process of its own, because it can write Tenant records. Settings and credential are as for `serve`.
    """
    from gateway.projects.serve import serve as run  # noqa: PLC0415

    sys.exit(run())


@main.command()
def settings() -> None:
    """Print all settings as a Markdown table."""
    from gateway.server.settings import settings_table  # noqa: PLC0415

    click.echo(settings_table())


main.add_command(checksum)


if __name__ == "__main__":
    main()
