"""Each object is computed once for all its events, and nothing that we write comes back to us as work."""

import asyncio
import dataclasses
from typing import Any

import pytest

from gateway.calls.call import Call
from gateway.checksums.known import Digest, Source
from gateway.checksums.service import Answer, ChecksumRequest
from gateway.errors import ErrorCode, GatewayError
from gateway.events.flow import EventCall, EventFlow, Outcome, _key
from gateway.events.records import Happening, ObjectEvent
from gateway.http.context import RequestContext
from gateway.identity.caller import Caller
from gateway.limits.model import LimitSubject
from gateway.objects.model import ObjectKind, ObjectRef, ObjectStat
from gateway.policy.names import Rule
from policies.names import NamespaceName, ProjectId
from tenancy.directory.protocol import Tenant
from tests.machine import scaled, settled

CALLER = Caller("t", "u", "alice", ProjectId("p"), "demo", frozenset(["member"]), 0)
TENANT = Tenant(ProjectId("p"), NamespaceName("faas-p"), {})
ALGORITHMS = ("adler32",)


def call_of(caller: Caller) -> Call:
    subject = LimitSubject(caller.project_id, caller.user_id)
    return Call(caller=caller, tenant=TENANT, subject=subject, context=RequestContext("req-1"), rule=Rule.EVENTS_SEND)


class Checksums:
    """Computes what it does not know; keeping a digest changes the ETag, as copies do in some stores."""

    def __init__(self, *, keeping_changes_etag: bool = False) -> None:
        self.keeping_changes_etag = keeping_changes_etag
        self.objects = {"o": 1}
        self.known: set[tuple[str, int]] = set()
        self.bound: set[str] = set()
        self.computed: list[str] = []
        self.kept: list[str] = []
        self.failures: list[ErrorCode] = []
        self.keeping_failures: list[ErrorCode] = []
        self.asked: list[ChecksumRequest] = []
        self.gate: asyncio.Event | None = None
        self.came = asyncio.Semaphore(0)

    async def answer(self, _call: Call, order: ChecksumRequest) -> Answer:
        self.asked.append(order)
        self.came.release()
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            raise GatewayError(self.failures.pop(0))
        name = order.ref.name
        if name not in self.objects:
            raise GatewayError(ErrorCode.OBJECT_NOT_FOUND)
        generation = self.objects[name]
        meta = {"x-amz-meta-checksum-source": "x"} if name in self.bound else {}
        stat = ObjectStat("p", "a", order.ref, "e", 9, ObjectKind.PLAIN, "text/plain", metadata=meta)
        source = Source.COMPUTED
        if (name, generation) in self.known:
            source = Source.STORED if name in self.bound else Source.REMEMBERED
        if source is Source.COMPUTED:
            self.computed.append(name)
            self.known.add((name, generation))
        if order.store and self.keeping_failures:
            raise GatewayError(self.keeping_failures.pop(0))
        if order.store and name not in self.kept_now():
            self.kept.append(name)
            self.bound.add(name)
            if self.keeping_changes_etag:
                self.objects[name] += 1
        return Answer(stat, {"adler32": Digest("11e60398", source)}, True if order.store else None)

    def kept_now(self) -> set[str]:
        return set() if self.keeping_changes_etag else self.bound


def event(
    happening: Happening = Happening.WRITTEN, *names: str, identity: str | None = "1", etag: str = "e"
) -> ObjectEvent:
    marks = None if identity is None else identity.encode()
    return ObjectEvent(happening, tuple(ObjectRef("c", name) for name in names or ("o",)), marks, etag)


class Harness:
    def __init__(self, checksums: Checksums | None = None, *, entries: int = 100) -> None:
        self.checksums = checksums or Checksums()
        self.events = EventFlow(self.checksums, entries=entries)  # type: ignore[arg-type]

    async def handle(self, one: ObjectEvent, caller: Caller = CALLER, algorithms: Any = ALGORITHMS) -> Outcome:
        return await self.events.handle(EventCall(call_of(caller), algorithms), one)


async def test_event_that_failed_is_worked_off_when_it_comes_again() -> None:
    harness = Harness()
    harness.checksums.failures = [ErrorCode.STORE_UNAVAILABLE]
    with pytest.raises(GatewayError):
        await harness.handle(event())
    assert await harness.handle(event()) is Outcome.COMPUTED
    assert await harness.handle(event()) is Outcome.DUPLICATE


async def test_event_is_done_only_if_the_digests_lie_with_the_object() -> None:
    harness = Harness()
    harness.checksums.objects["p"] = 1
    await harness.handle(event())
    await harness.handle(event(Happening.COPIED, "p", identity="copy"))
    assert [(order.store, order.must_store) for order in harness.checksums.asked] == [
        (True, True),
        (False, False),
        (True, True),
    ]


@pytest.mark.parametrize("happening", [Happening.WRITTEN, Happening.COPIED])
async def test_event_whose_digests_could_not_be_kept_is_worked_off_when_it_comes_again(happening: Happening) -> None:
    """Though they are remembered by then."""
    harness = Harness()
    harness.checksums.keeping_failures = [ErrorCode.STORE_UNAVAILABLE]
    with pytest.raises(GatewayError):
        await harness.handle(event(happening))
    assert harness.checksums.kept == []
    await harness.handle(event(happening))
    assert (harness.checksums.computed, harness.checksums.kept) == (["o"], ["o"])


