"""No wrong digest is ever given as a success, whatever happens to the read."""

import time
from concurrent.futures import ProcessPoolExecutor

import pytest
from checksums_function.source import Reading
from fault_reads import FAULTS, KNOWN_FAILURES, Tally, careless_reading, reads, report, run

from gateway.objects.http import StoreClient


def judge(tally: Tally) -> None:
    assert not tally.wrong
    assert set(tally.outcomes) <= KNOWN_FAILURES | {"right"}
    assert set(tally.faults) == set(FAULTS) - {"good"}
    total = sum(tally.outcomes.values())
    assert tally.outcomes["right"] > total / 10, "a test in which nothing succeeds shows nothing"
    assert tally.outcomes["right"] < total * 9 / 10


async def test_no_wrong_digest_in_some_thousand_reads() -> None:
    """The short one, always the same."""
    begun = time.monotonic()
    tally = await reads(seed=7, count=3_000)
    report(tally, time.monotonic() - begun)
    judge(tally)


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_no_wrong_digest_in_a_hundred_thousand_reads() -> None:
    """Another seed each day, which the report of a failure names."""
    begun, seed = time.monotonic(), int(time.time()) // 86_400
    total = Tally()
    with ProcessPoolExecutor(2) as processes:
        for tally in processes.map(run, [seed * 100 + part for part in range(20)], [5_000] * 20):
            total.outcomes += tally.outcomes
            total.faults += tally.faults
            total.wrong += tally.wrong
    report(total, time.monotonic() - begun)
    judge(total)


async def test_without_the_functions_look_at_etag_and_size_wrong_digests_are_found(monkeypatch) -> None:
    """The positive control: the same reads by a reader that takes whatever comes."""
    monkeypatch.setattr(Reading, "_check", lambda *_: None)
    tally = await reads(seed=7, count=600)
    assert len(tally.wrong) > 10


async def test_without_the_gateways_look_at_the_etag_wrong_digests_are_found(monkeypatch) -> None:
    """The positive control for bytes that go through the gateway."""

    monkeypatch.setattr(StoreClient, "reading", careless_reading)
    tally = await reads(seed=7, count=600)
    assert len(tally.wrong) > 3
