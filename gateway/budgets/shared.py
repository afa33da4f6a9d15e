"""The books in Redis or Valkey, so that replicas share the budgets of projects.

Each process keeps its own books as well and asks them first. So a store that is away, emptied or mistaken can never
let a process do more than the limit by itself, and while it is away the limits still hold, each process for itself:
nothing is refused, delayed or let through because of it. Places are leases that are renewed while the call runs, so a
process that dies gives its places back. Every step is one script, which nothing comes between, by the store's clock.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as StoreConnectionError
from redis.exceptions import RedisError

from gateway.budgets.bucket import LEAST, Rate
from gateway.budgets.ledger import LocalLedger, Reading, places_read, read
from gateway.edge.metrics import Metrics

log = logging.getLogger(__name__)

LEASE_SECONDS = 15.0
RENEW_SECONDS = 5.0
# While the store is away, one call in this time tries it.
TRY_AGAIN_SECONDS = 1.0
_MOST_CONNECTIONS = 32
_SCHEMES = {"valkey://": "redis://", "valkeys://": "rediss://"}

_DRAW = f"""
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local rate, capacity, amount = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local kept = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = capacity
if kept[1] then
  level = math.min(capacity, tonumber(kept[1]) + math.max(0, now - tonumber(kept[2])) * rate)
end
local granted = amount < 0 or level >= {LEAST}
if granted and amount ~= 0 then
  level = math.min(capacity, level - amount)
  redis.call('HSET', KEYS[1], 'level', string.format('%.6f', level), 'at', string.format('%.6f', now))
  local full = math.min(1e12, (capacity - level) / rate * 1000)
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', full + 1000))
end
return {{granted and 1 or 0, string.format('%.6f', level)}}
"""
_ENTER = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local call, limit, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local granted = redis.call('ZSCORE', KEYS[1], call) or redis.call('ZCARD', KEYS[1]) < limit
if granted then
  redis.call('ZADD', KEYS[1], now + lease, call)
  redis.call('PEXPIRE', KEYS[1], lease)
end
return {granted and 1 or 0, redis.call('ZCARD', KEYS[1])}
"""
# A call that runs has its place, whether or not the store still knows of it.
_RENEW = """
local clock = redis.call('TIME')
local until_then = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000) + tonumber(ARGV[1])
for number = 2, #ARGV do
  redis.call('ZADD', KEYS[1], until_then, ARGV[number])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
"""


