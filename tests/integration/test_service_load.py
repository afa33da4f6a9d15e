"""A federation that asks for much at once, beside a user who works interactively. Latency needs an idle machine."""

import asyncio
import random
import statistics
import time

import aiohttp
import pytest
from service_account import readable, restricted_token

MIB = 1 << 20
HEADS = 20
LARGEST_RATIO = 2
# The machine may have other work: the least of some.
ATTEMPTS = 3


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_a_users_latency_at_most_doubles_beside_twenty_heads_of_a_federation(start_gateway, cloud, bucket, alice):
    """The federation's objects go through the gateway, the worst case: Swift shows keys to owners only."""
    bucket.put("load/segment", random.Random(3).randbytes(100 * MIB))
    for number in range(HEADS):
        bucket.put_large(f"load/{number}", ["data/load/segment"])
    bucket.put("load/small", b"a user's own")
    service = {"X-Auth-Token": restricted_token(cloud), "Want-Digest": "adler32,md5"}
    with (
        readable(bucket, cloud),
        start_gateway(
            OSFAAS_SERVICE_PROJECTS=cloud.users["alice"].project_id, OSFAAS_DIGEST_CACHE_ENTRIES="0"
        ) as gateway,
    ):
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:

            async def head(number: int) -> int:
                async with client.head(gateway.url + bucket.path(f"load/{number}"), headers=service) as response:
                    return response.status

            async def user() -> float:
                url = f"{gateway.url}{bucket.path('load/small')}?algorithm=sha1&force=true"
                started = time.perf_counter()
                async with client.get(url, headers={"X-Auth-Token": alice}) as response:
                    assert response.status == 200, await response.text()
                    await response.read()
                await asyncio.sleep(0.02)
                return time.perf_counter() - started - 0.02

            async def ratio() -> float:
                idle = [await user() for _ in range(30)]
                work = asyncio.gather(*map(head, range(HEADS)))
                busy = [await user()]
                while not work.done():
                    busy.append(await user())
                assert set(await work) == {200}
                idle += [await user() for _ in range(30)]
                found = statistics.median(busy) / statistics.median(idle)
                tail = statistics.quantiles(busy, n=20)[-1] / statistics.quantiles(idle, n=20)[-1]
                print(f"user beside a federation: {len(busy)} calls, median {found:.2f} times, 95th {tail:.2f} times")
                return found

            for _ in range(5):
                await user()
            ratios = [await ratio()]
            while min(ratios) > LARGEST_RATIO and len(ratios) < ATTEMPTS:
                ratios.append(await ratio())
    assert min(ratios) <= LARGEST_RATIO
