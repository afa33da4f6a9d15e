"""No wrong digest is given as a success, whatever happens on the way to a real store or to the object in it."""

import contextlib
import time
from collections.abc import Iterator

import pytest
from checksums_function.source import Reading
from fault_reads import KNOWN_FAILURES, Tally, careless_reading, reads_of, report
from faulty_reads import FAULTS, FaultySource, plan_of

from gateway.objects.http import StoreClient

BUCKET = "data"


@pytest.fixture
def source(store, cloud) -> Iterator[FaultySource]:
    with contextlib.closing(FaultySource(store, BUCKET, cloud.seed.ec2)) as opened:
        yield opened


async def tally_of(source: FaultySource, count: int, seed: int = 7) -> Tally:
    begun = time.monotonic()
    tally = await reads_of(source, seed, count, plan_of)
    report(tally, time.monotonic() - begun)
    return tally


def check(tally: Tally) -> None:
    assert not tally.wrong
    assert set(tally.outcomes) <= KNOWN_FAILURES | {"right"}
    total = sum(tally.outcomes.values())
    assert total / 10 < tally.outcomes["right"] < total * 9 / 10, "a test in which nothing succeeds shows nothing"


@pytest.mark.timeout(1_200)
async def test_no_wrong_digest_in_some_hundred_reads(source):
    check(await tally_of(source, 300))


async def test_without_the_functions_look_at_etag_and_size_wrong_digests_are_found(source, monkeypatch):
    """The positive control: the same reads by a reader that takes whatever comes."""
    monkeypatch.setattr(Reading, "_check", lambda *_: None)
    assert len((await tally_of(source, 200)).wrong) > 3


async def test_without_the_gateways_look_at_the_etag_wrong_digests_are_found(source, monkeypatch):
    """The positive control for bytes that go through the gateway."""
    monkeypatch.setattr(StoreClient, "reading", careless_reading)
    assert (await tally_of(source, 200)).wrong


@pytest.mark.long
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize(
    ("store", "count"), [("rgw-account", 9_000), ("rgw-s3", 1_000)], indirect=["store"], scope="session"
)
async def test_no_wrong_digest_in_ten_thousand_reads_of_ceph(source, count):
    """Another seed each day, which the report of a failure names. By S3 a read takes several times as long."""
    tally = await tally_of(source, count, seed=int(time.time()) // 86_400)
    check(tally)
    assert set(tally.faults) == set(FAULTS) - {"good"}
