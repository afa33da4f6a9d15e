"""The story of a call with small fakes: a digest is never wrong, and nobody is failed by another's token."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest

from gateway.calls.admission import Admission
from gateway.calls.call import Call
from gateway.checksums.known import KnownDigests, Source
from gateway.checksums.service import Answer, ChecksumRequest, Checksums
from gateway.compute.job import CapabilityRefusedError, Job
from gateway.compute.object_function import Target
from gateway.compute.runner import Runner
from gateway.compute.slots import ComputeSlots
from gateway.errors import ErrorCode, GatewayError
from gateway.http.context import RequestContext
from gateway.http.head import RequestHead
from gateway.http.metrics import Metrics
from gateway.identity.caller import AccessRule, Caller
from gateway.limits.backend import InMemoryLimitBackend
from gateway.limits.background_throttle import BackgroundThrottle
from gateway.limits.limiter import ProjectLimiter
from gateway.limits.model import LimitSubject
from gateway.limits.service_queue import ServiceCallerQueue
from gateway.objects.model import ByteStream, Capability, ObjectKind, ObjectRef, ObjectStat, SignedUrl
from gateway.policy.names import Rule
from gateway.settings.limits import LimitSettings
from gateway.upstream.diagnostics import FunctionDiagnostics
from policies.model import Limits
from policies.names import NamespaceName, ProjectId
from tenancy.directory.protocol import FunctionAddress, Tenant
from tenancy.model.errors import NotOnboardedError
from tests.machine import scaled, settled

REF = ObjectRef("c", "o")
STAT = ObjectStat("p", "http://swift.test/v1/AUTH_p", REF, "e" * 32, 9, ObjectKind.PLAIN, "text/plain")
TENANT = Tenant(ProjectId("p"), NamespaceName("faas-p"), {"checksums": FunctionAddress("http://ingress.test")})
CALLER = Caller("t", "u", "alice", ProjectId("p"), "demo", frozenset(["member"]), 0)
SERVICE = dataclasses.replace(CALLER, token="s", user_name="dynafed", roles=frozenset(["service"]))
ADLER = {"adler32": "11e60398"}
HEAD = RequestHead("GET", b"/", b"", ())


class Identity:
    def __init__(self) -> None:
        self.caller = CALLER
        self.authorised: list[tuple[Caller, bool]] = []
        self.distrusted: list[Caller] = []

    async def identify(self, head: RequestHead) -> Caller:
        return self.caller

    def authorise(self, caller: Caller, head: RequestHead, rule: Rule, *, services: bool) -> None:
        assert rule is Rule.CHECKSUMS_GET
        self.authorised.append((caller, services))

    def has_service_role(self, caller: Caller) -> bool:
        return "service" in caller.roles

    def is_service(self, caller: Caller) -> bool:
        return "service" in caller.roles

    def invalidate(self, caller: Caller) -> None:
        self.distrusted.append(caller)

    def with_challenge(self, error: GatewayError) -> GatewayError:
        return error.with_headers({"WWW-Authenticate": "Keystone"})


class Directory:
    def __init__(self, *tenants: Tenant) -> None:
        self._tenants = {tenant.project_id: tenant for tenant in tenants}

    def tenant_of(self, project_id: ProjectId) -> Tenant:
        if project_id not in self._tenants:
            raise NotOnboardedError(project_id)
        return self._tenants[project_id]


class Store:
    """Gives the stats of a list, one after the other, and then the last one again."""

    def __init__(self, *stats: ObjectStat | GatewayError) -> None:
        self.stats = list(stats or (STAT,))
        self.stat_calls = 0
        self.offers: list[Capability] = [SignedUrl("tempurl", "http://x"), SignedUrl("s3", "http://y"), ByteStream()]
        self.kept: list[Mapping[str, str]] = []
        self.kept_beside: list[Mapping[str, str]] = []
        self.keeps: bool | GatewayError = True

    async def stat(self, caller: Caller, ref: ObjectRef) -> ObjectStat:
        self.stat_calls += 1
        stat = self.stats.pop(0) if len(self.stats) > 1 else self.stats[0]
        if isinstance(stat, GatewayError):
            raise stat
        return stat

    async def capabilities(self, caller: Caller, stat: ObjectStat) -> AsyncIterator[Capability]:
        for offer in self.offers:
            yield offer

    async def keep(self, caller: Caller, stat: ObjectStat, digests: Mapping[str, str]) -> bool:
        self.kept.append(dict(digests))
        self.kept_beside.append(stat.metadata)
        if isinstance(self.keeps, GatewayError):
            raise self.keeps
        return self.keeps


class Function:
    """Computes, or fails as it is told for a capability or for a caller's token."""

    retry_seconds = 0.0

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.asked: list[tuple[str, ...]] = []
        self.pauses: list[Callable[[], Awaitable[None]] | None] = []
        self.failures: dict[str, Exception] = {}
        self.refusals_after: dict[str, tuple[float, int]] = {}
        self.gate: asyncio.Event | None = None
        self.cancelled = 0

    async def compute(self, job: Job[dict[str, str]], target: Target, capability: Capability) -> dict[str, str]:
        caller, algorithms = job.call.caller, job.contract.algorithms  # type: ignore[attr-defined]
        self.pauses.append(target.pause)
        self.calls.append((caller.token, capability.name))
        self.asked.append(tuple(algorithms))
        if self.gate is not None:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        seconds, left = self.refusals_after.get(capability.name, (0, 0))
        if left:
            self.refusals_after[capability.name] = seconds, left - 1
            await asyncio.sleep(seconds)
            raise CapabilityRefusedError
        for key in (capability.name, caller.token):
            if key in self.failures:
                raise self.failures[key]
        return {name: ADLER.get(name, "a" * 8) for name in algorithms}


