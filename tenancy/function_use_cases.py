"""Use cases of a project's members: write and delete functions of its own. Each changes one record.

They only write the record; the controller does the rest, and applies the same rules to records of other writers. All
are idempotent: an unchanged record is not written. After a conflicting write the record is read again, so no change is
lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from policies.own_function_rules import capacity_rejection, rejection_of
from policies.own_function_secrets import secret_rejection
from tenancy.function_domain import DomainLimit, check_domain_limit, withdraw_excess
from tenancy.model.errors import (
    ConflictError,
    FunctionError,
    NoSuchFunctionError,
    NotFoundError,
    PreconditionError,
    RecordError,
    TooLargeError,
    TooManyError,
)
from tenancy.model.function import FunctionRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from policies.model import Limits, Platform, TenantSpec
    from policies.own_function import OwnFunction
    from tenancy.function_repository import FunctionRepository

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Expectation:
    """The state that a change expects (RFC 9110, 13.1).

    Attributes:
        versions: versions of the specification (`version_of`) of which it must have one; None: any.
        absent: there must be no function of this name.
        present: there must be one.
    """

    versions: frozenset[str] | None = None
    absent: bool = False
    present: bool = False


@dataclass(frozen=True, slots=True)
class FunctionOutcome:
    """A record before and after a change; `before` is None if there was none."""

    before: FunctionRecord | None
    after: FunctionRecord

    @property
    def changed(self) -> bool:
        return self.before is None or self.before.spec != self.after.spec


def version_of(record: FunctionRecord) -> str:
    """The version of a specification. The status does not change it."""
    return f"{record.uid}-{record.generation}"


def write_function(
    functions: FunctionRepository,
    tenant: TenantSpec,
    platform: Platform,
    name: str,
    wanted: Callable[[OwnFunction | None], OwnFunction],
    *,
    expected: Expectation = Expectation(),
    known_secrets: Callable[[], frozenset[str]] = frozenset,
    domain: DomainLimit | None = None,
) -> FunctionOutcome:
    """Creates or changes a function.

    Args:
        functions: the records.
        tenant: specification of the tenant.
        platform: its rules apply.
        name: of the function.
        wanted: makes the specification from the current one; None if there is none.
        expected: checked against the version that is replaced.
        known_secrets: names of the project's secrets; asked only if the function uses any.
        domain: what its projects share; None: nothing.

    Raises:
        FunctionError: see its subclasses; FunctionError itself: the specification is rejected.
        ClusterError, RecordError: the records cannot be read or stored.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        others = functions.list(tenant.namespace)
        before = next((record for record in others.records if record.name == name), None)
        for bad in others.malformed:
            if bad.name == name:
                raise RecordError(bad.problem)
        check_expectation(before, expected)
        spec = wanted(before.spec if before else None)
        if before is not None and before.spec == spec:
            return FunctionOutcome(before, before)
        # A rollback must not fail because a rule has changed since.
        if before is None or replace(spec, traffic=before.spec.traffic) != before.spec:
            _check(spec, tenant, platform, [record.spec for record in others.records])
            _check_secrets(spec, known_secrets)
        try:
            if before is None:
                record = FunctionRecord(tenant.namespace, spec)
                return FunctionOutcome(None, _create(functions, record, len(others), tenant.limits, domain))
            return FunctionOutcome(before, functions.update(replace(before, spec=spec)))
        except (ConflictError, NotFoundError):
            if attempt == _ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def delete_function(
    functions: FunctionRepository,
    tenant: TenantSpec,
    name: str,
    expected: Expectation = Expectation(),
) -> FunctionRecord:
    """Deletes a function; returns the deleted record.

    Raises:
        NoSuchFunctionError, PreconditionError: it is not there, or not in the expected state.
        ClusterError, RecordError: the records cannot be read or written.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        record = get_function(functions, tenant, name)
        check_expectation(record, expected)
        try:
            functions.delete(record)
        except ConflictError:
            if attempt == _ATTEMPTS:
                raise
        else:
            return record
    raise AssertionError("the last attempt returns or raises")


def get_function(functions: FunctionRepository, tenant: TenantSpec, name: str) -> FunctionRecord:
    """The record of a function.

    Raises:
        NoSuchFunctionError: there is none.
        ClusterError, RecordError: it cannot be read.
    """
    record = functions.get(tenant.namespace, name)
    if record is None:
        raise NoSuchFunctionError(f"the project has no function {name}")
    return record


def check_expectation(record: FunctionRecord | None, expected: Expectation) -> None:
    """Checks the state of a function.

    Raises:
        NoSuchFunctionError, PreconditionError: it is not as expected.
    """
    if expected.absent and record is not None:
        raise PreconditionError("it exists already")
    if record is None:
        if expected.versions is not None:
            raise PreconditionError("it does not exist any more")
        if expected.present:
            raise NoSuchFunctionError("it does not exist")
        return
    if expected.versions is not None and version_of(record) not in expected.versions:
        raise PreconditionError("it has been changed since it was read; read it again")


def _create(
    functions: FunctionRepository, record: FunctionRecord, own: int, limits: Limits, domain: DomainLimit | None
) -> FunctionRecord:
    """Creates a function of a project that has `own` of them."""
    if own >= limits.own_functions:
        raise TooManyError(own, limits.own_functions)
    if domain is None:
        return functions.create(record)
    check_domain_limit(functions, domain, own)
    created = functions.create(record)
    withdraw_excess(functions, domain, created)
    return created


def _check(spec: OwnFunction, tenant: TenantSpec, platform: Platform, others: list[OwnFunction]) -> None:
    rejection = capacity_rejection(spec, others, tenant.limits)
    if rejection:
        raise TooLargeError(rejection.message, rejection.over)
    rejection = rejection_of(spec, tenant, platform)
    if rejection:
        raise FunctionError(rejection.message)


def _check_secrets(spec: OwnFunction, known: Callable[[], frozenset[str]]) -> None:
    rejection = secret_rejection(spec, known()) if spec.secrets else None
    if rejection:
        raise FunctionError(rejection.message)
