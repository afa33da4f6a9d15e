"""Waits for the controller and prints its progress."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from policies.names import ProjectId
from tenancy.commands.access import NOT_IN_TIME
from tenancy.model.record import ConditionType, TenantCondition, TenantRecord
from tenancy.model.suspension import OFFBOARDING, PROJECT_DELETED, PROJECT_DISABLED, SUSPENDED

if TYPE_CHECKING:
    from tenancy.repository import TenantRepository

_POLL_SECONDS = 0.3
_STOPPED = frozenset({OFFBOARDING, PROJECT_DELETED, PROJECT_DISABLED, SUSPENDED})

# The record, or None when it is gone.
Until = Callable[[TenantRecord | None], bool]


def is_ready(record: TenantRecord | None) -> bool:
    """Whether the controller has applied the current record."""
    return _of(record, ConditionType.READY, lambda ready: ready.status is True)


def has_stopped(record: TenantRecord | None) -> bool:
    """Whether the tenant is suspended and has no running pod."""
    if not _of(record, ConditionType.READY, lambda ready: ready.status is False and ready.reason in _STOPPED):
        return False
    return _of(record, ConditionType.PODS, lambda pods: pods.status is True)


def is_gone(record: TenantRecord | None) -> bool:
    """Whether the tenant is removed."""
    return record is None


def wait_for(tenants: "TenantRepository", project_id: ProjectId, until: Until, seconds: float) -> TenantRecord | None:
    """Waits and prints progress; exits with `NOT_IN_TIME` at the timeout.

    Raises:
        ClusterError, RecordError: the record cannot be read.
    """
    deadline, printed = time.monotonic() + seconds, ""
    while True:
        record = tenants.get(project_id)
        if until(record):
            return record
        progress = _progress(record)
        if progress != printed:
            click.echo(progress, err=True)
            printed = progress
        if time.monotonic() > deadline:
            click.echo(f"osfaas: not finished within {seconds:g} s; the controller continues", err=True)
            sys.exit(NOT_IN_TIME)
        time.sleep(_POLL_SECONDS)


def _of(record: TenantRecord | None, type_: ConditionType, holds: Callable[[TenantCondition], bool]) -> bool:
    if record is None or record.status.observed_generation < record.generation:
        return False
    return any(condition.type is type_ and holds(condition) for condition in record.status.conditions)


def _progress(record: TenantRecord | None) -> str:
    if record is None:
        return "  the record is deleted"
    if record.status.observed_generation < record.generation:
        return "  waiting for the controller"
    for condition in record.status.conditions:
        if condition.status is not True:
            return f"  {condition.type.value}: {condition.reason} {condition.message}".rstrip()
    return "  ready"
