"""A bounded cache of token validations; concurrent validations of one token are one request to Keystone."""

import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping

from cachetools import TTLCache

from gateway.errors import ErrorCode, GatewayError
from gateway.identity.caller import Caller
from gateway.identity.outage import OutageError
from gateway.identity.recent import Recent
from gateway.identity.validation_limiter import ValidationLimiter
from gateway.settings.identity import IdentitySettings
from gateway.single_flight import SingleFlight

# Rejections of the token itself, which are cached.
_LASTING = frozenset([ErrorCode.TOKEN_INVALID, ErrorCode.TOKEN_WRONG_SCOPE])


class TokenCache:
    """Callers by token.

    Rejections are stored apart from callers, so that made-up tokens cannot evict valid ones. While Keystone is
    unreachable, recently accepted tokens stay valid; no other token is accepted.
    """

    def __init__(
        self,
        validate: Callable[[str], Awaitable[Caller]],
        settings: IdentitySettings,
        *,
        clock: Callable[[], float] = time.time,
        stopwatch: Callable[[], float] = time.monotonic,
        on_lookup: Callable[[str, str], None] = lambda _source, _verdict: None,
    ) -> None:
        entries, seconds = settings.token_cache_entries, settings.token_cache_seconds
        self._validate = validate
        self._clock = clock
        self._on_lookup = on_lookup
        self._callers: Recent[Caller] = Recent(entries, seconds, stopwatch)
        # Used only in an outage; a rejection by Keystone or by another service removes the entry.
        self._last_known: TTLCache[str, Caller] = TTLCache(
            entries if settings.token_stale_seconds else 0, seconds + settings.token_stale_seconds, timer=stopwatch
        )
        self._refusals: TTLCache[str, tuple[ErrorCode, Mapping[str, object]]] = TTLCache(
            entries, settings.token_rejection_cache_seconds, timer=stopwatch
        )
        self._flights: SingleFlight[str, Caller] = SingleFlight()
        self._validations = ValidationLimiter(
            settings.token_validation_concurrency, wait_seconds=settings.keystone_timeout_seconds
        )

    def known(self, token: str) -> Caller | None:
        """The caller of a recently accepted token."""
        caller = self._callers.get(token)
        if caller is None or self._clock() >= caller.expires_at:
            return None
        self._on_lookup("cache", "accepted")
        return caller

    def project_of(self, token: str) -> str:
        """The project of a recently accepted token, or "": for fair queueing, not for access.

        An accepted token that has to be validated again does not queue behind made-up ones.
        """
        caller = self._callers.get(token) or self._last_known.get(token)
        return caller.project_id if caller is not None else ""

    async def caller_of(self, token: str) -> Caller:
        """The caller of a token, from the cache or from Keystone.

        Raises:
            GatewayError: `validate` raised it.
        """
        caller = self.known(token)
        if caller is not None:
            return caller
        refusal = self._refusals.get(token)
        if refusal is not None:
            self._on_lookup("cache", "rejected")
            kind, words = refusal
            raise GatewayError.of(kind, words)
        return await self._flights.run(token, lambda: self._ask(token))

    def forget(self, token: str) -> None:
        """Drops a caller whose token another service has rejected."""
        self._callers.forget(token)
        self._last_known.pop(token, None)

    async def _ask(self, token: str) -> Caller:
        try:
            # Recently accepted tokens do not queue behind made-up ones.
            known = token in self._last_known
            async with contextlib.nullcontext() if known else self._validations.slot():
                caller = await self._validate(token)
        except OutageError:
            last = self._last_known.get(token)
            if last is not None and self._clock() < last.expires_at:
                self._on_lookup("outage", "accepted")
                return last
            self._on_lookup("keystone", "unknown")
            raise
        except GatewayError as error:
            if error.kind in _LASTING:
                self.forget(token)
                self._refusals[token] = error.kind, error.words
            self._on_lookup("keystone", "rejected" if error.kind in _LASTING else "unknown")
            raise
        if caller.expires_at <= self._clock():
            self.forget(token)
            raise GatewayError(ErrorCode.TOKEN_INVALID)
        self._callers.keep(token, caller)
        if self._last_known.maxsize:
            self._last_known[token] = caller
        self._on_lookup("keystone", "accepted")
        return caller
