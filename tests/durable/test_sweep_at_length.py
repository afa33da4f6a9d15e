"""A sweep of many small objects: its rate, its memory, ten kills, and every finding. SWEEP_OBJECTS says how many."""

import asyncio
import json
import os
import random
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
import yarl
from sweeping import begin, content_of, csv_dump, lines_of, name_of, outputs, without_id
from test_sweeps import sweeping

from tests.machine import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(0)]

COUNT = int(os.environ.get("SWEEP_OBJECTS", "100000"))
# What is kept of the rate of the fastest plain client.
SHARE = 0.8
# Of a worker, over what it has before a sweep.
GROWTH_KIB = 96 * 1024
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
                    async with session.request(method, target, data=body) as response:
                        assert response.status in {200, 201, 204}, response.status
                        assert method != "GET" or await response.read() == data

            begun = time.monotonic()
            await asyncio.gather(*(worker() for _ in range(connections)))
            return time.monotonic() - begun

    return asyncio.run(all_of_them())


def resident_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


@pytest.fixture(scope="module")
def scene(start_gateway, cloud, backend):
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
    with sweeping(start_gateway, cloud, backend, "postgresql", **limits) as running:
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
    best = max(COUNT / exchanged(cloud, "GET", url, contents, connections=each) for each in (4, 8, 16))
    token = cloud.token("alice")
    with stage.worker() as worker:
        before = peak = resident_kib(worker.pid)
        begun = time.monotonic()
        location = begin(stage, token, "many", algorithms=["adler32"])
        while stage.show(token, location)["state"] in ("queued", "running"):
            peak = max(peak, resident_kib(worker.pid))
            time.sleep(0.5)
        rate = COUNT / (time.monotonic() - begun)
    ended(stage, lambda: token, location)
    print(f"\nplain client {best:.0f}/s, sweep {rate:.0f}/s ({rate / best:.2f}); worker {before} KiB, peak {peak} KiB")
    assert peak - before < GROWTH_KIB
    assert rate >= SHARE * best


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
    with stage.worker():
        whole = begin(stage, cloud.token("alice"), "many", **order)
        ended(stage, lambda: cloud.token("alice"), whole)
    location = begin(stage, cloud.token("alice"), "many", **order)
    for share in range(10):
        with stage.worker(OSFAAS_WORKER_LEASE_SECONDS="2") as worker:
            _until_share(stage, cloud, location, (share + random.Random(share).random()) / 11)
            worker.kill()
    with stage.worker():
        ended(stage, lambda: cloud.token("alice"), location)
    ours, theirs = (without_id(outputs(cloud, each), each) for each in (location, whole))
    assert ours == theirs
    found = {(each["finding"], each["path"]) for each in lines_of(ours, "report")}
    assert found == set(_named("corrupt", corrupted)) | set(_named("lost", deleted)) | set(_named("dark", added))
    summary = json.loads(ours["summary.json"])
    assert summary["objects"] == COUNT - len(deleted) + len(added)


def _named(finding: str, names: Iterable[str]) -> list[tuple[str, str]]:
    return [(finding, name) for name in names]


def _until_share(stage, cloud, location: str, share: float) -> None:
    """Waits until so much has been read, or the sweep has ended."""
    token = cloud.token("alice")

    def reached() -> bool:
        found = stage.show(token, location)
        return found["state"] == "succeeded" or found["progress"]["objects"] >= share * COUNT

    wait_until(reached, seconds=HOUR, what=f"{share:.0%} of the sweep")
