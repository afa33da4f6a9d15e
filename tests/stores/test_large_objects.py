"""Objects of one and five gibibytes in parts: right digests on every store, and the same memory for both sizes.

LARGE_GIB has both sizes, such as 0.25,0.5 on a busy machine.
"""

import contextlib
import hashlib
import itertools
import os
import random
import shutil
import threading
import time
import zlib
from collections.abc import Iterator, Mapping

import pytest
from filler import PART_BYTES
from sizes import sizes_of

from tests.bench.measure import family, resident_mib

pytestmark = [pytest.mark.long, pytest.mark.timeout(0)]

BUCKET = "data"
QUERY = "?algorithm=adler32,md5&force=true"
GIB = 1 << 30
BLOCK_BYTES = 64 << 20
try:
    SIZES = sizes_of(os.environ.get("LARGE_GIB", "1,5"))
except ValueError as error:
    # pytest prints this one without a traceback.
    raise pytest.Collector.CollectError(str(error)) from None
# Ceph keeps what was removed for some hours, and the store after it needs the same once more.
FREE_BYTES = int(3 * max(SIZES) * GIB)
# Of a process, while it reads a gibibyte, and more for five.
GROWTH_MIB = 64
MORE_MIB = 24


def order_of(gibibytes: float) -> list[int]:
    """Which of two blocks each part is: in no period, so that a missing or exchanged part changes the digest."""
    return random.Random(gibibytes).choices((0, 1), k=int(gibibytes * GIB) // BLOCK_BYTES)


@pytest.fixture(scope="module")
def blocks() -> list[bytes]:
    return [random.Random(number).randbytes(BLOCK_BYTES) for number in (1, 2)]


@pytest.fixture(scope="module")
def expected(blocks) -> Mapping[float, Mapping[str, str]]:
    """Digests by the standard library."""
    found = {}
    for size in SIZES:
        md5, adler32 = hashlib.md5(), 1
        for number in order_of(size):
            md5.update(blocks[number])
            adler32 = zlib.adler32(blocks[number], adler32)
        found[size] = {"adler32": f"{adler32:08x}", "md5": md5.hexdigest()}
    return found


class Peak:
    """The highest memory of processes, with their children."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self.pids = pids
        self.mib = self.now()

    def now(self) -> dict[str, float]:
        found = {}
        for name, pid in self.pids.items():
            found[name] = 0.0
            for each in family(pid):
                # A child may have ended since.
                with contextlib.suppress(OSError):
                    found[name] += resident_mib(each)
        return found

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.2):
                self.mib = {name: max(self.mib[name], mib) for name, mib in self.now().items()}

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def test_gibibytes_have_right_digests_and_memory_stays(store, gateways, function, alice, blocks, expected, cloud):
    assert shutil.disk_usage(cloud.state).free > FREE_BYTES, f"{cloud.state} needs {FREE_BYTES / GIB} GiB"
    # What a process needs for the first read, it keeps.
    store.filler.put_parts(BUCKET, "warm", [bytes(PART_BYTES), b"warm"])
    ways = [way for way in gateways if (store.api, way) != ("swift", "s3")]
    for way in ways:
        assert gateways[way].get(f"/v1/checksums/{BUCKET}/warm{QUERY}", alice).status_code == 200
    highest: dict[str, dict[float, dict[str, float]]] = {way: {} for way in ways}
    for size in SIZES:
        store.filler.put_large(BUCKET, "large", blocks, order_of(size))
        for way in ways:
            peak = Peak({"gateway": gateways[way].service.pid, "function": function.pid})
            before, begun = peak.mib, time.monotonic()
            with peak.watched():
                response = gateways[way].get(f"/v1/checksums/{BUCKET}/large{QUERY}", alice)
            seconds = time.monotonic() - begun
            assert response.status_code == 200, (way, size, response.text)
            assert response.json()["size"] == size * GIB
            assert response.json()["digests"] == expected[size], (way, size)
            highest[way][size] = {name: peak.mib[name] - before[name] for name in before}
            figures = ", ".join(f"{name} {before[name]:.0f} MiB, at most {peak.mib[name]:.0f}" for name in before)
            print(f"{store.name}, {way}: {size:g} GiB in {seconds:.0f} s; {figures}", flush=True)
        store.filler.remove(BUCKET, "large")
    for way, name in itertools.product(ways, ("gateway", "function")):
        one, five = (highest[way][size][name] for size in SIZES)
        assert one < GROWTH_MIB, (way, name)
        assert five - one < MORE_MIB, (way, name)
