"""Many calls: one execution for one key, fair turns, clocks that step, and how many are accepted in a second."""

import os
import statistics
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import httpx
import psutil
import pytest
from databases import databases
from sqlalchemy import insert, select

from gateway.settings import Settings
from operations.store import accepting
from operations.store.database import Database
from operations.store.model import new_id
from operations.store.schema import operations, requests
from tests.bench.measure import Probe
from tests.bench.probe import explain
from tests.machine import scaled

pytestmark = pytest.mark.long

_CALLERS, _SECONDS = 16, 10.0


@pytest.fixture(scope="module")
def servers():
    """On the disk: a commit costs what it costs an operator."""
    with databases(on_disk=True) as made:
        yield made


def test_two_requests_with_one_key_in_parallel_are_one_execution(durable, backend, token):
    """500 times."""
    word = f"/twice-{durable.database.name}-"

    def twice(number: int) -> set[str]:
        path = f"/v1/invoke/echo{word}{number}"
        with ThreadPoolExecutor(2) as pair:
            found = list(pair.map(lambda _: durable.post(token, path, Idempotency_Key=f"twice-{number}"), range(2)))
        assert {response.status_code for response in found} <= {202, 409}
        return {response.headers["Location"] for response in found}

    with durable.worker(), ThreadPoolExecutor(4) as pool:
        locations = list(pool.map(twice, range(500)))
        assert {len(each) for each in locations} == {1}
        for (location,) in locations:
            assert durable.ended(token, location, seconds=300)["state"] == "succeeded"
    executed = Counter(each.line for each in backend.seen if word.encode() in each.line)
    assert len(executed) == 500
    assert set(executed.values()) == {1}


def fill(durable, location: str, count: int) -> None:
    """Queues so many copies of a queued call: a request or a transaction for each would take longer than the test."""

    def copy(connection) -> None:
        copies = [new_id() for _ in range(count)]
        for table, key in ((operations, operations.c.id), (requests, requests.c.operation_id)):
            wanted = select(table).where(key == location.rpartition("/")[2])
            row = dict(connection.execute(wanted).mappings().one())
            connection.execute(insert(table), [{**row, key.name: each} for each in copies])

    database = Database(durable.database.url, connections=1, retry_seconds=30)
    database.run_here(copy)
    database.close()


def queued(durable, project_id: str) -> int:
    """How many calls of a project have not ended."""
    database = Database(durable.database.url, connections=1, retry_seconds=30)
    found = database.run_here(accepting.usage, project_id)
    database.close()
    return found.unfinished


def waits(durable, token: str, count: int) -> list[float]:
    """How long calls wait for their beginning that come one a second, in seconds."""
    locations = []
    for _ in range(count):
        locations.append(durable.accepted(token, "/v1/invoke/echo/few"))
        time.sleep(1)
    found = []
    for location in locations:
        ended = durable.ended(token, location, seconds=120)
        found.append(_seconds(ended["started_at"]) - _seconds(ended["created_at"]))
    return found


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_project_with_ten_thousand_queued_calls_delays_no_other(durable, cloud, backend):
    few, many = cloud.token("bob"), cloud.token("alice")
    # As an operator has it, who sets nothing.
    polling = {"OSFAAS_WORKER_POLL_SECONDS": str(Settings.model_fields["worker_poll_seconds"].default)}
    with durable.worker(**polling):
        durable.ended(few, durable.accepted(few, "/v1/invoke/echo/few"))
        idle = statistics.quantiles(waits(durable, few, 20), n=20)[-1]
    fill(durable, durable.accepted(many, "/v1/invoke/echo/many"), 10_000)
    with durable.worker(**polling):
        busy = statistics.quantiles(waits(durable, few, 20), n=20)[-1]
        left = queued(durable, cloud.users["alice"].project_id)
    # Otherwise nothing stood beside the last of the few.
    assert left
    print(
        f"\n    {durable.database.name}: p95 of the wait {1000 * idle:.0f} ms idle, {1000 * busy:.0f} ms beside 10,000",
        f"queued calls, of which {left} were left ({busy / idle:.1f} times); load {os.getloadavg()[0]:.1f}",
    )
    assert busy <= max(2 * idle, scaled(0.5))


