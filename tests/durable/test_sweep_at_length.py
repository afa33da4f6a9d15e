"""A sweep of many small objects: its rate, its memory, ten kills, and every finding. SWEEP_OBJECTS says how many."""

import asyncio
import itertools
import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import yarl
from sweeping import begin, content_of, csv_dump, lines_of, name_of, outputs, without_id
from test_sweeps import sweeping

from gateway.settings import Settings
from tests.bench.measure import resident_mib
from tests.machine import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(0)]

COUNT = int(os.environ.get("SWEEP_OBJECTS", "100000"))
# What is kept of the rate of the fastest plain client.
SHARE = 0.8
# So many are enough to know a client's rate.
SAMPLE = 10_000
# As Swift's own client.
ATTEMPTS = 6
# Workers of other tests look for work more often.
AS_BY_DEFAULT = {"OSFAAS_WORKER_POLL_SECONDS": str(Settings.model_fields["worker_poll_seconds"].default)}
# Of a worker, over what it has before a sweep.
GROWTH_MIB = 96
HOUR = 3_600


def exchanged(cloud, method: str, url: str, contents: Mapping[str, bytes], *, connections: int) -> float:
    """Sends a request for each object; returns the seconds."""
    headers = {"X-Auth-Token": cloud.token("alice")}

    async def all_of_them() -> float:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections), headers=headers) as session:
            names = iter(contents.items())

            async def worker() -> None:
                for name, data in names:
                    target = yarl.URL(f"{url}/{quote(name)}", encoded=True)
                    body = data if method == "PUT" else None
                    for again in reversed(range(ATTEMPTS)):
                        async with session.request(method, target, data=body) as response:
                            # Swift's sentence for a server that has too much to do.
                            if response.status == 503 and again:
                                continue
                            assert response.status in {200, 201, 204}, response.status
                            assert method != "GET" or await response.read() == data
                            break

            begun = time.monotonic()
            await asyncio.gather(*(worker() for _ in range(connections)))
            return time.monotonic() - begun

    return asyncio.run(all_of_them())


