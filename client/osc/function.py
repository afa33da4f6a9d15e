"""`openstack function …`: functions of the project."""

from __future__ import annotations

import argparse
import itertools
from typing import Any

from osc_lib.command import command

from client.functions.options import NUMBERS, shares_of
from client.osc.base import Listed, Shown, WithProxy, add_wait, or_fail, shown
from client.osc.fields import add_fields, fields_of, page_of, ready_of
from client.sdk.function import Function

_NAME = "<function>"


class _Changes(WithProxy, command.ShowOne):
    """A command that changes a function, may wait for the change and shows the function."""

    condition = "Ready"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        self.add_options(parser)
        add_wait(parser)
        parser.add_argument("function", metavar=_NAME, help="Name of the function")
        self.add_arguments(parser)
        return parser

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Adds the command's own options."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Adds what follows the name."""

    def change(self, parsed_args: argparse.Namespace) -> Function:
        """Makes the change."""
        raise NotImplementedError

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        function = or_fail(lambda: self.change(parsed_args))
        if parsed_args.wait:
            function = self.proxy.wait_for_function(
                function, seconds=parsed_args.timeout, progress=self.say, condition=self.condition
            )
        return shown(page_of(function))


class CreateFunction(_Changes):
    """Create a function from an image."""

    EXAMPLES = ("function create --image registry.example.org/p1/hello@sha256:… --memory 256 --wait hello",)

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """The image and all fields."""
        parser.add_argument("--image", metavar="<image>", required=True, help="Image by digest (required)")
        add_fields(parser)

    def change(self, parsed_args: argparse.Namespace) -> Function:
        """Creates it."""
        return self.proxy.create_function(parsed_args.function, **fields_of(parsed_args, None))


class SetFunction(_Changes):
    """Change settings of a function, or its image."""

    EXAMPLES = ("function set --env LEVEL=debug --max-scale 3 hello",)

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """The image and all fields."""
        parser.add_argument("--image", metavar="<image>", help="Image by digest")
        add_fields(parser)

    def change(self, parsed_args: argparse.Namespace) -> Function:
        """Changes the given fields."""
        listed = parsed_args.env or parsed_args.secret
        fields = fields_of(parsed_args, self.proxy.get_function(parsed_args.function) if listed else None)
        return self.proxy.update_function(parsed_args.function, **fields)


class UnsetFunction(_Changes):
    """Restore defaults of a function, or remove variables and secrets."""

    EXAMPLES = ("function unset --env LEVEL --max-scale hello",)

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """A flag for each field."""
        for option, field, _, words in NUMBERS:
            help_ = f"Restore the default: {words.rstrip('.')}"
            parser.add_argument(option, dest=field, action="store_true", help=help_)
        parser.add_argument(
            "--env", action="append", default=[], metavar="<name>", help="Variable (repeat for several)"
        )
        parser.add_argument(
            "--secret", action="append", default=[], metavar="<secret>", help="Secret (repeat for several)"
        )
        parser.add_argument("--command", action="store_true", help="Use the entrypoint of the image")
        parser.add_argument("--args", action="store_true", help="Use the arguments of the image")
        parser.add_argument("--health-path", action="store_true", help="Probe the port only")
        parser.add_argument("--traffic", action="store_true", help="Send all calls to the latest ready revision")

    def change(self, parsed_args: argparse.Namespace) -> Function:
        """Sends null for each field."""
        names = [field for _, field, _, _ in NUMBERS] + ["command", "args", "health_path", "traffic"]
        fields: dict[str, Any] = {name: None for name in names if getattr(parsed_args, name)}
        if parsed_args.env or parsed_args.secret:
            current = self.proxy.get_function(parsed_args.function)
            variables = {name: value for name, value in current.environment.items() if name not in parsed_args.env}
            mounted = [name for name in current.secrets if name not in parsed_args.secret]
            fields.update({"environment": variables} if parsed_args.env else {})
            fields.update({"secrets": mounted} if parsed_args.secret else {})
        return self.proxy.update_function(parsed_args.function, **fields)


class ShowFunction(WithProxy, command.ShowOne):
    """Show a function: settings, revisions with calls, state."""

    EXAMPLES = ("function show hello", "function show -f value -c url hello")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("function", metavar=_NAME, help="Name of the function")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        return shown(page_of(self.proxy.get_function(parsed_args.function)))


class ListFunction(WithProxy, command.Lister):
    """List the functions of the project."""

    EXAMPLES = ("function list", "function list -f json -c Name -c Ready")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--limit", type=int, metavar="<count>", help="Maximum number of functions")
        parser.add_argument("--marker", metavar=_NAME, help="Start after the function with this name")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        query = {"marker": parsed_args.marker} if parsed_args.marker else {}
        found = self.proxy.functions(**query)
        rows = (
            (each.name, *ready_of(each), each.status["latest_ready_revision"], each.url)
            for each in itertools.islice(found, parsed_args.limit)
        )
        return ("Name", "Ready", "Reason", "Revision", "URL"), rows


class DeleteFunction(WithProxy):
    """Delete functions with all their revisions."""

    EXAMPLES = ("function delete hello other",)

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("functions", metavar=_NAME, nargs="+", help="Names of the functions")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        def delete(name: str) -> None:
            self.proxy.delete_function(name, ignore_missing=False)

        self.each_of(parsed_args.functions, delete, "functions were not deleted")


class ListRevision(WithProxy, command.Lister):
    """List the revisions of a function, the newest first."""

    EXAMPLES = ("function revision list hello",)

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("function", metavar=_NAME, help="Name of the function")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        rows = (
            (each.name, each.created_at, each.ready, each.percent, ",".join(each.tags), each.reason)
            for each in self.proxy.revisions(parsed_args.function)
        )
        return ("Revision", "Created At", "Ready", "Percent", "Tags", "Reason"), rows


class ShowLog(WithProxy):
    """Print the end of the output of a function's containers."""

    EXAMPLES = ("function log show --lines 20 hello",)

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--lines", metavar="<count>", type=int, default=100, help="Lines of each container (default: 100)"
        )
        parser.add_argument("function", metavar=_NAME, help="Name of the function")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        found = 0
        for log in self.proxy.logs(parsed_args.function, tail=parsed_args.lines):
            found += 1
            self.say(f"== {log.pod} ({log.revision}, {'running' if log.running else 'ended'})")
            self.app.stdout.write(log.text if log.text.endswith("\n") else f"{log.text}\n")
        if not found:
            self.say("No container of the function has output; it may be scaled to zero.")


class SetTraffic(_Changes):
    """Share the calls between revisions of a function."""

    EXAMPLES = ("function traffic set hello hello-3f9c2a1b=90 latest@canary=10",)
    condition = "TrafficAssigned"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """The shares."""
        parser.add_argument(
            "shares", metavar="<revision[@tag]=percent>", nargs="+", help="Revision or 'latest', and its share"
        )

    def change(self, parsed_args: argparse.Namespace) -> Function:
        """Sets the shares."""
        return self.proxy.set_traffic(parsed_args.function, shares_of(parsed_args.shares))


class RollbackFunction(_Changes):
    """Send all calls to an earlier revision."""

    EXAMPLES = ("function rollback hello", "function rollback --to hello-3f9c2a1b hello")
    condition = "TrafficAssigned"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """The revision."""
        parser.add_argument("--to", metavar="<revision>", help="The revision (default: the one before the present one)")

    def change(self, parsed_args: argparse.Namespace) -> Function:
        """Chooses the revision, and sends it all calls."""
        return self.proxy.rollback_function(parsed_args.function, parsed_args.to)
