"""Load without an end in sight: memory, file descriptors and tasks stay what they were."""

import asyncio
import os
import statistics
import time
from pathlib import Path

import pytest
from conftest import content_of
from load import Question, in_turn, leave_early, under_load

CONTENT = content_of(b"soak" * 50_000)
MIB = 1 << 20


def resident(pid: int) -> int:
    """Bytes in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def per_minute(samples: list[tuple[float, float]]) -> float:
    """Slope by least squares, per minute."""
    return 60 * statistics.linear_regression(*zip(*samples, strict=True)).slope


async def settled(read, limit: float, *, seconds: float = 20) -> float:
    """What `read` says once it is at most `limit`, or in the end."""
    deadline = time.monotonic() + seconds
    value = await asyncio.to_thread(read)
    while value > limit and time.monotonic() < deadline:
        await asyncio.to_thread(time.sleep, 0.2)
        value = await asyncio.to_thread(read)
    return value


@pytest.mark.parametrize(
    ("seconds", "mib_per_minute"),
    [pytest.param(12, 30.0, id="moment"), pytest.param(900, 0.5, id="quarter-of-an-hour", marks=pytest.mark.long)],
)
@pytest.mark.timeout(1_500)
async def test_nothing_grows_under_load(start_gateway, cloud, function, bucket, seconds, mib_per_minute):
    """Known and unknown callers, remembered and computed digests, callers who leave, tokens that are none."""
    bucket.put("soak", CONTENT.data)
    tokens = [cloud.token("alice") for _ in range(20)]
    with start_gateway() as gateway:
        url, pid = gateway.url + bucket.path("soak"), gateway.service.pid
        computed = {name: CONTENT.digests[name] for name in ("sha1", "sha256")}
        questions = [
            Question("remembered", f"{url}?algorithm=md5", lambda: tokens[0], {"md5": CONTENT.digests["md5"]}),
            Question("computed", f"{url}?algorithm=sha1,sha256&force=true", lambda: tokens[0], computed),
            Question("in turn", f"{url}?algorithm=md5", in_turn(tokens), {"md5": CONTENT.digests["md5"]}),
        ]
        async with under_load(questions):
            await asyncio.sleep(3)
        fds_before = descriptors(pid)
        tasks_before = await asyncio.to_thread(gateway.metric, "osfaas_tasks")
        assert tasks_before > 0
        samples: dict[str, list[tuple[float, float]]] = {"gateway": [], "function": []}
        ended, begun = asyncio.Event(), time.monotonic()
        leaving = asyncio.ensure_future(leave_early(f"{url}?algorithm=sha512&force=true", tokens[0], ended))
        async with under_load(questions) as record:
            while (elapsed := time.monotonic() - begun) < seconds:
                for name, process in (("gateway", pid), ("function", function.pid)):
                    samples[name].append((elapsed, resident(process) / MIB))
                await asyncio.sleep(min(5, seconds / 10))
        ended.set()
        await leaving
        fds_after = await settled(lambda: descriptors(pid), fds_before + 3)
        tasks_after = await settled(lambda: gateway.metric("osfaas_tasks"), tasks_before)
    # The first third fills caches and the allocator's own.
    slopes = {name: per_minute(found[len(found) // 3 :]) for name, found in samples.items()}
    print(
        f"\n{seconds} s, {record.calls} calls, {len(record.given_up)} given up, {len(record.wrong)} wrong; MiB: "
        + ", ".join(f"{name} {found[0][1]:.1f} to {found[-1][1]:.1f}" for name, found in samples.items())
        + "; MiB per minute: "
        + ", ".join(f"{name} {slope:+.2f}" for name, slope in slopes.items())
        + f"; descriptors {fds_before} to {fds_after}, tasks {tasks_before:g} to {tasks_after:g}"
    )
    assert record.calls > seconds
    assert not record.wrong
    assert not record.given_up
    assert fds_after <= fds_before + 3
    assert tasks_after <= tasks_before
    assert max(slopes.values()) < mib_per_minute
