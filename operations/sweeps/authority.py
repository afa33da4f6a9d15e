"""The authority of a running sweep: a token of its trust, which Keystone has confirmed a moment ago."""

import asyncio
import logging

from gateway.errors import GatewayError
from gateway.identity.caller import Caller
from gateway.objects.containers import SwiftContainers
from operations.authority import TrustCallers
from operations.sweeps.digests import DigestClient
from operations.sweeps.errors import SweepError, TokenRejectedError, stopped_by

log = logging.getLogger(__name__)


class SweepAuthority:
    """Who reads, and whether they still may.

    Services cache what they know of a token, so a token alone may outlive its authority by minutes.
    """

    def __init__(
        self,
        trust_id: str,
        *,
        callers: TrustCallers,
        containers: SwiftContainers,
        digests: DigestClient,
        container: str,
    ) -> None:
        self._trust_id = trust_id
        self._callers = callers
        self._containers = containers
        self._digests = digests
        self._container = container
        self._caller: Caller | None = None

    @property
    def caller(self) -> Caller:
        """The owner of the sweep; after the first check."""
        assert self._caller is not None
        return self._caller

    def token(self) -> str:
        """The token now."""
        return self.caller.token

    async def check(self) -> None:
        """Asks Keystone, the gateway and the store.

        Raises:
            TrustRefusedError: Keystone rejects the trust.
            SweepError: another refusal, or no answer.
        """
        self._caller = await self._validated()
        try:
            await self._digests.check(self.token())
            await self._containers.stat(self.caller, self._container)
        except (TokenRejectedError, GatewayError) as error:
            raise stopped_by(error) from error

    async def _validated(self) -> Caller:
        try:
            return await self._callers.caller(self._trust_id)
        except GatewayError as error:
            raise SweepError(error.kind.code, error.message, passing=True) from error

    async def watch(self, seconds: float) -> None:
        """Checks again and again; ends only by raising.

        Raises:
            TrustRefusedError, SweepError: as `check`, except that what may pass is left to the work itself to notice.
        """
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.check()
            except SweepError as error:
                if not error.passing:
                    raise
                log.warning("the authority of a sweep could not be checked: %s", error)
