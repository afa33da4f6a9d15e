"""Each toxic on each way, before, during and after the head of the answer: 63 cells, each with its one outcome.

A barrier behind Toxiproxy holds the answer at its place, the toxic is put on the way, and the rest of the answer goes:
before, nothing of it has come; during, half of its status line; after, its head up to the empty line. Of the store it
is the answer with the content. Toxiproxy puts a toxic on connections that are open, so those that the gateway has kept
from earlier calls are struck as well. Only a reset needs a connection that was opened under it, while it slept.

What only delays changes nothing but the time. What takes something away is the failure of the side that it is on.
"""

import concurrent.futures
import hashlib
import time

import httpx
import pytest
from leftovers import assert_nothing_left, left_open, wait_until_ended

from tests.machine import scaled

DATA = bytes(range(256)) * 200
SHA1 = hashlib.sha1(DATA).hexdigest()
QUESTION = "?algorithm=sha1&force=true"

# How the request begins whose answer is held.
HELD = {"keystone": b"GET /v3/auth/tokens", "store": b"GET /", "function": b"POST /"}
BUCKET = "data"
PATH = f"/v1/checksums/{BUCKET}/toxic"
PLACES = ("before", "during", "after")
# Milliseconds, KB/s, bytes; the slicer's delay is in microseconds.
TOXICS: dict[str, dict[str, int]] = {
    "latency": {"latency": 300},
    "bandwidth": {"rate": 1},
    "slow_close": {"delay": 500},
    "timeout": {"timeout": 0},
    "reset_peer": {"timeout": 0},
    "slicer": {"average_size": 64, "delay": 1_000},
    "limit_data": {"bytes": 0},
}
Outcome = tuple[int, str | None]
FINE: Outcome = (200, None)
KEYSTONE: Outcome = (503, "keystone.unavailable")
STORE: Outcome = (503, "store.unavailable")
SHORT: Outcome = (502, "object.truncated")
UNREACHABLE: Outcome = (503, "function.unreachable")
FAILED: Outcome = (502, "function.failed")
LATE: Outcome = (504, "function.timeout")

# By way and toxic, the outcomes at the three places.
OUTCOMES: dict[tuple[str, str], tuple[Outcome, Outcome, Outcome]] = {
    **{(way, name): (FINE, FINE, FINE) for way in HELD for name in ("latency", "slow_close", "slicer")},
    **{("keystone", name): (KEYSTONE,) * 3 for name in ("bandwidth", "timeout", "reset_peer", "limit_data")},
    ("store", "bandwidth"): (LATE, LATE, LATE),
    ("store", "timeout"): (STORE, STORE, SHORT),
    ("store", "reset_peer"): (STORE, STORE, SHORT),
    ("store", "limit_data"): (STORE, STORE, SHORT),
    # Its answer is short enough for a kilobyte per second; Keystone's and the content are not.
    ("function", "bandwidth"): (FINE, FINE, FINE),
    ("function", "timeout"): (LATE, LATE, LATE),
    # Half a status line is no answer either.
    ("function", "reset_peer"): (UNREACHABLE, UNREACHABLE, FAILED),
    ("function", "limit_data"): (UNREACHABLE, UNREACHABLE, FAILED),
}
CELLS = [
    pytest.param(way, place, name, outcome, id=f"{way}-{name}-{place}")
    for (way, name), outcomes in OUTCOMES.items()
    for place, outcome in zip(PLACES, outcomes, strict=True)
]


def ask(toxic, token: str) -> httpx.Response:
    return toxic.gateway.get(PATH + QUESTION, token, headers={"Accept": "application/json"})


def outcome_of(response: httpx.Response) -> Outcome:
    errors = response.json().get("errors")
    return response.status_code, errors[0]["code"] if errors else None


def struck(toxic, token: str, way: str, place: str, name: str) -> tuple[httpx.Response, float]:
    """The answer of a call whose upstream is struck there; and how many seconds it took from then on."""
    proxy, barrier = toxic.ways[way], toxic.barriers[way]
    if name == "reset_peer":
        # Toxiproxy makes a connection's end a reset only if the toxic was there when the connection began.
        proxy.add(name, toxicity=0.0, **TOXICS[name])
        barrier.drop()
        wait_until_ended(toxic, proxy.port)
    # Without a close there is nothing to slow down.
    held = barrier.hold(HELD[way], place, last=name == "slow_close")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, toxic, token)
        try:
            assert held.there.wait(scaled(10)), "the answer has not come to its place"
            time.sleep(0.1)  # for what was let through to arrive
            if name == "reset_peer":
                proxy.wake(name)
            else:
                proxy.add(name, **TOXICS[name])
            begun = time.monotonic()
        finally:
            held.go.set()
        return answer.result(scaled(60)), time.monotonic() - begun


@pytest.fixture(scope="module")
def quiet(toxic_gateway, store, cloud):
    """What is open while nothing is asked, once everything has been asked."""
    store.filler.put(BUCKET, "toxic", DATA)
    for _ in range(3):
        assert ask(toxic_gateway, cloud.token("alice")).status_code == 200
    time.sleep(0.5)
    return left_open(toxic_gateway)


def test_there_are_63_cells():
    assert len(CELLS) == len(HELD) * len(PLACES) * len(TOXICS) == 63


@pytest.mark.parametrize(("way", "place", "name", "outcome"), CELLS)
def test_each_cell_has_its_outcome_and_leaves_nothing(toxic, quiet, cloud, way, place, name, outcome):
    token = cloud.token("alice")
    response, seconds = struck(toxic, token, way, place, name)
    assert outcome_of(response) == outcome, response.text
    if outcome == FINE:
        assert SHA1 in response.text
    if name == "latency":
        assert seconds >= 0.3
    toxic.clean()
    assert_nothing_left(toxic, quiet)
    time.sleep(0.12)  # longer than the circuit stays open
    again = ask(toxic, token)
    assert outcome_of(again) == FINE, again.text