class Harness:
    def __init__(
        self,
        store: Store | None = None,
        *,
        directory: Directory | None = None,
        limit: int = 10,
        bytes_per_second: int = 0,
        requests_per_second: int = 0,
        answer_seconds: float = 60,
        trust_foreign: bool = False,
    ) -> None:
        self.identity = Identity()
        self.store = store or Store()
        self.function = Function()
        self.known = KnownDigests(10, trust_foreign=trust_foreign)
        settings = LimitSettings.model_construct(
            project_concurrent_calls=limit,
            project_requests_per_second=requests_per_second,
            project_bytes_per_second=bytes_per_second,
            limit_burst_seconds=1,
            limit_debt_seconds=60,
            limit_queue_size=4,
            limit_wait_seconds=0.02,
            service_queue_size=4,
            response_timeout_seconds=60,
        )
        limiter = self.limiter = ProjectLimiter(InMemoryLimitBackend(), settings, Metrics())
        known_tenants: Any = directory or Directory(TENANT)
        identity: Any = self.identity
        self.admission = Admission(identity, known_tenants, limiter)
        store: Any = self.store
        function: Any = self.function
        runner = Runner(
            store=store,
            function=function,
            slots=ComputeSlots(
                limiter=limiter,
                services=ServiceCallerQueue(1, 1),
                throttle=BackgroundThrottle(),
                answer_seconds=answer_seconds,
            ),
            diagnostics=FunctionDiagnostics(known_tenants),
            metrics=Metrics(),
        )
        self.checksums = Checksums(
            admission=self.admission, store=store, known=self.known, runner=runner, metrics=Metrics()
        )

    async def admit(self, head: RequestHead, context: RequestContext | None = None) -> Call:
        context = context or RequestContext()
        context.head = head
        return await self.admission.admit(context, Rule.CHECKSUMS_GET, services=True)

    async def answer(self, *algorithms: str, caller: Caller = CALLER, tenant: Tenant = TENANT, **order: bool) -> Answer:
        request = ChecksumRequest(REF, algorithms or ("adler32",), **order)
        return await self.checksums.answer(call_of(caller, tenant), request)

    async def refusal(self, *algorithms: str, **kwargs: Any) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            await self.answer(*algorithms, **kwargs)
        return caught.value


def call_of(caller: Caller = CALLER, tenant: Tenant = TENANT) -> Call:
    subject = LimitSubject(caller.project_id, caller.user_id, tenant.limits, "service" in caller.roles)
    return Call(caller=caller, tenant=tenant, subject=subject, context=RequestContext(), rule=Rule.CHECKSUMS_GET)


def other(token: str) -> Caller:
    return dataclasses.replace(CALLER, token=token)


