"""Many calls: one execution for one key, fair turns, clocks that step, and how many are accepted in a second."""

import statistics
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from operations.store import accepting
from operations.store.database import Database
from operations.store.model import NewOperation, Request, new_id
from operations.store.schema import delegations
from tests.machine import scaled

pytestmark = pytest.mark.long
HOUR_MS = 3_600_000


def test_two_requests_with_one_key_in_parallel_are_one_execution(durable, worker, backend, token):
    """500 times."""

    def twice(number: int) -> set[str]:
        path = f"/v1/invoke/echo/twice-{number}"
        with ThreadPoolExecutor(2) as pair:
            found = list(pair.map(lambda _: durable.post(token, path, Idempotency_Key=f"twice-{number}"), range(2)))
        assert {response.status_code for response in found} <= {202, 409}
        return {response.headers["Location"] for response in found}

    with ThreadPoolExecutor(4) as pool:
        locations = list(pool.map(twice, range(500)))
    assert {len(each) for each in locations} == {1}
    for (location,) in locations:
        assert durable.ended(token, location, seconds=300)["state"] == "succeeded"
    executed = Counter(each.line for each in backend.seen if b"/twice-" in each.line)
    assert len(executed) == 500
    assert set(executed.values()) == {1}


def fill(durable, project_id: str, user_id: str, count: int) -> None:
    """Queues calls as the gateway does, without its requests, with the delegation that the user has."""
    database = Database(durable.database.url, connections=1, retry_seconds=30)
    wanted = select(delegations.c.id).where(delegations.c.project_id == project_id, delegations.c.ending.is_(False))
    delegation_id = database.run_here(lambda connection: connection.execute(wanted).scalars().first())

    def many(connection) -> None:
        for _ in range(500):
            request = Request(method="POST", target=b"/v1/invoke/echo/many", fields=(), body=b"")
            new = NewOperation(
                id=new_id(),
                project_id=project_id,
                user_id=user_id,
                kind="invoke",
                subject="echo",
                request_id="req",
                request=request,
                fingerprint="f",
                repeatable=False,
                delegation_id=delegation_id,
                max_age_ms=HOUR_MS,
                retention_ms=HOUR_MS,
            )
            accepting.accept(connection, new)

    for _ in range(count // 500):
        database.run_here(many)
    database.close()


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
    with durable.worker():
        durable.ended(few, durable.accepted(few, "/v1/invoke/echo/few"))
        idle = statistics.quantiles(waits(durable, few, 20), n=20)[-1]
        durable.accepted(many, "/v1/invoke/echo/many")
        fill(durable, cloud.users["alice"].project_id, cloud.users["alice"].id, 10_000)
        busy = statistics.quantiles(waits(durable, few, 20), n=20)[-1]
    print(f"\n    p95 of the wait: {1000 * idle:.0f} ms idle, {1000 * busy:.0f} ms beside 10,000 queued calls")
    assert busy <= max(2 * idle, scaled(0.5))


@pytest.mark.parametrize("step", ["+1h", "-1h"])
def test_clock_of_the_worker_steps(durable, backend, token, step, tmp_path):
    """libfaketime: the clock that the worker reads jumps by an hour while it works, and back."""
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

    path = f"/v1/invoke/echo/clock{step.replace('+', 'p')}"
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


def test_accepted_calls_per_second(durable, cloud):
    """The figure for docs; it asserts only that all are accepted."""
    token, seconds, accepted = cloud.token("alice"), 10.0, []
    deadline = time.monotonic() + seconds

    def client() -> None:
        headers = {"X-Auth-Token": token, "Prefer": "respond-async"}
        with httpx.Client(base_url=durable.gateway.url, headers=headers, timeout=scaled(60)) as session:
            while time.monotonic() < deadline:
                response = session.post("/v1/invoke/echo/rate", content=b"x" * 100)
                if response.status_code == 202:
                    accepted.append(1)
                else:
                    assert response.status_code == 429, response.text

    threads = [threading.Thread(target=client) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"\n    {durable.database.name}: {len(accepted) / seconds:.0f} accepted calls a second")
    assert accepted
