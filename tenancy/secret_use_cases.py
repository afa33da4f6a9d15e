"""Use cases of a project's members: set and delete secrets of their functions.

A version is on the list before its Secret is made and until after that is deleted. So nothing is left behind that
nobody knows of, whenever a process ends; the next change of the secret removes what an interrupted one left.
"""

from __future__ import annotations

import secrets as random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from policies.own_function_secrets import MAX_SECRETS, MAX_VERSIONS, secret_object_name
from tenancy.model.errors import (
    ConflictError,
    NoSuchSecretError,
    NotFoundError,
    SecretInUseError,
    SecretPreconditionError,
    TooManySecretsError,
)
from tenancy.model.function_secret import SecretRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

    from policies.names import NamespaceName
    from tenancy.function_repository import FunctionRepository
    from tenancy.function_use_cases import Expectation
    from tenancy.model.function import FunctionRecord
    from tenancy.secret_repository import SecretRepository

_ATTEMPTS = 5
_VERSION_BYTES = 6


@dataclass(frozen=True, slots=True)
class SecretOutcome:
    """A secret after a change, and whether it is new."""

    record: SecretRecord
    created: bool


def set_secret(
    secrets: SecretRepository,
    namespace: NamespaceName,
    name: str,
    value: bytes,
    *,
    now: str,
    expected: Expectation,
) -> SecretOutcome:
    """Stores a value as the current version of a secret. The same value again is another version: nobody can compare.

    Args:
        secrets: the records.
        namespace: of the tenant.
        name: of the secret.
        value: never in a message, a log or a record.
        now: RFC 3339.
        expected: checked against the version that is replaced.

    Raises:
        SecretError: see its subclasses; SecretError itself: Kubernetes refuses it.
        ClusterError, RecordError: the records cannot be read or stored.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        records = secrets.list(namespace)
        before = next((record for record in records if record.name == name), None)
        _check(before, expected)
        if before is None and len(records) >= MAX_SECRETS:
            raise TooManySecretsError(len(records), MAX_SECRETS)
        try:
            return _set(secrets, before or SecretRecord(namespace=namespace, name=name), value, now)
        except (ConflictError, NotFoundError):
            if attempt == _ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def _set(secrets: SecretRepository, before: SecretRecord, value: bytes, now: str) -> SecretOutcome:
    namespace, name = before.namespace, before.name
    mounted = frozenset[str]().union(*secrets.mounts(namespace).values()) if before.versions else frozenset()
    kept = tuple(
        version
        for version in before.versions
        if version == before.current or secret_object_name(name, version) in mounted
    )
    if len(kept) >= MAX_VERSIONS:
        raise SecretInUseError(
            f"revisions of functions still mount {len(kept)} of its values; Knative removes old ones"
        )
    version = random.token_hex(_VERSION_BYTES)
    announced = replace(before, versions=(version, *before.versions))
    record = secrets.update(announced) if before.uid else secrets.create(announced)
    secrets.store(namespace, name, version, value)
    for stale in set(before.versions) - set(kept):
        secrets.discard(namespace, name, stale)
    stored = replace(record, current=version, versions=(version, *kept), changed_at=now)
    return SecretOutcome(secrets.update(stored), created=not before.current)


def delete_secret(
    secrets: SecretRepository,
    functions: FunctionRepository,
    namespace: NamespaceName,
    name: str,
    expected: Expectation,
) -> SecretRecord:
    """Deletes a secret with all of its values.

    Raises:
        SecretInUseError: a function names it, or a revision with calls mounts it.
        NoSuchSecretError, SecretPreconditionError: it is not there, or not in the expected state.
        ClusterError, RecordError: the records cannot be read or written.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        record = get_secret(secrets, namespace, name)
        _check(record, expected)
        users = users_of(record, functions, secrets)
        if users:
            raise SecretInUseError(
                f"it is used by {', '.join(users)}: take it out of their secrets, and their calls off revisions that"
                " have it"
            )
        for version in record.versions:
            secrets.discard(namespace, name, version)
        try:
            secrets.delete(record)
        except ConflictError:
            if attempt == _ATTEMPTS:
                raise
        else:
            return record
    raise AssertionError("the last attempt returns or raises")


def get_secret(secrets: SecretRepository, namespace: NamespaceName, name: str) -> SecretRecord:
    """The record of a secret.

    Raises:
        NoSuchSecretError: there is none.
        ClusterError, RecordError: it cannot be read.
    """
    found = next((record for record in secrets.list(namespace) if record.name == name), None)
    if found is None:
        raise NoSuchSecretError(f"the project has no secret {name}")
    return found


def users_of(record: SecretRecord, functions: FunctionRepository, secrets: SecretRepository) -> list[str]:
    """Names of the functions that name a secret, or of which a revision with calls mounts one of its values."""
    objects = {secret_object_name(record.name, version) for version in record.versions}
    mounts = secrets.mounts(record.namespace)
    listing = functions.list(record.namespace)
    return [
        function.name
        for function in listing.records
        if record.name in function.spec.secrets
        or any(objects & mounts.get(revision, frozenset()) for revision in _routed(function))
    ] + [each.name for each in listing.malformed if record.name in each.secrets]


def _routed(function: FunctionRecord) -> Iterable[str]:
    return [
        *(each.name for each in function.status.active),
        *(target.revision for target in function.spec.traffic if target.revision),
    ]


def _check(record: SecretRecord | None, expected: Expectation) -> None:
    present = record is not None and bool(record.current)
    if expected.absent and present:
        raise SecretPreconditionError("it exists already")
    if expected.versions is not None and (record is None or record.current not in expected.versions):
        raise SecretPreconditionError("it has been changed since it was read, or does not exist; read it again")
    if expected.present and not present:
        raise NoSuchSecretError("it does not exist")
