"""Limits of projects: rejections, their messages, and what each caller is charged. On both backends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.errors import ErrorCode, GatewayError, error_body, error_response
from gateway.http.metrics import Metrics
from gateway.limits.backend import InMemoryLimitBackend, LimitBackend
from gateway.limits.byte_charges import charged_read
from gateway.limits.fair_queue import QueueLimits
from gateway.limits.limiter import ProjectLimiter
from gateway.limits.model import LimitSubject
from gateway.limits.redis_backend import open_redis_backend
from gateway.limits.token_bucket import Rate
from gateway.limits.unified import ProjectLimits
from gateway.settings.limits import LimitSettings
from policies.model import Limits
from policies.names import ProjectId
from policies.unified_limits import UnifiedLimits
from tests.machine import scaled
from tests.valkey import Valkey

A, B = LimitSubject(ProjectId("a"), "alice"), LimitSubject(ProjectId("b"), "bob")
NOBODY_WAITS = QueueLimits(size=0, seconds=0)


@pytest.fixture(params=["local", "shared"])
async def backend(request: pytest.FixtureRequest, valkey: Valkey) -> AsyncIterator[LimitBackend]:
    if request.param == "local":
        yield InMemoryLimitBackend()
        return
    async with open_redis_backend(valkey.url, Metrics(), timeout_seconds=scaled(5)) as shared:
        yield shared


def limiter(
    backend: LimitBackend,
    *,
    calls: int = 2,
    rate: int = 0,
    size: int = 0,
    queue_limits: QueueLimits = NOBODY_WAITS,
    project_limits: ProjectLimits | None = None,
) -> ProjectLimiter:
    return ProjectLimiter(
        backend,
        LimitSettings(
            project_concurrent_calls=calls,
            project_requests_per_second=rate,
            project_bytes_per_second=size,
            limit_burst_seconds=1,
            limit_debt_seconds=60,
            limit_queue_size=queue_limits.size,
            limit_wait_seconds=queue_limits.seconds,
            service_queue_size=9,
            response_timeout_seconds=30,
        ),
        Metrics(),
        project_limits,
    )


async def refused(work: object) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await work  # type: ignore[misc]
    return caught.value


@contextlib.asynccontextmanager
async def full(made: ProjectLimiter, subject: LimitSubject, slots: int) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(slots):
            await stack.enter_async_context(made.slot(subject))
        yield


async def test_one_more_call_at_once_than_the_limit_is_refused_and_told_why(backend: LimitBackend) -> None:
    made = limiter(backend)
    async with full(made, A, 2):
        error = await refused(made.slot(A).__aenter__())
        assert error.kind is ErrorCode.CONCURRENCY_EXCEEDED
        assert "The limit of 2 concurrent calls of project a" in error.message
        assert error.reached is not None
        assert (error.reached.name, error.reached.value, error.reached.usage) == ("concurrent_calls", 2, 2)
        async with made.slot(B):
            pass


async def test_place_is_given_back_when_the_work_fails_and_a_refusal_takes_none(backend: LimitBackend) -> None:
    made = limiter(backend, calls=1, queue_limits=QueueLimits(size=1, seconds=5))
    for _ in range(3):
        with contextlib.suppress(LookupError):
            async with made.slot(A):
                await refused(limiter(backend, calls=1).slot(A).__aenter__())
                raise LookupError


async def test_one_more_call_in_a_second_than_the_limit_is_refused_and_told_when_to_come_back(
    backend: LimitBackend,
) -> None:
    made = limiter(backend, rate=3)

    async def many() -> None:
        # On a slow machine more than three go through before one is refused: time passes meanwhile.
        for _ in range(1_000):
            await made.count_call(A)

    error = await refused(many())
    assert (error.kind, error.retry_after_seconds) == (ErrorCode.RATE_EXCEEDED, 1)
    assert error.reached is not None
    assert (error.reached.name, error.reached.value) == ("requests_per_second", 3)
    # As it was a moment after the refusal.
    assert 0 < error.reached.usage <= 3
    await made.count_call(B)


async def test_object_of_any_size_is_read_without_a_debt_and_none_with_one(backend: LimitBackend) -> None:
    made = limiter(backend, size=1000)
    await made.charge_bytes(A, 31_000)
    error = await refused(made.charge_bytes(A, 1))
    assert error.kind is ErrorCode.BYTES_EXCEEDED
    assert error.retry_after_seconds in {30, 31}
    assert error.reached is not None
    assert error.reached.usage > 30_000
    await made.charge_bytes(A, 0)
    await made.charge_bytes(B, 1)


async def test_others_wait_no_longer_than_the_projects_debt_may_last(backend: LimitBackend) -> None:
    """Whoever had the object read waits for all of it."""
    made = limiter(backend, size=1000)
    await made.charge_bytes(A, 10**9)
    others = await refused(made.charge_bytes(replace(A, caller_id="albert"), 1))
    assert others.retry_after_seconds in {59, 60, 61}
    own = await refused(made.charge_bytes(A, 1))
    assert own.retry_after_seconds is not None
    assert 900_000 < own.retry_after_seconds <= 10**6
    used = {limit.name: limit for limit in await made.use(A)}
    assert used["bytes_per_second"].wait_seconds < 62


async def test_refused_caller_is_charged_nothing(backend: LimitBackend) -> None:
    made = limiter(backend, size=1000)
    albert = replace(A, caller_id="albert")
    await made.charge_bytes(A, 30_000)
    for _ in range(3):
        assert (await refused(made.charge_bytes(albert, 10**9))).retry_after_seconds in range(20, 31)
    await made.refund_bytes(A, 30_000, 0)
    await made.charge_bytes(albert, 1)


@pytest.mark.parametrize(("read", "project", "own"), [(0, 0, 0), (30_000, 29, 29), (200_000, 59, 199)])
async def test_what_was_not_read_is_given_back(backend: LimitBackend, read: int, project: int, own: int) -> None:
    made = limiter(backend, size=1000)
    await made.charge_bytes(A, 10**12)
    await made.refund_bytes(A, 10**12, read)
    if not read:
        await made.charge_bytes(A, 1)
        return
    seconds = (await refused(made.charge_bytes(A, 1))).retry_after_seconds
    assert seconds in range(own - 9, own + 2)
    seconds = (await refused(made.charge_bytes(replace(A, caller_id="albert"), 1))).retry_after_seconds
    assert seconds in range(project - 9, project + 2)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("error", "seconds", "waits"),
    [
        (GatewayError(ErrorCode.FUNCTION_UNREACHABLE, function="f", why="x", project_id="a"), 10, 0),
        (GatewayError(ErrorCode.OBJECT_TRUNCATED), 1, 1024),
        (asyncio.CancelledError(), 2, 2048),
        (None, 1, 10 * 1024),
    ],
)
async def test_object_that_is_left_early_is_charged_by_the_time_it_was_read(
    backend: LimitBackend, error: BaseException | None, seconds: float, waits: int
) -> None:
    made, clock = limiter(backend, size=1 << 20), Clock()
    with contextlib.suppress(GatewayError, asyncio.CancelledError):
        async with charged_read(made, A, 10 << 30, made.slot(A), clock=clock):
            clock.now = seconds
            if error is not None:
                raise error
    if not waits:
        await made.charge_bytes(A, 1)
        return
    own = (await refused(made.charge_bytes(A, 1))).retry_after_seconds
    assert own in range(waits - 20, waits + 1)
    others = await refused(made.charge_bytes(replace(A, caller_id="albert"), 1))
    assert others.retry_after_seconds in range(50, 62)


async def test_object_for_which_there_is_no_place_is_charged_nothing(backend: LimitBackend) -> None:
    made = limiter(backend, size=1000, calls=1)
    async with made.slot(B):
        await refused(charged_read(made, B, 10**9, made.slot(B)).__aenter__())
    await made.charge_bytes(B, 1)


async def test_callers_who_owe_nothing_any_more_are_forgotten() -> None:
    backend, rate = InMemoryLimitBackend(clock := Clock()), Rate(per_second=1000, burst_seconds=1)
    for number in range(5_000):
        await backend.consume("a", f"bytes:{number}", rate, 1000)
        clock.now += 0.01
    assert len(backend._levels) < 2_100
    await backend.consume("a", "bytes:4999", rate, 10**6)
    for number in range(5_000):
        await backend.consume("a", f"bytes:{number % 4000}", rate, 0)
    assert (await backend.consume("a", "bytes:4999", rate, 0)).wait_seconds > 900


async def test_service_callers_take_nothing_from_users(backend: LimitBackend) -> None:
    made = limiter(backend, rate=1, size=1, calls=1)
    service = replace(A, service=True)
    await made.count_call(service)
    await made.charge_bytes(service, 1000)
    async with made.slot(service):
        await made.count_call(A)
        await made.charge_bytes(A, 1000)
        async with made.slot(A):
            pass


async def test_limits_of_the_record_come_before_those_of_the_settings(backend: LimitBackend) -> None:
    made = limiter(backend, rate=100, calls=100)
    recorded = replace(A, limits=Limits(concurrent_calls=1, requests_per_second=1, bytes_per_second=7))
    await made.count_call(recorded)
    assert (await refused(made.count_call(recorded))).kind is ErrorCode.RATE_EXCEEDED
    async with made.slot(recorded):
        assert (await refused(made.slot(recorded).__aenter__())).kind is ErrorCode.CONCURRENCY_EXCEEDED
        used = {limit.name: limit for limit in await made.use(recorded)}
    assert (used["concurrent_calls"].value, used["concurrent_calls"].usage) == (1, 1)
    assert (used["bytes_per_second"].value, used["bytes_per_second"].usage) == (7, 0)
    assert used["requests_per_second"].wait_seconds > 0


async def test_call_waits_for_a_place_and_gets_it_as_soon_as_one_is_free(backend: LimitBackend) -> None:
    made = limiter(backend, calls=1, queue_limits=QueueLimits(size=1, seconds=30))
    async with made.slot(A):
        second = asyncio.create_task(made.slot(A).__aenter__())
        await asyncio.sleep(0.02)
        assert not second.done()
    await second


async def test_call_waits_for_its_share_of_a_second(backend: LimitBackend) -> None:
    made = limiter(backend, rate=20, queue_limits=QueueLimits(size=5, seconds=30))
    for _ in range(25):
        await made.count_call(A)


async def test_caller_who_leaves_the_line_leaves_no_place_taken(backend: LimitBackend) -> None:
    made = limiter(backend, calls=1, queue_limits=QueueLimits(size=5, seconds=30))
    async with made.slot(A):
        waiting = [asyncio.create_task(made.slot(A).__aenter__()) for _ in range(3)]
        await asyncio.sleep(0.02)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    async with made.slot(A):
        pass


async def test_refusal_says_limit_value_and_usage_in_the_body(backend: LimitBackend) -> None:
    made = limiter(backend)
    async with full(made, A, 2):
        error = await refused(made.slot(A).__aenter__())
    body = error_body(error, "req-1")
    assert body["errors"][0]["limit"] == {"name": "concurrent_calls", "value": 2, "usage": 2}  # type: ignore[index]
    for plain in (False, True):
        answer = error_response(error, request_id="req-1", plain=plain)
        assert answer.status_code == 429
        assert answer.headers["Retry-After"] == "1"


async def test_charge_that_would_wait_charges_nothing(backend: LimitBackend) -> None:
    limits = limiter(backend, size=10)
    assert await limits.charge_bytes_now(A, 15)
    assert not await limits.charge_bytes_now(A, 1)
    await limits.refund_bytes(A, 15, 0)
    assert await limits.charge_bytes_now(A, 1)
    assert await limiter(backend).charge_bytes_now(A, 10**9)


async def test_charge_that_would_wait_for_what_others_have_read_leaves_the_caller_no_debt(
    backend: LimitBackend,
) -> None:
    limits = limiter(backend, size=10)
    other = replace(A, caller_id="carol")
    assert await limits.charge_bytes_now(other, 600)
    assert not await limits.charge_bytes_now(A, 300)
    await limits.refund_bytes(other, 600, 0)
    assert await limits.charge_bytes_now(A, 1)


async def test_charge_does_not_overtake_those_who_wait(backend: LimitBackend) -> None:
    limits = limiter(backend, size=100, queue_limits=QueueLimits(size=4, seconds=scaled(30)))
    await limits.charge_bytes(A, 110)
    waiting = asyncio.ensure_future(limits.charge_bytes(A, 1))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    assert not await limits.charge_bytes_now(A, 1)
    await waiting


async def until_in_use(backend: LimitBackend, key: str, slots: int) -> None:
    """A shared store learns a moment later that a slot was released."""
    async with asyncio.timeout(scaled(10)):
        while True:
            if (await backend.slots_in_use(key, 99)).usage == slots:
                return
            await asyncio.sleep(0.01)


async def test_projects_of_a_domain_share_its_limit(backend: LimitBackend) -> None:
    """The domain has 10, two of its projects 6 each: the eleventh call is refused, and takes no slot."""
    limits = ProjectLimits()
    unified = UnifiedLimits(
        registered={"function_concurrency": 10},
        projects={"a": {"function_concurrency": 6}, "b": {"function_concurrency": 6}},
        two_level=True,
    )
    limits.replace(unified)
    shared = limiter(backend, project_limits=limits)
    a, b = (replace(subject, domain_id="physics") for subject in (A, B))
    other = replace(LimitSubject(ProjectId("c"), "carol"), domain_id="chemistry")
    async with contextlib.AsyncExitStack() as held:
        first = contextlib.AsyncExitStack()
        await first.enter_async_context(shared.slot(a))
        for subject in (*[a] * 5, *[b] * 4):
            await held.enter_async_context(shared.slot(subject))
        error = await refused(shared.slot(b).__aenter__())
        assert "all projects of the domain physics together" in error.message
        over = error_body(error, "r")["errors"][0]["over_limit"]  # type: ignore[index]
        assert over == [{"resource_name": "function_concurrency", "limit": 10, "current_usage": 10, "delta": 1}]
        # Its own limit is reached as well, and is what the caller is told.
        assert "project a" in (await refused(shared.slot(a).__aenter__())).message
        await held.enter_async_context(shared.slot(other))
        # One ends in the other project, so there is room again.
        await first.aclose()
        await until_in_use(backend, a.domain_key, 9)
        async with shared.slot(b) as use:
            assert use.value == 6
        await until_in_use(backend, b.key, 4)
    for key in (a.key, b.key, a.domain_key, other.domain_key):
        await until_in_use(backend, key, 0)


async def test_call_that_waits_for_its_domain_holds_no_slot_of_its_project_afterwards(backend: LimitBackend) -> None:
    """It takes and gives back one for each attempt."""
    limits = ProjectLimits()
    limits.replace(UnifiedLimits(registered={"function_concurrency": 1}, two_level=True))
    shared = limiter(backend, queue_limits=QueueLimits(size=4, seconds=scaled(0.4)), project_limits=limits)
    a, b = (replace(subject, domain_id="physics") for subject in (A, B))
    async with shared.slot(a):
        assert "domain" in (await refused(shared.slot(b).__aenter__())).message
        await until_in_use(backend, b.key, 0)
    async with shared.slot(b):
        await until_in_use(backend, a.domain_key, 1)


async def test_projects_of_a_domain_share_its_rates(backend: LimitBackend) -> None:
    """A refused request is charged to neither, and a refund goes to both."""
    limits = ProjectLimits()
    limits.replace(
        UnifiedLimits(
            registered={"function_requests_per_second": 4, "checksum_bytes_per_second": 1000},
            projects={
                name: {"function_requests_per_second": 3, "checksum_bytes_per_second": 600} for name in ("a", "b")
            },
            two_level=True,
        )
    )
    shared = limiter(backend, project_limits=limits)
    a, b = (replace(subject, domain_id="physics") for subject in (A, B))
    await shared.count_call(a, 400)
    error = await refused(shared.count_call(b, 2))
    assert error.over_limit[0].limit == 4
    assert error.over_limit[0].delta == 2
    assert (await shared.use(b))[1].usage == 0
    await shared.charge_bytes(a, 36_000)
    assert not await shared.charge_bytes_now(b, 10)
    assert (await shared.use(b))[2].usage == 0
    await shared.refund_bytes(a, 36_000, 0)
    assert await shared.charge_bytes_now(b, 10)


async def test_limit_of_zero_allows_nothing(backend: LimitBackend) -> None:
    """Of rates too, whose 0 in a record means that they are not limited; Keystone says that with -1."""
    limits = ProjectLimits()
    limits.replace(
        UnifiedLimits(
            registered={"function_requests_per_second": 0, "checksum_bytes_per_second": 0, "function_concurrency": 0}
        )
    )
    nothing = limiter(backend, project_limits=limits)
    assert (await refused(nothing.count_call(A))).kind is ErrorCode.RATE_EXCEEDED
    assert (await refused(nothing.charge_bytes(A, 1))).kind is ErrorCode.BYTES_EXCEEDED
    assert not await nothing.charge_bytes_now(A, 1)
    assert (await refused(nothing.slot(A).__aenter__())).kind is ErrorCode.CONCURRENCY_EXCEEDED
    limits.replace(UnifiedLimits(registered={"function_requests_per_second": -1}))
    assert await nothing.count_call(A, 10_000) is None


async def test_limits_that_change_apply_to_the_next_call(backend: LimitBackend) -> None:
    """A slot that was taken under the limits of before is given back under those of now."""
    limits = ProjectLimits()
    changing = limiter(backend, calls=2, project_limits=limits)
    subject = replace(A, domain_id="physics")
    limits.replace(UnifiedLimits(registered={"function_concurrency": 1}, two_level=True))
    async with changing.slot(subject):
        assert (await refused(changing.slot(subject).__aenter__())).words["limit"] == 1
        limits.replace(UnifiedLimits())
        await until_in_use(backend, subject.key, 1)
        async with changing.slot(subject):
            pass
    for key in (subject.key, subject.domain_key):
        await until_in_use(backend, key, 0)
    limits.replace(UnifiedLimits(registered={"function_concurrency": 1}, two_level=True))
    async with changing.slot(subject):
        pass
