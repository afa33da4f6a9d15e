"""The short way for small objects: one request to the store, and where anything is in its way, no answer."""

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import zlib
from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.calls.call import Call
from gateway.checksums.content_budget import COPIES, SHARES, ContentBudget
from gateway.checksums.known import KnownDigests, Source
from gateway.checksums.service import Answer, ChecksumRequest, Checksums
from gateway.checksums.small_objects import Outcome, SmallObjects
from gateway.compute.batch import MAX_OBJECTS
from gateway.compute.object_function import ObjectFunction
from gateway.compute.runner import Runner
from gateway.compute.slots import ComputeSlots
from gateway.errors import ErrorCode, GatewayError
from gateway.http.context import RequestContext
from gateway.http.metrics import Metrics
from gateway.identity.caller import Caller
from gateway.limits.backend import InMemoryLimitBackend
from gateway.limits.background_throttle import BackgroundThrottle
from gateway.limits.limiter import ProjectLimiter
from gateway.limits.model import BYTES_PER_SECOND, CONCURRENT_CALLS, LimitSubject
from gateway.limits.service_queue import ServiceCallerQueue
from gateway.objects.http import StoreFailureError
from gateway.objects.model import ObjectKind, ObjectRef, ObjectStat, OpenedObject
from gateway.policy.names import Rule
from gateway.settings.limits import LimitSettings
from gateway.upstream.diagnostics import FunctionDiagnostics
from gateway.upstream.function_client import FunctionRequest
from policies.names import NamespaceName, ProjectId
from tenancy.directory.protocol import FunctionAddress, Tenant
from tests.machine import settled

CALLER = Caller("t", "u", "alice", ProjectId("p"), "demo", frozenset(["member"]), 0)
ADDRESS = FunctionAddress("http://ingress.test")
TENANT = Tenant(ProjectId("p"), NamespaceName("faas-p"), {"checksums": ADDRESS})
MAX_BYTES = 1_000


class Store:
    """Objects by name, each with the requests that were made for it."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.changes: dict[str, Mapping[str, Any]] = {}
        self.failures: dict[str, GatewayError] = {}
        self.requests: list[str] = []
        self.reads: list[str] = []
        self.sent: dict[str, bytes | GatewayError] = {}

    def stat_of(self, ref: ObjectRef) -> ObjectStat:
        content = self.contents[ref.name]
        md5 = hashlib.md5(content).hexdigest()
        stat = ObjectStat("p", "http://s", ref, md5, len(content), ObjectKind.PLAIN, "text/plain", native={"md5": md5})
        return dataclasses.replace(stat, **self.changes.get(ref.name, {}))

    @contextlib.asynccontextmanager
    async def opening(self, _caller: Caller, ref: ObjectRef, max_bytes: int) -> AsyncIterator[OpenedObject | None]:
        self.requests.append(ref.name)
        if ref.name in self.failures:
            raise self.failures[ref.name]
        stat = self.stat_of(ref)

        async def read() -> bytes:
            self.reads.append(ref.name)
            sent = self.sent.get(ref.name, self.contents[ref.name])
            if isinstance(sent, GatewayError):
                raise sent
            return sent

        yield OpenedObject(stat, read) if stat.size <= max_bytes else None


class Function:
    """A function's HTTP client: it digests what it is sent, and what it answers may be changed."""

    retry_seconds = 0.0

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.failure: GatewayError | None = None
        self.change: Any = lambda reply: reply
        self.gate: asyncio.Event | None = None

    @contextlib.asynccontextmanager
    async def exchange(self, _address: FunctionAddress, request: FunctionRequest) -> AsyncIterator[Any]:
        assert isinstance(request.body, bytes)
        head, _, content = request.body.partition(b"\n")
        order = json.loads(head)
        self.batches.append(len(order["objects"]))
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        results = []
        for number, entry in enumerate(order["objects"]):
            own, content = content[: entry["size"]], content[entry["size"] :]
            digests = {"adler32": f"{zlib.adler32(own):08x}", "crc32": f"{zlib.crc32(own):08x}"}
            digests = {name: digests[name] for name in order["algorithms"]}
            results.append({"id": number, **entry, "crc32": f"{zlib.crc32(own):08x}", "digests": digests})
        reply = self.change({"version": 1, "batch": order["batch"], "results": results})

        async def pieces() -> AsyncIterator[bytes]:
            yield json.dumps(reply).encode()

        yield SimpleNamespace(pieces=pieces, status=200)