@pytest.mark.parametrize("change", [{"etag": "f" * 32}, {"size": 8}, {"etag": "f" * 32, "size": 0}])
async def test_object_that_changed_while_it_was_read_gets_no_digest_and_none_is_remembered(
    change: dict[str, Any],
) -> None:
    changed = dataclasses.replace(STAT, **change)
    harness = Harness(Store(STAT, changed))
    assert (await harness.refusal(store=True)).kind is ErrorCode.OBJECT_CHANGED
    assert harness.known.of(STAT) == harness.known.of(changed) == {}
    assert harness.store.kept == []


async def test_object_that_vanished_while_it_was_read_gets_no_digest() -> None:
    harness = Harness(Store(STAT, GatewayError(ErrorCode.OBJECT_NOT_FOUND)))
    assert (await harness.refusal()).kind is ErrorCode.OBJECT_NOT_FOUND
    assert harness.known.of(STAT) == {}


@pytest.mark.parametrize("kind", [ErrorCode.OBJECT_NOT_FOUND, ErrorCode.OBJECT_FORBIDDEN, ErrorCode.STORE_UNAVAILABLE])
async def test_what_is_remembered_is_not_given_to_whom_the_store_does_not_show_the_object(kind: ErrorCode) -> None:
    harness = Harness(Store(GatewayError(kind)))
    harness.known.remember(STAT, ADLER)
    assert (await harness.refusal()).kind is kind
    assert harness.function.calls == []


async def test_token_that_the_store_refuses_is_distrusted_and_challenged() -> None:
    harness = Harness(Store(GatewayError(ErrorCode.TOKEN_INVALID)))
    error = await harness.refusal()
    assert error.kind is ErrorCode.TOKEN_INVALID
    assert "WWW-Authenticate" in error.headers
    assert harness.identity.distrusted == [CALLER]


async def test_project_without_a_function_is_told_so_only_if_one_is_needed() -> None:
    harness = Harness()
    bare = dataclasses.replace(TENANT, functions={})
    assert (await harness.refusal(tenant=bare)).kind is ErrorCode.FUNCTION_NOT_ENABLED
    harness.known.remember(STAT, ADLER)
    assert (await harness.answer(tenant=bare)).digests["adler32"].source is Source.REMEMBERED


async def test_capability_that_is_refused_is_followed_by_the_next() -> None:
    harness = Harness()
    harness.function.failures = {"tempurl": CapabilityRefusedError(), "s3": CapabilityRefusedError()}
    assert (await harness.answer()).digests["adler32"].value == "11e60398"
    assert [capability for _, capability in harness.function.calls] == ["tempurl", "s3", "stream"]


@pytest.mark.parametrize(("refusals", "used"), [(1, ["tempurl"] * 2), (9, ["tempurl", "tempurl", "s3"])])
async def test_url_that_ran_out_while_the_function_was_busy_is_signed_anew_once(refusals: int, used: list[str]) -> None:
    harness = Harness()
    harness.store.offers[0] = SignedUrl("tempurl", "http://x", 0.01)
    harness.function.refusals_after = {"tempurl": (0.02, refusals)}
    assert (await harness.answer()).digests["adler32"].value == "11e60398"
    assert [capability for _, capability in harness.function.calls] == used


async def test_object_that_no_capability_reads_is_forbidden() -> None:
    harness = Harness()
    harness.function.failures = {"t": CapabilityRefusedError()}
    assert (await harness.refusal()).kind is ErrorCode.OBJECT_FORBIDDEN
    harness.store.offers = []
    assert (await harness.refusal()).kind is ErrorCode.OBJECT_FORBIDDEN


@pytest.mark.parametrize("kind", [ErrorCode.FUNCTION_BUSY, ErrorCode.OBJECT_TRUNCATED, ErrorCode.FUNCTION_UNREACHABLE])
async def test_failure_of_the_function_is_no_reason_to_try_another_capability(kind: ErrorCode) -> None:
    harness = Harness()
    harness.function.failures = {"tempurl": GatewayError(kind, function="f")}
    assert (await harness.refusal()).kind is kind
    assert len(harness.function.calls) == 1


