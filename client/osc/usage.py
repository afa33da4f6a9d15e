"""`openstack function usage` and `openstack function limits show`."""

from __future__ import annotations

import argparse

from osc_lib.command import command

from client.osc.base import Listed, WithProxy
from client.usage_fields import COLUMNS, GROUP_FIELDS, GROUPS, SHOWN


class ShowUsage(WithProxy, command.Lister):
    """Show what the project has used; administrators see all projects."""

    EXAMPLES = (
        "function usage --group-by function",
        "function usage --start 2026-11-01 --end 2026-12-01 --group-by day --long -f csv",
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--start", metavar="<time>", help="Date or time (ISO 8601, UTC; default: the beginning of the month)"
        )
        parser.add_argument("--end", metavar="<time>", help="Date or time (ISO 8601, UTC), excluded (default: now)")
        parser.add_argument(
            "--group-by", action="append", default=[], choices=GROUPS, help="One sum for each (repeat for several)"
        )
        parser.add_argument("--long", action="store_true", help="List all columns")
        parser.add_argument(
            "--project",
            metavar="<project>",
            help="Only this project (name or ID); for administrators, at the endpoint of their API",
        )
        parser.add_argument("--project-domain", metavar="<project-domain>", help="Domain of the project (name or ID)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        project = parsed_args.project and self.project_id(parsed_args.project, parsed_args.project_domain)
        groups = [GROUP_FIELDS.get(name, name) for name in parsed_args.group_by]
        names = (*groups, *(COLUMNS if parsed_args.long else SHOWN))
        found = self.proxy.usage(
            start=parsed_args.start, end=parsed_args.end, groups=parsed_args.group_by, project_id=project
        )
        return tuple(map(_title, names)), (tuple(getattr(each, name) for name in names) for each in found)


class ShowLimits(WithProxy, command.Lister):
    """Show the limits of the project, with their usage and where each number comes from."""

    EXAMPLES = ("function limits show",)

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        del parsed_args
        return ("Name", "Limit", "Usage", "Resource", "Source"), (
            (each.name, each.limit, "" if each.usage is None else each.usage, each.resource, each.source or "")
            for each in self.proxy.limits()
        )


def _title(name: str) -> str:
    """A column as OpenStackClient writes it."""
    return " ".join({"id": "ID", "gb": "GB"}.get(word, word.title()) for word in name.split("_"))
