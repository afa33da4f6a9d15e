"""The authority of an operation: a trust that operations of one user in one project share while any has not ended."""

from cachetools import TTLCache

from gateway.errors import ErrorCode, GatewayError
from gateway.identity.caller import Caller
from gateway.identity.trusts import NotDelegableError, TrustOrder, Trusts, WorkerUser
from gateway.operations.objects import RUN_SECONDS
from gateway.settings.operations import OperationSettings
from gateway.single_flight import SingleFlight
from operations.store import delegations
from operations.store.database import Database
from operations.store.delegations import Delegation
from operations.store.model import new_id

# Whether a delegation has ended is asked again when an operation is stored.
_REMEMBERED, _REMEMBERED_SECONDS = 10_000, 10.0


class Delegations:
    """Finds or creates the delegation for an operation."""

    def __init__(
        self,
        database: Database,
        trusts: Trusts,
        worker: WorkerUser,
        settings: OperationSettings,
    ) -> None:
        self._database = database
        self._trusts = trusts
        self._worker = worker
        self._settings = settings
        self._found: TTLCache[tuple[str, str, str, int], str] = TTLCache(_REMEMBERED, _REMEMBERED_SECONDS)
        self._flights: SingleFlight[tuple[str, str, str, int], str] = SingleFlight()

    async def delegation_of(self, caller: Caller, seconds: int | None = None, *, fresh: bool = False) -> str:
        """The id of a delegation with the caller's delegable roles, for one more operation.

        Args:
            caller: who asks for the operation.
            seconds: how long the operation may take; None: as long as it may wait and be retried.
            fresh: look it up, whatever is remembered.

        Raises:
            GatewayError: OPERATION_NO_DELEGATION, KEYSTONE_UNAVAILABLE.
            DatabaseUnavailableError: no answer.
        """
        roles = ",".join(delegable_roles(caller, self._settings.operation_roles))
        needed = max(self._settings.operation_max_age_seconds, seconds or 0) + RUN_SECONDS
        key = (caller.project_id, caller.user_id, roles, needed)
        known = None if fresh else self._found.get(key)
        if known is not None:
            return known
        found = await self._database.run(
            delegations.usable,
            project_id=caller.project_id,
            user_id=caller.user_id,
            roles=roles,
            for_ms=needed * 1000,
        )
        if found is None:
            # Many calls of one user at once need one trust.
            found = await self._flights.run(key, lambda: self._create(caller, roles, 2 * needed))
        self._found[key] = found
        return found

    async def _create(self, caller: Caller, roles: str, seconds: int) -> str:
        order = TrustOrder(
            trustor_id=caller.user_id,
            trustee_id=await self._worker.user_id(),
            project_id=caller.project_id,
            roles=roles.split(","),
            seconds=seconds,
        )
        try:
            trust_id = await self._trusts.create(caller.token, order)
        except NotDelegableError as error:
            raise GatewayError(ErrorCode.OPERATION_NO_DELEGATION, why=str(error)) from error
        made = Delegation(
            id=new_id(), trust_id=trust_id, project_id=caller.project_id, user_id=caller.user_id, roles=roles
        )
        await self._database.run(delegations.add, made, lifetime_ms=seconds * 1000)
        return made.id


def delegable_roles(caller: Caller, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """The roles that a trust of this caller gets, sorted.

    Raises:
        GatewayError: OPERATION_NO_DELEGATION: Keystone makes no trust with such a token, or it would have more power
            than the token.
    """
    if caller.delegated or caller.access_rules is not None:
        why = "it is of an application credential, a trust, an OAuth consumer or an EC2 credential"
        raise GatewayError(ErrorCode.OPERATION_NO_DELEGATION, why=why)
    roles = tuple(sorted(set(wanted) & caller.roles))
    if not roles:
        why = f"the caller has none of the roles that are delegated ({', '.join(wanted)})"
        raise GatewayError(ErrorCode.OPERATION_NO_DELEGATION, why=why)
    return roles
