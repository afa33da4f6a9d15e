"""`osfaas limits register` and `osfaas keystone bootstrap`: administrators' commands that set Keystone up."""

import re
from typing import TYPE_CHECKING, Any

import click

from policies.model import Limits
from policies.unified_limits import RESOURCES, UNLIMITED
from tenancy.commands.access import EXIT_CODES, report_errors

if TYPE_CHECKING:
    from tenancy.keystone_setup import Change, KeystoneSetup

_NAMES = tuple(resource.name for resource in RESOURCES)
_MOST = 2**31 - 1


class ResourceNumber(click.ParamType[tuple[str, int | None]]):
    """A resource, or a resource with its number: `functions`, `functions=20`."""

    name = "resource"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int | None]:
        """Returns the resource, and its number if it has one."""
        name, separator, number = str(value).partition("=")
        if name not in _NAMES:
            self.fail(f"{name!r} is not a resource; there are {', '.join(_NAMES)}", param, ctx)
        if not separator:
            return name, None
        if not re.fullmatch(r"-1|[0-9]{1,10}", number) or int(number) > _MOST:
            self.fail(f"{number!r} is not a number from 0 to {_MOST}, or -1 for no limit", param, ctx)
        return name, int(number)


def usual_numbers() -> dict[str, int]:
    """The defaults of a Tenant's record, by resource; Keystone says -1 where a record says 0 for no limit."""
    defaults = Limits()
    numbers = {resource.name: int(getattr(defaults, resource.field)) for resource in RESOURCES}
    unlimited = {resource.name for resource in RESOURCES if resource.most is None}
    return {name: UNLIMITED if not number and name in unlimited else number for name, number in numbers.items()}


def _options(function: Any) -> Any:
    function = click.option("--dry-run", is_flag=True, help="Show what would change; change nothing.")(function)
    function = click.option(
        "--service-type", default="function", show_default=True, help="Service type in Keystone's catalog."
    )(function)
    return click.option(
        "--os-region-name", "region", help="Region. Default: that of the credential ($OS_REGION_NAME)."
    )(function)


def _setup(*, service_type: str, dry_run: bool, **options: Any) -> "KeystoneSetup":
    from tenancy.keystone_projects import connect_projects
    from tenancy.keystone_setup import KeystoneSetup

    connection = connect_projects().connection
    region = options.pop("region") or connection.config.region_name or None
    return KeystoneSetup(connection, service_type, _say(dry_run=dry_run), region=region, dry_run=dry_run, **options)


def _say(*, dry_run: bool) -> Any:
    words = {"created": "would create", "changed": "would change"} if dry_run else {}

    def say(change: "Change") -> None:
        click.echo(f"{words.get(change.state, change.state)}: {change.what}")

    return say


@click.group(epilog=EXIT_CODES)
def limits() -> None:
    """Register the limits of functions in Keystone.

    The OpenStack credential is an administrator's, from OS_* variables or clouds.yaml with OS_CLOUD.
    """


@limits.command("register")
@click.argument("resources", metavar="[RESOURCE[=NUMBER]]…", type=ResourceNumber(), nargs=-1)
@click.option("--for-region", is_flag=True, help="Register for the region alone. Default: for all regions.")
@_options
def register(resources: tuple[tuple[str, int | None], ...], for_region: bool, **options: Any) -> None:
    """Create the registered limits; without a RESOURCE, all of them.

    From then on Keystone's numbers are in force, in place of those in Tenant records: NUMBER, or the default of a new
    record, for each project without a limit of its own ('openstack limit create'). A registered limit that exists keeps
    its number, unless NUMBER is given. What is not registered keeps the number of the record.

    \b
    Examples:
      osfaas limits register --dry-run
      osfaas limits register functions=20 function_concurrency=64
    """  # noqa: D301 - click needs the character, which keeps the lines of the examples
    usual, given = usual_numbers(), dict(resources)
    with report_errors():
        setup = _setup(limits_of_region=for_region, **options)
        service = setup.service()
        for name in given or usual:
            number = given.get(name)
            wanted = usual[name] if number is None else number
            setup.limits(service, {name: wanted}, overwrite=number is not None)


@click.group(epilog=EXIT_CODES)
def keystone() -> None:
    """Set the service up in Keystone.

    The OpenStack credential is an administrator's, from OS_* variables or clouds.yaml with OS_CLOUD.
    """


@keystone.command("bootstrap")
@click.option("--public-url", required=True, help="URL of the gateway for users.")
@click.option("--internal-url", help="URL of the gateway inside the cloud. Default: the public one.")
@click.option("--domain", default="default", show_default=True, help="Id of the domain of the service users.")
@click.option("--register-limits", is_flag=True, help="Also register all limits, as 'osfaas limits register' does.")
@_options
def bootstrap(public_url: str, internal_url: str | None, register_limits: bool, **options: Any) -> None:
    """Create service, endpoints, roles and service users.

    It can be repeated. It creates users without a password, deletes nothing, and changes nothing but URLs of endpoints
    and descriptions of registered limits.

    \b
    Example:
      osfaas keystone bootstrap --dry-run --public-url https://faas.example.org
    """  # noqa: D301 - click needs the character, which keeps the lines of the example
    urls = {"public": public_url, "internal": internal_url or public_url}
    with report_errors():
        setup = _setup(**options)
        service = setup.service()
        setup.endpoints(service, urls)
        setup.roles()
        made = setup.users()
        if register_limits:
            setup.limits(service, usual_numbers())
    for name in made:
        verb = "will have" if options["dry_run"] else "has"
        click.echo(f"{name} {verb} no password: openstack user set --password-prompt {name}")