class Harness:
    def __init__(
        self,
        *contents: bytes,
        bytes_per_second: int = 0,
        slots: int = 9,
        memory: int = 1 << 20,
        max_bytes: int = MAX_BYTES,
        tenant: Tenant = TENANT,
    ) -> None:
        self.store, self.function, self.tenant = Store(), Function(), tenant
        self.store.contents = {str(number): content for number, content in enumerate(contents)}
        settings = LimitSettings.model_construct(
            project_concurrent_calls=slots,
            project_requests_per_second=0,
            project_bytes_per_second=bytes_per_second,
            limit_burst_seconds=1,
            limit_debt_seconds=60,
            limit_queue_size=4,
            limit_wait_seconds=0.02,
            service_queue_size=4,
            response_timeout_seconds=60,
        )
        self.limiter = ProjectLimiter(InMemoryLimitBackend(), settings, Metrics())
        self.rejected: list[Caller] = []
        admission: Any = SimpleNamespace(token_rejected=self._token_rejected)
        store: Any = self.store
        client: Any = self.function
        directory: Any = SimpleNamespace(tenant_of=lambda _: tenant)
        self.known = KnownDigests(100)
        self.runner = Runner(
            store=store,
            function=ObjectFunction(client, store),
            slots=ComputeSlots(
                limiter=self.limiter,
                services=ServiceCallerQueue(1, 1),
                throttle=BackgroundThrottle(),
                answer_seconds=60,
            ),
            diagnostics=FunctionDiagnostics(directory),
            metrics=Metrics(),
        )
        self.checksums = Checksums(
            admission=admission, store=store, known=self.known, runner=self.runner, metrics=Metrics()
        )
        self.budget = ContentBudget(memory)
        self.small = SmallObjects(
            checksums=self.checksums,
            store=store,
            runner=self.runner,
            limiter=self.limiter,
            max_bytes=max_bytes,
            budget=self.budget,
            lines=ContentBudget(memory),
        )

    def _token_rejected(self, call: Call, error: GatewayError) -> GatewayError:
        self.rejected.append(call.caller)
        return error

    @property
    def call(self) -> Call:
        subject = LimitSubject(CALLER.project_id, CALLER.user_id)
        return Call(
            caller=CALLER, tenant=self.tenant, subject=subject, context=RequestContext(), rule=Rule.CHECKSUMS_GET
        )

    async def answers(self, *names: str, algorithms: tuple[str, ...] = ("adler32",), **order: bool) -> list[Outcome]:
        names = names or tuple(self.store.contents)
        requests = [ChecksumRequest(ObjectRef("c", name), algorithms, **order) for name in names]
        outcomes = await self.small.answers([(self.call, request) for request in requests])
        assert self.budget.taken == 0
        return outcomes

    async def used(self, name: str) -> float:
        return {use.name: use.usage for use in await self.limiter.use(self.call.subject)}[name]


def adler(outcome: Outcome) -> str:
    assert isinstance(outcome, Answer)
    return outcome.digests["adler32"].value


@pytest.mark.parametrize(
    "failure", [ErrorCode.OBJECT_NOT_FOUND, ErrorCode.OBJECT_FORBIDDEN, ErrorCode.OBJECT_NO_EC2_CREDENTIAL]
)
async def test_object_that_the_store_does_not_show_to_the_caller_gets_no_digest(failure: ErrorCode) -> None:
    harness = Harness(b"one", b"two", b"three")
    harness.known.remember(harness.store.stat_of(ObjectRef("c", "1")), {"adler32": "0" * 8})
    harness.store.failures["1"] = GatewayError(failure)
    outcomes = await harness.answers()
    assert isinstance(outcomes[1], GatewayError)
    assert outcomes[1].kind is failure
    assert [adler(outcomes[0]), adler(outcomes[2])] == [f"{zlib.adler32(each):08x}" for each in (b"one", b"three")]


async def test_token_that_the_store_refuses_is_distrusted() -> None:
    harness = Harness(b"one")
    harness.store.failures["0"] = GatewayError(ErrorCode.TOKEN_INVALID)
    assert isinstance((await harness.answers())[0], GatewayError)
    assert harness.rejected == [CALLER]


@pytest.mark.parametrize(
    "failure", [StoreFailureError(), GatewayError(ErrorCode.OBJECT_UNSUPPORTED, why="x")], ids=["store", "unsupported"]
)
async def test_failure_that_may_pass_or_needs_an_explanation_is_left_to_the_long_way(failure: GatewayError) -> None:
    harness = Harness(b"one", b"two")
    harness.store.failures["0"] = failure
    outcomes = await harness.answers()
    assert outcomes[0] is None
    assert adler(outcomes[1])


def poisoned(reply: dict[str, Any]) -> dict[str, Any]:
    """The digests of two objects exchanged, and nothing else."""
    one, two = reply["results"][:2]
    one["digests"], two["digests"] = two["digests"], one["digests"]
    one["crc32"], two["crc32"] = two["crc32"], one["crc32"]
    return reply


