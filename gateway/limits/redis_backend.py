"""A limit backend in Redis or Valkey, through which replicas share the limits of projects.

Each process also counts in memory and checks there first. So a store that is unreachable, emptied or wrong can never
let a process exceed the limit by itself. While the store is unreachable, the limits hold per process: no request is
rejected, delayed or admitted because of the outage. Slots are leases that are renewed while the call runs, so a process
that dies releases its slots. Every step is one atomic script on the store's clock.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as StoreConnectionError
from redis.exceptions import RedisError

from gateway.circuit import CircuitBreaker, CircuitOpenError, CircuitRules
from gateway.http.metrics import Metrics
from gateway.limits.backend import InMemoryLimitBackend, LimitResult, bucket_result, slot_result
from gateway.limits.token_bucket import MIN_LEVEL, Rate

log = logging.getLogger(__name__)

LEASE_SECONDS = 15.0
RENEW_SECONDS = 5.0
# While the store is unreachable, one call in this time tries it.
RETRY_AFTER_SECONDS = 1.0
# RuntimeError: uvloop raises it for a write to a connection that has just been closed.
_FAILURES = (RedisError, OSError, TimeoutError, RuntimeError)
_MAX_CONNECTIONS = 32
_SCHEMES = {"valkey://": "redis://", "valkeys://": "rediss://"}

_CONSUME = f"""
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local rate, capacity, amount = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local kept = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = capacity
if kept[1] then
  level = math.min(capacity, tonumber(kept[1]) + math.max(0, now - tonumber(kept[2])) * rate)
end
local granted = amount < 0 or level >= {MIN_LEVEL}
if granted and amount ~= 0 then
  level = math.min(capacity, level - amount)
  redis.call('HSET', KEYS[1], 'level', string.format('%.6f', level), 'at', string.format('%.6f', now))
  local full = math.min(1e12, (capacity - level) / rate * 1000)
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', full + 1000))
end
return {{granted and 1 or 0, string.format('%.6f', level)}}
"""
_ACQUIRE_SLOT = """
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
# A running call holds its slot, even if the store has lost it.
_RENEW_LEASES = """
local clock = redis.call('TIME')
local until_then = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000) + tonumber(ARGV[1])
for number = 2, #ARGV do
  redis.call('ZADD', KEYS[1], until_then, ARGV[number])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
"""