async def test_place_in_the_budget_is_needed_and_given_back() -> None:
    harness = Harness(limit=1)
    harness.function.gate = asyncio.Event()
    running = asyncio.create_task(harness.answer())
    await settled()
    assert (await harness.refusal("crc32")).kind is ErrorCode.CONCURRENCY_EXCEEDED
    harness.function.gate.set()
    await running
    await harness.answer("crc32")


async def used(harness: Harness, name: str) -> float:
    return {use.name: use.usage for use in await harness.limiter.use(call_of().subject)}[name]


async def test_object_is_not_read_while_the_project_is_in_debt_for_bytes() -> None:
    harness = Harness(Store(dataclasses.replace(STAT, size=1_000)), bytes_per_second=10)
    await harness.answer()
    assert (await harness.refusal("crc32")).kind is ErrorCode.BYTES_EXCEEDED
    assert len(harness.function.calls) == 1


async def test_what_is_known_is_given_even_in_debt_and_counts_no_bytes() -> None:
    harness = Harness(Store(dataclasses.replace(STAT, size=1_000)), bytes_per_second=10)
    await harness.answer()
    before = await used(harness, "bytes_per_second")
    await harness.answer()
    assert await used(harness, "bytes_per_second") <= before


async def test_bytes_of_an_object_for_which_there_is_no_place_are_given_back() -> None:
    harness = Harness(Store(dataclasses.replace(STAT, size=10**6)), limit=0, bytes_per_second=10)
    assert (await harness.refusal()).kind is ErrorCode.CONCURRENCY_EXCEEDED
    assert await used(harness, "bytes_per_second") == 0


async def test_many_who_ask_for_the_same_bytes_pay_for_them_once() -> None:
    harness = Harness(Store(dataclasses.replace(STAT, size=15)), bytes_per_second=10)
    await asyncio.gather(*(harness.answer(caller=other(str(number))) for number in range(20)))
    assert await used(harness, "bytes_per_second") <= 15


async def test_debt_of_a_service_is_none_of_the_users() -> None:
    harness = Harness(Store(dataclasses.replace(STAT, size=10**6)), bytes_per_second=10)
    await harness.answer(caller=SERVICE)
    await harness.answer("crc32")


@pytest.mark.parametrize("limits", [None, Limits(requests_per_second=1, concurrent_calls=9)])
async def test_calls_are_counted_when_they_are_admitted_by_the_records_limit_if_it_has_one(
    limits: Limits | None,
) -> None:
    harness = Harness(requests_per_second=3, directory=Directory(dataclasses.replace(TENANT, limits=limits)))
    head = RequestHead("GET", b"/v1/checksums/c/o", b"", ())
    for _ in range(limits.requests_per_second if limits else 3):
        await harness.admit(head)
    with pytest.raises(GatewayError) as caught:
        await harness.admit(head)
    assert caught.value.kind is ErrorCode.RATE_EXCEEDED


async def test_call_that_may_not_be_made_counts_for_nobody() -> None:
    harness = Harness(requests_per_second=1, directory=Directory(dataclasses.replace(TENANT, suspended="unpaid")))
    for _ in range(3):
        with pytest.raises(GatewayError) as caught:
            await harness.admit(HEAD)
        assert caught.value.kind is ErrorCode.TENANT_SUSPENDED
    assert await used(harness, "requests_per_second") == 0


async def test_callers_of_the_same_bytes_join_one_computation() -> None:
    harness = Harness(limit=1)
    harness.function.gate = asyncio.Event()
    waiting = [asyncio.create_task(harness.answer(caller=other(str(number)))) for number in range(50)]
    await settled()
    harness.function.gate.set()
    answers = await asyncio.gather(*waiting)
    assert len(harness.function.calls) == 1
    assert {answer.digests["adler32"].value for answer in answers} == {"11e60398"}


@pytest.mark.parametrize("kind", [ErrorCode.TOKEN_INVALID, ErrorCode.OBJECT_FORBIDDEN])
async def test_caller_who_joined_is_not_failed_by_the_starters_token(kind: ErrorCode) -> None:
    harness = Harness()
    harness.function.gate = asyncio.Event()
    harness.function.failures = {"starter": GatewayError(kind)}
    starter = asyncio.create_task(harness.answer(caller=other("starter")))
    await settled()
    joined = asyncio.create_task(harness.answer(caller=other("joined")))
    await settled()
    harness.function.gate.set()
    results = await asyncio.gather(starter, joined, return_exceptions=True)
    assert isinstance(results[0], GatewayError)
    assert results[0].kind is kind
    assert isinstance(results[1], Answer)
    assert [token for token, _ in harness.function.calls] == ["starter", "joined"]
    assert other("joined") not in harness.identity.distrusted


