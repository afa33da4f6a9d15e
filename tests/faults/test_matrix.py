"""Each toxic on each way, before, during and after the head of the answer: each cell has its outcome.

Before: nothing of the answer has come. During: some bytes of its head have. After: the head has come, the body has not.
Where a toxic strikes is set by bytes (`limit_data`, `slicer`) or by time (`latency`, `reset_peer`, `slow_close`);
`bandwidth` and `timeout` have no such place: nothing gets through from the start. A toxic that only delays must change
nothing but the time; one that takes something away is the failure of the side that it is on.
"""

import hashlib
import time
from pathlib import Path

import httpx
import pytest

DATA = bytes(range(256)) * 200
SHA1 = hashlib.sha1(DATA).hexdigest()

FINE = {(200, None)}
SILENT = {
    "keystone": {(503, "function.keystone.unavailable")},
    "store": {(503, "function.store.unavailable"), (502, "function.read.short")},
    "function": {
        (503, "function.function.unreachable"),
        (504, "function.function.timeout"),
        (502, "function.function.failed"),
    },
}
# How far into an answer "during" and "after" are, in bytes: in the status line, and a little behind the shortest head.
PLACES = {"before": 0, "during": 9, "after": 400}
Put = tuple[str, str, dict[str, int]]


def toxics(place: str) -> dict[str, tuple[Put, bool]]:
    """By name: what is put on the way, and whether something may be lost by it."""
    late = {"before": 0, "during": 1, "after": 3}[place]
    anywhere: dict[str, tuple[Put, bool]] = {
        "latency": (("latency", "upstream" if place == "before" else "downstream", {"latency": 300}), False),
        "slicer": (("slicer", "downstream", {"average_size": 200 + PLACES[place], "delay": 1_000}), False),
        "slow_close": (("slow_close", "upstream" if place == "before" else "downstream", {"delay": 500}), False),
        "reset_peer": (("reset_peer", "downstream", {"timeout": late}), True),
        "limit_data": (("limit_data", "downstream", {"bytes": max(1, PLACES[place])}), True),
    }
    if place == "before":
        anywhere["bandwidth"] = ("bandwidth", "upstream", {"rate": 0}), True
        anywhere["timeout"] = ("timeout", "downstream", {"timeout": 0}), True
    return anywhere


def outcome(response: httpx.Response) -> tuple[int, str | None]:
    errors = response.json().get("errors") if response.headers["content-type"].startswith("application/json") else None
    return response.status_code, errors[0]["code"] if errors else None


def left_open(gateway) -> tuple[int, float, float]:
    descriptors = len(list(Path(f"/proc/{gateway.service.pid}/fd").iterdir()))
    return descriptors, gateway.metric("osfaas_tasks"), gateway.metric("osfaas_requests_in_flight")


@pytest.fixture(scope="module")
def quiet(toxic_gateway, bucket, cloud):
    """What is open while nothing is asked, once everything has been asked."""
    bucket.put("toxic", DATA)
    gateway, path = toxic_gateway.gateway, bucket.path("toxic") + "?algorithm=sha1&force=true"
    for _ in range(3):
        assert gateway.get(path, cloud.token("alice")).status_code == 200
    return left_open(gateway)


CELLS = [
    pytest.param(way, place, name, id=f"{way}-{name}-{place}")
    for way in ("keystone", "store", "function")
    for place in PLACES
    for name in toxics(place)
]


@pytest.mark.parametrize(("way", "place", "name"), CELLS)
def test_each_cell_has_its_outcome_and_leaves_nothing(toxic, quiet, bucket, cloud, way, place, name):
    """A lossy toxic may still strike behind the last byte that matters: then the answer is right."""
    gateway, token = toxic.gateway, cloud.token("alice")
    (kind, stream, attributes), lossy = toxics(place)[name]
    toxic.ways[way].add(kind, stream, **attributes)
    response = gateway.get(
        bucket.path("toxic") + "?algorithm=sha1&force=true", token, headers={"Accept": "application/json"}
    )
    found = outcome(response)
    if lossy and (place == "before" or name == "limit_data") and place != "after":
        assert found in SILENT[way], response.text
    elif lossy:
        assert found in SILENT[way] | FINE, response.text
    else:
        assert found in FINE, response.text
    if response.status_code == 200:
        assert SHA1 in response.text
    toxic.clean()
    assert_nothing_left(gateway, quiet)
    time.sleep(0.12)
    assert gateway.get(bucket.path("toxic") + "?algorithm=sha1&force=true", token).status_code == 200


def assert_nothing_left(gateway, quiet) -> None:
    """Within some seconds: no task, no descriptor, no request."""
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        now = left_open(gateway)
        if now[0] <= quiet[0] + 4 and now[1] <= quiet[1] + 1 and now[2] <= 1:
            return
        time.sleep(0.1)
    raise AssertionError(f"left open: {now}, when quiet: {quiet}")
