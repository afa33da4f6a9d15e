"""Whatever an upstream does, a caller gets the reply to its own request, whole, or an error; and nothing is left."""

import asyncio
import time
from concurrent.futures import ProcessPoolExecutor

import pytest
from fault_replies import FAULTS, Plan, Tally, replies, run

from gateway.upstream.errors import TruncatedReplyError
from gateway.upstream.pool import Origin, Pool


def report(tally: Tally, seconds: float) -> None:
    print(
        f"\n{sum(tally.outcomes.values())} replies, {tally.connections} connections, {len(tally.wrong)} wrong, "
        f"{seconds:.0f} s; left: {tally.left}; "
        + ", ".join(f"{name} {count}" for name, count in tally.outcomes.most_common())
    )


def judge(tally: Tally) -> None:
    assert tally.wrong == []
    assert set(tally.faults) == set(FAULTS)
    total = sum(tally.outcomes.values())
    assert tally.outcomes["right"] > total / 10, "a test in which nothing succeeds shows nothing"
    assert tally.outcomes["right"] < total * 9 / 10
    assert {name: tally.left[name] for name in ("descriptors", "tasks", "connections")} == dict.fromkeys(
        ("descriptors", "tasks", "connections"), 0
    )
    # A leak of one object for each failure would be half of the replies.
    assert tally.left["blocks of memory"] < total / 20


@pytest.mark.parametrize("seed", [2, 3], ids=["uvloop", "asyncio"])
def test_no_wrong_reply_in_some_thousand(seed: int) -> None:
    """The short one, always the same, on each event loop."""
    begun = time.monotonic()
    with ProcessPoolExecutor(1) as process:
        tally = process.submit(run, seed, 2_000).result()
    report(tally, time.monotonic() - begun)
    judge(tally)


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_no_wrong_reply_in_a_hundred_thousand() -> None:
    """Another seed each day, which the report of a failure names."""
    begun, seed = time.monotonic(), int(time.time()) // 86_400
    total = Tally()
    with ProcessPoolExecutor(2) as processes:
        for tally in processes.map(run, [seed * 100 + part for part in range(10)], [10_000] * 10):
            report(tally, time.monotonic() - begun)
            total.add(tally)
    report(total, time.monotonic() - begun)
    judge(total)


class Careless:
    """A client that believes the server: it keeps every connection, and reads whatever is next."""

    def __init__(self, origin: Origin, _pool: Pool) -> None:
        self._origin = origin
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def exchange(self, plan: Plan) -> tuple[int, dict[bytes, bytes], bytes]:
        try:
            async with asyncio.timeout(0.5):
                return await self._exchange(plan)
        except (OSError, EOFError, ValueError, IndexError, TimeoutError, asyncio.LimitOverrunError) as error:
            self.close()
            raise TruncatedReplyError from error

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None

    async def _exchange(self, plan: Plan) -> tuple[int, dict[bytes, bytes], bytes]:
        if self._open is None or self._open[1].is_closing():
            self._open = await asyncio.open_connection(self._origin.host, self._origin.port, limit=1 << 20)
        reader, writer = self._open
        writer.write(b"GET /%d HTTP/1.1\r\n\r\n" % plan.number)
        status = 100
        while status < 200:
            line, *lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[:-2]
            status = int(line.split(b" ")[1])
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        if plan.method == "HEAD" or status in {204, 304}:
            return status, fields, b""
        if b"content-length" in fields:
            return status, fields, await reader.readexactly(int(fields[b"content-length"]))
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass
        return status, fields, body


async def test_a_careless_client_gets_wrong_replies() -> None:
    """The positive control: the server's faults do mix up connections."""
    tally = await replies(2, 1_000, Careless)
    assert len(tally.wrong) > 10
