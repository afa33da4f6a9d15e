"""Diagnosis of functions that do not answer, from the controller's status of them in the tenant directory."""

from collections.abc import Callable

from gateway.errors import ErrorCode, GatewayError
from policies.names import ProjectId
from tenancy.directory.protocol import FunctionProblem, TenantDirectory
from tenancy.model.errors import TenancyError

QUOTA = "QuotaExceeded"
# Problems that waiting does not solve: somebody has to act first.
PERMANENT_PROBLEMS = frozenset(
    [QUOTA, "ImagePull", "CrashLoop", "Unschedulable", "PodRefused", "ContainerConfiguration"]
)
_SILENT = frozenset([ErrorCode.FUNCTION_UNREACHABLE, ErrorCode.FUNCTION_TIMEOUT])
_LONGEST_SENTENCE = 300

# For a status with a reason but no message.
_WORDS = {
    QUOTA: "the quota has no capacity for its pod",
    "ImagePull": "its image cannot be pulled",
    "CrashLoop": "it ends again and again right after its start",
    "Unschedulable": "the cluster has no capacity for its pod",
    "NotReady": "it is not ready yet",
}


class FunctionDiagnostics:
    """Current problems of functions, from the directory."""

    def __init__(self, directory: TenantDirectory) -> None:
        self._directory = directory

    def with_diagnosis(self, error: GatewayError, project_id: ProjectId, function: str) -> GatewayError:
        """Replaces an error that only says that a function did not answer by the known reason.

        The directory is read after the failure, because the call itself may have caused the problem.
        """
        problem = self._problem(project_id, function) if error.kind in _SILENT else None
        return error_for(problem, function) if problem else error

    def permanent_failure(self, project_id: ProjectId, function: str) -> Callable[[], GatewayError | None]:
        """A check for a permanent failure of a function, for `abort_when`."""

        def check() -> GatewayError | None:
            problem = self._problem(project_id, function)
            return error_for(problem, function) if problem and problem.reason in PERMANENT_PROBLEMS else None

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
    kind = ErrorCode.FUNCTION_QUOTA_EXCEEDED if problem.reason == QUOTA else ErrorCode.FUNCTION_NOT_RUNNING
    return GatewayError(kind, function=function, why=why)