async def test_store_that_gives_each_copy_another_etag_does_not_send_us_round_in_circles() -> None:
    harness = Harness(Checksums(keeping_changes_etag=True))
    await harness.handle(event(identity="put"))
    for number in range(10):
        await harness.handle(event(Happening.COPIED, identity=f"copy-{number}"))
    assert harness.checksums.kept == ["o"]
    assert len(harness.checksums.computed) <= 2


async def test_our_own_write_back_is_known() -> None:
    harness = Harness()
    assert await harness.handle(event(identity="put")) is Outcome.COMPUTED
    assert await harness.handle(event(Happening.COPIED, identity="copy")) is Outcome.KNOWN
    assert (harness.checksums.computed, harness.checksums.kept) == (["o"], ["o"])


async def test_copy_that_a_user_made_is_computed_and_kept() -> None:
    harness = Harness()
    assert await harness.handle(event(Happening.COPIED)) is Outcome.COMPUTED
    assert (harness.checksums.computed, harness.checksums.kept) == (["o"], ["o"])


async def test_duplicates_that_come_together_are_worked_off_once() -> None:
    harness = Harness()
    harness.checksums.gate = asyncio.Event()
    waiting = [asyncio.ensure_future(harness.handle(event())) for _ in range(20)]
    await settled()
    harness.checksums.gate.set()
    outcomes = await asyncio.gather(*waiting)
    assert sorted(outcomes) == [Outcome.COMPUTED] + [Outcome.DUPLICATE] * 19
    assert harness.checksums.computed == ["o"]


def test_memory_of_events_keeps_no_name_of_them() -> None:
    """What is kept of an event has one size, whoever chose its names."""
    call = EventCall(call_of(CALLER), ALGORITHMS)
    assert {len(_key(call, b"x" * size)) for size in (1, 1_000_000)} == {32}


async def test_event_of_another_project_or_for_other_digests_is_no_duplicate() -> None:
    harness = Harness()
    other = dataclasses.replace(CALLER, project_id=ProjectId("q"))
    await harness.handle(event())
    assert await harness.handle(event(), other) is not Outcome.DUPLICATE
    assert await harness.handle(event(), algorithms=("md5",)) is not Outcome.DUPLICATE


async def test_event_without_identity_is_looked_at_each_time_and_computed_once() -> None:
    harness = Harness()
    outcomes = [await harness.handle(event(identity=None)) for _ in range(3)]
    assert outcomes == [Outcome.COMPUTED, Outcome.KNOWN, Outcome.KNOWN]


async def test_object_that_is_gone_is_nobodys_failure_and_may_come() -> None:
    harness = Harness()
    one = event(Happening.WRITTEN, "none", "neither")
    assert [await harness.handle(one) for _ in range(2)] == [Outcome.GONE, Outcome.GONE]
    harness.checksums.objects["none"] = 1
    assert [await harness.handle(one) for _ in range(2)] == [Outcome.COMPUTED, Outcome.DUPLICATE]


async def test_event_about_other_content_than_the_store_shows_is_not_done() -> None:
    harness = Harness()
    early = event(etag="of content that is not visible yet")
    assert [await harness.handle(early) for _ in range(2)] == [Outcome.COMPUTED, Outcome.KNOWN]
    assert await harness.handle(event(etag="")) is Outcome.KNOWN


async def test_one_member_does_not_silence_the_events_of_another() -> None:
    """Whatever marks it puts on its own."""
    harness = Harness()
    other = dataclasses.replace(CALLER, user_id="mallory")
    assert await harness.handle(event(), other) is Outcome.COMPUTED
    harness.checksums.objects["o"] += 1
    assert await harness.handle(event()) is Outcome.COMPUTED


async def test_failure_of_one_member_is_none_of_anothers() -> None:
    harness = Harness()
    harness.checksums.gate = asyncio.Event()
    harness.checksums.failures = [ErrorCode.TOKEN_INVALID]
    bad = asyncio.ensure_future(harness.handle(event(), dataclasses.replace(CALLER, user_id="mallory")))
    await harness.checksums.came.acquire()
    good = asyncio.ensure_future(harness.handle(event()))
    # Joined to the other's work it would never come.
    await asyncio.wait_for(harness.checksums.came.acquire(), scaled(10))
    harness.checksums.gate.set()
    assert await good is Outcome.COMPUTED
    with pytest.raises(GatewayError):
        await bad


async def test_second_reading_of_a_key_counts_if_the_first_names_no_object() -> None:
    harness = Harness()
    harness.checksums.objects = {"a+b": 1}
    assert await harness.handle(event(Happening.WRITTEN, "a b", "a+b")) is Outcome.COMPUTED
    assert harness.checksums.computed == ["a+b"]


async def test_what_is_no_creation_is_ignored() -> None:
    harness = Harness()
    assert await harness.handle(event(Happening.OTHER)) is Outcome.IGNORED
    assert harness.checksums.computed == []


async def test_without_memory_what_is_known_is_still_not_computed_again() -> None:
    harness = Harness(entries=0)
    assert [await harness.handle(event()) for _ in range(2)] == [Outcome.COMPUTED, Outcome.KNOWN]
