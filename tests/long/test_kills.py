"""Keystone, Swift's proxy, the gateway and the function killed in turn, under load.

Callers who are known and calls that may be repeated succeed within their retry budget; nobody ever gets a wrong digest;
two seconds after the killed one can work again, all is as before.
"""

import asyncio
import contextlib
import itertools
import time
from dataclasses import dataclass

import httpx
import pytest
from conftest import content_of
from load import Question, in_turn, under_load

from localcloud.services import Service
from tests.machine import scaled

CONTENT = content_of(bytes(range(256)) * 4_000)
RECOVERY_SECONDS = 2.0
# On a machine that is busy with other things everything takes longer, calls without any fault too.
TIMES_A_CALL = 10


@dataclass(frozen=True)
class Outage:
    """One kill: when it was, and when the process could work again (monotonic seconds)."""

    victim: str
    killed: float
    back: float


@dataclass(frozen=True)
class Victim:
    """A process, and the URL that answers 200 as soon as it can work: its port is open before that."""

    service: Service
    health: str

    def restart(self) -> None:
        self.service.restart()
        deadline = time.monotonic() + scaled(60)
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(self.health, timeout=scaled(10), trust_env=False).status_code == 200:
                    return
            time.sleep(0.02)
        raise AssertionError(f"{self.service.name} is not back")


async def kill_in_turn(victims, *, every: float, rounds: int) -> list[Outage]:
    outages = []
    for (name, victim), _ in zip(itertools.cycle(victims.items()), range(rounds), strict=False):
        killed = time.monotonic()
        await asyncio.to_thread(victim.service.kill)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(victim.restart)
        outages.append(Outage(name, killed, time.monotonic()))
        await asyncio.sleep(max(3.0, every - (time.monotonic() - killed)))
    return outages


async def warmed_up(record, kinds: set[str]) -> None:
    """Each kind of call has succeeded a few times."""
    deadline = time.monotonic() + scaled(60)
    while time.monotonic() < deadline:
        done = [attempt.kind for attempt in record.attempts if attempt.status == 200]
        if all(done.count(kind) >= 3 for kind in kinds):
            return
        await asyncio.sleep(0.2)
    raise AssertionError("nothing was killed yet, and calls fail")


@pytest.mark.parametrize(
    ("every", "rounds"),
    [pytest.param(3, 4, id="each-once"), pytest.param(20, 15, id="five-minutes", marks=pytest.mark.long)],
)
@pytest.mark.timeout(900)
async def test_callers_get_the_right_answer_in_time_although_a_part_is_killed(
    start_gateway, cloud, function, bucket, every, rounds
):
    """The gateway's own death loses its memory of callers, and no more.

    Swift asks Keystone too, and here remembers a token for ten seconds only, so even who is known to the gateway may
    have to try again while Keystone is away; but never because the gateway does not know him.
    """
    bucket.put("kills", CONTENT.data)
    known, fresh = cloud.token("alice"), [cloud.token("alice") for _ in range(20 * rounds)]
    with start_gateway() as gateway:
        victims = {
            "keystone": Victim(cloud.services["keystone"], cloud.auth_url),
            "swift-proxy": Victim(cloud.services["swift-proxy"], f"{cloud.swift_url}/healthcheck"),
            "gateway": Victim(gateway.service, f"{gateway.url}/readyz"),
            "function": Victim(function, f"http://127.0.0.1:{function.port}/healthz"),
        }
        url = gateway.url + bucket.path("kills")
        digests = CONTENT.digests
        remembered = Question("remembered", f"{url}?algorithm=md5", lambda: known, {"md5": digests["md5"]})
        computed = Question("computed", f"{url}?algorithm=sha1&force=true", lambda: known, {"sha1": digests["sha1"]})
        unknown = Question("unknown", f"{url}?algorithm=md5", in_turn(fresh), {"md5": digests["md5"]})
        async with under_load([remembered, remembered, computed, unknown], pause=0.1) as record:
            await warmed_up(record, {"remembered", "computed", "unknown"})
            begun = time.monotonic()
            outages = await kill_in_turn(victims, every=every, rounds=rounds)
        needed = {"keystone": "unknown", "swift-proxy": "remembered", "gateway": "remembered", "function": "computed"}
        healthy = [a.ended - a.began for a in record.attempts if a.ended < begun and a.status == 200]
        bound = max(RECOVERY_SECONDS, TIMES_A_CALL * max(healthy))
        recoveries = [(o.victim, record.first_success(needed[o.victim], o.back)) for o in outages]
        spared = [
            failure
            for o in outages
            if o.victim == "keystone"
            for failure in record.failures("remembered", o.killed, o.back)
            if "Keystone did not respond" in failure.error
        ]
        failed = sum(attempt.status != 200 for attempt in record.attempts)
        print(
            f"\n{len(outages)} kills in {time.monotonic() - begun:.0f} s, {record.calls} calls, "
            f"{len(record.attempts)} attempts ({failed} failed), {len(record.given_up)} given up, "
            f"{len(record.wrong)} wrong; recovery in s: "
            + ", ".join(f"{name} {'never' if took is None else f'{took:.2f}'}" for name, took in recoveries)
            + f"; slowest call before: {max(healthy):.2f} s"
        )
    assert failed, "nobody noticed that anything was killed, so nothing was tested"
    assert not record.wrong
    assert not record.given_up
    assert not spared, "callers who were known a moment ago do not depend on Keystone"
    late = [each for each in recoveries if each[1] is None or each[1] > bound]
    assert not late
