"""The tests of connections again, on the event loop that the gateway runs on.

The two event loops differ in what they deliver first, in when a closed transport refuses to be used, and in their
buffers.
"""

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from tests.unit.gateway import test_upstream_connection as connections

Test = Callable[..., Coroutine[Any, Any, None]]


def on_uvloop(test: Test) -> Callable[..., None]:
    @functools.wraps(test)
    def run(**arguments: object) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(test(**arguments))

    return run


TESTS = {
    name: test
    for name, test in vars(connections).items()
    if name.startswith("test_") and inspect.iscoroutinefunction(test)
}
globals().update({name: on_uvloop(test) for name, test in TESTS.items()})


def test_there_are_tests_and_they_run_on_uvloop() -> None:
    async def loop() -> None:
        found.append(asyncio.get_running_loop())

    found: list[asyncio.AbstractEventLoop] = []
    on_uvloop(loop)()
    assert isinstance(found[0], uvloop.Loop)
    assert len(TESTS) > 30
