"""A circuit breaker: who was just seen not to answer is not asked for a moment, so that nobody waits in vain.

Three pure steps on a frozen value, and a guard that keeps the value. Of the libraries, those for asyncio let every call
through at once when they try again, count a caller that leaves as a failure of the other side, and measure time with
the wall clock; the others know threads only.
"""

import contextlib
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace

from cachetools import LRUCache


class CircuitOpenError(Exception):
    """Not asked, because the last questions had no answer."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"not asked for another {seconds:.1f} s")
        self.seconds = seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitRules:
    """After `failures` questions in a row without an answer, nothing is asked for `seconds`; then one tries."""

    failures: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """How it went lately.

    Attributes:
        failures: in a row.
        retry_at: when the next question may be asked (monotonic seconds), if there were too many failures.
        probing: somebody is trying; all others wait for what comes of it.
    """

    failures: int = 0
    retry_at: float = 0
    probing: bool = False

    def is_open(self, rules: CircuitRules) -> bool:
        return self.failures >= rules.failures

    def begin_attempt(self, now: float, rules: CircuitRules) -> "Circuit":
        """The state while a question is under way.

        Raises:
            CircuitOpenError: none may be asked now.
        """
        if not self.is_open(rules):
            return self
        if self.probing or now < self.retry_at:
            raise CircuitOpenError(max(0.0, self.retry_at - now))
        return replace(self, probing=True)

    def failed(self, now: float, rules: CircuitRules, *, probe: bool) -> "Circuit":
        """The state after a question without an answer."""
        if self.is_open(rules) and not probe:
            return self  # it was asked before; what is known already is not made worse by it
        failures = min(self.failures + 1, rules.failures)
        return Circuit(failures=failures, retry_at=now + rules.seconds if failures >= rules.failures else 0)


class CircuitBreaker:
    """Guards the questions to one upstream."""

    def __init__(
        self, rules: CircuitRules, failure: type[Exception], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`failure` says that there was no answer. Any other end of a question, an error too, is one."""
        self._rules = rules
        self._failure = failure
        self._clock = clock
        self._circuit = Circuit()

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """Around one question.

        Raises:
            CircuitOpenError: it may not be asked now.
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
            # Whoever asked has left, which says nothing of the other side; the next one may try.
            if probe:
                self._circuit = replace(self._circuit, probing=False)
            raise
        self._circuit = Circuit()


class CircuitBreakers:
    """One breaker for each of many upstreams, in bounded space."""

    def __init__(
        self,
        rules: CircuitRules,
        failure: type[Exception],
        *,
        entries: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = rules
        self._failure = failure
        self._clock = clock
        self._breakers: LRUCache[Hashable, CircuitBreaker] = LRUCache(entries)

    def of(self, key: Hashable) -> CircuitBreaker:
        """The breaker of an upstream."""
        breaker = self._breakers.get(key)
        if breaker is None:
            breaker = self._breakers[key] = CircuitBreaker(self._rules, self._failure, clock=self._clock)
        return breaker
