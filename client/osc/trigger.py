"""`openstack function trigger …`: what makes a function run without a caller."""

from __future__ import annotations

import argparse
from typing import Any

from osc_lib.command import command

from client.functions.trigger_output import source_text
from client.osc.base import Listed, Shown, WithProxy, shown
from client.osc.fields import ready_of
from client.sdk.trigger import Trigger

_FUNCTION = "<function>"
_NAME = "<trigger>"


class _OfTrigger(WithProxy, command.ShowOne):
    """A command for one trigger; shows it."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        self.add_options(parser)
        parser.add_argument("function", metavar=_FUNCTION, help="Name of the function")
        parser.add_argument("trigger", metavar=_NAME, help="Name of the trigger")
        return parser

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Adds the command's own options."""

    def act(self, parsed_args: argparse.Namespace) -> Trigger:
        """Does the command's work."""
        raise NotImplementedError

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        trigger = self.act(parsed_args)
        if trigger.remains:
            self.say(trigger.remains)
        return shown(page_of(trigger))


class _Specifies(_OfTrigger):
    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """What fires the trigger."""
        parser.add_argument(
            "--container", metavar="<container>", help="Run when an object is created in this container"
        )
        # `--prefix` belongs to the formatter of values for shells.
        parser.add_argument(
            "--object-prefix", metavar="<prefix>", help="Only objects whose names begin with this (default: all)"
        )
        parser.add_argument(
            "--output",
            metavar="<container>/<name>",
            help="New object that the function may write; {object}, {rest}, {basename} and {stem} stand for the name of"
            " the input, the part after the prefix, its last part, and that without its suffix",
        )
        overwrite = parser.add_mutually_exclusive_group()
        overwrite.add_argument(
            "--overwrite", action="store_true", default=None, help="Let outputs replace objects that exist"
        )
        overwrite.add_argument(
            "--no-overwrite",
            dest="overwrite",
            action="store_false",
            help="Do not let outputs replace objects that exist",
        )
        parser.add_argument(
            "--cron", metavar="<m h d m w>", help="Run at times: minute, hour, day, month, day of the week"
        )
        parser.add_argument(
            "--time-zone", metavar="<time-zone>", help="Time zone of --cron, such as Europe/Zurich (default: UTC)"
        )

    @staticmethod
    def fields(parsed_args: argparse.Namespace) -> dict[str, Any]:
        """The fields that the options set."""
        names = ("container", "output", "overwrite", "cron", "time_zone")
        return {"prefix": parsed_args.object_prefix, **{name: getattr(parsed_args, name) for name in names}}


class CreateTrigger(_Specifies):
    """Create a trigger of a function; it acts for you, by a Keystone trust, until it is deleted."""

    EXAMPLES = (
        "function trigger create --container photos --object-prefix in/ --output 'small/{rest}' thumbnail new",
        "function trigger create --cron '0 3 * * *' --time-zone Europe/Zurich report nightly",
    )

    def act(self, parsed_args: argparse.Namespace) -> Trigger:
        """Creates it."""
        return self.proxy.create_trigger(parsed_args.function, parsed_args.trigger, **self.fields(parsed_args))


class SetTrigger(_Specifies):
    """Change a trigger or renew its trust; it then acts for you."""

    EXAMPLES = ("function trigger set --overwrite thumbnail uploads", "function trigger set report nightly")

    def act(self, parsed_args: argparse.Namespace) -> Trigger:
        """Changes it."""
        return self.proxy.update_trigger(parsed_args.function, parsed_args.trigger, **self.fields(parsed_args))


class ShowTrigger(_OfTrigger):
    """Show what fires a trigger, its last firing and its conditions."""

    EXAMPLES = ("function trigger show thumbnail uploads",)

    def act(self, parsed_args: argparse.Namespace) -> Trigger:
        """Reads it."""
        return self.proxy.get_trigger(parsed_args.function, parsed_args.trigger)


class ListTrigger(WithProxy, command.Lister):
    """List the triggers of a function."""

    EXAMPLES = ("function trigger list thumbnail",)

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("function", metavar=_FUNCTION, help="Name of the function")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        head = ("Name", "Fires On", "Ready", "Reason", "Last Outcome", "Last At", "Next At")
        return head, map(_row, self.proxy.triggers(parsed_args.function))


class DeleteTrigger(WithProxy):
    """Delete triggers of a function, and their trusts."""

    EXAMPLES = ("function trigger delete thumbnail uploads nightly",)

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("function", metavar=_FUNCTION, help="Name of the function")
        parser.add_argument("triggers", metavar=_NAME, nargs="+", help="Names of the triggers")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        def delete(name: str) -> None:
            remains = self.proxy.delete_trigger(parsed_args.function, name, ignore_missing=False)
            if remains:
                self.say(f"{name}: {remains}")

        self.each_of(parsed_args.triggers, delete, "triggers were not deleted")


def _row(trigger: Trigger) -> tuple[Any, ...]:
    last = trigger.status["last_firing"] or {}
    source = source_text(trigger.object_created, trigger.schedule)
    return trigger.name, source, *ready_of(trigger), last.get("outcome", ""), last.get("at", ""), trigger.next_at or ""


def page_of(trigger: Trigger) -> dict[str, Any]:
    """All fields of a trigger, flat."""
    ready, reason = ready_of(trigger)
    return {
        "name": trigger.name,
        "function": trigger.function,
        "user_id": trigger.user_id,
        "object_created": trigger.object_created,
        "schedule": trigger.schedule,
        "created_at": trigger.created_at,
        "next_at": trigger.next_at,
        "ready": ready,
        "reason": reason,
        "last_firing": trigger.status["last_firing"],
        "conditions": trigger.status["conditions"],
    }
