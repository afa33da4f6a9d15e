"""Rows about bytes: P4 and P5 (an object in Swift, end to end), P7 (what streams through the gateway)."""

import json
import socket
import sys
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.bench.load import send_requests
from tests.bench.measure import Comparison, Goal, Pairs, cpu_seconds, resident_mib, run_command
from tests.bench.stage import CONTAINER, MIB, SUBJECTS, Effort, Stage

AT_ONCE = 4
# As many as the gateway reads at once for one request (OSFAAS_BULK_CONCURRENCY).
SMALL_AT_ONCE = 8
BUFFER_BYTES = 1 << 20
SMALL = bytes(range(256)) * 16


def slow_digest(stage: Stage, effort: Effort) -> list[Comparison]:
    """P4: adler32 and md5 of a large object, asked for by a user, with all that belongs to it."""
    name = stage.upload(effort.object_mib)
    path = stage.file(effort.object_mib)
    printed = set[str]()

    services = {"function": stage.function, "gateway": stage.gateway}
    services |= {name: stage.cloud.services[name] for name in ("swift-object", "swift-proxy")}
    spent: dict[str, list[float]] = {}

    def ours() -> float:
        before = {name: cpu_seconds(service.pid) for name, service in services.items()}
        seconds, digests = computed(stage, name, "adler32,md5")
        for each, service in services.items():
            nanoseconds = (cpu_seconds(service.pid) - before[each]) / (effort.object_mib * MIB) * 1e9
            spent.setdefault(each, []).append(nanoseconds)
        printed.add(digests["md5"])
        return effort.object_mib / 1024 / seconds

    def openssl() -> float:
        command = run_command(["openssl", "md5", "-r", path])
        spent.setdefault("openssl", []).append(command.cpu_seconds / (effort.object_mib * MIB) * 1e9)
        printed.add(command.output.split()[0])
        return effort.object_mib / 1024 / command.seconds

    figures = Pairs(effort.runs).measure(
        ours=ours, openssl=openssl, read=lambda: read_rate(stage, name, effort.object_mib, connections=1)
    )
    _expect_one(printed)
    return [
        Comparison(
            "P4",
            f"adler32 and md5 of {effort.object_mib} MiB in Swift, end to end",
            "GiB/s",
            figures["ours"],
            {"openssl md5, from the page cache": figures["openssl"], "only reading it from Swift": figures["read"]},
            None,
            "Swift's two processes work on the same processors, and its object server makes an MD5 of its own",
        ),
        Comparison(
            "P4",
            "CPU that the function takes for it",
            "ns/B",
            spent["function"],
            {
                "openssl md5": spent["openssl"],
                "Swift's object server": spent["swift-object"],
                "Swift's proxy": spent["swift-proxy"],
                "the gateway": spent["gateway"],
            },
            Goal(1.12),
            probe=stage.probe(
                lambda: computed(stage, name, "adler32,md5"), profiled="the function", bound="MD5 is one thread's work"
            ),
        ),
    ]


def quick_digest(stage: Stage, effort: Effort) -> list[Comparison]:
    """P5: digests that cost less than reading."""
    name = stage.upload(effort.object_mib)
    independent = {"adler32": zlib_adler32, "crc32c": rhash_crc32c}
    printed = {algorithm: {digest(stage.file(effort.object_mib))} for algorithm, digest in independent.items()}

    def ours(algorithm: str) -> float:
        seconds, digests = computed(stage, name, algorithm)
        printed[algorithm].add(digests[algorithm])
        _expect_one(printed[algorithm])
        return effort.object_mib / 1024 / seconds

    rates = {
        algorithm: Pairs(effort.runs).measure(
            ours=lambda algorithm=algorithm: ours(algorithm),
            one=lambda: read_rate(stage, name, effort.object_mib, connections=1),
            ranges=lambda: read_rate(stage, name, effort.object_mib, connections=AT_ONCE),
        )
        for algorithm in independent
    }
    return [
        Comparison(
            "P5",
            f"{algorithm} of {effort.object_mib} MiB in Swift, end to end",
            "GiB/s",
            figures["ours"],
            {
                "reading it, one GET": figures["one"],
                f"reading it in {AT_ONCE} ranges at once": figures["ranges"],
            },
            Goal(1.0, at_least=True),
            probe=stage.probe(lambda algorithm=algorithm: computed(stage, name, algorithm), profiled="the function"),
        )
        for algorithm, figures in rates.items()
    ]


def stream(stage: Stage, effort: Effort) -> list[Comparison]:
    """P7: a large answer of a function on its way through the gateway."""
    size = min(effort.object_mib, 1024) * MIB
    through_gateway = stage.request("GET", stage.gateway.port, f"/v1/invoke/echo/bytes/{size}")
    through_envoy = stage.request("GET", stage.envoy.port, f"/bytes/{size}")
    url = f"http://127.0.0.1:{stage.responder.port}/bytes/{size}"
    drain(stage.gateway.port, through_gateway)
    memory = resident_mib(stage.gateway.pid)
    highest = [memory]

    def passing(port: int, pid: int, request: bytes) -> float:
        before = cpu_seconds(pid)
        received = drain(port, request, lambda: highest.append(resident_mib(stage.gateway.pid)))
        if received != size:
            raise RuntimeError(f"{received} of {size} bytes came")
        return (cpu_seconds(pid) - before) / size * 1e9

    figures = Pairs(effort.runs).measure(
        ours=lambda: passing(stage.gateway.port, stage.gateway.pid, through_gateway),
        envoy=lambda: passing(stage.envoy.port, stage.envoy.pid, through_envoy),
        httpx=lambda: float(run_command([sys.executable, SUBJECTS / "httpx_read.py", url]).output) / size * 1e9,
    )
    return [
        Comparison(
            "P7",
            "CPU of streaming a function's answer",
            "ns/B",
            figures["ours"],
            {"Envoy": figures["envoy"], "httpx, which only reads it": figures["httpx"]},
            Goal(1.3),
            probe=stage.probe(lambda: drain(stage.gateway.port, through_gateway)),
        ),
        Comparison(
            "P7",
            f"memory that the gateway takes more while {size // MIB:,} MiB stream",
            "MiB",
            [max(highest) - memory],
            {"the size of the answer": [size / MIB]},
            Goal(16, of_ratio=False),
            probe=stage.probe(lambda: drain(stage.gateway.port, through_gateway)),
        ),
    ]


