"""Remembers Keystone's verdicts, for seconds, in bounded space, and asks once however many want to know."""

import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from cachetools import TTLCache

from gateway.errors import GatewayError, Kind
from gateway.identity.caller import Caller
from gateway.identity.outage import OutageError
from gateway.identity.recent import Recent
from gateway.identity.turns import Turns
from gateway.single_flight import SingleFlight

# Refusals that say something of the token, and go on saying it for a while.
_LASTING = frozenset([Kind.TOKEN_INVALID, Kind.TOKEN_SCOPE])


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheLimits:
    """Bounds of the cache.

    Attributes:
        entries: most callers, and most refusals, at once.
        seconds: how long a verdict counts; a token's own expiry comes first.
        refusal_seconds: the same for refusals.
        outage_seconds: how much longer a caller counts if Keystone cannot be asked again.
        strangers: most questions at once about tokens that have not been accepted lately.
        stranger_wait_seconds: longest wait for the turn to ask such a question.
    """

    entries: int
    seconds: float
    refusal_seconds: float
    outage_seconds: float = 0
    strangers: int = 16
    stranger_wait_seconds: float = 5


class TokenCache:
    """Callers by token.

    A refusal is kept apart from callers, so that garbage cannot push out those who are known. While Keystone cannot be
    asked, a caller that it has accepted not long ago stays who it was; nobody else becomes anybody.
    """

    def __init__(
        self,
        validate: Callable[[str], Awaitable[Caller]],
        limits: CacheLimits,
        *,
        clock: Callable[[], float] = time.time,
        stopwatch: Callable[[], float] = time.monotonic,
        seen: Callable[[str, str], None] = lambda _source, _verdict: None,
    ) -> None:
        self._validate = validate
        self._clock = clock
        self._seen = seen
        self._callers: Recent[Caller] = Recent(limits.entries, limits.seconds, stopwatch)
        # Asked only in an outage; a refusal, by Keystone or by another service, ends it.
        self._last_known: TTLCache[str, Caller] = TTLCache(
            limits.entries if limits.outage_seconds else 0, limits.seconds + limits.outage_seconds, timer=stopwatch
        )
        self._refusals: TTLCache[str, tuple[Kind, Mapping[str, object]]] = TTLCache(
            limits.entries, limits.refusal_seconds, timer=stopwatch
        )
        self._flights: SingleFlight[str, Caller] = SingleFlight()
        self._turns = Turns(limits.strangers, wait_seconds=limits.stranger_wait_seconds)

    def known(self, token: str) -> Caller | None:
        """The caller of a token that has been accepted not long ago."""
        caller = self._callers.get(token)
        if caller is None or self._clock() >= caller.expires_at:
            return None
        self._seen("cache", "accepted")
        return caller

    def project_of(self, token: str) -> str:
        """The project of a token that was accepted lately, or "": for fair queueing, not for access.

        A token that Keystone has to be asked about again does not queue among made-up ones.
        """
        caller = self._callers.get(token) or self._last_known.get(token)
        return caller.project_id if caller is not None else ""

    async def caller_of(self, token: str) -> Caller:
        """The caller of a token, from memory or from Keystone.

        Raises:
            GatewayError: what `validate` raises.
        """
        caller = self.known(token)
        if caller is not None:
            return caller
        refusal = self._refusals.get(token)
        if refusal is not None:
            self._seen("cache", "refused")
            kind, words = refusal
            raise GatewayError.of(kind, words)
        return await self._flights.run(token, lambda: self._ask(token))

    def forget(self, token: str) -> None:
        """Drops a caller whose token another service has just refused."""
        self._callers.forget(token)
        self._last_known.pop(token, None)

    async def _ask(self, token: str) -> Caller:
        try:
            # Whom Keystone has accepted not long ago does not stand behind made-up tokens.
            known = token in self._last_known
            async with contextlib.nullcontext() if known else self._turns.one():
                caller = await self._validate(token)
        except OutageError:
            last = self._last_known.get(token)
            if last is not None and self._clock() < last.expires_at:
                self._seen("outage", "accepted")
                return last
            self._seen("keystone", "unknown")
            raise
        except GatewayError as error:
            if error.kind in _LASTING:
                self.forget(token)
                self._refusals[token] = error.kind, error.words
            self._seen("keystone", "refused" if error.kind in _LASTING else "unknown")
            raise
        if caller.expires_at <= self._clock():
            self.forget(token)
            raise GatewayError(Kind.TOKEN_INVALID)
        self._callers.keep(token, caller)
        if self._last_known.maxsize:
            self._last_known[token] = caller
        self._seen("keystone", "accepted")
        return caller
