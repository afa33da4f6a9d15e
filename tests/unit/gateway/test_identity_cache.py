"""Keystone's verdicts are remembered for seconds, in bounded space, and asked for once."""

import asyncio

import pytest

from gateway.errors import ErrorCode, GatewayError
from gateway.identity.cache import TokenCache
from gateway.identity.caller import Caller
from gateway.identity.outage import OutageError
from gateway.settings.identity import IdentitySettings
from policies.names import ProjectId
from tests.machine import settled

START = 1_800_000_000.0
UNKNOWN_TOKENS = 8


class Identity:
    """A Keystone whose verdicts are set by token, a wall clock and a stopwatch."""

    def __init__(
        self,
        *,
        entries: int = 100,
        seconds: float = 30,
        refusal_seconds: float = 10,
        outage_seconds: float = 0,
        validation_queue_timeout_seconds: float = 5,
    ) -> None:
        self.wall = START
        self.elapsed = 0.0
        self.asked: list[str] = []
        self.verdicts: dict[str, GatewayError] = {}
        self.lifetime = 3_600.0
        self.gate: asyncio.Event | None = None
        self.on_lookup: list[tuple[str, str]] = []
        self.cache = TokenCache(
            self.validate,
            IdentitySettings(
                token_cache_entries=entries,
                token_cache_seconds=seconds,
                token_rejection_cache_seconds=refusal_seconds,
                token_stale_seconds=outage_seconds,
                token_validation_concurrency=UNKNOWN_TOKENS,
                keystone_timeout_seconds=validation_queue_timeout_seconds,
            ),
            clock=lambda: self.wall,
            stopwatch=lambda: self.elapsed,
            on_lookup=lambda source, verdict: self.on_lookup.append((source, verdict)),
        )

    def pass_time(self, seconds: float) -> None:
        self.wall += seconds
        self.elapsed += seconds

    async def validate(self, token: str) -> Caller:
        self.asked.append(token)
        expires_at = START + self.lifetime
        if self.gate is not None:
            await self.gate.wait()
        if token in self.verdicts:
            raise self.verdicts[token]
        return Caller(token, "u", "alice", ProjectId("p"), "demo", frozenset(["member"]), expires_at)

    async def refusal(self, token: str) -> ErrorCode:
        with pytest.raises(GatewayError) as caught:
            await self.cache.caller_of(token)
        return caught.value.kind


async def test_caller_is_never_given_past_the_tokens_expiry() -> None:
    identity = Identity(seconds=30)
    identity.lifetime = 5
    await identity.cache.caller_of("t")
    identity.pass_time(4.999)
    await identity.cache.caller_of("t")
    assert identity.asked == ["t"]
    identity.pass_time(0.001)
    assert await identity.refusal("t") is ErrorCode.TOKEN_INVALID
    assert identity.asked == ["t", "t"]


async def test_wall_clock_that_jumps_ahead_ends_a_caller_too() -> None:
    identity = Identity()
    await identity.cache.caller_of("t")
    identity.wall += identity.lifetime
    assert await identity.refusal("t") is ErrorCode.TOKEN_INVALID


async def test_token_that_keystone_gives_after_its_expiry_is_invalid() -> None:
    identity = Identity()
    identity.lifetime = 0
    assert await identity.refusal("t") is ErrorCode.TOKEN_INVALID


async def test_caller_counts_for_thirty_seconds_and_use_does_not_prolong_it() -> None:
    identity = Identity(seconds=30)
    for _ in range(3):
        await identity.cache.caller_of("t")
        identity.pass_time(9.999)
    await identity.cache.caller_of("t")
    assert identity.asked == ["t"]
    identity.verdicts["t"] = GatewayError(ErrorCode.TOKEN_INVALID)
    identity.pass_time(0.01)
    assert await identity.refusal("t") is ErrorCode.TOKEN_INVALID


@pytest.mark.parametrize(
    "refusal", [GatewayError(ErrorCode.TOKEN_INVALID), GatewayError(ErrorCode.TOKEN_WRONG_SCOPE, scope="unscoped")]
)
async def test_refusal_is_remembered_for_its_own_time_with_its_sentence(refusal: GatewayError) -> None:
    identity = Identity(refusal_seconds=10)
    identity.verdicts["t"] = refusal
    for _ in range(3):
        with pytest.raises(GatewayError) as caught:
            await identity.cache.caller_of("t")
        assert (caught.value.kind, caught.value.message) == (refusal.kind, refusal.message)
    assert identity.asked == ["t"]
    identity.pass_time(10)
    await identity.refusal("t")
    assert identity.asked == ["t", "t"]


async def test_remembered_refusal_is_a_new_error_each_time() -> None:
    identity = Identity()
    identity.verdicts["t"] = GatewayError(ErrorCode.TOKEN_INVALID)
    await identity.refusal("t")
    with pytest.raises(GatewayError) as one:
        await identity.cache.caller_of("t")
    with pytest.raises(GatewayError) as other:
        await identity.cache.caller_of("t")
    assert one.value is not other.value