async def test_second_caller_who_joined_is_not_failed_by_the_token_of_the_first_who_did() -> None:
    harness = Harness()
    harness.function.gate = asyncio.Event()
    harness.function.failures = {token: GatewayError(ErrorCode.TOKEN_INVALID) for token in ("starter", "first")}
    tasks = []
    for token in ("starter", "first", "second"):
        tasks.append(asyncio.create_task(harness.answer(caller=other(token))))
        await settled()
    harness.function.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, Answer) for result in results] == [False, False, True]
    assert [token for token, _ in harness.function.calls] == ["starter", "first", "second"]
    assert harness.identity.distrusted == [other("starter"), other("first")]


async def test_starter_who_leaves_does_not_stop_those_who_joined_and_the_last_one_stops_the_work() -> None:
    harness = Harness()
    harness.function.gate = asyncio.Event()
    starter = asyncio.create_task(harness.answer(caller=other("starter")))
    joined = asyncio.create_task(harness.answer(caller=other("joined")))
    await settled()
    starter.cancel()
    await settled()
    assert harness.function.cancelled == 0
    joined.cancel()
    await settled()
    assert harness.function.cancelled == 1


async def test_computation_of_a_caller_who_will_return_continues_and_its_digest_is_known_then() -> None:
    harness = Harness()
    harness.function.gate = asyncio.Event()
    caller = asyncio.create_task(harness.answer(returning=True))
    await settled()
    caller.cancel()
    await settled()
    harness.function.gate.set()
    await settled()
    assert (await harness.answer()).digests["adler32"] == ("11e60398", Source.REMEMBERED)
    assert (len(harness.function.calls), harness.function.cancelled) == (1, 0)


async def test_computation_that_waits_for_a_slot_ends_with_its_caller_even_one_who_will_return() -> None:
    harness = Harness(limit=1)
    harness.function.gate = asyncio.Event()
    running = asyncio.create_task(harness.answer("md5", force=True))
    await settled()
    queued = asyncio.create_task(harness.answer(returning=True))
    await settled()
    queued.cancel()
    await settled()
    harness.function.gate.set()
    await running
    await settled()
    assert harness.function.asked == [("md5",)]


async def test_service_waits_for_a_place_while_users_of_the_project_have_theirs() -> None:
    harness = Harness(limit=1)
    harness.function.gate = asyncio.Event()
    services = [asyncio.create_task(harness.answer(name, caller=SERVICE)) for name in ("crc32", "crc32c")]
    await settled()
    user = asyncio.create_task(harness.answer("sha1"))
    await settled()
    assert harness.function.asked == [("crc32",), ("sha1",)]
    assert (await harness.refusal("md5", caller=SERVICE)).kind is ErrorCode.CONCURRENCY_EXCEEDED
    harness.function.gate.set()
    await asyncio.gather(user, *services)
    assert harness.function.asked[2:] == [("crc32c",)]


async def test_user_does_not_wait_in_the_line_of_a_service_for_the_same_bytes() -> None:
    harness = Harness()
    harness.function.gate = asyncio.Event()
    services = [asyncio.create_task(harness.answer(name, caller=SERVICE)) for name in ("crc32", "sha1")]
    await settled()
    user = asyncio.create_task(harness.answer("sha1"))
    await settled()
    assert harness.function.asked == [("crc32",), ("sha1",)]
    assert harness.function.calls[1][0] == CALLER.token
    harness.function.gate.set()
    await asyncio.gather(user, *services)


async def test_service_joins_what_a_user_has_started() -> None:
    harness = Harness()
    harness.function.gate = asyncio.Event()
    calls = [asyncio.create_task(harness.answer(caller=caller)) for caller in (CALLER, SERVICE)]
    await settled()
    harness.function.gate.set()
    await asyncio.gather(*calls)
    assert len(harness.function.calls) == 1


