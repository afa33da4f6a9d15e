"""The function as the container runs it: start, memory, end."""

import asyncio
import hashlib
import os
import signal
import sys

import aiohttp
import pytest
from checksums_function.settings import Settings, SettingsError

from tests.machine import scaled

GIB = 1 << 30
MD5_OF_ONE_GIB_OF_ZEROS = "cd573cfaace07e7949bc0c46028904ff"  # as md5sum prints it
MOST_MIB = 128


async def test_memory_stays_flat_while_a_source_is_read(process, source):
    caller = await process()
    source.scripts = [source.zeros(GIB)]
    reply = await caller.source(source, ["md5", "sha256", "crc64nvme"], size=GIB)
    assert reply.document["digests"]["md5"] == MD5_OF_ONE_GIB_OF_ZEROS
    assert caller.peak_mib() < MOST_MIB


async def zeros(size):
    block = bytes(1 << 20)
    for _ in range(size >> 20):
        yield block


async def test_memory_stays_flat_while_a_body_is_read(process):
    caller = await process()
    reply = await caller.body(zeros(GIB), size=GIB, algorithms="md5,sha256,crc64nvme")
    assert reply.document["digests"]["md5"] == MD5_OF_ONE_GIB_OF_ZEROS
    assert caller.peak_mib() < MOST_MIB


async def test_memory_stays_flat_with_all_slots_taken_and_slow_digests(process, source):
    caller = await process()
    size = 96 << 20
    source.scripts = [source.zeros(size)]
    names = ["sha512", "sha256", "blake3", "md5"]
    calls = [caller.source(source, names, size=size) for _ in range(2)]
    calls += [caller.body(zeros(size), size=size, algorithms=",".join(names)) for _ in range(2)]
    replies = await asyncio.gather(*calls)
    assert [reply.status for reply in replies] == [200] * 4
    assert len({reply.document["digests"]["sha512"] for reply in replies}) == 1
    assert caller.peak_mib() < MOST_MIB


async def test_memory_stays_flat_over_many_calls_of_every_outcome(process, source, within):
    caller = await process(CHECKSUMS_ATTEMPTS="1", CHECKSUMS_STALL_SECONDS="1")
    size = 12 << 20
    source.scripts = [source.zeros(size)]
    for number in range(30):
        reply = await caller.source(source, ["md5", "crc32c"], size=size)
        assert reply.status == 200
        reply = await caller.body(zeros(size), size=size + number % 2, algorithms="md5,crc32c")
        assert (reply.status == 200) == (number % 2 == 0)
    source.scripts = [source.stall(2_500_000)]
    for _ in range(10):
        assert (await caller.source(source, ["md5"])).code == "short_read"
    assert caller.peak_mib() < 75  # one call takes 55; buffers that outlive their calls add up


async def test_sigterm_lets_running_calls_finish_and_takes_no_new_ones(process, source, within):
    caller = await process()
    source.scripts = [source.stall(1000)]
    reading = asyncio.create_task(caller.source(source))
    await within(lambda: source.asked)
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slowly():
        yield source.data[:100_000]
        started.set()
        await go_on.wait()
        yield source.data[100_000:]

    sending = asyncio.create_task(caller.body(slowly(), size=len(source.data)))
    await started.wait()
    await asyncio.sleep(0.1)
    caller.process.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.3)
    async with aiohttp.ClientSession() as stranger:
        with pytest.raises(aiohttp.ClientConnectorError):
            await stranger.get(caller.url + "/healthz")
    assert caller.process.returncode is None
    source.release.set()
    go_on.set()
    digests = {"md5": hashlib.md5(source.data).hexdigest()}
    assert [(await task).document["digests"] for task in (reading, sending)] == [digests, digests]
    assert await asyncio.wait_for(caller.process.wait(), scaled(15)) == 0


async def test_a_call_that_still_comes_over_an_open_connection_finishes_too(process, source, new_source, within):
    caller = await process()
    later = await new_source(source.data).start()
    source.scripts, later.scripts = [source.stall(1000)], [later.stall(1000)]
    first = asyncio.create_task(caller.source(source))
    async with aiohttp.ClientSession() as open_before:
        async with open_before.get(caller.url + "/healthz") as health:
            assert health.status == 200
        await within(lambda: source.asked)
        caller.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        second = asyncio.create_task(type(caller)(caller.url, open_before).source(later))
        await within(lambda: later.asked)
        source.release.set()
        assert (await first).status == 200
        await asyncio.sleep(0.3)
        later.release.set()
        assert (await second).status == 200
    later.close()
    assert await asyncio.wait_for(caller.process.wait(), scaled(15)) == 0


async def test_sigterm_does_not_wait_longer_than_the_grace(process, source, within):
    caller = await process(CHECKSUMS_GRACE_SECONDS="0.3")
    source.scripts = [source.stall(1000)]
    reading = asyncio.create_task(caller.source(source))
    await within(lambda: source.asked)
    caller.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(caller.process.wait(), scaled(15)) == 0
    with pytest.raises(aiohttp.ClientError):
        await reading
    await within(lambda: source.open == 0)


async def test_an_idle_function_ends_at_once(process):
    caller = await process()
    caller.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(caller.process.wait(), scaled(15)) == 0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PORT", "x"), ("PORT", "65536"), ("PORT", "-1"), ("PORT", ""), ("CHECKSUMS_CONCURRENCY", "0"),
        ("CHECKSUMS_CONCURRENCY", "1.5"), ("CHECKSUMS_QUEUE", "-1"), ("CHECKSUMS_HEARTBEAT_SECONDS", "0"),
        ("CHECKSUMS_STALL_SECONDS", "nan"), ("CHECKSUMS_STALL_SECONDS", "inf"), ("CHECKSUMS_GRACE_SECONDS", "soon"),
        ("CHECKSUMS_ATTEMPTS", "0"), ("CHECKSUMS_ALLOWED_SOURCES", "swift"), ("CHECKSUMS_ALLOWED_SOURCES", "swift:0"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense(name, text):
    with pytest.raises(SettingsError, match=name):
        Settings.from_environ({name: text})


def test_settings_that_do():
    assert Settings.from_environ({}) == Settings()
    settings = Settings.from_environ({"PORT": "81", "CHECKSUMS_ALLOWED_SOURCES": "Swift:8080, [::1]:443"})
    assert settings.port == 81
    assert settings.allowed_sources == {("swift", 8080), ("::1", 443)}
    assert Settings.from_environ({"CHECKSUMS_ALLOWED_SOURCES": ""}).allowed_sources == frozenset()


async def test_it_does_not_start_on_a_guess():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "checksums_function", env={"PATH": os.environ["PATH"], "PORT": "http"},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 2
    assert b"PORT must be" in output