@pytest.fixture(scope="module")
def scene(servers, start_gateway, cloud, backend):
    """Gateway with parts of the usual size, and a container with its contents."""
    url = f"{cloud.account_url('alice')}/many"
    contents = {name_of(number): content_of(number) for number in range(COUNT)}
    session = cloud.session("alice")
    for each in (url, f"{cloud.account_url('alice')}/dumps"):
        session.put(each)
    exchanged(cloud, "PUT", url, contents, connections=16)
    parts = str(max(50, min(5_000, COUNT // 20)))
    # The limits of the project are no subject here; known digests would be.
    limits = {"OSFAAS_DIGEST_CACHE_ENTRIES": "0", "OSFAAS_SWEEP_PART_OBJECTS": parts}
    # As by default: other tests ask ten times as often, which costs more than reading.
    limits["OSFAAS_SWEEP_RECHECK_SECONDS"] = str(Settings.model_fields["sweep_recheck_seconds"].default)
    with sweeping(servers, "postgresql", start_gateway, cloud, backend, **limits) as running:
        yield running, url, contents


def ended(stage, token_of, location: str) -> dict:
    document: dict = {}

    def has_ended() -> bool:
        document.update(stage.show(token_of(), location))
        return document["state"] not in ("queued", "running")

    wait_until(has_ended, seconds=HOUR, what="the end of the sweep")
    assert document["state"] == "succeeded", document["error"]
    return document


def test_rate_and_memory(scene, cloud):
    stage, url, contents = scene
    some = dict(itertools.islice(contents.items(), 0, None, max(1, COUNT // SAMPLE)))
    plain = {each: len(some) / exchanged(cloud, "GET", url, some, connections=each) for each in (4, 8, 16)}
    connections, best = max(plain.items(), key=lambda each: each[1])
    say(f"plain client: {best:.0f} objects/s over {connections} connections, the fastest of {len(plain)}")
    token = cloud.token("alice")
    with stage.worker(**AS_BY_DEFAULT) as worker:
        watched = {"worker": worker.pid, "gateway": stage.gateway.service.pid}
        before = {name: resident_mib(pid) for name, pid in watched.items()}
        peak = dict(before)
        begun = time.monotonic()
        location = begin(stage, token, "many", algorithms=["adler32"])
        while stage.show(token, location)["state"] in ("queued", "running"):
            peak = {name: max(peak[name], resident_mib(pid)) for name, pid in watched.items()}
            time.sleep(2)
        seconds = time.monotonic() - begun
    ended(stage, lambda: token, location)
    rate = COUNT / seconds
    say(f"sweep: {rate:.0f} objects/s, {1000 / rate:.1f} s for each 1,000 objects")
    say(f"ratio of the rates: {rate / best:.2f} ({SHARE} is wanted)")
    for name in watched:
        say(f"memory of the {name}: {before[name]:.0f} MiB before, {peak[name]:.0f} MiB at most")
    assert peak["worker"] - before["worker"] < GROWTH_MIB
    assert rate >= SHARE * best


def say(text: str) -> None:
    print(f"\n    {COUNT} objects, load {os.getloadavg()[0]:.1f}: {text}", end="", flush=True)


def changed(names: list[str]) -> tuple[list[str], list[str], list[str]]:
    """One in a hundred corrupted, deleted, added."""
    chosen = random.Random(5).sample(names, 2 * max(1, COUNT // 100))
    half = len(chosen) // 2
    return chosen[:half], chosen[half:], [f"{name} new" for name in chosen[:half]]


def test_ten_kills_and_every_finding(scene, cloud):
    stage, url, contents = scene
    corrupted, deleted, added = changed(list(contents))
    exchanged(cloud, "PUT", url, {name: contents[name][:-2] + b"?\n" for name in corrupted}, connections=8)
    exchanged(cloud, "PUT", url, dict.fromkeys(added, b"new"), connections=8)
    exchanged(cloud, "DELETE", url, dict.fromkeys(deleted, b""), connections=8)
    time.sleep(1.1)
    cloud.session("alice").put(f"{cloud.account_url('alice')}/dumps/many.csv", data=csv_dump(contents))
    order = {"against": {"container": "dumps", "object": "many.csv"}, "algorithms": ["adler32"]}
    with stage.worker(**AS_BY_DEFAULT):
        begun = time.monotonic()
        whole = begin(stage, cloud.token("alice"), "many", **order)
        ended(stage, lambda: cloud.token("alice"), whole)
    say(f"sweep against a dump: {1000 * (time.monotonic() - begun) / COUNT:.1f} s for each 1,000 objects")
    begun = time.monotonic()
    location = begin(stage, cloud.token("alice"), "many", **order)
    killed = []
    for share in range(10):
        with stage.worker(OSFAAS_WORKER_LEASE_SECONDS="2") as worker:
            killed.append(_until_share(stage, cloud, location, (share + random.Random(share).random()) / 11))
            worker.kill()
    with stage.worker():
        ended(stage, lambda: cloud.token("alice"), location)
    say(f"sweep killed at {killed} objects: {1000 * (time.monotonic() - begun) / COUNT:.1f} s for each 1,000 objects")
    assert killed[-1] < COUNT
    ours, theirs = (without_id(outputs(cloud, each), each) for each in (location, whole))
    assert ours == theirs
    found = {(each["finding"], each["path"]) for each in lines_of(ours, "report")}
    say(f"findings: {dict(Counter(finding for finding, _ in found))}; results of both sweeps equal")
    assert found == set(_named("corrupt", corrupted)) | set(_named("lost", deleted)) | set(_named("dark", added))
    summary = json.loads(ours["summary.json"])
    assert summary["objects"] == COUNT - len(deleted) + len(added)


def _named(finding: str, names: Iterable[str]) -> list[tuple[str, str]]:
    return [(finding, name) for name in names]


def _until_share(stage, cloud, location: str, share: float) -> int:
    """Waits until so much has been read, or the sweep has ended; how many objects have been."""
    token, found = cloud.token("alice"), dict[str, Any]()

    def reached() -> bool:
        found.update(stage.show(token, location))
        return found["state"] == "succeeded" or found["progress"]["objects"] >= share * COUNT

    wait_until(reached, seconds=HOUR, what=f"{share:.0%} of the sweep")
    return int(found["progress"]["objects"])
