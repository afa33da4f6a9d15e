"""Remembers Keystone's verdicts, for seconds, in bounded space, and asks once however many want to know."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from cachetools import TTLCache

from gateway.errors import GatewayError, Kind
from gateway.identity.caller import Caller
from gateway.single_flight import SingleFlight

# Refusals that say something of the token, and go on saying it for a while.
_LASTING = frozenset([Kind.TOKEN_INVALID, Kind.TOKEN_SCOPE])


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """Bounds of the cache.

    Attributes:
        entries: most callers, and most refusals, at once.
        seconds: how long a verdict counts; a token's own expiry comes first.
        refusal_seconds: the same for refusals.
    """

    entries: int
    seconds: float
    refusal_seconds: float


class TokenCache:
    """Callers by token.

    A refusal is kept apart from callers, so that garbage cannot push out those who are known.
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
        self._callers: TTLCache[str, Caller] = TTLCache(limits.entries, limits.seconds, timer=stopwatch)
        self._refusals: TTLCache[str, tuple[Kind, Mapping[str, object]]] = TTLCache(
            limits.entries, limits.refusal_seconds, timer=stopwatch
        )
        self._flights: SingleFlight[str, Caller] = SingleFlight()

    async def caller_of(self, token: str) -> Caller:
        """The caller of a token, from memory or from Keystone.

        Raises:
            GatewayError: what `validate` raises.
        """
        caller = self._callers.get(token)
        if caller is not None and self._clock() < caller.expires_at:
            self._seen("cache", "accepted")
            return caller
        refusal = self._refusals.get(token)
        if refusal is not None:
            self._seen("cache", "refused")
            kind, words = refusal
            raise GatewayError.of(kind, words)
        return await self._flights.run(token, lambda: self._ask(token))

    def forget(self, token: str) -> None:
        """Drops a caller whose token another service has just refused."""
        self._callers.pop(token, None)

    async def _ask(self, token: str) -> Caller:
        try:
            caller = await self._validate(token)
        except GatewayError as error:
            if error.kind in _LASTING:
                self._callers.pop(token, None)
                self._refusals[token] = error.kind, error.words
            self._seen("keystone", "refused" if error.kind in _LASTING else "unknown")
            raise
        if caller.expires_at <= self._clock():
            raise GatewayError(Kind.TOKEN_INVALID)
        self._callers[token] = caller
        self._seen("keystone", "accepted")
        return caller