@pytest.mark.parametrize("step", ["+1h", "-1h"])
def test_clock_of_the_worker_steps(durable, backend, cloud, step, tmp_path):
    """libfaketime: the clock that the worker reads jumps by an hour while it works, and back."""
    # Alice may have a long queue.
    token = cloud.token("bob")
    (library,) = map(str, Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    stamp = tmp_path / "clock"
    stamp.write_text("+0")
    faked = {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(stamp),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    ended = threading.Event()

    def jump() -> None:
        while not ended.wait(0.5):
            stamp.write_text(step if stamp.read_text() == "+0" else "+0")

    path = f"/v1/invoke/echo/clock-{durable.database.name}{step.replace('+', 'p')}"
    threading.Thread(target=jump, daemon=True).start()
    try:
        with durable.worker(**faked):
            locations = []
            for _ in range(30):
                locations.append(durable.accepted(token, path))
                time.sleep(0.1)
            states = [durable.ended(token, location)["state"] for location in locations]
    finally:
        ended.set()
    assert states == ["succeeded"] * 30
    assert sum(path.rpartition("/")[2].encode() in each.line for each in backend.seen) == 30


def processors(durable) -> dict[str, float]:
    """CPU seconds so far of each party to a call, with its children."""
    roots = {"gateway": durable.gateway.service.pid, "client": os.getpid()}
    if durable.database.server is not None:
        roots["database"] = durable.database.server.process.pid
    return {name: _cpu_seconds(psutil.Process(pid)) for name, pid in roots.items()}


def _cpu_seconds(process: psutil.Process) -> float:
    # The test itself has started all the others.
    family = [process] if process.pid == os.getpid() else [process, *process.children(recursive=True)]
    return sum(sum(each.cpu_times()[:2]) for each in family)


def test_accepted_calls_per_second(durable, cloud):
    """The figure for docs, with its profile; it asserts only that calls are accepted."""
    # What it leaves in a queue delays nobody else.
    token = cloud.token("carol")
    durable.accepted(token)
    before, load = processors(durable), os.getloadavg()[0]
    waited = accepted_calls(durable, token)
    spent = {name: (after - before[name]) / len(waited) for name, after in processors(durable).items()}
    print(
        f"\n    {durable.database.name}: {len(waited) / _SECONDS:.0f} accepted calls a second,",
        f"p50 {1000 * statistics.median(waited):.0f} ms, load before {load:.1f}; CPU of one:",
        ", ".join(f"{name} {1000 * each:.1f} ms" for name, each in spent.items()),
    )
    server = durable.database.server
    probe = Probe(
        repeat=lambda: accepted_calls(durable, token),
        profiled=("gateway", durable.gateway.service.pid),
        beside={"database": server.process.pid} if server is not None else {},
    )
    print(*(f"    {line}" for line in explain(probe)), sep="\n")


def accepted_calls(durable, token: str) -> list[float]:
    """How long each call waited for its 202, with sixteen callers at once, in seconds."""
    deadline, waited = time.monotonic() + _SECONDS, []

    def client() -> None:
        headers = {"X-Auth-Token": token, "Prefer": "respond-async"}
        with httpx.Client(base_url=durable.gateway.url, headers=headers, timeout=scaled(60)) as session:
            while (begun := time.monotonic()) < deadline:
                response = session.post("/v1/invoke/echo/rate", content=b"x" * 100)
                if response.status_code == 202:
                    waited.append(time.monotonic() - begun)
                else:
                    assert response.status_code == 429, response.text

    with ThreadPoolExecutor(_CALLERS) as callers:
        for each in [callers.submit(client) for _ in range(_CALLERS)]:
            each.result()
    assert waited
    return waited
