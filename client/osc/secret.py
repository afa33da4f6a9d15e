"""`openstack function secret …`. No value is ever an argument: other users of a machine can list those."""

from __future__ import annotations

import argparse
import getpass
from pathlib import Path

from osc_lib.command import command

from client.functions.secrets import changed_line, read_value
from client.osc.base import Listed, Shown, WithProxy, or_fail, shown

_NAME = "<secret>"


class SetSecret(WithProxy):
    """Create a secret or replace its value. Functions that mount it get a new revision."""

    EXAMPLES = ("function secret set db-password", "function secret set --from-file key.pem signing-key")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--from-file", metavar="<file>", type=Path, help="File with the value (default: stdin, or a prompt)"
        )
        parser.add_argument("secret", metavar=_NAME, help="Name of the secret")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        value = or_fail(lambda: read_value(parsed_args.from_file, lambda: getpass.getpass("Value: ")))
        stored = self.proxy.set_secret(parsed_args.secret, value)
        self.say(changed_line(stored.name, stored.used_by))


class ListSecret(WithProxy, command.Lister):
    """List the secrets of the project: names, when they changed, and which functions mount them."""

    EXAMPLES = ("function secret list",)

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        del parsed_args
        rows = ((each.name, each.changed_at, ",".join(each.used_by)) for each in self.proxy.secrets())
        return ("Name", "Changed At", "Used By"), rows


class ShowSecret(WithProxy, command.ShowOne):
    """Show a secret without its value."""

    EXAMPLES = ("function secret show db-password",)

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("secret", metavar=_NAME, help="Name of the secret")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        found = self.proxy.get_secret(parsed_args.secret)
        return shown({"name": found.name, "changed_at": found.changed_at, "used_by": found.used_by})


class DeleteSecret(WithProxy):
    """Delete secrets that no function mounts, with all of their values."""

    EXAMPLES = ("function secret delete db-password signing-key",)

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("secrets", metavar=_NAME, nargs="+", help="Names of the secrets")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        def delete(name: str) -> None:
            self.proxy.delete_secret(name, ignore_missing=False)

        self.each_of(parsed_args.secrets, delete, "secrets were not deleted")
