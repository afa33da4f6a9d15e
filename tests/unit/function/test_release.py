"""Buffers and threads go when the computation ends: not whenever the garbage collector may come round."""

import asyncio
import gc
import socket
import threading

import pytest
from checksums_function.algorithms import select_algorithms
from checksums_function.orders import parse_url
from checksums_function.pipeline import Buffer, Pipeline, Stop
from checksums_function.settings import Settings
from checksums_function.source import Connection

from tests.machine import scaled

NAMES = ("md5", "sha512", "crc32c")


@pytest.fixture(autouse=True)
def no_garbage_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def buffers():
    return sum(isinstance(thing, Buffer) for thing in gc.get_objects())


def digest_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("digest-")]


async def chunked(data):
    yield data


async def test_after_an_answer(function, source, within):
    caller = await function()
    assert (await caller.source(source, NAMES)).status == 200
    await within(lambda: buffers() == 0)
    assert (await caller.body(source.data, size=len(source.data), algorithms=",".join(NAMES))).status == 200
    await within(lambda: buffers() == 0)
    await within(lambda: not digest_threads())


async def test_after_a_failure(function, source, within):
    caller = await function(attempts=1)
    source.scripts = [source.cut(2_500_000)]
    assert (await caller.source(source, NAMES)).code == "short_read"
    await within(lambda: buffers() == 0)
    for size in (len(source.data) - 1, len(source.data) + 1):
        reply = await caller.body(chunked(source.data), size=size, algorithms=",".join(NAMES))
        assert reply.code == "short_read"
        await within(lambda: buffers() == 0)
    await within(lambda: not digest_threads())


async def test_after_a_caller_who_leaves(function, source, within):
    caller = await function()
    source.scripts = [source.stall(2_500_000)]
    task = asyncio.create_task(caller.source(source, NAMES))
    await within(lambda: source.asked)
    await asyncio.sleep(0.1)
    task.cancel()
    await within(lambda: buffers() == 0 and not digest_threads())


def test_a_stop_ends_the_threads_of_a_pipeline_that_nobody_closes():
    """A caller may leave while the pipeline is being made on another thread: its result then reaches nobody."""
    for early in (True, False):
        stop = Stop()
        if early:
            stop.stop()
        pipeline = Pipeline(select_algorithms(NAMES), size=1 << 30, stop=stop, inline=False)
        stop.stop()
        for worker in pipeline._workers:
            worker._thread.join(scaled(5))
        assert not digest_threads()


def test_a_stop_ends_the_connection_of_a_source_that_waits_for_its_reader():
    """After an orderly close with nothing unread, its full window would block the source for more than a minute."""
    stop = Stop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = Connection(parse_url(f"http://127.0.0.1:{listener.getsockname()[1]}/o"), Settings(), stop)
        connection.connect()
        source, _ = listener.accept()
        with source:
            source.settimeout(scaled(0.5))
            with pytest.raises(TimeoutError):
                source.sendall(bytes(64 << 20))
            stop.stop()
            while connection.sock.recv(1 << 20):
                pass
            connection.discard()
            source.settimeout(scaled(10))
            with pytest.raises(ConnectionError):
                source.sendall(b"more")