async def test_reply_that_mixes_objects_up_gives_no_digest_and_none_is_remembered() -> None:
    harness = Harness(b"first", b"other")
    harness.function.change = poisoned
    assert await harness.answers() == [None, None]
    for name in ("0", "1"):
        assert "adler32" not in harness.known.of(harness.store.stat_of(ObjectRef("c", name)))
    # A function that answers wrongly is asked for each object from now on.
    assert not harness.small.may_read(harness.call)


async def test_function_that_does_not_know_batches_is_not_asked_again() -> None:
    harness = Harness(b"one")
    harness.function.change = lambda _: {"error": {"code": "bad_request", "message": "Content-Type", "status": 400}}
    assert harness.small.may_read(harness.call)
    assert await harness.answers() == [None]
    assert not harness.small.may_read(harness.call)


@pytest.mark.parametrize("kind", [ErrorCode.FUNCTION_BUSY, ErrorCode.FUNCTION_UNREACHABLE, ErrorCode.FUNCTION_TIMEOUT])
async def test_function_that_is_away_is_left_to_the_long_way_which_waits(kind: ErrorCode) -> None:
    harness = Harness(b"one")
    harness.function.failure = GatewayError(kind, function="f", why="w")
    assert await harness.answers() == [None]
    assert harness.small.may_read(harness.call)


async def test_project_without_a_function_and_gateway_that_reads_nothing_have_no_short_way() -> None:
    bare = dataclasses.replace(TENANT, functions={})
    assert not Harness(tenant=bare).small.may_read(Harness(tenant=bare).call)
    assert not Harness(max_bytes=0).small.may_read(Harness().call)


async def test_bytes_that_are_not_those_of_the_etag_are_not_digested() -> None:
    """A store that sends a part of an object does not check it; what it sends may be damaged, or of another version."""
    harness = Harness(b"right", b"other")
    harness.store.sent["0"] = b"wrong"
    outcomes = await harness.answers()
    assert outcomes[0] is None
    assert adler(outcomes[1]) == f"{zlib.adler32(b'other'):08x}"
    assert harness.function.batches == [1]


async def test_read_that_breaks_off_is_left_to_the_long_way_and_costs_no_bytes() -> None:
    harness = Harness(b"x" * 900, bytes_per_second=1_000)
    harness.store.sent["0"] = GatewayError(ErrorCode.OBJECT_TRUNCATED)
    assert await harness.answers() == [None]
    assert await harness.used(BYTES_PER_SECOND) == 0


async def test_bytes_are_charged_before_they_are_read_and_nobody_waits_with_them() -> None:
    harness = Harness(b"x" * 900, b"y" * 900, b"z" * 900, bytes_per_second=1_000)
    outcomes = await harness.answers()
    # The second one may make a debt, with which the third one would have to wait.
    assert [outcome is None for outcome in outcomes] == [False, False, True]
    assert harness.store.reads == ["0", "1"]
    assert await harness.used(BYTES_PER_SECOND) >= 1_000


async def test_what_is_known_is_given_in_debt_and_nothing_is_read_or_charged() -> None:
    harness = Harness(b"x" * 900, bytes_per_second=1)
    await harness.answers()
    harness.store.reads.clear()
    (answer,) = await harness.answers(algorithms=("adler32", "md5"))
    assert isinstance(answer, Answer)
    assert [digest.source for digest in answer.digests.values()] == [Source.REMEMBERED, Source.NATIVE]
    assert harness.store.reads == []
    (answer,) = await harness.answers(force=True)
    assert answer is None


async def test_batch_takes_one_slot_and_without_one_the_long_way_waits() -> None:
    harness = Harness(*[bytes([number]) for number in range(1, 9)], slots=1)
    harness.function.gate = asyncio.Event()
    running = asyncio.ensure_future(harness.answers("0", "1", "2"))
    await settled()
    assert await harness.used(CONCURRENT_CALLS) == 1
    waiting = [ChecksumRequest(ObjectRef("c", "3"), ("adler32",))]
    assert await harness.small.answers([(harness.call, each) for each in waiting]) == [None]
    harness.function.gate.set()
    assert [adler(outcome) for outcome in await running] == [f"{zlib.adler32(bytes([n])):08x}" for n in (1, 2, 3)]
    assert await harness.used(CONCURRENT_CALLS) == 0


async def test_caller_who_asks_for_what_a_batch_computes_joins_it() -> None:
    harness = Harness(b"one", b"two")
    harness.function.gate = asyncio.Event()
    running = asyncio.ensure_future(harness.answers())
    await settled()
    job = harness.checksums.job(harness.call, harness.store.stat_of(ObjectRef("c", "0")), ("adler32",))
    joined = asyncio.ensure_future(harness.runner.run(job))
    await settled()
    harness.function.gate.set()
    assert (await joined)["adler32"] == f"{zlib.adler32(b'one'):08x}"
    await running
    assert harness.function.batches == [2]


