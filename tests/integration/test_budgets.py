"""Budgets over HTTP: what two gateways admit together, what happens when their store dies, and what callers see."""

import asyncio
import collections
import contextlib
import json
import random
import re
import threading
import time

import aiohttp
import httpx
import pytest
import yaml
from conftest import Gateway
from echo import echo, plainly

from tests.machine import scaled

INVOKE = "/v1/invoke/echo"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def code(response) -> str:
    return response.json()["errors"][0]["code"]


@contextlib.contextmanager
def gateways_before(start_gateway, cloud, backend, token: str, *, count: int = 2, **settings: str):
    """Some gateways with one function of alice's, `echo`; all know her token."""
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(start_gateway(**settings)) for _ in range(count)]
        function = {"echo": {"url": backend.url, "callable": True}}
        tenants = [{"project_id": cloud.users["alice"].project_id, "functions": function}]
        for gateway in made:
            gateway.tenants.write_text(yaml.safe_dump({"tenants": tenants}))
        time.sleep(1.1)
        for gateway in made:
            assert gateway.get("/v1/limits", token).status_code == 200
        yield made


async def statuses(made: list[Gateway], token: str, calls: int) -> collections.Counter[int]:
    """Answers to so many calls at the same time, to the gateways in turn."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:

        async def one(number: int) -> int:
            url = made[number % len(made)].url + f"{INVOKE}/{number}"
            async with client.get(url, headers={"X-Auth-Token": token}) as response:
                await response.read()
                return response.status

        return collections.Counter(await asyncio.gather(*map(one, range(calls))))


async def counted(made: list[Gateway], calls: int) -> list[float]:
    """Good answers by gateway, as soon as there are so many: they are counted when they have been sent."""
    deadline = time.monotonic() + scaled(30)
    while True:
        found = [
            gateway.metric("osfaas_requests_total", route="invoke", method="GET", status="200") for gateway in made
        ]
        if sum(found) >= calls or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("count", [2, 4])
async def test_several_gateways_admit_no_more_calls_per_second_together_than_one_may(
    start_gateway, cloud, alice, valkey, count
):
    settings = {
        "OSFAAS_LIMIT_STORE_URL": valkey.url,
        "OSFAAS_LIMIT_STORE_TIMEOUT_SECONDS": str(scaled(5)),
        "OSFAAS_PROJECT_REQUESTS_PER_SECOND": "1",
        "OSFAAS_LIMIT_BURST_SECONDS": "40",
        "OSFAAS_LIMIT_WAIT_SECONDS": "0",
        "OSFAAS_PROJECT_CONCURRENT_CALLS": "1000",
    }
    with (
        echo(plainly(EMPTY)) as backend,
        gateways_before(start_gateway, cloud, backend, alice, count=count, **settings) as made,
    ):
        started = time.monotonic()
        seen = collections.Counter[int]()
        for _ in range(12):
            seen += await statuses(made, alice, 10)
        most = 40 + time.monotonic() - started + 1
        reached = len(backend.seen)
        admitted = await counted(made, seen[200])
    assert set(seen) == {200, 429}
    assert 40 <= seen[200] <= most
    assert reached == seen[200]
    assert sum(admitted) == seen[200]
    assert min(admitted) > 0


async def test_two_gateways_run_no_more_calls_at_once_together_than_one_may(start_gateway, cloud, alice, valkey):
    now = most = 0
    counting = threading.Lock()

    def slowly(connection, seen):
        nonlocal now, most
        with counting:
            now += 1
            most = max(most, now)
        time.sleep(0.05)
        with counting:
            now -= 1
        plainly(EMPTY)(connection, seen)

    settings = {
        "OSFAAS_LIMIT_STORE_URL": valkey.url,
        "OSFAAS_LIMIT_STORE_TIMEOUT_SECONDS": str(scaled(5)),
        "OSFAAS_PROJECT_CONCURRENT_CALLS": "3",
        "OSFAAS_LIMIT_WAIT_SECONDS": "30",
    }
    with echo(slowly) as backend, gateways_before(start_gateway, cloud, backend, alice, **settings) as made:
        assert await statuses(made, alice, 40) == {200: 40}
    assert most == 3


async def test_calls_go_on_under_each_gateways_own_limit_when_the_store_dies(start_gateway, cloud, alice, valkey):
    settings = {
        "OSFAAS_LIMIT_STORE_URL": valkey.url,
        "OSFAAS_LIMIT_STORE_TIMEOUT_SECONDS": str(scaled(5)),
        "OSFAAS_PROJECT_REQUESTS_PER_SECOND": "1",
        "OSFAAS_LIMIT_BURST_SECONDS": "100",
        "OSFAAS_LIMIT_WAIT_SECONDS": "0",
        "OSFAAS_PROJECT_CONCURRENT_CALLS": "1000",
    }
    with echo(plainly(EMPTY)) as backend, gateways_before(start_gateway, cloud, backend, alice, **settings) as made:
        assert [gateway.metric("osfaas_limits_shared") for gateway in made] == [1, 1]
        started = time.monotonic()
        work = asyncio.ensure_future(statuses(made, alice, 60))
        await asyncio.sleep(0.02)
        valkey.kill()
        seen = await work + await statuses(made, alice, 240)
        # Each has its hundred, and what flows in meanwhile.
        assert set(seen) <= {200, 429}
        assert 200 <= seen[200] <= 200 + 2 * (time.monotonic() - started) + 2
        assert [gateway.metric("osfaas_limits_shared") for gateway in made] == [0, 0]
        assert [gateway.get("/readyz").status_code for gateway in made] == [200, 200]
        assert "each process counts by itself" in made[0].service.log.read_text()


@pytest.mark.parametrize("store", [False, True], ids=["of-its-own", "shared"])
def test_large_object_that_its_caller_leaves_keeps_others_waiting_for_a_minute_at_most(
    start_gateway, cloud, bucket, alice, valkey, store
):
    """A thousand times one segment: 10 GB that cost nothing to make, at a limit of 1 MB per second."""
    bucket.put("segment", random.Random(1).randbytes(10_000_000))
    bucket.put_large("huge", [f"{bucket.name}/segment"] * 1_000)
    bucket.put("small", b"small")
    settings = {"OSFAAS_PROJECT_BYTES_PER_SECOND": "1000000", "OSFAAS_LIMIT_WAIT_SECONDS": "0"}
    if store:
        settings |= {"OSFAAS_LIMIT_STORE_URL": valkey.url, "OSFAAS_LIMIT_STORE_TIMEOUT_SECONDS": "5"}
    with bucket.readable_by(cloud.users["alice-member"]), start_gateway(**settings) as gateway:
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(
                f"{gateway.url}{bucket.path('huge')}?algorithm=sha512", headers={"X-Auth-Token": alice}, timeout=2
            )
        deadline = time.monotonic() + 30
        while gateway.metric("osfaas_requests_in_flight") > 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        small = bucket.path("small") + "?algorithm=sha1&force=true"
        other = gateway.get(small, cloud.token("alice-member"))
        own = gateway.get(small, alice)
    print("to come back after seconds:", [answer.headers["Retry-After"] for answer in (other, own)])
    assert (other.status_code, own.status_code) == (429, 429)
    assert int(other.headers["Retry-After"]) <= 60
    # What may have been read in the time, not all of the object.
    assert int(other.headers["Retry-After"]) < int(own.headers["Retry-After"]) < 10_000


def test_refusal_names_limit_value_and_usage_and_v1_limits_shows_the_same(start_gateway, cloud, bucket, alice):
    bucket.put("budget", b"x" * 100)
    path = bucket.path("budget") + "?algorithm=sha1&force=true"
    with start_gateway(OSFAAS_PROJECT_BYTES_PER_SECOND="1", OSFAAS_LIMIT_WAIT_SECONDS="0.1") as gateway:
        before = gateway.get("/v1/limits", alice).json()
        assert before["usage"]["bytes_per_second"] == {"limit": 1, "usage": 0}
        assert before["usage"]["requests_per_second"] == {"limit": -1, "usage": 0}
        assert gateway.get(path, alice).status_code == 200
        refused = gateway.get(path, alice, headers={"Accept": "application/json"})
        after = gateway.get("/v1/limits", alice).json()
        known = gateway.get(bucket.path("budget") + "?algorithm=md5", alice)
    assert (refused.status_code, code(refused)) == (429, "bytes.exceeded")
    limit = refused.json()["errors"][0]["limit"]
    assert (limit["name"], limit["value"]) == ("bytes_per_second", 1)
    assert limit["usage"] > 1
    assert '"bytes_per_second";r=0;t=' in refused.headers["RateLimit"]
    assert 90 <= int(refused.headers["Retry-After"]) <= 100
    (rate,) = after["limits"]["rate"]
    assert rate["limit"][0]["remaining"] == 0
    assert after["limits"]["absolute"]["totalBytesPerSecondUsed"] > 1
    # What is known needs no reading.
    assert known.status_code == 200


def test_response_says_what_is_left_of_the_limits(start_gateway, cloud, bucket, alice):
    bucket.put("left", b"x")
    settings = {"OSFAAS_PROJECT_REQUESTS_PER_SECOND": "100", "OSFAAS_PROJECT_CONCURRENT_CALLS": "9"}
    calls = r'"requests_per_second";r=\d{1,3};t=\d'
    with echo(plainly(EMPTY)) as backend, gateways_before(start_gateway, cloud, backend, alice, **settings) as made:
        digest = made[0].get(bucket.path("left"), alice)
        invocation = made[0].get(f"{INVOKE}/", alice)
        free = made[0].get("/v1/")
    assert re.fullmatch(r'"requests_per_second";q=\d+;w=\d+', digest.headers["RateLimit-Policy"])
    assert re.fullmatch(calls, digest.headers["RateLimit"])
    assert re.fullmatch(rf'{calls}, "concurrent_calls";r=8', invocation.headers["RateLimit"])
    assert "RateLimit" not in free.headers


def test_limits_need_a_token_and_no_more_than_the_role_for_reading(gateway, cloud):
    assert gateway.get("/v1/limits").status_code == 401
    assert gateway.call("POST", "/v1/limits", cloud.token("alice")).status_code == 405
    reader = cloud.token("alice-reader")
    shown = gateway.get("/v1/limits", reader)
    assert (shown.status_code, shown.json()["usage"]["concurrent_calls"]["limit"]) == (200, 32)
    assert code(gateway.get("/v1/checksums/c/o", reader, headers={"Accept": "application/json"})) == ("role.missing")


def test_objects_of_one_call_count_as_calls_and_wait_for_their_turn(start_gateway, bucket, alice):
    names = [f"counted-{number}" for number in range(12)]
    for name in names:
        bucket.put(name, random.Random(name).randbytes(10))
    order = {"objects": [{"container": bucket.name, "object": name} for name in names], "algorithms": ["md5"]}
    settings = {"OSFAAS_PROJECT_REQUESTS_PER_SECOND": "8", "OSFAAS_LIMIT_BURST_SECONDS": "0.125"}
    with start_gateway(**settings) as gateway:
        started = time.monotonic()
        answer = gateway.call("POST", "/v1/checksums", alice, content=json.dumps(order))
        seconds = time.monotonic() - started
        lines = [json.loads(line) for line in answer.text.splitlines() if line]
    assert [line for line in lines if "error" in line] == []
    assert len(lines) == len(names)
    # The first is the call itself, which finds the bucket full.
    assert seconds >= (len(names) - 1) / 8 * 0.95
