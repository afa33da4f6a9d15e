"""A circuit breaker: after consecutive failures, an upstream gets no requests for a moment, and callers fail fast.

Three pure steps on a frozen value, and a breaker that holds the value. The libraries for asyncio let every call through
at once when they probe, count a caller that disconnects as a failure of the upstream, and use the wall clock; others
support threads only.
"""

import contextlib
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace

from cachetools import LRUCache

Failure = type[Exception] | tuple[type[Exception], ...]


class CircuitOpenError(Exception):
    """The circuit is open: the last requests failed."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the circuit is open for another {seconds:.1f} s")
        self.seconds = seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitRules:
    """After `failures` consecutive failures the circuit opens for `seconds`; then one request probes."""

    failures: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """State of a circuit.

    Attributes:
        failures: consecutive failures.
        retry_at: when the next request may probe (monotonic seconds), if the circuit is open.
        probing: a probe is under way; all other requests fail fast.
    """

    failures: int = 0
    retry_at: float = 0
    probing: bool = False

    def is_open(self, rules: CircuitRules) -> bool:
        return self.failures >= rules.failures

    def begin_attempt(self, now: float, rules: CircuitRules) -> "Circuit":
        """The state while a request is under way.

        Raises:
            CircuitOpenError: no request is allowed now.
        """
        if not self.is_open(rules):
            return self
        if self.probing or now < self.retry_at:
            raise CircuitOpenError(max(0.0, self.retry_at - now))
        return replace(self, probing=True)

    def failed(self, now: float, rules: CircuitRules, *, probe: bool) -> "Circuit":
        """The state after a failed request."""
        if self.is_open(rules) and not probe:
            return self  # it was sent before the circuit opened
        failures = min(self.failures + 1, rules.failures)
        return Circuit(failures=failures, retry_at=now + rules.seconds if failures >= rules.failures else 0)


class CircuitBreaker:
    """The circuit breaker of one upstream."""

    def __init__(self, rules: CircuitRules, failure: Failure, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`failure`: the exceptions that count as a failure. Any other end of a request counts as an answer."""
        self._rules = rules
        self._failure = failure
        self._clock = clock
        self._circuit = Circuit()

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """Wraps one request.

        Raises:
            CircuitOpenError: no request is allowed now.
        """
        before = self._circuit
        self._circuit = before.begin_attempt(self._clock(), self._rules)
        probe = self._circuit is not before
        try:
            yield
        except self._failure:
            self._circuit = self._circuit.failed(self._clock(), self._rules, probe=probe)
            raise
        except Exception:
            self._circuit = Circuit()
            raise
        except BaseException:
            # The caller disconnected, which is no evidence about the upstream; the next request may probe.
            if probe:
                self._circuit = replace(self._circuit, probing=False)
            raise
        self._circuit = Circuit()


class CircuitBreakers:
    """One circuit breaker per upstream, bounded in number."""

    def __init__(
        self,
        rules: CircuitRules,
        failure: Failure,
        *,
        entries: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = rules
        self._failure = failure
        self._clock = clock
        self._breakers: LRUCache[Hashable, CircuitBreaker] = LRUCache(entries)

    def of(self, key: Hashable) -> CircuitBreaker:
        """The circuit breaker of an upstream."""
        breaker = self._breakers.get(key)
        if breaker is None:
            breaker = self._breakers[key] = CircuitBreaker(self._rules, self._failure, clock=self._clock)
        return breaker
