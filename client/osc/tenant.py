"""`openstack function tenant …`: for administrators of the cloud."""

from __future__ import annotations

import argparse
from typing import Any

from osc_lib import exceptions
from osc_lib.command import command

from client.osc.base import Listed, Shown, WithProxy, shown
from client.sdk.function import Tenant


class _OfProject(WithProxy, command.ShowOne):
    """A command for one project; shows its tenant."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        self.add_options(parser)
        parser.add_argument("--project-domain", metavar="<project-domain>", help="Domain of the project (name or ID)")
        parser.add_argument("project", metavar="<project>", help="Project (name or ID)")
        return parser

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Adds the command's own options."""

    def act(self, project_id: str, parsed_args: argparse.Namespace) -> Tenant:
        """Does the command's work."""
        raise NotImplementedError

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        return shown(page_of(self.act(self.project_id(parsed_args.project, parsed_args.project_domain), parsed_args)))


class _Specifies(_OfProject):
    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Fields of the specification."""
        parser.add_argument("--display-name", metavar="<name>", help="Human-readable name; not used for authorization")
        parser.add_argument("--isolation", metavar="<level>", help="Isolation level")
        parser.add_argument(
            "--function",
            dest="functions",
            action="append",
            metavar="<function>",
            help="Function of the catalogue to give to the project (repeat for several)",
        )
        parser.add_argument(
            "--limit", action="append", default=[], metavar="<name=value>", help="Limit (repeat for several)"
        )


class OnboardTenant(_Specifies):
    """Onboard a project: create its tenant."""

    EXAMPLES = ("function tenant onboard --function checksums --limit pods=20 atlas",)

    def act(self, project_id: str, parsed_args: argparse.Namespace) -> Tenant:
        """Onboards it."""
        return self.proxy.onboard_tenant(project_id, **fields_of(parsed_args))


class SetTenant(_Specifies):
    """Change the specification of a tenant."""

    EXAMPLES = ("function tenant set --limit bytes_per_second=1000000000 atlas",)

    def act(self, project_id: str, parsed_args: argparse.Namespace) -> Tenant:
        """Changes it."""
        return self.proxy.update_tenant(project_id, **fields_of(parsed_args))


class ShowTenant(_OfProject):
    """Show a tenant."""

    EXAMPLES = ("function tenant show atlas",)

    def act(self, project_id: str, parsed_args: argparse.Namespace) -> Tenant:
        """Reads it."""
        del parsed_args
        return self.proxy.get_tenant(project_id)


class ListTenant(WithProxy, command.Lister):
    """List all tenants."""

    EXAMPLES = ("function tenant list -f csv",)

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        del parsed_args
        rows = ((each.id, each.display_name, each.isolation, state_of(each)) for each in self.proxy.tenants())
        return ("Project ID", "Display Name", "Isolation", "State"), rows


class SuspendTenant(_OfProject):
    """Stop all functions of a tenant, and reject its calls."""

    EXAMPLES = ("function tenant suspend --reason 'unpaid' atlas",)

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """The reason."""
        parser.add_argument("--reason", metavar="<reason>", required=True, help="Reason, shown to callers (required)")

    def act(self, project_id: str, parsed_args: argparse.Namespace) -> Tenant:
        """Suspends it."""
        return self.proxy.suspend_tenant(project_id, parsed_args.reason)


class ResumeTenant(_OfProject):
    """End the suspension of a tenant."""

    EXAMPLES = ("function tenant resume atlas",)

    def act(self, project_id: str, parsed_args: argparse.Namespace) -> Tenant:
        """Resumes it."""
        del parsed_args
        return self.proxy.resume_tenant(project_id)


class OffboardTenant(_OfProject):
    """Request the removal of a tenant, or confirm it after the grace period."""

    EXAMPLES = ("function tenant offboard atlas", "function tenant offboard --confirm atlas")

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """The steps."""
        step = parser.add_mutually_exclusive_group()
        step.add_argument("--confirm", action="store_true", help="Confirm the removal, which deletes the namespace")
        step.add_argument("--cancel", action="store_true", help="Cancel the removal")
        step.add_argument(
            "--grace-seconds", type=int, metavar="<seconds>", help="Seconds to wait before the removal can be confirmed"
        )

    def act(self, project_id: str, parsed_args: argparse.Namespace) -> Tenant:
        """Does the step."""
        if parsed_args.cancel:
            return self.proxy.keep_tenant(project_id)
        grace = parsed_args.grace_seconds
        return self.proxy.offboard_tenant(project_id, confirm=parsed_args.confirm, grace_seconds=grace)


def fields_of(options: argparse.Namespace) -> dict[str, Any]:
    """The fields that the options set."""
    fields = {name: getattr(options, name) for name in ("display_name", "isolation", "functions")}
    found = {name: value for name, value in fields.items() if value is not None}
    limits = {}
    for text in options.limit:
        name, _, value = text.partition("=")
        if not name or not value.isdecimal():
            raise exceptions.CommandError(f"--limit {text!r} does not have the form NAME=NUMBER.")
        limits[name] = int(value)
    return {**found, **({"limits": limits} if limits else {})}


def state_of(tenant: Tenant) -> str:
    """One word for the list."""
    if tenant.offboarding:
        return "removal requested"
    return "suspended" if tenant.suspended else "active"


def page_of(tenant: Tenant) -> dict[str, Any]:
    """All fields of a tenant, flat."""
    return {
        "project_id": tenant.id,
        "display_name": tenant.display_name,
        "namespace": tenant.namespace,
        "isolation": tenant.isolation,
        "state": state_of(tenant),
        "suspended": tenant.suspended,
        "offboarding": tenant.offboarding,
        "functions": tenant.functions,
        "limits": tenant.limits,
        "conditions": tenant.status["conditions"],
    }
