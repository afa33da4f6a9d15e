"""`osfaas worker` and `osfaas db upgrade|check|queues|restored`."""

import os
import sys
from typing import Any

import click


@click.command()
def worker() -> None:
    """Run a worker of asynchronous calls; any number may run.

    Settings come from OSFAAS_* variables (see `osfaas settings`), the credential from OS_* or clouds.yaml. It must be
    the password of the user to whom trusts are given.
    """
    from operations.process import main  # noqa: PLC0415

    sys.exit(main())


@click.group()
def db() -> None:
    """Database of asynchronous calls (OSFAAS_DATABASE_URL)."""


@db.command()
def upgrade() -> None:
    """Bring the tables to this version.

    The version before may go on running meanwhile.
    """
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    from operations.store.errors import SchemaError  # noqa: PLC0415
    from operations.store.upgrade import upgrade as run  # noqa: PLC0415

    try:
        before, after = run(_engine())
    except (SchemaError, SQLAlchemyError) as error:
        raise click.ClickException(_first_line(error)) from error
    click.echo(f"the tables have version {after}" + ("" if before == after else f" (before: {before or 'none'})"))


@db.command()
def check() -> None:
    """Check the tables and the durability of the database."""
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    from operations.store.errors import SchemaError  # noqa: PLC0415
    from operations.store.upgrade import check as run  # noqa: PLC0415
    from operations.store.upgrade import newest, problems  # noqa: PLC0415

    try:
        with _engine().connect() as connection:
            version = run(connection)
            found = problems(connection)
    except (SchemaError, SQLAlchemyError) as error:
        raise click.ClickException(_first_line(error)) from error
    for problem in found:
        click.echo(f"WARNING: {problem}")
    click.echo(f"the tables have version {version}" + ("" if version == newest() else f" ({newest()} is needed)"))
    sys.exit(1 if found else 0)


@db.command()
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="Maximum number of projects."
)
def queues(limit: int) -> None:
    """List the projects with queued operations, the oldest first."""
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    from operations.store.working import oldest_by_project  # noqa: PLC0415

    try:
        with _engine().begin() as connection:
            found = oldest_by_project(connection, limit=limit)
    except SQLAlchemyError as error:
        raise click.ClickException(_first_line(error)) from error
    click.echo(f"{'PROJECT':<34}{'QUEUED':>8}{'OLDEST':>10}")
    for project_id, count, age_ms in found:
        click.echo(f"{project_id:<34}{count:>8}{age_ms // 1000:>9}s")


@db.command()
def restored() -> None:
    """Cancel what must not be repeated, after a restore from a backup.

    Stop workers and gateways first. Repeatable operations stay queued.
    """
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    from operations.store.restoring import cancel_unrepeatable  # noqa: PLC0415

    cancelled, engine = 0, _engine()
    try:
        while True:
            with engine.begin() as connection:
                count = cancel_unrepeatable(connection)
            if not count:
                break
            cancelled += count
    except SQLAlchemyError as error:
        raise click.ClickException(_first_line(error)) from error
    click.echo(f"{cancelled} operations were cancelled")


def _engine() -> Any:
    from gateway.settings import settings_from  # noqa: PLC0415
    from operations.store.database import open_engine  # noqa: PLC0415

    try:
        url = settings_from(os.environ).database_url
        if url is None:
            raise click.ClickException("OSFAAS_DATABASE_URL is not set")
        return open_engine(url.get_secret_value(), connections=1)
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def _first_line(error: Exception) -> str:
    # Neither a statement nor its parameters.
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]
