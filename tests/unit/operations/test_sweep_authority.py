"""What stops a running sweep: its trust, the gateway's refusal, the store's, the end of the worker."""

import asyncio
from types import SimpleNamespace

import pytest

from gateway.errors import ErrorCode, GatewayError
from gateway.identity.trusts import TrustRefusedError
from gateway.settings import Settings
from gateway.sweeps.specification import SweepSpecification, stored_sweep
from operations.authority import TrustCallers
from operations.decisions import Finish, Postpone
from operations.store import sweeps as positions
from operations.store.model import Claim, Request, State
from operations.sweeps.errors import SweepError, TokenRejectedError
from operations.sweeps.kind import SweepParts, Sweeps
from operations.sweeps.work import SweepWork


class World:
    """Keystone, the gateway and the store, as far as they say whether a sweep may go on."""

    def __init__(self) -> None:
        self.trust = True
        self.token_valid = True
        self.gateway: Exception | None = None
        self.store: Exception | None = None
        self.reads = 0
        self.reading = asyncio.Event()
        self.refused: list[str] = []

    async def access(self, trust_id, *, rejected=None):
        if not self.trust and rejected is not None:
            raise TrustRefusedError
        return SimpleNamespace(token="token")

    async def validate(self, token):
        if not (self.trust and self.token_valid):
            raise GatewayError(ErrorCode.TOKEN_INVALID)
        return SimpleNamespace(token=token)

    async def check(self, _token):
        if self.gateway:
            raise self.gateway

    async def stat(self, _caller, _container):
        if self.store:
            raise self.store

    async def run(self, work, *args, **_kwargs):
        if work is not positions.position:
            self.refused.append(args[0])


CLAIM = Claim(
    id="id",
    project_id="p",
    user_id="u",
    kind="sweep",
    subject="data",
    fence=1,
    attempts=1,
    repeatable=True,
    age_ms=0,
    remaining_ms=1_000,
    retention_ms=1_000,
    request=Request(
        method="POST",
        target=b"/v1/sweeps",
        fields=(),
        body=stored_sweep(SweepSpecification(container="data", part_objects=1, part_bytes=1)),
    ),
    trust_id="trust",
)


@pytest.fixture
def world(monkeypatch) -> World:
    made = World()

    async def reads_for_ever(_work) -> bytes:
        while True:
            made.reads += 1
            made.reading.set()
            await asyncio.sleep(0)

    monkeypatch.setattr(SweepWork, "run", reads_for_ever)
    return made


def sweeps_of(world: World) -> Sweeps:
    settings = Settings(public_url="http://faas.test", sweep_recheck_seconds=0.001, worker_attempts=2)
    return Sweeps(
        SweepParts(
            database=world, callers=TrustCallers(world, world), containers=world, digests=world, settings=settings
        )
    )


async def decided(world: World, change):
    """What becomes of a sweep that runs when the world changes; nothing is read afterwards."""
    sweeps = sweeps_of(world)
    running = asyncio.ensure_future(sweeps.attempt(CLAIM, lambda *_: None))
    await world.reading.wait()
    change(world, sweeps)
    decision = await asyncio.wait_for(running, 60)
    reads = world.reads
    await asyncio.sleep(0.01)
    assert world.reads == reads
    return decision


async def test_trust_that_is_gone(world):
    decision = await decided(world, lambda world, _: setattr(world, "trust", False))
    assert isinstance(decision, Finish)
    assert (decision.state, decision.failure.code) == (State.FAILED, "operation.authority_lost")
    assert world.refused == ["trust"]


async def test_tenant_that_is_suspended(world):
    error = SweepError(ErrorCode.TENANT_SUSPENDED.code, "Project p is suspended: unpaid.")
    decision = await decided(world, lambda world, _: setattr(world, "gateway", error))
    assert (decision.failure.code, decision.failure.message) == ("tenant.suspended", error.message)


async def test_acl_that_is_withdrawn(world):
    error = GatewayError(ErrorCode.OBJECT_FORBIDDEN)
    decision = await decided(world, lambda world, _: setattr(world, "store", error))
    assert (decision.state, decision.failure.code) == (State.FAILED, "object.forbidden")


async def test_worker_that_ends_gives_the_sweep_back(world):
    decision = await decided(world, lambda _, sweeps: sweeps.stop())
    assert decision == Postpone(delay_seconds=0, counted=False)


async def test_outage_stops_nothing_that_runs(world):
    sweeps = sweeps_of(world)
    running = asyncio.ensure_future(sweeps.attempt(CLAIM, lambda *_: None))
    await world.reading.wait()
    world.store = GatewayError(ErrorCode.STORE_UNAVAILABLE)
    await asyncio.sleep(0.05)
    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (TokenRejectedError(), Postpone),
        (SweepError("store.unavailable", "x", passing=True), Postpone),
        (SweepError("object.not_found", "x"), Finish),
    ],
)
async def test_what_may_pass_is_tried_again(world, error, wanted):
    world.gateway = error
    decision = await sweeps_of(world).attempt(CLAIM, lambda *_: None)
    assert isinstance(decision, wanted)
    assert world.reads == 0


async def test_project_without_room_loses_no_attempt(world):
    world.gateway = SweepError("concurrency.exceeded", "x", passing=True, retry_after_seconds=7)
    decision = await sweeps_of(world).attempt(CLAIM, lambda *_: None)
    assert (decision.counted, decision.whole_project, decision.delay_seconds) == (False, True, 7)


async def test_half_of_a_worker_is_left_to_other_operations(world):
    sweeps = sweeps_of(world)
    half = Settings(public_url="http://faas.test").worker_concurrency // 2
    running = [asyncio.ensure_future(sweeps.attempt(CLAIM, lambda *_: None)) for _ in range(half)]
    await asyncio.sleep(0.01)
    decision = await sweeps.attempt(CLAIM, lambda *_: None)
    assert (decision.counted, decision.delay_seconds > 0) == (False, True)
    sweeps.stop()
    assert {type(each) for each in await asyncio.gather(*running)} == {Postpone}
