"""One attempt at one operation: a token of its trust, its request to the gateway, and what becomes of it."""

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from gateway.errors import ErrorCode, GatewayError
from gateway.identity.trusts import TrustRefusedError, TrustTokens
from operations.decisions import (
    Decision,
    Finish,
    Postpone,
    after_answer,
    after_body,
    after_failure,
    after_unkept_result,
    delay_seconds,
    failure_of,
    is_token_rejected,
)
from operations.gateway_client import (
    Body,
    BrokenExchangeError,
    GatewayClient,
    NotSentError,
    Progress,
    ResultNotKeptError,
    ResultTooLargeError,
)
from operations.long_bodies import LongBodies
from operations.store import delegations, working
from operations.store.database import Database
from operations.store.model import RETRIABLE, Claim, Result, State, StoredObject

log = logging.getLogger(__name__)


Attempt = Callable[[Claim, Progress], Awaitable[Decision | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """Does operations.

    Attributes:
        max_attempts: after so many an operation is not queued again.
        bodies: those that are too long for the database.
        kinds: what does operations that are no request to the gateway, by their kind.
    """

    database: Database
    gateway: GatewayClient
    tokens: TrustTokens
    max_attempts: int
    bodies: LongBodies
    kinds: Mapping[str, Attempt] = field(default_factory=dict)

    async def run(self, claim: Claim, progress: Progress) -> Decision | None:
        """Does an operation, and says in the store what has become of it; None: the claim was lost.

        Raises:
            DatabaseUnavailableError: the store does not answer; the lease will end.
        """
        attempt = self.kinds.get(claim.kind, self._attempt)
        decision = await attempt(claim, progress)
        if decision is not None and await self._store(claim, decision):
            if isinstance(decision, Finish):
                await self.discard_request(claim, decision.state)
            return decision
        if isinstance(decision, Finish) and decision.result is not None:
            await self.bodies.delete(claim, decision.result.stored)
        log.warning("operation %s is not ours any more", claim.id)
        return None

    async def discard_request(self, claim: Claim, state: State) -> None:
        """Deletes the body of a request that will not be sent again, if it is an object. Never raises."""
        if state not in RETRIABLE:
            await self.bodies.delete(claim, claim.request.stored)

    async def _attempt(self, claim: Claim, progress: Progress) -> Decision | None:
        """The decision after an attempt; None if the claim was lost, or the operation is to be cancelled."""
        refused = None
        for _ in range(2):
            try:
                token = await self._token(claim, refused)
            except TrustRefusedError:
                return await self._authority_lost(claim)
            except GatewayError:
                return Postpone(delay_seconds=delay_seconds(claim.attempts), counted=False)
            found = await self._send(claim, token, progress)
            if not isinstance(found, Result):
                return found
            if not is_token_rejected(found):
                return await self._after_answer(claim, found)
            refused = token
        return await self._authority_lost(claim)

    async def _after_answer(self, claim: Claim, found: Result) -> Decision:
        decision = after_answer(claim, found, max_attempts=self.max_attempts)
        if isinstance(decision, Postpone):
            await self.bodies.delete(claim, found.stored)
        return decision

    async def _send(self, claim: Claim, token: str, progress: Progress) -> Result | Decision | None:
        """The answer, or the decision without one; None if the claim was lost."""
        async with contextlib.AsyncExitStack() as stack:
            try:
                body = await stack.enter_async_context(self.bodies.request(claim))
            except TrustRefusedError:
                return await self._authority_lost(claim)
            except GatewayError as error:
                assert claim.request.stored is not None
                return after_body(claim, claim.request.stored, error, max_attempts=self.max_attempts)
            # A repeatable request needs no note: it may be sent again in any case.
            if not claim.repeatable and not await self.database.run(working.mark_sent, claim.id, claim.fence):
                return await self._unless_cancelled(claim)
            return await self._exchange(claim, token, body, progress)

    async def _token(self, claim: Claim, refused: str | None) -> str:
        if claim.trust_id is None:
            raise TrustRefusedError
        return (await self.tokens.access(claim.trust_id, rejected=refused)).token

    async def _exchange(self, claim: Claim, token: str, body: Body | None, progress: Progress) -> Result | Decision:
        async def keep(pieces: AsyncIterator[bytes], size: int | None) -> StoredObject:
            try:
                return await self.bodies.keep_result(claim, pieces, size=size)
            except TrustRefusedError as error:
                # Not the end of the authority alone: the function has answered.
                raise GatewayError(ErrorCode.OPERATION_AUTHORITY_LOST) from error

        try:
            return await self.gateway.send(claim.id, claim.request, token, progress, body=body, keep=keep)
        except NotSentError as error:
            return after_failure(claim, str(error), sent=False, max_attempts=self.max_attempts)
        except BrokenExchangeError as error:
            return after_failure(claim, str(error), sent=True, max_attempts=self.max_attempts)
        except ResultTooLargeError as error:
            failure = failure_of(ErrorCode.OPERATION_RESULT_TOO_LARGE, limit=error.limit)
            return Finish(state=State.FAILED, failure=failure)
        except ResultNotKeptError as error:
            container = self.bodies.container
            return after_unkept_result(claim, container, error.error, max_attempts=self.max_attempts)

    async def _authority_lost(self, claim: Claim) -> Decision:
        if claim.trust_id is not None:
            await self.database.run(delegations.refuse, claim.trust_id)
        return Finish(state=State.FAILED, failure=failure_of(ErrorCode.OPERATION_AUTHORITY_LOST))

    async def _unless_cancelled(self, claim: Claim) -> Decision | None:
        renewal = await self.database.run(working.renew, {claim.id: claim.fence}, lease_ms=1_000, progress={})
        return Finish(state=State.CANCELLED) if claim.id in renewal.cancelled else None

    async def _store(self, claim: Claim, decision: Decision) -> bool:
        if isinstance(decision, Postpone):
            delay_ms = int(decision.delay_seconds * 1000)
            return await self.database.run(
                working.postpone,
                claim,
                delay_ms=delay_ms,
                counted=decision.counted,
                project_ms=delay_ms if decision.whole_project else 0,
            )
        return await self.database.run(
            working.finish, claim.id, claim.fence, decision.state, result=decision.result, failure=decision.failure
        )
