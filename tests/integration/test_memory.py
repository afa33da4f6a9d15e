"""A gibibyte is read right in every way, and memory stays flat however much passes through."""

import asyncio
import itertools
import zlib
from pathlib import Path

import aiohttp
import pytest
from conftest import gibibyte_blocks

from localcloud.stack import function_service, running
from tests.machine import scaled

MIB = 1 << 20
CLIENTS = 20


def resident_bytes(pid: int) -> int:
    """Resident memory of a process (proc(5), VmRSS), in bytes."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


async def highest_during(pid: int, work: asyncio.Future) -> int:
    highest = resident_bytes(pid)
    while not work.done():
        highest = max(highest, resident_bytes(pid))
        await asyncio.sleep(0.1)
    return highest


@pytest.mark.long
def test_all_ways_of_reading_give_the_same_digests_of_a_gibibyte(gateways, bucket, alice, gibibyte):
    for capability in ("tempurl", "s3", "stream"):
        gateway = gateways[capability]
        response = gateway.get(bucket.path("gibibyte") + "?algorithm=adler32,crc32,md5&force=true", alice)
        assert response.status_code == 200, response.text
        assert response.json()["digests"] == {name: gibibyte[name] for name in ("adler32", "crc32", "md5")}


@pytest.mark.long
async def test_twenty_clients_that_stream_a_gibibyte_each_cost_the_gateway_less_than_64_mib(
    start_gateway, cloud, bucket, gibibyte, alice
):
    service = function_service(cloud.state, name="wide-function", env={"CHECKSUMS_CONCURRENCY": str(CLIENTS)})
    project = cloud.users["alice"].project_id
    with (
        running(service),
        start_gateway(
            functions={project: f"http://127.0.0.1:{service.port}"},
            OSFAAS_CAPABILITIES="stream",
            # Twenty streams share what one Swift process gives, so one of them may wait for long.
            OSFAAS_STORE_TIMEOUT_SECONDS="120",
        ) as gateway,
    ):
        bucket.put("warm", b"warm")
        assert gateway.get(bucket.path("warm") + "?algorithm=sha1", alice).status_code == 200
        before = resident_bytes(gateway.service.pid)
        # Different sets of algorithms are different computations: each client has a stream of its own.
        cheap = ("adler32", "crc32", "crc32c", "crc64nvme", "xxh3_64")
        subsets = [",".join(names) for count in (1, 2, 3) for names in itertools.combinations(cheap, count)][:CLIENTS]
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=scaled(280))) as client:

            async def call(algorithms: str) -> dict[str, str]:
                url = f"{gateway.url}{bucket.path('gibibyte')}?force=true&algorithm={algorithms}"
                async with client.get(url, headers={"X-Auth-Token": alice}) as response:
                    assert response.status == 200, await response.text()
                    return (await response.json())["digests"]

            work = asyncio.gather(*(call(algorithms) for algorithms in subsets))
            highest = await highest_during(gateway.service.pid, work)
        for digests in await work:
            for name in digests.keys() & gibibyte.keys():
                assert digests[name] == gibibyte[name]
        print(f"gateway: {before / MIB:.0f} MiB before, at most {highest / MIB:.0f} MiB")
        assert gateway.metric("osfaas_computations_total", capability="stream", outcome="done") == CLIENTS + 1
        assert highest - before < 64 * MIB


@pytest.mark.long
async def test_five_gibibytes_leave_the_function_under_128_mib(start_gateway, cloud, bucket, gibibyte, alice):
    bucket.put_large("five", ["data/gibibyte"] * 5)
    expected = 1
    for piece in itertools.chain.from_iterable(gibibyte_blocks() for _ in range(5)):
        expected = zlib.adler32(piece, expected)
    service = function_service(cloud.state, name="five-function")
    functions = {cloud.users["alice"].project_id: f"http://127.0.0.1:{service.port}"}
    with running(service), start_gateway(functions=functions) as gateway:
        url = f"{gateway.url}{bucket.path('five')}?algorithm=adler32"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=scaled(200))) as client:

            async def call() -> dict:
                async with client.get(url, headers={"X-Auth-Token": alice}) as response:
                    assert response.status == 200, await response.text()
                    return await response.json()

            work = asyncio.ensure_future(call())
            highest = await highest_during(service.pid, work)
        answer = await work
    print(f"function: at most {highest / MIB:.0f} MiB")
    assert (answer["size"], answer["digests"]["adler32"]) == (5 << 30, f"{expected:08x}")
    assert highest < 128 * MIB
