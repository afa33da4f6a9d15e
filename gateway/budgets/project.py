"""The budgets of projects: calls per second, calls at once, bytes read per second; a short line before each."""

import contextlib
import math
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from gateway.budgets.allowance import (
    BYTES_PER_SECOND,
    CONCURRENT_CALLS,
    REQUESTS_PER_SECOND,
    Allowance,
    Payer,
    allowance_of,
)
from gateway.budgets.bucket import Rate
from gateway.budgets.ledger import Ledger, Reading
from gateway.budgets.line import Lines, NoRoomError, Patience
from gateway.edge.metrics import Metrics, counter_of
from gateway.errors import GatewayError, Kind, LimitReached

_KINDS = {
    CONCURRENT_CALLS: Kind.TOO_MANY_AT_ONCE,
    REQUESTS_PER_SECOND: Kind.RATE_EXCEEDED,
    BYTES_PER_SECOND: Kind.BYTES_EXCEEDED,
}


@dataclass(frozen=True, slots=True)
class BudgetRules:
    """How budgets are kept (see `Settings` for each).

    Attributes:
        defaults: of a project whose record has no limits.
        burst_seconds: for how long an unused rate is kept.
        users: how long calls of users wait in line.
        services: how long calls of service callers do.
    """

    defaults: Allowance
    burst_seconds: float
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

    async def count_bytes(self, payer: Payer, size: int) -> None:
        """Counts the bytes of an object before it is read. One of any size is read if there is no debt.

        Raises:
            GatewayError: BYTES_EXCEEDED.
        """
        await self._draw(payer, BYTES_PER_SECOND, self.allowance(payer).bytes_per_second, size)

    async def return_bytes(self, payer: Payer, size: int) -> None:
        """Takes back what `count_bytes` has counted for an object that was not read after all."""
        per_second = self.allowance(payer).bytes_per_second
        if per_second:
            await self._ledger.draw(payer.account, BYTES_PER_SECOND, self._rate(per_second), -size)

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
            await self._wait(payer, CONCURRENT_CALLS, limit, ask, look)
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

    async def _draw(self, payer: Payer, name: str, per_second: int, amount: int) -> None:
        if not per_second or not amount:
            return
        rate = self._rate(per_second)

        async def ask() -> Reading:
            return await self._ledger.draw(payer.account, name, rate, amount)

        async def look() -> Reading:
            return await self._ledger.draw(payer.account, name, rate, 0)

        await self._wait(payer, name, per_second, ask, look)

    async def _wait(
        self,
        payer: Payer,
        name: str,
        limit: int,
        ask: Callable[[], Awaitable[Reading]],
        look: Callable[[], Awaitable[Reading]],
    ) -> None:
        asked = 0

        async def counted() -> Reading:
            nonlocal asked
            asked += 1
            return await ask()

        patience = self._rules.services if payer.service else self._rules.users
        try:
            await self._lines.granted(f"{payer.account}:{name}", payer.who, counted, patience)
        except NoRoomError:
            self._count.labels(name, "refused").inc()
            raise refusal(payer, name, limit, await look()) from None
        counter_of(self._count, name, "granted" if asked == 1 else "waited").inc()


def refusal(payer: Payer, name: str, limit: int, reading: Reading) -> GatewayError:
    """What the caller is told: the limit, how much of it is used, and when to come back (whole seconds)."""
    return GatewayError(
        _KINDS[name],
        project_id=payer.project_id,
        retry_after_seconds=max(1, math.ceil(reading.wait_seconds)),
        reached=LimitReached(name, limit, reading.usage),
        limit=limit,
    )
