"""Work on Kubernetes is bounded for each project, also when its callers leave."""

import asyncio
import threading

import pytest

from control.functions.work import PER_PROJECT, ClusterWork
from gateway.errors import ErrorCode, GatewayError
from policies.names import ProjectId
from tests.machine import scaled

ONE, OTHER = ProjectId("p1"), ProjectId("p2")


async def test_one_project_does_not_use_up_the_threads_of_all() -> None:
    """Kubernetes hangs; callers who leave free nothing before their thread has ended."""
    work, released = ClusterWork(), threading.Event()
    waiting = [asyncio.ensure_future(work.run(ONE, "f", released.wait)) for _ in range(PER_PROJECT)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    with pytest.raises(GatewayError) as caught:
        await work.run(ONE, "f", lambda: None)
    assert caught.value.kind is ErrorCode.CONCURRENCY_EXCEEDED
    assert await work.run(OTHER, "f", lambda: 1) == 1
    released.set()
    await asyncio.wait(waiting, timeout=scaled(10))
    async with asyncio.timeout(scaled(10)):
        while work._running:  # noqa: ASYNC110 - the counter is not an event
            await asyncio.sleep(0.01)
    assert await work.run(ONE, "f", lambda: 2) == 2
