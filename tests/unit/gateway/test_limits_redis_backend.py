"""The limit backend that replicas share, on a real Valkey: what two of them grant, and what holds without it."""

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

from gateway.circuit import CircuitRules
from gateway.http.metrics import Metrics
from gateway.limits import redis_backend as module
from gateway.limits.redis_backend import RedisLimitBackend, open_redis_backend
from gateway.limits.token_bucket import Rate
from tests.machine import scaled
from tests.valkey import Valkey

RATE = Rate(per_second=0.01, burst_seconds=1000)  # ten at once, and nothing to speak of during a test
ACCOUNT = "{p}:users"


class Replica:
    """The books of one process."""

    def __init__(self, valkey: Valkey) -> None:
        self.metrics = Metrics()
        self.opened = open_redis_backend(valkey.url, self.metrics, timeout_seconds=scaled(2))
        self.backend: RedisLimitBackend

    @property
    def shares(self) -> float:
        return self.metrics.limits_shared._value.get()  # type: ignore[no-any-return]

    async def draws(self, count: int) -> int:
        return sum([(await self.backend.consume(ACCOUNT, "calls", RATE, 1)).granted for _ in range(count)])

    async def enters(self, *calls: str, limit: int = 3) -> list[bool]:
        return [(await self.backend.acquire_slot(ACCOUNT, call, limit)).granted for call in calls]


@pytest.fixture
async def replicas(valkey: Valkey) -> AsyncIterator[tuple[Replica, Replica]]:
    first, second = Replica(valkey), Replica(valkey)
    async with first.opened as first.backend, second.opened as second.backend:
        yield first, second


async def test_two_replicas_grant_no_more_together_than_the_limit(replicas: tuple[Replica, Replica]) -> None:
    first, second = replicas
    assert sum(await asyncio.gather(*(replica.draws(10) for replica in (first, second) * 3))) == 10


async def test_two_replicas_have_no_more_places_together_than_the_limit(replicas: tuple[Replica, Replica]) -> None:
    first, second = replicas
    granted = await asyncio.gather(first.enters("a", "b", "c"), second.enters("d", "e", "f"))
    assert [*granted[0], *granted[1]].count(True) == 3
    assert (await first.backend.slots_in_use(ACCOUNT, 3)).usage == 3


async def test_place_that_one_replica_gives_back_is_there_for_the_other(replicas: tuple[Replica, Replica]) -> None:
    first, second = replicas
    assert await first.enters("a", "b", "c") == [True] * 3
    await first.backend.release_slot(ACCOUNT, "a")
    await asyncio.wait(set(first.backend._pending))
    assert await second.enters("d") == [True]