def small_objects(stage: Stage, effort: Effort) -> list[Comparison]:
    """P11: digests of many small objects in one request."""
    count = min(10_000, max(effort.requests * 5 // 2, 100))
    names = [f"small-{number}" for number in range(count)]
    with httpx.Client(headers={"X-Auth-Token": stage.token}) as client:
        for name in names:
            client.put(f"{stage.cloud.account_url('alice')}/{CONTAINER}/{name}", content=SMALL).raise_for_status()
    gets = [stage.request("GET", stage.swift_port, stage.swift_path(name)) for name in names]
    objects = [{"container": CONTAINER, "object": name} for name in names]
    expected = f"{zlib.adler32(SMALL):08x}"

    def ours() -> float:
        started = time.perf_counter()
        response = httpx.post(
            f"http://127.0.0.1:{stage.gateway.port}/v1/checksums",
            json={"objects": objects, "algorithms": ["adler32"], "force": True},
            headers={"X-Auth-Token": stage.token},
            timeout=3_600,
        )
        seconds = time.perf_counter() - started
        lines = [json.loads(line) for line in response.raise_for_status().text.splitlines() if line]
        if [line["digests"]["adler32"] for line in lines] != [expected] * count:
            raise RuntimeError("a digest is missing or wrong")
        return count / seconds

    figures = Pairs(effort.runs).measure(
        ours=ours,
        plain=lambda: send_requests(stage.swift_port, gets, connections=SMALL_AT_ONCE, requests=count).per_second,
    )
    return [
        Comparison(
            "P11",
            f"adler32 of {count:,} objects of {len(SMALL):,} bytes, in one request",
            "1/s",
            figures["ours"],
            {f"only reading them, {SMALL_AT_ONCE} connections": figures["plain"]},
            Goal(0.7, at_least=True),
            probe=stage.probe(ours, bound="Swift's own work for the GETs: both sides need it, ours beside its own"),
        )
    ]


def computed(stage: Stage, name: str, algorithms: str) -> tuple[float, dict[str, str]]:
    """How long a forced computation takes its caller (seconds), and what it gives."""
    url = f"http://127.0.0.1:{stage.gateway.port}{stage.gateway_path(name)}"
    started = time.perf_counter()
    response = httpx.get(
        url,
        params={"algorithm": algorithms, "force": "true"},
        headers={"X-Auth-Token": stage.token, "Accept": "application/json"},
        timeout=600,
    )
    seconds = time.perf_counter() - started
    response.raise_for_status()
    return seconds, response.json()["digests"]


def read_rate(stage: Stage, name: str, mib: int, *, connections: int) -> float:
    """GiB/s of reading an object from Swift by clients that do nothing with it."""
    share = -(-mib * MIB // connections)
    requests = [
        stage.request(
            "GET", stage.swift_port, stage.swift_path(name), Range=f"bytes={part * share}-{(part + 1) * share - 1}"
        )
        if connections > 1
        else stage.request("GET", stage.swift_port, stage.swift_path(name))
        for part in range(connections)
    ]
    threads = [threading.Thread(target=drain, args=(stage.swift_port, request)) for request in requests]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return mib / 1024 / (time.perf_counter() - started)


def drain(port: int, request: bytes, seen: Callable[[], object] = lambda: None) -> int:
    """Reads the body of an answer and drops it; how many bytes it had. `seen()` is called now and then.

    Raises:
        RuntimeError: the answer is not a 2xx.
    """
    buffer = memoryview(bytearray(BUFFER_BYTES))
    with socket.create_connection(("127.0.0.1", port), timeout=600) as connection:
        connection.sendall(request)
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(65_536)
            if not piece:
                raise RuntimeError("the connection ended before the head did")
            head += piece
        head, _, body = head.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 2"):
            raise RuntimeError(f"not a good answer: {head!r}")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        )
        received, looked = len(body), 0
        while received < length and (count := connection.recv_into(buffer)):
            received += count
            if received - looked > 32 * MIB:
                looked = received
                seen()
    return received


def zlib_adler32(path: Path) -> str:
    """The Adler-32 of a file by the standard library; ours comes from zlib-ng, and of ranges put together."""
    value = 1
    with path.open("rb") as file:
        while piece := file.read(BUFFER_BYTES):
            value = zlib.adler32(piece, value)
    return f"{value:08x}"


def rhash_crc32c(path: Path) -> str:
    """The CRC-32C of a file by rhash."""
    return run_command(["rhash", "--printf=%{crc32c}\\n", path]).output.strip().lower()


def _expect_one(digests: set[str]) -> None:
    if len(digests) != 1:
        raise RuntimeError(f"the digests differ: {digests}")