async def test_computation_that_takes_too_long_goes_on_and_is_joined_by_who_asks_again() -> None:
    harness = Harness(answer_seconds=scaled(0.3))
    harness.function.gate = asyncio.Event()
    refusal = await harness.refusal()
    assert (refusal.kind, refusal.retry_after_seconds) == (ErrorCode.COMPUTATION_RUNNING, 1)
    again = asyncio.create_task(harness.answer())
    await settled()
    harness.function.gate.set()
    assert (await again).digests["adler32"].value == "11e60398"
    assert (len(harness.function.calls), harness.function.cancelled) == (1, 0)


async def test_digest_of_another_tool_is_computed_anew_unless_the_operator_trusts_it() -> None:
    foreign = dataclasses.replace(STAT, foreign={"adler32": "0badc0de"})
    assert (await Harness(Store(foreign)).answer()).digests["adler32"] == ("11e60398", Source.COMPUTED)
    trusting = Harness(Store(foreign), trust_foreign=True)
    assert (await trusting.answer()).digests["adler32"] == ("0badc0de", Source.FOREIGN)
    assert trusting.function.calls == []


async def test_digest_of_another_tool_is_never_kept_as_ours() -> None:
    harness = Harness(Store(dataclasses.replace(STAT, foreign={"adler32": "0badc0de"})), trust_foreign=True)
    assert (await harness.answer("adler32", "crc32", store=True)).stored is True
    assert harness.store.kept == [{"crc32": "a" * 8}]


async def test_call_of_a_service_is_noted_for_the_audit_before_it_is_authorised() -> None:
    harness = Harness()
    harness.identity.caller = SERVICE
    context = RequestContext()
    head = RequestHead("HEAD", b"/v1/checksums/c/o", b"", ())
    await harness.admit(head, context)
    assert context.service_caller is SERVICE
    assert harness.identity.authorised == [(SERVICE, True)]


@pytest.mark.parametrize(
    "outcome", [False, GatewayError(ErrorCode.STORE_UNAVAILABLE), GatewayError(ErrorCode.TOKEN_INVALID)]
)
async def test_store_that_does_not_take_the_digests_makes_them_no_less_true(outcome: bool | GatewayError) -> None:
    harness = Harness()
    harness.store.keeps = outcome
    answer = await harness.answer(store=True)
    assert answer.stored is False
    assert answer.digests["adler32"].value == "11e60398"


@pytest.mark.parametrize("kind", [ErrorCode.STORE_UNAVAILABLE, ErrorCode.TOKEN_INVALID])
async def test_who_must_have_them_stored_hears_of_a_failure_that_may_pass(kind: ErrorCode) -> None:
    harness = Harness()
    harness.store.keeps = GatewayError(kind)
    assert (await harness.refusal(store=True, must_store=True)).kind is kind
    harness.store.keeps = False
    assert (await harness.answer(store=True, must_store=True)).stored is False


async def test_digests_are_kept_only_on_demand_and_only_those_that_are_not_there() -> None:
    assert (await Harness().answer()).stored is None
    harness = Harness(Store(dataclasses.replace(STAT, stored=ADLER)))
    assert (await harness.answer("adler32", "crc32", store=True)).stored is True
    assert harness.store.kept == [{"crc32": "a" * 8}]
    assert (await harness.answer("adler32", store=True)).stored is True
    assert len(harness.store.kept) == 1


async def test_metadata_that_changed_during_the_computation_is_kept_as_it_is_now() -> None:
    before, meanwhile, now = (
        dataclasses.replace(STAT, metadata={"x-object-meta-colour": colour}) for colour in ("blue", "red", "green")
    )
    harness = Harness(Store(before, meanwhile, now))
    assert (await harness.answer(store=True)).stored is True
    assert harness.store.kept_beside == [now.metadata]


class RememberingStore(Store):
    """Replaces all metadata at once, some steps after it was told to, as real stores do."""

    async def keep(self, caller: Caller, stat: ObjectStat, digests: Mapping[str, str]) -> bool:
        await settled()
        self.stats = [dataclasses.replace(STAT, stored={**stat.stored, **digests})]
        return await super().keep(caller, stat, digests)