async def test_outage_is_not_remembered() -> None:
    identity = Identity()
    identity.verdicts["t"] = GatewayError(ErrorCode.KEYSTONE_UNAVAILABLE)
    assert await identity.refusal("t") is ErrorCode.KEYSTONE_UNAVAILABLE
    identity.verdicts.clear()
    assert (await identity.cache.caller_of("t")).user_id == "u"


async def test_known_caller_survives_an_outage_but_only_for_its_time() -> None:
    identity = Identity(seconds=30)
    await identity.cache.caller_of("t")
    identity.verdicts["t"] = GatewayError(ErrorCode.KEYSTONE_UNAVAILABLE)
    identity.pass_time(29)
    await identity.cache.caller_of("t")
    identity.pass_time(1)
    assert await identity.refusal("t") is ErrorCode.KEYSTONE_UNAVAILABLE


async def test_refusals_do_not_push_out_callers() -> None:
    identity = Identity(entries=5)
    for number in range(5):
        await identity.cache.caller_of(f"good-{number}")
    for number in range(100):
        identity.verdicts[f"bad-{number}"] = GatewayError(ErrorCode.TOKEN_INVALID)
        await identity.refusal(f"bad-{number}")
    identity.asked.clear()
    for number in range(5):
        await identity.cache.caller_of(f"good-{number}")
    assert identity.asked == []


async def test_space_is_bounded() -> None:
    identity = Identity(entries=10)
    for number in range(50):
        await identity.cache.caller_of(f"good-{number}")
        identity.verdicts[f"bad-{number}"] = GatewayError(ErrorCode.TOKEN_INVALID)
        await identity.refusal(f"bad-{number}")
    assert len(identity.cache._callers) == 10
    assert len(identity.cache._refusals) == 10


async def test_a_thousand_first_uses_at_once_ask_keystone_once() -> None:
    identity = Identity()
    identity.gate = asyncio.Event()
    waiting = [asyncio.create_task(identity.cache.caller_of("t")) for _ in range(1_000)]
    await settled()
    identity.gate.set()
    callers = await asyncio.gather(*waiting)
    assert identity.asked == ["t"]
    assert {caller.user_id for caller in callers} == {"u"}


async def test_a_thousand_first_uses_of_a_bad_token_are_all_refused_by_one_question() -> None:
    identity = Identity()
    identity.gate = asyncio.Event()
    identity.verdicts["t"] = GatewayError(ErrorCode.TOKEN_INVALID)
    waiting = [asyncio.create_task(identity.refusal("t")) for _ in range(1_000)]
    await settled()
    identity.gate.set()
    assert set(await asyncio.gather(*waiting)) == {ErrorCode.TOKEN_INVALID}
    assert identity.asked == ["t"]


async def test_caller_that_another_service_refused_is_asked_about_again() -> None:
    identity = Identity()
    await identity.cache.caller_of("t")
    identity.cache.forget("t")
    identity.cache.forget("never-seen")
    identity.verdicts["t"] = GatewayError(ErrorCode.TOKEN_INVALID)
    assert await identity.refusal("t") is ErrorCode.TOKEN_INVALID


async def test_no_caching_can_be_chosen() -> None:
    identity = Identity(seconds=0, refusal_seconds=0)
    identity.verdicts["bad"] = GatewayError(ErrorCode.TOKEN_INVALID)
    for _ in range(2):
        await identity.cache.caller_of("good")
        await identity.refusal("bad")
    assert identity.asked == ["good", "bad"] * 2


async def test_what_is_counted_says_who_decided() -> None:
    identity = Identity()
    identity.verdicts |= {
        "bad": GatewayError(ErrorCode.TOKEN_INVALID),
        "odd": GatewayError(ErrorCode.KEYSTONE_UNAVAILABLE),
    }
    for _ in range(2):
        await identity.cache.caller_of("good")
        await identity.refusal("bad")
        await identity.refusal("odd")
    assert identity.on_lookup == [
        ("keystone", "accepted"),
        ("keystone", "rejected"),
        ("keystone", "unknown"),
        ("cache", "accepted"),
        ("cache", "rejected"),
        ("keystone", "unknown"),
    ]


