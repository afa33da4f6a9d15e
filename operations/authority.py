"""The caller of an operation now: a token of its trust, which Keystone confirms."""

from gateway.errors import ErrorCode, GatewayError
from gateway.identity.caller import Caller
from gateway.identity.keystone import Keystone
from gateway.identity.trusts import TrustRefusedError, TrustTokens


class TrustCallers:
    """Callers by trust. Services cache what they know of a token, so a token alone may outlive its authority."""

    def __init__(self, tokens: TrustTokens, keystone: Keystone) -> None:
        self._tokens = tokens
        self._keystone = keystone

    async def caller(self, trust_id: str | None) -> Caller:
        """The caller, with a token that Keystone has confirmed a moment ago.

        Raises:
            TrustRefusedError: there is no trust, or Keystone rejects it.
            GatewayError: KEYSTONE_UNAVAILABLE and others: it is not known.
        """
        if trust_id is None:
            raise TrustRefusedError
        rejected = None
        for _ in range(2):
            access = await self._tokens.access(trust_id, rejected=rejected)
            try:
                return await self._keystone.validate(access.token)
            except GatewayError as error:
                if error.kind is not ErrorCode.TOKEN_INVALID:
                    raise
                rejected = access.token
        raise TrustRefusedError
