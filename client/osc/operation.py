"""`openstack function operation …`: asynchronous calls and sweeps."""

from __future__ import annotations

import argparse
import itertools
from typing import Any

from osc_lib import exceptions
from osc_lib.command import command

from client.operations.states import STATES
from client.osc.base import FIRST_ERROR, Listed, Shown, WithProxy, add_timeout, print_body, shown
from client.sdk.operation import Operation

_ID = "<operation>"
_A_DAY = 86_400.0
_FIELDS = (
    *("id", "kind", "subject", "state", "cancel_requested", "attempts", "progress", "project_id", "user_id"),
    *("request_id", "created_at", "started_at", "next_attempt_at", "finished_at", "expires_at", "kept_until", "error"),
)


class ListOperation(WithProxy, command.Lister):
    """List operations of the project, the newest first."""

    EXAMPLES = ("function operation list", "function operation list --state failed --state expired -f value -c ID")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--state", action="append", default=[], choices=STATES, help="Only in this state (repeat for several)"
        )
        parser.add_argument("--subject", metavar="<name>", help="Only of this function, object or container")
        parser.add_argument("--limit", type=int, metavar="<count>", help="Maximum number of operations")
        parser.add_argument("--marker", metavar=_ID, help="Start after the operation with this ID")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        query = {name: getattr(parsed_args, name) for name in ("subject", "marker") if getattr(parsed_args, name)}
        found = self.proxy.operations(states=parsed_args.state, **query)
        rows = (
            (each.id, each.state, each.kind, each.subject, each.created_at, each.attempts)
            for each in itertools.islice(found, parsed_args.limit)
        )
        return ("ID", "State", "Kind", "Subject", "Created At", "Attempts"), rows


class _OfOperation(WithProxy):
    """A command for one operation."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("operation", metavar=_ID, help="ID of the operation")
        return parser


class ShowOperation(_OfOperation, command.ShowOne):
    """Show an operation: state, progress, times, error."""

    EXAMPLES = ("function operation show 0190b5a0-2c8e-7c3e-9a70-5f3b8f6d2e11",)

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        return shown(page_of(self.proxy.get_operation(parsed_args.operation)))


class WaitForOperation(_OfOperation, command.ShowOne):
    """Wait until an operation has succeeded, and show it."""

    EXAMPLES = ("function operation wait --timeout 600 0190b5a0-2c8e-7c3e-9a70-5f3b8f6d2e11",)

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        add_timeout(parser, _A_DAY)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        ended = self.proxy.wait_for_operation(parsed_args.operation, seconds=parsed_args.timeout, progress=self.say)
        return shown(page_of(ended))


class ShowOperationResult(_OfOperation):
    """Print the answer of an operation, byte for byte."""

    EXAMPLES = ("function operation result 0190b5a0-2c8e-7c3e-9a70-5f3b8f6d2e11 > answer.json",)

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        answer = self.proxy.operation_result(parsed_args.operation, stream=True)
        print_body(answer)
        if answer.status_code >= FIRST_ERROR:
            raise exceptions.CommandError(f"The answer has the status {answer.status_code}.")


class _EachOperation(WithProxy):
    done = ""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("operations", metavar=_ID, nargs="+", help="IDs of the operations")
        return parser

    def act(self, operation: str) -> None:
        """Does the command's work on one."""
        raise NotImplementedError

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        self.each_of(parsed_args.operations, self.act, f"operations were not {self.done}")


class CancelOperation(_EachOperation):
    """Cancel operations; a running function loses its connection."""

    EXAMPLES = ("function operation cancel 0190b5a0-2c8e-7c3e-9a70-5f3b8f6d2e11",)
    done = "cancelled"

    def act(self, operation: str) -> None:
        """Cancels one."""
        state = self.proxy.cancel_operation(operation).state
        self.say(f"{operation}: {'cancelled' if state == 'cancelled' else 'cancellation requested'}")


class RetryOperation(_EachOperation):
    """Retry operations that have failed or expired."""

    EXAMPLES = ("function operation retry 0190b5a0-2c8e-7c3e-9a70-5f3b8f6d2e11",)
    done = "retried"

    def act(self, operation: str) -> None:
        """Starts one."""
        self.say(f"{operation}: {self.proxy.retry_operation(operation).state}")


def page_of(operation: Operation) -> dict[str, Any]:
    """All fields of an operation."""
    return {name: getattr(operation, name) for name in _FIELDS}