class SharedLedger:
    """`Ledger` in Redis, with the process's own books beneath."""

    def __init__(self, redis: Redis, metrics: Metrics, *, timeout_seconds: float) -> None:
        """`timeout_seconds`: longest wait for an answer of the store; then the own books decide."""
        self._redis = redis
        self._metrics = metrics
        self._timeout_seconds = timeout_seconds
        self._own = LocalLedger()
        self._draw, self._enter, self._renew = (redis.register_script(text) for text in (_DRAW, _ENTER, _RENEW))
        self._away_until: float | None = None
        self._leaving: set[asyncio.Task[Any]] = set()
        metrics.budgets_shared.set(1)

    async def draw(self, account: str, meter: str, rate: Rate, amount: float) -> Reading:
        own = self._own.draw_now(account, meter, rate, amount)
        if amount and not own.granted:
            return own
        task = asyncio.ensure_future(self._drawn(account, meter, rate, amount))
        try:
            shared = await asyncio.shield(task)
        except asyncio.CancelledError:
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
            if amount > 0:
                self._own.draw_now(account, meter, rate, -amount)
                task.add_done_callback(lambda done: self._give_back(done, account, meter, rate, amount))
            raise
        if shared is None:
            return own
        reading = read(bool(shared[0]), float(shared[1]), rate)
        if amount > 0 and not reading.granted:
            self._own.draw_now(account, meter, rate, -amount)
        return reading

    async def _drawn(self, account: str, meter: str, rate: Rate, amount: float) -> Any:
        return await self._asked(
            lambda: self._draw(keys=[_key(account, meter)], args=[rate.per_second, rate.capacity, amount])
        )

    def _give_back(self, drawn: asyncio.Task[Any], account: str, meter: str, rate: Rate, amount: float) -> None:
        """What was drawn for a call whose caller left before the answer."""
        if not drawn.cancelled() and drawn.result() is not None and drawn.result()[0]:
            task = asyncio.ensure_future(self._drawn(account, meter, rate, -amount))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def enter(self, account: str, call: str, limit: int) -> Reading:
        own = self._own.enter_now(account, call, limit)
        if not own.granted:
            return own
        shared = await self._places(account, call, limit)
        if shared is None:
            return own
        if not shared.granted:
            self._own.leave_now(account, call)
        return shared

    async def leave(self, account: str, call: str) -> None:
        """The place is free here at once, and in the store a moment later: the call's answer does not wait for it."""
        self._own.leave_now(account, call)
        task = asyncio.ensure_future(self._asked(lambda: self._redis.zrem(_key(account, "places"), call)))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def present(self, account: str, limit: int) -> Reading:
        # With no place to give, entering only counts.
        shared = await self._places(account, "", 0)
        if shared is None:
            return await self._own.present(account, limit)
        return places_read(False, int(shared.usage), limit)

    async def keep_places(self) -> None:
        """Renews the leases of this process's calls, for as long as it runs."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self.renew()

    async def renew(self) -> None:
        """Renews them once; calls that were let in while the store was away get their lease now."""
        for account in list(self._own.calls()):

            def work(account: str = account) -> Awaitable[Any]:
                return self._renew_account(account)

            await self._asked(work)

    async def _renew_account(self, account: str) -> None:
        """Renews the leases of the calls that run now; one that ends meanwhile gives its place back once more."""
        key = _key(account, "places")
        calls = self._own.calls().get(account, [])
        if not calls:
            return
        await self._renew(keys=[key], args=[int(LEASE_SECONDS * 1000), *calls])
        ended = set(calls).difference(self._own.calls().get(account, ()))
        if ended:
            await self._redis.zrem(key, *ended)

    async def close(self) -> None:
        """Gives the last places back."""
        if self._leaving:
            await asyncio.wait(self._leaving)
        await self._redis.aclose()

    async def _places(self, account: str, call: str, limit: int) -> Reading | None:
        key, lease = _key(account, "places"), int(LEASE_SECONDS * 1000)
        found = await self._asked(lambda: self._enter(keys=[key], args=[call, limit, lease]))
        return None if found is None else places_read(bool(found[0]), int(found[1]), limit)

    async def _asked(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """What the store answers, or None if it does not, or has not a moment ago."""
        now = time.monotonic()
        if self._away_until is not None:
            if now < self._away_until:
                return None
            # This call tries; the others go on without.
            self._away_until = now + TRY_AGAIN_SECONDS
        try:
            async with asyncio.timeout(self._timeout_seconds):
                found = await work()
        except (RedisError, OSError, TimeoutError, RuntimeError) as error:
            # RuntimeError: uvloop raises it for a write to a connection that has just been closed.
            self._failed(error)
            return None
        if self._away_until is not None:
            self._away_until = None
            self._metrics.budgets_shared.set(1)
            log.warning("the store of the shared budgets answers again: replicas share them")
            await self.renew()
        return found

    def _failed(self, error: Exception) -> None:
        self._metrics.budget_store_failures.inc()
        if self._away_until is None:
            self._metrics.budgets_shared.set(0)
            # The kind of failure only: its message may hold the URL, and so the password.
            why = type(error).__name__
            log.warning("the store of the shared budgets is away (%s): each process counts for itself", why)
        self._away_until = time.monotonic() + TRY_AGAIN_SECONDS


@contextlib.asynccontextmanager
async def open_shared_ledger(url: str, metrics: Metrics, *, timeout_seconds: float) -> AsyncIterator[SharedLedger]:
    """The books in the store at a URL, which need not be there yet.

    Args:
        url: `redis://`, `rediss://`, `valkey://`, `valkeys://` or `unix://`, maybe with a user and a password.
        metrics: says whether the books are shared.
        timeout_seconds: longest wait for an answer.

    Raises:
        ValueError: the URL is none of these.
    """
    for ours, theirs in _SCHEMES.items():
        if url.startswith(ours):
            url = theirs + url.removeprefix(ours)
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_MOST_CONNECTIONS,
        timeout=timeout_seconds,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        # A connection that the store closed while it was idle is opened anew, once. The scripts bear repetition: a
        # place is taken once, and an amount that is drawn twice errs on the strict side.
        retry=Retry(NoBackoff(), 1, supported_errors=(StoreConnectionError,)),
    )
    ledger = SharedLedger(Redis.from_pool(pool), metrics, timeout_seconds=timeout_seconds)
    keeping = asyncio.ensure_future(ledger.keep_places())
    try:
        yield ledger
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        await ledger.close()


def _key(account: str, what: str) -> str:
    return f"osfaas:{account}:{what}"