async def test_digests_that_calls_store_at_once_are_all_stored_and_each_once() -> None:
    harness = Harness(RememberingStore())
    requests = (("adler32",), ("crc32",), ("adler32",), ("adler32", "crc32"))
    answers = await asyncio.gather(*(harness.answer(*names, store=True) for names in requests))
    assert all(answer.stored for answer in answers)
    assert harness.store.stats[0].stored == {**ADLER, "crc32": "a" * 8}
    assert sorted(name for kept in harness.store.kept for name in kept) == ["adler32", "crc32"]


async def test_digests_are_not_kept_with_an_object_that_changed_after_the_computation() -> None:
    harness = Harness(Store(STAT, STAT, dataclasses.replace(STAT, etag="f" * 32)))
    assert (await harness.answer(store=True)).stored is False
    assert harness.store.kept == []


async def test_only_what_is_missing_is_computed() -> None:
    harness = Harness(Store(dataclasses.replace(STAT, native={"md5": "e" * 32}, stored=ADLER)))
    answer = await harness.answer("crc32", "md5", "adler32")
    assert harness.function.asked == [("crc32",)]
    assert list(answer.digests) == ["crc32", "md5", "adler32"]
    assert [d.source for d in answer.digests.values()] == [Source.COMPUTED, Source.NATIVE, Source.STORED]


async def test_second_call_is_answered_from_memory_after_the_store_was_asked() -> None:
    harness = Harness()
    await harness.answer()
    stats = harness.store.stat_calls
    assert (await harness.answer()).digests["adler32"].source is Source.REMEMBERED
    assert harness.store.stat_calls == stats + 1
    assert len(harness.function.calls) == 1


async def test_force_computes_what_is_known() -> None:
    harness = Harness(Store(dataclasses.replace(STAT, stored={"adler32": "f" * 8})))
    answer = await harness.answer(force=True)
    assert answer.digests["adler32"].value == "11e60398"
    assert answer.digests["adler32"].source is Source.COMPUTED


async def test_project_that_is_not_onboarded_is_told_how_it_can_be() -> None:
    with pytest.raises(GatewayError) as caught:
        await Harness(directory=Directory()).admit(HEAD)
    assert caught.value.kind is ErrorCode.TENANT_NOT_ONBOARDED
    assert "osfaas tenant onboard p" in caught.value.message


async def test_suspended_project_is_told_why() -> None:
    suspended = dataclasses.replace(TENANT, suspended="unpaid")
    with pytest.raises(GatewayError) as caught:
        await Harness(directory=Directory(suspended)).admit(HEAD)
    assert caught.value.kind is ErrorCode.TENANT_SUSPENDED
    assert "unpaid" in caught.value.message


async def test_admitted_caller_leaves_ids_for_the_log_line_and_no_token() -> None:
    context = RequestContext()
    call = await Harness().admit(HEAD, context)
    assert (call.caller, call.tenant) == (CALLER, TENANT)
    assert context.log.present() == {"user_id": "u", "project_id": "p"}


async def test_credential_whose_rules_leave_out_the_store_is_told_so_and_not_distrusted() -> None:
    restricted = dataclasses.replace(CALLER, access_rules=(AccessRule("function", "GET", "/v1/**"),))
    harness = Harness(Store(GatewayError(ErrorCode.TOKEN_INVALID)))
    assert (await harness.refusal(caller=restricted)).kind is ErrorCode.OBJECT_DENIED_BY_RULE
    assert harness.identity.distrusted == []


async def test_streams_of_services_are_told_to_give_way_and_those_of_users_are_not() -> None:
    harness = Harness()
    await harness.answer("sha1", caller=SERVICE)
    await harness.answer("md5")
    assert [pause is not None for pause in harness.function.pauses] == [True, False]


async def test_user_who_waits_is_given_way_until_the_answer() -> None:
    harness = Harness()
    harness.function.gate = asyncio.Event()
    service = asyncio.create_task(harness.answer("sha1", caller=SERVICE))
    user = asyncio.create_task(harness.answer("md5"))
    await settled()
    yield_to_interactive = harness.function.pauses[0]
    assert yield_to_interactive is not None
    pause = asyncio.create_task(yield_to_interactive())
    await asyncio.sleep(0)
    assert not pause.done()
    harness.function.gate.set()
    await asyncio.gather(user, service)
    await pause
