"""Work on the Kubernetes API: in threads, a few at once for each project, with errors of the closed list."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from gateway.errors import ErrorCode, GatewayError
from gateway.limit_use import OverLimit
from policies.names import ProjectId
from policies.unified_limits import RESOURCE_OF_FIELD
from tenancy.model.errors import (
    ClusterError,
    ConflictError,
    ForbiddenError,
    FunctionError,
    NoSuchFunctionError,
    NoSuchSecretError,
    NotFoundError,
    PreconditionError,
    RecordError,
    SecretError,
    SecretInUseError,
    SecretPreconditionError,
    TenancyError,
    TooLargeError,
    TooManyError,
    TooManySecretsError,
    UnavailableError,
)

Result = TypeVar("Result")

# A request waits for Kubernetes for up to half a minute. One project must not use up the threads of all.
PER_PROJECT = 4
_MAX_MESSAGE = 400
FUNCTIONS = RESOURCE_OF_FIELD["own_functions"]


class ClusterWork:
    """Runs blocking work for callers; for one event loop."""

    def __init__(self) -> None:
        self._running: Counter[ProjectId] = Counter()

    async def run(self, project_id: ProjectId, function: str, work: Callable[[], Result]) -> Result:
        """Runs `work` in a thread and returns its result.

        Args:
            project_id: of the caller.
            function: name of the function that the request is about, for messages.
            work: blocks, and raises errors of `tenancy`.

        Raises:
            GatewayError: CONCURRENCY_EXCEEDED, or the counterpart of the error.
        """
        if self._running[project_id] >= PER_PROJECT:
            raise GatewayError(ErrorCode.CONCURRENCY_EXCEEDED, whose=f"project {project_id}", limit=PER_PROJECT)
        self._running[project_id] += 1
        # Shielded, because the thread goes on when the caller disconnects, and counts until it has ended.
        task = asyncio.ensure_future(asyncio.to_thread(work))
        task.add_done_callback(lambda done: self._ended(project_id, done))
        try:
            return await asyncio.shield(task)
        except TenancyError as error:
            raise error_for(error, project_id, function) from error

    def _ended(self, project_id: ProjectId, task: "asyncio.Task[Result]") -> None:
        if not task.cancelled():
            # Nobody else takes it if the caller is gone.
            task.exception()
        self._running[project_id] -= 1
        if not self._running[project_id]:
            del self._running[project_id]


def error_for(error: TenancyError, project_id: ProjectId, function: str) -> GatewayError:
    """The error for callers."""
    why = str(error)[:_MAX_MESSAGE].rstrip(".")
    if isinstance(error, TooManyError):
        return GatewayError(
            ErrorCode.FUNCTION_COUNT_EXCEEDED,
            owner=f"With all projects, the domain {error.domain_id}" if error.domain_id else f"Project {project_id}",
            usage=error.usage,
            limit=error.limit,
            over_limit=(
                OverLimit(resource_name=FUNCTIONS.name, limit=error.limit, current_usage=error.usage, delta=1),
            ),
        )
    if isinstance(error, TooLargeError):
        over = tuple(
            OverLimit(
                resource_name=RESOURCE_OF_FIELD[each.field].name,
                limit=each.limit,
                current_usage=each.reserved,
                delta=each.needed,
            )
            for each in error.over
            if each.field in RESOURCE_OF_FIELD
        )
        return GatewayError(ErrorCode.FUNCTION_TOO_LARGE, function=function, why=why, over_limit=over)
    if isinstance(error, NoSuchFunctionError):
        return GatewayError(ErrorCode.FUNCTION_NOT_DEPLOYED, project_id=project_id, function=function)
    if isinstance(error, SecretError):
        return _secret_error(error, project_id, function, why)
    kinds: tuple[tuple[type[TenancyError], ErrorCode], ...] = (
        (PreconditionError, ErrorCode.FUNCTION_PRECONDITION),
        (FunctionError, ErrorCode.FUNCTION_REJECTED),
        (ConflictError, ErrorCode.FUNCTION_CONFLICT),
        (NotFoundError, ErrorCode.FUNCTION_CONFLICT),
        (ForbiddenError, ErrorCode.FUNCTION_REJECTED),
        (UnavailableError, ErrorCode.KUBERNETES_UNAVAILABLE),
        (ClusterError, ErrorCode.FUNCTION_REJECTED),
        (RecordError, ErrorCode.FUNCTION_REJECTED),
    )
    kind = next((kind for type_, kind in kinds if isinstance(error, type_)), ErrorCode.INTERNAL)
    return GatewayError(kind, function=function, why=why)


def _secret_error(error: SecretError, project_id: ProjectId, name: str, why: str) -> GatewayError:
    if isinstance(error, TooManySecretsError):
        return GatewayError(
            ErrorCode.SECRET_COUNT_EXCEEDED, project_id=project_id, usage=error.usage, limit=error.limit
        )
    kinds: tuple[tuple[type[SecretError], ErrorCode], ...] = (
        (NoSuchSecretError, ErrorCode.SECRET_NOT_FOUND),
        (SecretPreconditionError, ErrorCode.SECRET_PRECONDITION),
        (SecretInUseError, ErrorCode.SECRET_IN_USE),
    )
    kind = next((kind for type_, kind in kinds if isinstance(error, type_)), ErrorCode.SECRET_REJECTED)
    return GatewayError(kind, project_id=project_id, secret=name, why=why)
