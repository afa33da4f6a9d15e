"""The trusts of triggers: made with the token of the member who defines one, and deleted with the trigger."""

from collections.abc import Iterable

from gateway.errors import ErrorCode, GatewayError
from gateway.identity.caller import Caller
from gateway.identity.credential import IdentityService
from gateway.identity.outage import OutageError
from gateway.identity.trusts import NO_LOGIN, NotDelegableError, TrustOrder, TrustRefusedError, Trusts, TrustTokens
from gateway.settings import Settings
from tenancy.model.trigger import TriggerRecord


class TriggerTrusts:
    """Makes and ends the trusts of triggers."""

    def __init__(self, identity: IdentityService, trusts: Trusts, settings: Settings) -> None:
        self._trustee = identity.trustee
        self._trusts = trusts
        self._tokens = TrustTokens(identity.trustee, settings)
        self._roles = settings.trigger_roles

    async def create(self, caller: Caller) -> str:
        """Makes a trust of the caller, with the roles of triggers that its token has; returns the id.

        Raises:
            GatewayError: TRIGGER_TRUST_REFUSED, TRIGGERS_NOT_CONFIGURED, KEYSTONE_UNAVAILABLE.
        """
        if self._trustee is None:
            raise GatewayError(ErrorCode.TRIGGERS_NOT_CONFIGURED, why=NO_LOGIN)
        if caller.access_rules is not None:
            # A trust knows no access rules: it would have more rights than the token.
            raise GatewayError(ErrorCode.TRIGGER_TRUST_REFUSED, why="its access rules cannot be passed on")
        order = TrustOrder(
            trustor_id=caller.user_id,
            trustee_id=await self._trustee.user_id(),
            project_id=caller.project_id,
            roles=[role for role in self._roles if role in caller.roles],
        )
        try:
            return await self._trusts.create(caller.token, order)
        except NotDelegableError as error:
            raise GatewayError(ErrorCode.TRIGGER_TRUST_REFUSED, why=str(error)) from error

    async def withdraw(self, caller: Caller, trust_id: str) -> None:
        """Deletes a trust that the caller has just made, and that nothing will use."""
        await self._trusts.delete(caller.token, trust_id)

    async def end(self, caller: Caller, records: Iterable[TriggerRecord]) -> str | None:
        """Deletes the trusts of triggers that are gone; what remains, as a sentence, or None.

        A trust is its user's to delete. Under the trust itself we act as this user, and may delete it for other
        members, as long as it can be used at all.
        """
        left = [record.spec.user_id for record in records if not await self._end(caller, record)]
        if not left:
            return None
        users = ", ".join(dict.fromkeys(left))
        return (
            f"Keystone may still have a trust of the user {users} for this service, which could not be deleted because "
            "it cannot be used. Its user can delete it with 'openstack trust delete'; no trigger uses it any more."
        )

    async def _end(self, caller: Caller, record: TriggerRecord) -> bool:
        trust_id = record.spec.trust_id
        if caller.user_id == record.spec.user_id and await self._trusts.delete(caller.token, trust_id):
            return True
        try:
            access = await self._tokens.access(trust_id)
        except (TrustRefusedError, OutageError):
            return False
        self._tokens.forget(trust_id)
        return access.user_id == record.spec.user_id and await self._trusts.delete(access.token, trust_id)
