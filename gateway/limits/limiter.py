"""The rate limiter of projects: calls per second, concurrent calls, bytes read per second; each with a fair queue."""

import itertools
import math
import uuid
from collections.abc import Awaitable, Callable
from types import TracebackType

from gateway.http.metrics import Metrics, counter_of
from gateway.limit_use import LimitUse
from gateway.limits.backend import LimitBackend, LimitResult
from gateway.limits.fair_queue import FairQueue, QueueFullError, QueueLimits
from gateway.limits.model import (
    BYTES_PER_SECOND,
    CONCURRENT_CALLS,
    REQUESTS_PER_SECOND,
    LimitSubject,
)
from gateway.limits.refusals import refusal, without_rate
from gateway.limits.token_bucket import MIN_LEVEL, Rate, seconds_until_full
from gateway.limits.unified import ProjectLimits
from gateway.settings.limits import LimitSettings
from policies.model import Limits
from policies.unified_limits import LimitsInForce


class Slot:
    """One slot of a project as an asynchronous context manager: a class, because one is made for each call."""

    __slots__ = ("_call", "_limiter", "_subject")

    def __init__(self, limiter: "ProjectLimiter", subject: LimitSubject, call: str) -> None:
        self._limiter = limiter
        self._subject = subject
        self._call = call

    async def __aenter__(self) -> LimitUse:
        try:
            return await self._limiter.acquire_slot(self._subject, self._call)
        except BaseException:
            # Also after a wait that was cancelled: the slot may have been granted at that moment.
            await self._limiter.release_slot(self._subject, self._call)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._limiter.release_slot(self._subject, self._call)


