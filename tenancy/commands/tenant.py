"""`osfaas tenant …`: administrators' commands. They write the record; the controller does the rest."""

import datetime as dt
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from policies.model import IsolationLevel, Limits
from policies.names import ProjectId
from tenancy import use_cases
from tenancy.commands import output
from tenancy.commands.access import EXIT_CODES, Access, project_argument, report_errors
from tenancy.commands.verify import verify
from tenancy.commands.waiting import Until, has_stopped, is_gone, is_ready, wait_for
from tenancy.model.record import TenantRecord, manifest_of
from tenancy.use_cases import Outcome, TenantPatch

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
# The minimum in the CRD, and the help text.
_LIMITS = {
    "pods": (1, "Maximum number of function pods at once."),
    "cpu_millis": (100, "CPU of all function pods together, in thousandths of a core."),
    "memory_mib": (128, "Memory of all function pods together, in MiB."),
    "concurrent_calls": (1, "Maximum number of concurrent calls."),
    "requests_per_second": (1, "Maximum number of calls per second, averaged."),
    "bytes_per_second": (0, "Maximum number of object bytes read per second, averaged; 0: unlimited."),
    "own_functions": (0, "Maximum number of functions of the project's own; the catalogue's do not count."),
}


class Duration(click.ParamType[int]):
    """A duration: whole seconds, or a number with a unit (90s, 15m, 12h, 7d)."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Returns seconds."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d{1,9})([smhd]?)", value)
        if not match:
            self.fail(f"{value!r} is not a duration such as 90s, 15m, 12h or 7d", param, ctx)
        return int(match[1]) * _UNITS[match[2]]


@click.group(epilog=EXIT_CODES)
@click.option(
    "--kubeconfig",
    type=_FILE,
    help="Kubeconfig file. Default: $KUBECONFIG, the pod's service account, or ~/.kube/config.",
)
@click.option("--context", help="Context of the kubeconfig. Default: its current one.")
@click.option(
    "--platform",
    "platform_file",
    type=_FILE,
    envvar="OSFAAS_PLATFORM_FILE",
    help="Platform file. Required by verify; with --dry-run, the objects on the cluster are compared too.",
)
@click.pass_context
def tenant(context: click.Context, /, kubeconfig: Path | None, **options: Any) -> None:
    """Onboard, show, change, suspend and remove tenants.

    PROJECT is a Keystone project's id, or its name in a domain. The OpenStack credential comes from OS_* variables or
    clouds.yaml with OS_CLOUD.
    """
    context.obj = Access(kubeconfig, options["context"], options["platform_file"])


tenant.add_command(verify)


def _patch_options(function: Callable[..., None]) -> Callable[..., None]:
    defaults = Limits()
    for name in reversed(Limits.__slots__):
        option = f"--{name.replace('_', '-')}"
        minimum, words = _LIMITS[name]
        words = f"{words} New tenants: {getattr(defaults, name)}."
        function = click.option(option, name, type=click.IntRange(minimum), help=words)(function)
    function = click.option(
        "--function",
        "functions",
        multiple=True,
        help="Function of the catalogue. May be repeated; replaces the whole list.",
    )(function)
    function = click.option(
        "--isolation",
        type=click.Choice([level.value for level in IsolationLevel]),
        help="Isolation level; each contains the ones below it. New tenants: L3.",
    )(function)
    return click.option("--display-name", help="Human-readable name; not used for authorization.")(function)


def _writes(*, waits: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def add(function: Callable[..., None]) -> Callable[..., None]:
        function = click.option("--dry-run", is_flag=True, help="Show what would change; change nothing.")(function)
        function = click.option(
            "--wait/--no-wait",
            default=waits,
            show_default=True,
            help="Wait until the controller has applied the change.",
        )(function)
        function = click.option("--timeout", type=Duration(), default="2m", show_default=True, help="Maximum wait.")(
            function
        )
        function = click.option(
            "--output",
            "form",
            type=click.Choice(["table", "json"]),
            default="table",
            show_default=True,
            help="Output format.",
        )(function)
        return project_argument(click.pass_obj(function))

    return add


@tenant.command(epilog=EXIT_CODES)
@_patch_options
@_writes(waits=True)
def onboard(access: Access, project: str, domain: str | None, **options: Any) -> None:
    """Onboard a project. Idempotent: re-running changes only the options given."""
    with report_errors():
        found = access.project(project, domain)
        outcome = use_cases.onboard(access.tenants, found, _patch_of(options), dry_run=options["dry_run"])
        _finish(access, outcome, is_ready, options)


@tenant.command("set", epilog=EXIT_CODES)
@_patch_options
@_writes(waits=False)
def set_(access: Access, project: str, domain: str | None, **options: Any) -> None:
    """Change limits, isolation level or functions."""
    with report_errors():
        patch = _patch_of(options)
        outcome = use_cases.update(access.tenants, access.tenant_id(project, domain), patch, dry_run=options["dry_run"])
        _finish(access, outcome, is_ready, options)


@tenant.command(epilog=EXIT_CODES)
@click.option("--reason", required=True, help="Reason, shown to callers.")
@_writes(waits=False)
def suspend(access: Access, project: str, domain: str | None, **options: Any) -> None:
    """Suspend a tenant.

    Its pods are deleted, and its calls are rejected with 403 and the reason. Its namespace is kept.
    """
    with report_errors():
        project_id = access.tenant_id(project, domain)
        outcome = use_cases.suspend(access.tenants, project_id, options["reason"], dry_run=options["dry_run"])
        _finish(access, outcome, has_stopped, options)


@tenant.command(epilog=EXIT_CODES)
@_writes(waits=False)
def resume(access: Access, project: str, domain: str | None, **options: Any) -> None:
    """Resume a suspended tenant."""
    with report_errors():
        outcome = use_cases.resume(access.tenants, access.tenant_id(project, domain), dry_run=options["dry_run"])
        _finish(access, outcome, is_ready, options)


@tenant.command(epilog=EXIT_CODES)
@click.option(
    "--grace",
    type=Duration(),
    default="7d",
    show_default=True,
    help="Grace period before the removal can be confirmed.",
)
@click.option("--confirm", is_flag=True, help="Second step: delete the namespace with everything in it.")
@click.option("--cancel", is_flag=True, help="Undo the first step.")
@_writes(waits=False)
def offboard(access: Access, project: str, domain: str | None, **options: Any) -> None:
    """Remove a tenant, in two steps.

    The first step suspends it and starts the grace period. After that, --confirm deletes its namespace and its record.
    """
    if options["confirm"] and options["cancel"]:
        raise click.UsageError("--confirm and --cancel cannot be combined.")
    with report_errors():
        project_id, now = access.tenant_id(project, domain), dt.datetime.now(dt.UTC)
        dry_run, tenants = options["dry_run"], access.tenants
        if not options["cancel"]:
            for line in output.remaining_trusts(access.triggers_of(project_id)):
                click.echo(f"osfaas: {line}", err=True)
        if options["confirm"]:
            outcome = use_cases.confirm_offboarding(tenants, project_id, now=now, dry_run=dry_run)
        elif options["cancel"]:
            outcome = use_cases.cancel_offboarding(tenants, project_id, dry_run=dry_run)
        else:
            grace = options["grace"]
            outcome = use_cases.offboard(tenants, project_id, now=now, grace_seconds=grace, dry_run=dry_run)
        until: Until = is_gone if options["confirm"] else is_ready if options["cancel"] else has_stopped
        _finish(access, outcome, until, options)


@tenant.command(epilog=EXIT_CODES)
@click.option(
    "--output", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Output format."
)
@project_argument
@click.pass_obj
def show(access: Access, project: str, domain: str | None, form: str) -> None:
    """Show a tenant: limits, conditions, functions."""
    with report_errors():
        record = use_cases.get_tenant(access.tenants, access.tenant_id(project, domain))
        click.echo(output.as_json(record) if form == "json" else output.as_page(record))


@tenant.command("list", epilog=EXIT_CODES)
@click.option(
    "--output", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Output format."
)
@click.pass_obj
def list_(access: Access, form: str) -> None:
    """List all tenants."""
    with report_errors():
        records = use_cases.list_tenants(access.tenants)
        click.echo(output.as_json(records) if form == "json" else output.as_table(records))


def _patch_of(options: dict[str, Any]) -> TenantPatch:
    level = options["isolation"]
    return TenantPatch(
        display_name=options["display_name"],
        isolation=IsolationLevel(level) if level else None,
        functions=options["functions"] or None,
        limits=tuple((name, options[name]) for name in Limits.__slots__ if options[name] is not None),
    )


def _finish(access: Access, outcome: Outcome, until: Until, options: dict[str, Any]) -> None:
    if options["dry_run"]:
        _show_difference(access, outcome)
        return
    click.echo("stored" if outcome.changed else "nothing to change", err=True)
    record: TenantRecord | None = outcome.after
    if options["wait"]:
        record = wait_for(access.tenants, ProjectId(outcome.after.spec.project_id), until, options["timeout"])
    if record is not None:
        click.echo(output.as_json(record) if options["form"] == "json" else output.as_page(record))


def _show_difference(access: Access, outcome: Outcome) -> None:
    from tenancy.controller.preview import preview

    before = manifest_of(outcome.before) if outcome.before else None
    text = output.difference(f"Tenant {outcome.after.name}", before, manifest_of(outcome.after))
    platform = access.platform
    if platform is None:
        click.echo("only the change of the Tenant is shown; --platform FILE also shows those of its objects", err=True)
    else:
        for found in preview(access.cluster, outcome.after, platform):
            if found.refused:
                click.echo(f"refused: {found.refused}", err=True)
            text += output.difference(str(found.ref), found.before, found.after)
    click.echo(text or "nothing to change", nl=not text)
