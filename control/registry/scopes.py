"""Decides which actions on repositories a caller may have. Pure.

A repository belongs to the project whose id is the first part of its name. Base images are below one prefix.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from gateway.errors import ErrorCode, GatewayError
from tenancy.registry_credentials import WorkloadCredential

MAX_SCOPES = 16
_MAX_CHARS = 512
# distribution's own grammar of names.
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})+")
_ACTION = re.compile(r"[a-z]{1,16}|\*")


@dataclass(frozen=True, slots=True)
class Scope:
    """What a client asks for: `repository:project/name:pull,push`."""

    kind: str
    name: str
    actions: tuple[str, ...]


def parse_scopes(values: Sequence[str]) -> tuple[Scope, ...]:
    """Parses the `scope` parameters of a request. Each may have several scopes, separated by blanks.

    Raises:
        GatewayError: REQUEST_MALFORMED.
    """
    words = [word for value in values for word in value.split(" ") if word]
    if len(words) > MAX_SCOPES:
        raise _malformed(f"more than {MAX_SCOPES} scopes")
    return tuple(map(_parse, words))


def _parse(word: str) -> Scope:
    # A name may have a colon, for the port of a host.
    kind, colon, rest = word.partition(":")
    name, second, actions = rest.rpartition(":")
    if len(word) > _MAX_CHARS or not colon or not second or not kind or not name:
        raise _malformed("a scope must be type:name:actions")
    wanted = tuple(dict.fromkeys(actions.split(",")))
    if not all(map(_ACTION.fullmatch, wanted)):
        raise _malformed("the actions of a scope must be words")
    return Scope(kind, name, wanted)


def granted(scope: Scope, project_id: str, permitted: Collection[str], base_prefix: str) -> tuple[str, ...]:
    """The actions of a scope that a caller gets, in the order in which they were asked for; others are left out.

    Args:
        scope: what was asked for.
        project_id: of the caller's token; onboarded and not suspended.
        permitted: what policy rules allow the caller on repositories of the project: `pull`, `push`.
        base_prefix: of base images.
    """
    if scope.kind != "repository" or not _REPOSITORY.fullmatch(scope.name):
        return ()
    owner, _, _ = scope.name.partition("/")
    allowed: set[str] = set()
    if owner in {project_id, base_prefix}:
        allowed.add("pull")
    if owner == project_id != base_prefix:
        allowed.add("push")
    allowed.intersection_update(permitted)
    return tuple(action for action in scope.actions if action in allowed)


def granted_to_workload(scope: Scope, credential: WorkloadCredential, base_prefix: str) -> tuple[str, ...]:
    """The actions of a scope that a build or the kubelet gets. See `granted`."""
    if scope.kind != "repository" or not _REPOSITORY.fullmatch(scope.name):
        return ()
    owner, _, _ = scope.name.partition("/")
    if owner == base_prefix:
        return tuple(action for action in scope.actions if action == "pull")
    if owner != credential.project_id:
        return ()
    return tuple(action for action in scope.actions if action in credential.actions)


def _malformed(why: str) -> GatewayError:
    return GatewayError(ErrorCode.REQUEST_MALFORMED, why=why)