class ProjectLimiter:
    """Enforces the limits of projects."""

    def __init__(
        self,
        backend: LimitBackend,
        settings: LimitSettings,
        metrics: Metrics,
        project_limits: ProjectLimits | None = None,
    ) -> None:
        """`project_limits`: the limits in force; None: those of records alone."""
        self._backend = backend
        self._project_limits = project_limits or ProjectLimits()
        # Of calls that hold a slot of their domain as well: under which name they have both.
        self._in_domain: dict[str, str] = {}
        self._settings = settings
        self._defaults = Limits(
            concurrent_calls=settings.project_concurrent_calls,
            requests_per_second=settings.project_requests_per_second,
            bytes_per_second=settings.project_bytes_per_second,
        )
        self._users = QueueLimits(size=settings.limit_queue_size, seconds=settings.limit_wait_seconds)
        # A storage federation takes a rejection for a failed transfer, so it waits as long as for an answer.
        self._services = QueueLimits(size=settings.service_queue_size, seconds=settings.response_timeout_seconds)
        self._queues = FairQueue(metrics.limit_queued_calls.inc)
        self._count = metrics.limit_decisions
        # Replicas share slots, so the number of a call is unique only with this.
        self._id, self._numbers = uuid.uuid4().hex, itertools.count()

    async def count_call(self, subject: LimitSubject, calls: int = 1) -> LimitUse | None:
        """Counts one call, or a request that counts as several; the use afterwards, None if there is no limit.

        Raises:
            GatewayError: RATE_EXCEEDED.
        """
        return await self._consume(subject, REQUESTS_PER_SECOND, self.limits(subject).requests_per_second, calls)

    async def charge_bytes(self, subject: LimitSubject, size: int) -> None:
        """Charges an object before it is read: the caller all of it, the project as much as its debt may be.

        Reading begins while neither is in debt, so an object of any size can be read. A request waits for what other
        callers have read no longer than the project's debt lasts; a caller waits until all of its own debt is paid.

        Raises:
            GatewayError: BYTES_EXCEEDED.
        """
        per_second = self.limits(subject).bytes_per_second
        if not per_second or not size:
            return _add_bytes(subject, size)
        await self._consume(subject, BYTES_PER_SECOND, per_second, size, bucket=_caller_bytes(subject))
        charged = False
        try:
            await self._consume(subject, BYTES_PER_SECOND, per_second, self._of_project(size, per_second))
            charged = True
        finally:
            if not charged:
                await self._backend.consume(subject.key, _caller_bytes(subject), self._rate(per_second), -size)
        return _add_bytes(subject, size)

    async def charge_bytes_now(self, subject: LimitSubject, size: int) -> bool:
        """As `charge_bytes`, but without waiting: False, and nothing is charged, if the object would have to wait."""
        per_second = self.limits(subject).bytes_per_second
        if not per_second or not size:
            _add_bytes(subject, size)
            return True
        if per_second < 0:
            return False
        rate, own = self._rate(per_second), _caller_bytes(subject)
        if any(self._queues.is_waited_for(f"{subject.key}:{bucket}") for bucket in (own, BYTES_PER_SECOND)):
            return False
        if not (await self._backend.consume(subject.key, own, rate, size)).granted:
            return False
        charged = False
        try:
            project = self._of_project(size, per_second)
            charged = (await self._take(subject, BYTES_PER_SECOND, rate, project)).granted
        finally:
            if not charged:
                await self._backend.consume(subject.key, own, rate, -size)
        if charged:
            _add_bytes(subject, size)
            counter_of(self._count, BYTES_PER_SECOND, "granted").inc()
        return charged

    async def refund_bytes(self, subject: LimitSubject, size: int, read: int) -> None:
        """Refunds the charge for bytes of an object that were not read.

        Args:
            subject: project and caller that were charged.
            size: of the object, in bytes.
            read: upper bound of the bytes that were read.
        """
        per_second = self.limits(subject).bytes_per_second
        if read < size:
            _add_bytes(subject, read - size)
        if per_second <= 0 or read >= size:
            return
        rate, charged = self._rate(per_second), self._of_project(size, per_second)
        await self._backend.consume(subject.key, _caller_bytes(subject), rate, read - size)
        if read < charged:
            await self._take(subject, BYTES_PER_SECOND, rate, read - charged)

    def _of_project(self, size: int, per_second: int) -> int:
        return min(size, math.ceil(per_second * self._settings.limit_debt_seconds))

    def slot(self, subject: LimitSubject) -> "Slot":
        """One of the project's slots, held for the length of a block; entering it yields their use.

        Entering raises:
            GatewayError: CONCURRENCY_EXCEEDED.
        """
        return Slot(self, subject, f"{self._id}-{next(self._numbers):x}")

    async def acquire_slot(self, subject: LimitSubject, call: str) -> LimitUse:
        """Takes a slot for a call, which must be released also if this is cancelled.

        Raises:
            GatewayError: CONCURRENCY_EXCEEDED.
        """
        limits = self.in_force(subject)
        limit, together = limits.limits.concurrent_calls, limits.domain.get(CONCURRENT_CALLS)

        async def attempt() -> LimitResult:
            if together is None:
                return await self._backend.acquire_slot(subject.key, call, limit)
            # While the domain is full, nothing is taken: its project would miss the slot until it is back in the store.
            in_use = await self._backend.slots_in_use(subject.domain_key, together)
            if not in_use.remaining:
                return in_use
            # A name of its own for each attempt: a shared store may learn of a release after the next attempt. It is
            # noted before the answers, so that a caller who is gone by then releases both slots.
            self._in_domain[call] = name = f"{call}.{next(self._numbers):x}"
            own = await self._backend.acquire_slot(subject.key, name, limit)
            if not own.granted:
                return own
            shared = await self._backend.acquire_slot(subject.domain_key, name, together)
            if not shared.granted:
                await self._backend.release_slot(subject.key, name)
            return own if shared.granted else shared

        async def look(key: str, most: int) -> LimitResult:
            return await self._backend.slots_in_use(key, most)

        return await self._wait(subject, CONCURRENT_CALLS, limit, attempt, look, bucket=CONCURRENT_CALLS)

    async def release_slot(self, subject: LimitSubject, call: str) -> None:
        """Releases the slot of a call, if it has one."""
        name = self._in_domain.pop(call, None)
        await self._backend.release_slot(subject.key, name or call)
        if name is not None:
            await self._backend.release_slot(subject.domain_key, name)
        self._queues.changed(f"{subject.key}:{CONCURRENT_CALLS}")

    async def use(self, subject: LimitSubject) -> tuple[LimitUse, ...]:
        """All limits of a project with their current usage."""
        limits = self.limits(subject)
        slots = await self._backend.slots_in_use(subject.key, limits.concurrent_calls)
        found = [self._use(CONCURRENT_CALLS, limits.concurrent_calls, slots)]
        rates = {
            REQUESTS_PER_SECOND: limits.requests_per_second,
            BYTES_PER_SECOND: limits.bytes_per_second,
        }
        for name, value in rates.items():
            if value > 0:
                result = await self._backend.consume(subject.key, name, self._rate(value), 0)
                found.append(self._use(name, value, result))
            else:
                found.append(without_rate(name, value))
        return tuple(found)

    def _use(self, name: str, value: int, result: LimitResult) -> LimitUse:
        capacity, reset_seconds = float(value), None
        if name != CONCURRENT_CALLS:
            rate = self._rate(value)
            capacity, reset_seconds = rate.capacity, seconds_until_full(result.usage, rate)
        return LimitUse(
            name=name,
            value=value,
            usage=result.usage,
            remaining=result.remaining,
            wait_seconds=result.wait_seconds,
            capacity=capacity,
            reset_seconds=reset_seconds,
        )

    def limits(self, subject: LimitSubject) -> Limits:
        """The limits of the subject's project."""
        return self.in_force(subject).limits

    def in_force(self, subject: LimitSubject) -> LimitsInForce:
        """The limits of the subject's project, with their sources, and those of its domain."""
        record = self._defaults if subject.limits is None else subject.limits
        return self._project_limits.of(subject.project_id, subject.domain_id, record)

    async def _take(self, subject: LimitSubject, name: str, rate: Rate, amount: float) -> LimitResult:
        """Takes an amount from the bucket of the project and that of its domain, or from neither."""
        own = await self._backend.consume(subject.key, name, rate, amount)
        together = self.in_force(subject).domain.get(name)
        if not own.granted or not amount or together is None or together <= 0:
            return own
        taken = False
        try:
            shared = await self._backend.consume(subject.domain_key, name, self._rate(together), amount)
            taken = shared.granted
        finally:
            if not taken:
                await self._backend.consume(subject.key, name, rate, -amount)
        return own if taken else shared

    def _rate(self, per_second: int) -> Rate:
        return Rate(per_second=per_second, burst_seconds=self._settings.limit_burst_seconds)

    async def _consume(
        self, subject: LimitSubject, name: str, per_second: int, amount: int, *, bucket: str | None = None
    ) -> LimitUse | None:
        """Takes an amount out of the bucket `bucket`; the project's own bucket has the name of the limit."""
        if not per_second or not amount:
            return None
        if per_second < 0:
            self._count.labels(name, "rejected").inc()
            raise refusal(subject, without_rate(name, per_second), delta=amount)
        rate, bucket = self._rate(per_second), bucket or name

        async def attempt() -> LimitResult:
            if bucket == name:
                return await self._take(subject, name, rate, amount)
            return await self._backend.consume(subject.key, bucket, rate, amount)

        async def look(key: str, most: int) -> LimitResult:
            return await self._backend.consume(key, bucket, self._rate(most), 0)

        return await self._wait(subject, name, per_second, attempt, look, bucket=bucket, amount=amount)

    async def _wait(
        self,
        subject: LimitSubject,
        name: str,
        limit: int,
        attempt: Callable[[], Awaitable[LimitResult]],
        look: Callable[[str, int], Awaitable[LimitResult]],
        *,
        bucket: str,
        amount: int = 1,
    ) -> LimitUse:
        """Waits for `attempt`; `look` reads the use of a key whose limit it is given."""
        attempts = 0

        async def counted() -> LimitResult:
            nonlocal attempts
            attempts += 1
            return await attempt()

        queue_limits = self._services if subject.service else self._users
        try:
            result = await self._queues.wait_for(f"{subject.key}:{bucket}", subject.caller_id, counted, queue_limits)
        except QueueFullError:
            self._count.labels(name, "rejected").inc()
            use, whose = self._use(name, limit, await look(subject.key, limit)), f"project {subject.project_id}"
            together = self.in_force(subject).domain.get(name)
            if bucket != name:
                whose = f"this user in {whose}"
            elif together is not None and use.remaining >= MIN_LEVEL:
                use = self._use(name, together, await look(subject.domain_key, together))
                whose = f"all projects of the domain {subject.domain_id} together"
            raise refusal(subject, use, whose=whose, delta=amount) from None
        if bucket == name:
            counter_of(self._count, name, "granted" if attempts == 1 else "waited").inc()
        return self._use(name, limit, result)


def _add_bytes(subject: LimitSubject, size: int) -> None:
    """Adds what is charged to the usage of the call, also where there is no limit."""
    if subject.usage is not None:
        subject.usage.object_bytes += size


def _caller_bytes(subject: LimitSubject) -> str:
    """Name of the bucket for what one caller has read."""
    return f"{BYTES_PER_SECOND}:{subject.caller_id}"
