"""Diagnosis of functions that do not respond, from their status in the tenant directory."""

from collections.abc import Callable

from gateway.errors import ErrorCode, GatewayError
from policies.names import ProjectId
from tenancy.directory.protocol import FunctionProblem, TenantDirectory
from tenancy.model.errors import TenancyError
from tenancy.model.reasons import (
    CRASH_REASONS,
    EXCEEDED_QUOTA,
    IMAGE_REASONS,
    NOT_READY,
    PERMANENT_REASONS,
    UNSCHEDULABLE,
)

_SILENT = frozenset([ErrorCode.FUNCTION_UNREACHABLE, ErrorCode.FUNCTION_TIMEOUT])
_LONGEST_SENTENCE = 300

# For a status with a reason but no message.
_WORDS = {
    EXCEEDED_QUOTA: "the project's quota does not allow its pod",
    **dict.fromkeys(IMAGE_REASONS, "its image cannot be pulled"),
    **dict.fromkeys(CRASH_REASONS, "its container keeps terminating"),
    UNSCHEDULABLE: "no node has capacity for its pod",
    NOT_READY: "it is not ready yet",
}


class FunctionDiagnostics:
    """Current problems of functions, from the directory."""

    def __init__(self, directory: TenantDirectory) -> None:
        self._directory = directory

    def with_diagnosis(self, error: GatewayError, project_id: ProjectId, function: str) -> GatewayError:
        """Replaces the error of a function that did not respond with the known reason, if there is one.

        The directory is read after the failure, because the call itself may have caused the problem.
        """
        problem = self._problem(project_id, function) if error.kind in _SILENT else None
        return error_for(problem, function) if problem else error

    def permanent_failure(self, project_id: ProjectId, function: str) -> Callable[[], GatewayError | None]:
        """A check for a permanent failure of a function, for `abort_when`."""

        def check() -> GatewayError | None:
            problem = self._problem(project_id, function)
            return error_for(problem, function) if problem and problem.reason in PERMANENT_REASONS else None

        return check

    def _problem(self, project_id: ProjectId, function: str) -> FunctionProblem | None:
        try:
            address = self._directory.tenant_of(project_id).functions.get(function)
        except TenancyError:
            return None
        return address.problem if address else None


def error_for(problem: FunctionProblem, function: str) -> GatewayError:
    """The error for a problem: FUNCTION_QUOTA_EXCEEDED for an exhausted quota, else FUNCTION_NOT_RUNNING."""
    words = "".join(character if character.isprintable() else " " for character in problem.message)
    why = words[:_LONGEST_SENTENCE].strip().rstrip(".") or _WORDS.get(problem.reason, problem.reason)
    kind = ErrorCode.FUNCTION_QUOTA_EXCEEDED if problem.reason == EXCEEDED_QUOTA else ErrorCode.FUNCTION_NOT_RUNNING
    return GatewayError(kind, function=function, why=why)