class TestOutage:
    """Who was known stays known for a bound while Keystone does not answer; nobody else gets in."""

    def identity(self, seconds: float = 60) -> Identity:
        return Identity(outage_seconds=seconds)

    async def test_nobody_unknown_gets_in(self) -> None:
        identity = self.identity()
        identity.verdicts["t"] = OutageError()
        assert await identity.refusal("t") is ErrorCode.KEYSTONE_UNAVAILABLE

    @pytest.mark.parametrize(
        ("elapsed", "known"), [(31, True), (89, True), (91, False)], ids=["after the cache", "within", "beyond"]
    )
    async def test_who_was_known_stays_known_for_the_bound(self, elapsed: float, known: bool) -> None:
        identity = self.identity()
        await identity.cache.caller_of("t")
        identity.verdicts["t"] = OutageError()
        identity.pass_time(elapsed)
        if known:
            assert (await identity.cache.caller_of("t")).user_id == "u"
            assert identity.on_lookup[-1] == ("outage", "accepted")
        else:
            assert await identity.refusal("t") is ErrorCode.KEYSTONE_UNAVAILABLE
            assert identity.on_lookup[-1] == ("keystone", "unknown")

    async def test_use_does_not_prolong_the_bound(self) -> None:
        identity = self.identity()
        await identity.cache.caller_of("t")
        identity.verdicts["t"] = OutageError()
        for _ in range(8):
            identity.pass_time(11)
            await identity.cache.caller_of("t")
        identity.pass_time(3)
        assert await identity.refusal("t") is ErrorCode.KEYSTONE_UNAVAILABLE

    async def test_token_does_not_outlive_its_expiry(self) -> None:
        identity = self.identity()
        identity.lifetime = 40
        await identity.cache.caller_of("t")
        identity.verdicts["t"] = OutageError()
        identity.pass_time(41)
        assert await identity.refusal("t") is ErrorCode.KEYSTONE_UNAVAILABLE

    async def test_token_that_keystone_refused_before_the_outage_stays_refused(self) -> None:
        identity = self.identity()
        await identity.cache.caller_of("t")
        identity.pass_time(31)
        identity.verdicts["t"] = GatewayError(ErrorCode.TOKEN_INVALID)
        assert await identity.refusal("t") is ErrorCode.TOKEN_INVALID
        identity.verdicts["t"] = OutageError()
        for elapsed in (1, 20):
            identity.pass_time(elapsed)
            assert await identity.refusal("t") in {ErrorCode.TOKEN_INVALID, ErrorCode.KEYSTONE_UNAVAILABLE}

    async def test_token_that_another_service_refused_is_forgotten_in_an_outage_too(self) -> None:
        identity = self.identity()
        await identity.cache.caller_of("t")
        identity.verdicts["t"] = OutageError()
        identity.cache.forget("t")
        assert await identity.refusal("t") is ErrorCode.KEYSTONE_UNAVAILABLE

    async def test_answer_that_is_not_understood_is_no_outage(self) -> None:
        identity = self.identity()
        await identity.cache.caller_of("t")
        identity.verdicts["t"] = GatewayError(ErrorCode.KEYSTONE_UNAVAILABLE)
        identity.pass_time(31)
        assert await identity.refusal("t") is ErrorCode.KEYSTONE_UNAVAILABLE

    async def test_bound_can_be_nothing(self) -> None:
        identity = self.identity(0)
        await identity.cache.caller_of("t")
        identity.verdicts["t"] = OutageError()
        identity.pass_time(31)
        assert await identity.refusal("t") is ErrorCode.KEYSTONE_UNAVAILABLE


async def test_flood_of_unknown_tokens_asks_a_few_at_a_time_and_the_known_do_not_wait_behind_it() -> None:
    """Unknown tokens queue for validation; recently accepted ones do not."""
    identity = Identity(seconds=1, outage_seconds=60)
    await identity.cache.caller_of("known")
    identity.pass_time(2)
    identity.gate = asyncio.Event()
    flood = [asyncio.ensure_future(identity.cache.caller_of(f"made-up {number}")) for number in range(100)]
    known = asyncio.ensure_future(identity.cache.caller_of("known"))
    await settled()
    assert len(identity.asked) == 1 + UNKNOWN_TOKENS + 1
    assert identity.asked[-1] == "known"
    identity.gate.set()
    assert (await known).token == "known"
    await asyncio.gather(*flood)


async def test_unknown_token_whose_turn_does_not_come_is_told_to_come_again() -> None:
    """503 and no verdict: nothing was learnt of it, so nothing is remembered."""
    identity = Identity(validation_queue_timeout_seconds=0.01)
    identity.gate = asyncio.Event()
    flood = [asyncio.ensure_future(identity.cache.caller_of(f"made-up {number}")) for number in range(UNKNOWN_TOKENS)]
    await asyncio.sleep(0)
    assert await identity.refusal("late") is ErrorCode.KEYSTONE_UNAVAILABLE
    assert "late" not in identity.asked
    identity.gate.set()
    await asyncio.gather(*flood)
    assert (await identity.cache.caller_of("late")).token == "late"


async def test_token_to_ask_about_again_queues_with_its_project_and_a_refused_or_unknown_one_with_none() -> None:
    identity = Identity(seconds=1, outage_seconds=60)
    await identity.cache.caller_of("known")
    project = (await identity.cache.caller_of("known")).project_id
    identity.pass_time(2)
    assert identity.cache.project_of("known") == project
    assert identity.cache.project_of("made-up") == ""
    identity.cache.forget("known")
    assert identity.cache.project_of("known") == ""
    assert identity.asked == ["known"]
