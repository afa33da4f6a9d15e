"""The budgets of projects: calls per second, calls at once, bytes read per second; a short line before each."""

import contextlib
import math
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from gateway.errors import GatewayError, Kind, LimitReached
from gateway.http.metrics import Metrics, counter_of
from gateway.limits.backend import Ledger, Reading
from gateway.limits.fair_queue import Lines, NoRoomError, Patience
from gateway.limits.model import (
    BYTES_PER_SECOND,
    CONCURRENT_CALLS,
    REQUESTS_PER_SECOND,
    Allowance,
    Payer,
    allowance_of,
)
from gateway.limits.token_bucket import Rate

_KINDS = {
    CONCURRENT_CALLS: Kind.TOO_MANY_AT_ONCE,
    REQUESTS_PER_SECOND: Kind.RATE_EXCEEDED,
    BYTES_PER_SECOND: Kind.BYTES_EXCEEDED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRules:
    """How budgets are kept (see `Settings` for each).

    Attributes:
        defaults: of a project whose record has no limits.
        burst_seconds: for how long an unused rate is kept.
        debt_seconds: how long the whole project waits for what one of its callers has read.
        users: how long calls of users wait in line.
        services: how long calls of service callers do.
    """

    defaults: Allowance
    burst_seconds: float
    debt_seconds: float
    users: Patience
    services: Patience


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitUse:
    """One limit as `/v1/limits` shows it.

    Attributes:
        value: the limit; 0 of a rate: not limited.
        usage: of it, in its own unit.
        remaining: what could be taken at once.
        wait_seconds: until something can be taken.
    """

    name: str
    value: int
    usage: float
    remaining: float
    wait_seconds: float


class ProjectBudgets:
    """What rooms ask before they work for a project."""

    def __init__(self, ledger: Ledger, rules: BudgetRules, metrics: Metrics) -> None:
        self._ledger = ledger
        self._rules = rules
        self._lines = Lines(metrics.budget_waiting.inc)
        self._count = metrics.budget_calls

    async def count_call(self, payer: Payer, calls: int = 1) -> None:
        """Counts one call, or one that is worth so many.

        Raises:
            GatewayError: RATE_EXCEEDED.
        """
        await self._draw(payer, REQUESTS_PER_SECOND, self.allowance(payer).requests_per_second, calls)

    async def charge_bytes(self, payer: Payer, size: int) -> None:
        """Charges an object before it is read: the caller all of it, the project as much as its debt may be.

        Reading begins while neither has a debt, so an object of any size can be read. What others have read is waited
        for no longer than the project's debt lasts; whoever has read much waits until all of that is paid.

        Raises:
            GatewayError: BYTES_EXCEEDED.
        """
        per_second = self.allowance(payer).bytes_per_second
        if not per_second or not size:
            return
        await self._draw(payer, BYTES_PER_SECOND, per_second, size, meter=_own_bytes(payer))
        charged = False
        try:
            await self._draw(payer, BYTES_PER_SECOND, per_second, self._of_project(size, per_second))
            charged = True
        finally:
            if not charged:
                await self._ledger.draw(payer.account, _own_bytes(payer), self._rate(per_second), -size)

    async def refund_bytes(self, payer: Payer, size: int, read: int) -> None:
        """Gives back what was charged for bytes of an object that were not read.

        Args:
            payer: who was charged.
            size: of the object.
            read: how much of it may have been read.
        """
        per_second = self.allowance(payer).bytes_per_second
        if not per_second or read >= size:
            return
        rate, charged = self._rate(per_second), self._of_project(size, per_second)
        await self._ledger.draw(payer.account, _own_bytes(payer), rate, read - size)
        if read < charged:
            await self._ledger.draw(payer.account, BYTES_PER_SECOND, rate, read - charged)

    def _of_project(self, size: int, per_second: int) -> int:
        return min(size, math.ceil(per_second * self._rules.debt_seconds))

    @contextlib.asynccontextmanager
    async def place(self, payer: Payer) -> AsyncIterator[None]:
        """Holds one of the project's places.

        Raises:
            GatewayError: TOO_MANY_AT_ONCE.
        """
        call, limit = uuid.uuid4().hex, self.allowance(payer).concurrent_calls

        async def ask() -> Reading:
            return await self._ledger.enter(payer.account, call, limit)

        async def look() -> Reading:
            return await self._ledger.present(payer.account, limit)

        try:
            await self._wait(payer, CONCURRENT_CALLS, limit, ask, look, meter=CONCURRENT_CALLS)
            yield
        finally:
            # Also after a wait that was broken off: the place may have been given at that moment.
            await self._ledger.leave(payer.account, call)
            self._lines.changed(f"{payer.account}:{CONCURRENT_CALLS}")

    async def use(self, payer: Payer) -> tuple[LimitUse, ...]:
        """All limits of a project and how much of them is used now."""
        allowance = self.allowance(payer)
        places = await self._ledger.present(payer.account, allowance.concurrent_calls)
        found = [
            LimitUse(
                name=CONCURRENT_CALLS,
                value=allowance.concurrent_calls,
                usage=places.usage,
                remaining=places.remaining,
                wait_seconds=0.0,
            )
        ]
        rates = {
            REQUESTS_PER_SECOND: allowance.requests_per_second,
            BYTES_PER_SECOND: allowance.bytes_per_second,
        }
        for name, value in rates.items():
            if not value:
                found.append(LimitUse(name=name, value=0, usage=0.0, remaining=math.inf, wait_seconds=0.0))
                continue
            reading = await self._ledger.draw(payer.account, name, self._rate(value), 0)
            found.append(
                LimitUse(
                    name=name,
                    value=value,
                    usage=reading.usage,
                    remaining=reading.remaining,
                    wait_seconds=reading.wait_seconds,
                )
            )
        return tuple(found)

    def allowance(self, payer: Payer) -> Allowance:
        """What the payer's project may use."""
        return allowance_of(payer.limits, self._rules.defaults)

    def _rate(self, per_second: int) -> Rate:
        return Rate(per_second=per_second, burst_seconds=self._rules.burst_seconds)

    async def _draw(self, payer: Payer, name: str, per_second: int, amount: int, *, meter: str | None = None) -> None:
        """Takes an amount out of the bucket `meter`; that of the whole project has the limit's own name."""
        if not per_second or not amount:
            return
        rate, meter = self._rate(per_second), meter or name

        async def ask() -> Reading:
            return await self._ledger.draw(payer.account, meter, rate, amount)

        async def look() -> Reading:
            return await self._ledger.draw(payer.account, meter, rate, 0)

        await self._wait(payer, name, per_second, ask, look, meter=meter)

    async def _wait(
        self,
        payer: Payer,
        name: str,
        limit: int,
        ask: Callable[[], Awaitable[Reading]],
        look: Callable[[], Awaitable[Reading]],
        *,
        meter: str,
    ) -> None:
        asked = 0

        async def counted() -> Reading:
            nonlocal asked
            asked += 1
            return await ask()

        patience = self._rules.services if payer.service else self._rules.users
        try:
            await self._lines.granted(f"{payer.account}:{meter}", payer.who, counted, patience)
        except NoRoomError:
            self._count.labels(name, "refused").inc()
            raise refusal(payer, name, limit, await look(), own=meter != name) from None
        if meter == name:
            counter_of(self._count, name, "granted" if asked == 1 else "waited").inc()


def _own_bytes(payer: Payer) -> str:
    """The bucket of what one caller has read."""
    return f"{BYTES_PER_SECOND}:{payer.who}"


def refusal(payer: Payer, name: str, limit: int, reading: Reading, *, own: bool = False) -> GatewayError:
    """What the caller is told: the limit, how much of it is used, and when to come back (whole seconds).

    `own`: it is the caller's own use that is in the way, not the project's.
    """
    return GatewayError(
        _KINDS[name],
        project_id=payer.project_id,
        whose=f"{'this user in ' if own else ''}project {payer.project_id}",
        retry_after_seconds=max(1, math.ceil(reading.wait_seconds)),
        reached=LimitReached(name, limit, reading.usage),
        limit=limit,
    )