async def test_places_of_a_process_that_died_come_back(
    replicas: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = replicas
    monkeypatch.setattr(module, "LEASE_SECONDS", scaled(0.5))
    await first.enters("a", "b", "c")
    assert await second.enters("d") == [False]
    while await second.enters("d") != [True]:  # noqa: ASYNC110 - a lease that ends sets no event
        await asyncio.sleep(0.05)


async def test_places_of_a_process_that_died_come_back_while_others_keep_theirs(
    replicas: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = replicas
    monkeypatch.setattr(module, "LEASE_SECONDS", scaled(0.5))
    await first.enters("a", "b")
    await second.enters("c")
    while (await second.backend.slots_in_use(ACCOUNT, 3)).usage > 1:
        await second.backend.renew()
        await asyncio.sleep(0.05)
    assert await second.enters("d", "e", "f") == [True, True, False]


async def test_usage_is_the_own_while_the_store_is_away(valkey: Valkey, replicas: tuple[Replica, Replica]) -> None:
    first, _ = replicas
    await first.enters("a")
    await first.draws(10)
    valkey.kill()
    looked = await first.backend.consume(ACCOUNT, "calls", RATE, 0)
    assert looked.wait_seconds > 0
    assert (await first.backend.slots_in_use(ACCOUNT, 3)).usage == 1


async def test_call_that_runs_keeps_its_place_for_longer_than_a_lease(
    replicas: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = replicas
    monkeypatch.setattr(module, "LEASE_SECONDS", scaled(1))
    await first.enters("a", "b", "c")
    for _ in range(4):
        await asyncio.sleep(scaled(0.3))
        await first.backend.renew()
    assert await second.enters("d") == [False]


async def test_place_that_is_given_back_during_a_renewal_stays_free(
    replicas: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls of all accounts end while the leases of one are renewed, and while those of their own are."""
    first, second = replicas
    other = "{q}:users"
    await first.enters("a", "b")
    await first.backend.acquire_slot(other, "x", 3)
    renew, met = first.backend._renew, []

    async def renew_slowly(**arguments: Any) -> Any:
        met.append(arguments["keys"])
        subject, call = ((ACCOUNT, "a"), (other, "x"))[len(met) - 1]
        if len(met) == 1:
            await first.backend.release_slot(subject, call)
            await first.backend.release_slot(other, "x")
            await asyncio.wait(set(first.backend._pending))
        return await renew(**arguments)

    monkeypatch.setattr(first.backend, "_renew", renew_slowly)
    await first.backend.renew()
    assert len(met) == 1
    assert (await second.backend.slots_in_use(ACCOUNT, 3)).usage == 1
    assert (await second.backend.slots_in_use(other, 3)).usage == 0


@pytest.mark.parametrize(("amount", "left"), [(8, 10), (-8, 10)])
async def test_caller_who_leaves_before_the_store_has_answered_takes_nothing_along(
    replicas: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch, amount: float, left: int
) -> None:
    """What was drawn goes back, in both books; what was being given back stays given back."""
    first, _ = replicas
    if amount < 0:
        await first.backend.consume(ACCOUNT, "bytes", RATE, -amount)
    consume, attempts, answer = first.backend._consume, asyncio.Event(), asyncio.Event()

    async def consume_slowly(**arguments: Any) -> Any:
        attempts.set()
        await answer.wait()
        return await consume(**arguments)

    monkeypatch.setattr(first.backend, "_consume", consume_slowly)
    drawing = asyncio.create_task(first.backend.consume(ACCOUNT, "bytes", RATE, amount))
    await attempts.wait()
    drawing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await drawing
    answer.set()
    while first.backend._pending:
        await asyncio.wait(set(first.backend._pending))
    own = await first.backend._local.consume(ACCOUNT, "bytes", RATE, 0)
    shared = await first.backend.consume(ACCOUNT, "bytes", RATE, 0)
    assert (round(own.remaining), round(shared.remaining)) == (left, left)


async def test_without_the_store_each_process_holds_the_limit_by_itself(
    valkey: Valkey, replicas: tuple[Replica, Replica], caplog: pytest.LogCaptureFixture
) -> None:
    first, second = replicas
    await first.enters("a", "b")
    valkey.kill()
    started = time.monotonic()
    assert [await replica.draws(30) for replica in replicas] == [10, 10]
    assert await first.enters("c", "d") == [True, False]
    assert await second.enters("e", "f", "g", "h") == [True, True, True, False]
    assert time.monotonic() - started < scaled(5)
    assert [replica.shares for replica in replicas] == [0, 0]
    assert first.metrics.limit_store_failures._value.get() >= 1
    assert "each process counts by itself" in caplog.text


@pytest.mark.parametrize(
    "failure", [RuntimeError("unable to perform operation; the handler is closed"), OSError(), TimeoutError()], ids=repr
)
async def test_connection_that_is_closed_at_the_moment_of_writing_fails_no_call(
    replicas: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    """uvloop's transports raise a RuntimeError then, which the store's client passes on."""
    first, _ = replicas

    async def closed(**_: Any) -> None:
        raise failure

    monkeypatch.setattr(first.backend, "_consume", closed)
    assert await first.draws(3) == 3
    assert first.shares == 0


async def test_replicas_share_again_when_the_store_is_back_with_the_calls_that_run(
    valkey: Valkey, replicas: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = replicas
    for each in replicas:
        monkeypatch.setattr(each.backend._circuit, "_rules", CircuitRules(failures=1, seconds=0.01))
    valkey.kill()
    assert await first.enters("a", "b") == [True, True]
    valkey.start()
    await asyncio.sleep(0.05)
    assert await first.enters("c") == [True]
    assert first.shares == 1
    assert await second.enters("d") == [False]
    assert second.shares == 1


async def test_store_that_is_emptied_lets_no_process_do_more(valkey: Valkey, replicas: tuple[Replica, Replica]) -> None:
    first, _ = replicas
    assert await first.draws(10) == 10
    await first.enters("a", "b", "c")
    valkey.empty()
    assert await first.draws(5) == 0
    assert await first.enters("d") == [False]


async def test_store_that_hangs_delays_a_call_for_its_time_and_then_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_AFTER_SECONDS", 3_600)

    async def hang(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    metrics = Metrics()
    async with open_redis_backend(f"redis://127.0.0.1:{port}", metrics, timeout_seconds=0.1) as backend:
        readings = [await backend.consume(ACCOUNT, "calls", RATE, 1) for _ in range(50)]
    assert metrics.limit_store_failures._value.get() == 1
    assert sum(result.granted for result in readings) == 10
    server.close()


def test_a_gateway_without_a_store_says_nothing_of_sharing() -> None:
    assert math.isnan(Metrics().limits_shared._value.get())


async def test_password_of_the_store_gets_into_no_log(caplog: pytest.LogCaptureFixture) -> None:
    async with open_redis_backend("redis://u:very-secret@127.0.0.1:1", Metrics(), timeout_seconds=0.5) as backend:
        assert (await backend.consume(ACCOUNT, "calls", RATE, 1)).granted
    assert "very-secret" not in caplog.text


async def test_rights_that_the_guide_gives_are_enough_and_reach_no_other_key(valkey: Valkey) -> None:
    guide = (Path(__file__).parents[3] / "docs" / "how-to" / "share-limits.md").read_text(encoding="utf-8")
    rights = re.search(r"an ACL of `([^`]+)`", guide)
    assert rights is not None
    with Redis(port=valkey.port) as administrator:
        administrator.execute_command("ACL", "SETUSER", "osfaas", "reset", "on", ">pw", *rights[1].split())
    metrics = Metrics()
    url = f"valkey://osfaas:pw@127.0.0.1:{valkey.port}/0"
    async with open_redis_backend(url, metrics, timeout_seconds=scaled(2)) as backend:
        assert (await backend.consume(ACCOUNT, "calls", RATE, 1)).granted
        assert (await backend.acquire_slot(ACCOUNT, "a", 1)).granted
        await backend.renew()
        await backend.release_slot(ACCOUNT, "a")
    assert metrics.limit_store_failures._value.get() == 0
    with Redis(port=valkey.port, username="osfaas", password="pw") as limited, pytest.raises(RedisError):
        limited.set("other", "1")