class RedisLimitBackend:
    """`LimitBackend` in Redis, on top of the process's own in-memory backend."""

    def __init__(self, redis: Redis, metrics: Metrics, *, timeout_seconds: float) -> None:
        """`timeout_seconds`: maximum wait for the store; then the in-memory backend decides."""
        self._redis = redis
        self._metrics = metrics
        self._timeout_seconds = timeout_seconds
        self._local = InMemoryLimitBackend()
        self._consume, self._acquire, self._renew = (
            redis.register_script(text) for text in (_CONSUME, _ACQUIRE_SLOT, _RENEW_LEASES)
        )
        self._circuit = CircuitBreaker(CircuitRules(failures=1, seconds=RETRY_AFTER_SECONDS), _FAILURES)
        self._shared = True
        self._pending: set[asyncio.Task[Any]] = set()
        metrics.limits_shared.set(1)

    async def consume(self, subject: str, bucket: str, rate: Rate, amount: float) -> LimitResult:
        own = self._local.consume_now(subject, bucket, rate, amount)
        if amount and not own.granted:
            return own
        task = asyncio.ensure_future(self._consume_shared(subject, bucket, rate, amount))
        try:
            shared = await asyncio.shield(task)
        except asyncio.CancelledError:
            self._pending.add(task)
            task.add_done_callback(self._pending.discard)
            if amount > 0:
                self._local.consume_now(subject, bucket, rate, -amount)
                task.add_done_callback(lambda done: self._give_back(done, subject, bucket, rate, amount))
            raise
        if shared is None:
            return own
        result = bucket_result(bool(shared[0]), float(shared[1]), rate)
        if amount > 0 and not result.granted:
            self._local.consume_now(subject, bucket, rate, -amount)
        return result

    async def _consume_shared(self, subject: str, bucket: str, rate: Rate, amount: float) -> Any:
        return await self._call_store(
            lambda: self._consume(keys=[_key(subject, bucket)], args=[rate.per_second, rate.capacity, amount])
        )

    def _give_back(self, consumed: asyncio.Task[Any], subject: str, bucket: str, rate: Rate, amount: float) -> None:
        """Refunds the amount that was consumed for a caller who disconnected before the answer."""
        if not consumed.cancelled() and consumed.result() is not None and consumed.result()[0]:
            task = asyncio.ensure_future(self._consume_shared(subject, bucket, rate, -amount))
            self._pending.add(task)
            task.add_done_callback(self._pending.discard)

    async def acquire_slot(self, subject: str, call: str, limit: int) -> LimitResult:
        own = self._local.acquire_slot_now(subject, call, limit)
        if not own.granted:
            return own
        shared = await self._slots(subject, call, limit)
        if shared is None:
            return own
        if not shared.granted:
            self._local.release_slot_now(subject, call)
        return shared

    async def release_slot(self, subject: str, call: str) -> None:
        """Releases here at once and in the store a moment later: the call's answer does not wait for it."""
        self._local.release_slot_now(subject, call)
        task = asyncio.ensure_future(self._call_store(lambda: self._redis.zrem(_key(subject, "slots"), call)))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def slots_in_use(self, subject: str, limit: int) -> LimitResult:
        # With a limit of 0, acquiring only counts.
        shared = await self._slots(subject, "", 0)
        if shared is None:
            return await self._local.slots_in_use(subject, limit)
        return slot_result(False, int(shared.usage), limit)

    async def renew_leases(self) -> None:
        """Renews the leases of this process's calls, for as long as it runs."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self.renew()

    async def renew(self) -> None:
        """Renews them once; calls admitted while the store was unreachable get their lease now."""
        for subject in list(self._local.calls()):

            def work(subject: str = subject) -> Awaitable[Any]:
                return self._renew_subject(subject)

            await self._call_store(work)

    async def _renew_subject(self, subject: str) -> None:
        """Renews the leases of running calls; a call that ends meanwhile releases its slot again."""
        key = _key(subject, "slots")
        calls = self._local.calls().get(subject, [])
        if not calls:
            return
        await self._renew(keys=[key], args=[int(LEASE_SECONDS * 1000), *calls])
        ended = set(calls).difference(self._local.calls().get(subject, ()))
        if ended:
            await self._redis.zrem(key, *ended)

    async def close(self) -> None:
        """Releases the last slots."""
        if self._pending:
            await asyncio.wait(self._pending)
        await self._redis.aclose()

    async def _slots(self, subject: str, call: str, limit: int) -> LimitResult | None:
        key, lease = _key(subject, "slots"), int(LEASE_SECONDS * 1000)
        found = await self._call_store(lambda: self._acquire(keys=[key], args=[call, limit, lease]))
        return None if found is None else slot_result(bool(found[0]), int(found[1]), limit)

    async def _call_store(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """The store's answer; None if there is none, or if the last attempt failed a moment ago."""
        try:
            with self._circuit.attempt():
                async with asyncio.timeout(self._timeout_seconds):
                    found = await work()
        except CircuitOpenError:
            return None
        except _FAILURES as error:
            self._failed(error)
            return None
        if not self._shared:
            self._shared = True
            self._metrics.limits_shared.set(1)
            log.warning("the store of the shared limits responds again: replicas share them")
            await self.renew()
        return found

    def _failed(self, error: Exception) -> None:
        self._metrics.limit_store_failures.inc()
        if self._shared:
            self._shared = False
            self._metrics.limits_shared.set(0)
            # Only the type: the message may contain the URL, and so the password.
            why = type(error).__name__
            log.warning("the store of the shared limits is unreachable (%s): each process counts by itself", why)


@contextlib.asynccontextmanager
async def open_redis_backend(url: str, metrics: Metrics, *, timeout_seconds: float) -> AsyncIterator[RedisLimitBackend]:
    """The backend in the store at a URL; the store need not be reachable yet.

    Args:
        url: `redis://`, `rediss://`, `valkey://`, `valkeys://` or `unix://`, with an optional user and password.
        metrics: shows whether the limits are shared.
        timeout_seconds: maximum wait for an answer.

    Raises:
        ValueError: the URL is none of these.
    """
    for ours, theirs in _SCHEMES.items():
        if url.startswith(ours):
            url = theirs + url.removeprefix(ours)
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_MAX_CONNECTIONS,
        timeout=timeout_seconds,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        # A connection that the store closed while it was idle is opened anew, once. The scripts may be repeated: a
        # slot is taken once, and an amount that is consumed twice errs on the strict side.
        retry=Retry(NoBackoff(), 1, supported_errors=(StoreConnectionError,)),
    )
    backend = RedisLimitBackend(Redis.from_pool(pool), metrics, timeout_seconds=timeout_seconds)
    keeping = asyncio.ensure_future(backend.renew_leases())
    try:
        yield backend
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        await backend.close()


def _key(subject: str, what: str) -> str:
    return f"osfaas:{subject}:{what}"