async def test_object_that_another_caller_has_computed_is_left_to_the_long_way_which_joins() -> None:
    harness = Harness(b"one", b"two")
    harness.function.gate = asyncio.Event()
    first = asyncio.ensure_future(
        harness.small.answers([(harness.call, ChecksumRequest(ObjectRef("c", "0"), ("adler32",)))])
    )
    await settled()
    requests = [ChecksumRequest(ObjectRef("c", name), ("adler32",), force=True) for name in ("0", "1")]
    second = asyncio.ensure_future(harness.small.answers([(harness.call, each) for each in requests]))
    await settled()
    harness.function.gate.set()
    assert adler((await first)[0])
    outcomes = await second
    assert [outcome is None for outcome in outcomes] == [True, False]


async def test_object_that_is_there_twice_is_read_and_computed_once() -> None:
    harness = Harness(b"one", b"two")
    outcomes = await harness.answers("0", "1", "0", force=True)
    assert [outcome is None for outcome in outcomes] == [False, False, True]
    assert (harness.store.reads, harness.function.batches) == (["0", "1"], [2])


async def test_object_whose_computation_begins_meanwhile_is_left_to_the_long_way_alone() -> None:
    harness = Harness(b"one", b"two")
    stat = harness.store.stat_of(ObjectRef("c", "0"))
    other = harness.checksums.job(harness.call, stat, ("adler32",))
    key = (other.identity, False)
    opening = harness.store.opening

    @contextlib.asynccontextmanager
    async def opening_late(caller: Caller, ref: ObjectRef, max_bytes: int) -> AsyncIterator[OpenedObject | None]:
        async with opening(caller, ref, max_bytes) as opened:
            if ref.name == "1":
                stack.enter_context(harness.runner._flights.leading([key]))
            yield opened

    harness.store.opening = opening_late  # type: ignore[assignment,method-assign]
    with contextlib.ExitStack() as stack:
        outcomes = await harness.answers()
    assert [outcome is None for outcome in outcomes] == [True, False]


async def test_caller_who_leaves_ends_the_batch_and_whoever_joined_starts_anew() -> None:
    harness = Harness(b"one")
    harness.function.gate = asyncio.Event()
    running = asyncio.ensure_future(harness.answers())
    await settled()
    job = harness.checksums.job(harness.call, harness.store.stat_of(ObjectRef("c", "0")), ("adler32",))
    started: list[object] = []

    async def compute(each: object, _key: object) -> dict[str, str]:
        started.append(each)
        return {"adler32": "0" * 8}

    harness.runner._compute = compute  # type: ignore[assignment,method-assign]
    joined = asyncio.ensure_future(harness.runner.run(job))
    await settled()
    running.cancel()
    assert await joined == {"adler32": "0" * 8}
    assert started == [job]
    assert harness.budget.taken == 0
    assert await harness.used(CONCURRENT_CALLS) == 0


async def test_memory_is_taken_before_an_object_is_requested_and_without_it_none_is() -> None:
    harness = Harness(b"one", memory=COPIES * SHARES * MAX_BYTES - 1)
    assert await harness.answers() == [None]
    assert harness.store.requests == []
    fitting = Harness(b"one", memory=COPIES * SHARES * MAX_BYTES)
    assert adler((await fitting.answers())[0])


def test_project_cannot_take_the_memory_of_others_and_all_is_given_back() -> None:
    budget = ContentBudget(SHARES * COPIES * 100)
    with budget.hold("a") as one, budget.hold("a") as two, budget.hold("b") as other:
        assert one.grow(60)
        assert not two.grow(60)
        assert other.grow(100)
        one.shrink(50)
        assert two.grow(60)
        assert budget.taken == COPIES * 170
    assert budget.taken == 0


async def test_each_object_costs_one_request_and_many_of_them_one_call() -> None:
    contents = [bytes([number]) * 10 for number in range(MAX_OBJECTS + 5)]
    harness = Harness(*contents)
    outcomes = await harness.answers()
    assert [adler(outcome) for outcome in outcomes] == [f"{zlib.adler32(each):08x}" for each in contents]
    assert harness.store.requests == list(harness.store.contents)
    assert harness.function.batches == [MAX_OBJECTS, 5]


async def test_objects_of_which_other_digests_are_missing_are_in_other_batches() -> None:
    harness = Harness(b"one", b"two", b"three")
    harness.store.changes["1"] = {"stored": {"adler32": "0" * 8}}
    outcomes = await harness.answers(algorithms=("adler32", "crc32"))
    assert harness.function.batches == [2, 1]
    assert adler(outcomes[1]) == "0" * 8
    for outcome, content in zip(outcomes, (b"one", b"two", b"three"), strict=True):
        assert isinstance(outcome, Answer)
        assert outcome.digests["crc32"].value == f"{zlib.crc32(content):08x}"
