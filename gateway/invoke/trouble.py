"""Why a function does not answer, in the words of the controller, which alone can see into the cluster."""

from collections.abc import Callable

from gateway.errors import GatewayError, Kind
from policies.names import ProjectId
from tenancy.directory.protocol import TenantDirectory, Trouble
from tenancy.model.errors import TenancyError

QUOTA = "QuotaExceeded"
# Troubles that waiting does not end: somebody has to do something first.
LASTING = frozenset([QUOTA, "ImagePull", "CrashLoop", "Unschedulable", "PodRefused", "ContainerConfiguration"])
_SILENT = frozenset([Kind.FUNCTION_UNREACHABLE, Kind.FUNCTION_TIMEOUT])
_LONGEST_SENTENCE = 300

# For a controller that gave a reason and no words.
_WORDS = {
    QUOTA: "there is no room for its pod",
    "ImagePull": "its image cannot be pulled",
    "CrashLoop": "it ends again and again right after its start",
    "Unschedulable": "the cluster has no room for its pod",
    "NotReady": "it is not ready yet",
}


class Troubles:
    """What the directory says of functions right now."""

    def __init__(self, directory: TenantDirectory) -> None:
        self._directory = directory

    def explained(self, error: GatewayError, project_id: ProjectId, function: str) -> GatewayError:
        """The error itself, or, where it only says that nobody answered, the reason for that if it is known.

        The directory is asked after the failure, because the call itself may have been what brought the trouble out.
        """
        trouble = self._trouble(project_id, function) if error.kind in _SILENT else None
        return sentence_of(trouble, function) if trouble else error

    def lasting(self, project_id: ProjectId, function: str) -> Callable[[], GatewayError | None]:
        """Asks whether it is in vain to go on waiting for a function."""

        def verdict() -> GatewayError | None:
            trouble = self._trouble(project_id, function)
            return sentence_of(trouble, function) if trouble and trouble.reason in LASTING else None

        return verdict

    def _trouble(self, project_id: ProjectId, function: str) -> Trouble | None:
        try:
            address = self._directory.tenant_of(project_id).functions.get(function)
        except TenancyError:
            return None
        return address.trouble if address else None


def sentence_of(trouble: Trouble, function: str) -> GatewayError:
    """FUNCTION_QUOTA for a quota that is used up, FUNCTION_NOT_RUNNING for everything else."""
    words = "".join(character if character.isprintable() else " " for character in trouble.message)
    why = words[:_LONGEST_SENTENCE].strip().rstrip(".") or _WORDS.get(trouble.reason, trouble.reason)
    kind = Kind.FUNCTION_QUOTA if trouble.reason == QUOTA else Kind.FUNCTION_NOT_RUNNING
    return GatewayError(kind, function=function, why=why)
