"""A function on a real port, and a source that misbehaves on demand."""

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import os
import re
import sys
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from checksums_function.server import serve
from checksums_function.settings import Settings

from tests.machine import scaled

# Three MiB and a bit, so that buffers fill, turn over and end short.
DATA = b"".join(hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(99_000)) + b"tail"
INHERITED = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
QUICK = Settings(
    host="127.0.0.1", port=0, backoff_seconds=0.01, stall_seconds=scaled(5), connect_seconds=scaled(2), attempts=3
)


@dataclasses.dataclass
class Asked:
    """One request as it came over the wire."""

    target: str
    headers: dict[str, str]

    @property
    def position(self):
        return int(self._range[1]) if self._range else 0

    @property
    def end(self):
        """Behind the last byte that is asked for; None: all that there is."""
        return int(self._range[2]) + 1 if self._range and self._range[2] else None

    @property
    def _range(self):
        return re.fullmatch(r"bytes=([0-9]+)-([0-9]*)", self.headers.get("range", ""))


class Source:
    """Answers connection after connection with the next script; the last script repeats."""

    def __init__(self, data=b"", etag="v1"):
        self.data, self.etag = data, etag
        self.asked, self.open, self.scripts = [], 0, [self.good]
        self.release = asyncio.Event()

    async def start(self, tls=None):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        return self

    def close(self):
        self.release.set()
        self._server.close()

    async def _serve(self, reader, writer):
        self.open += 1
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            fields = (line.split(": ", 1) for line in lines[1:] if line)
            asked = Asked(lines[0].split(" ")[1], {name.lower(): value for name, value in fields})
            self.asked.append(asked)
            await (self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0])(asked, reader, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def head(self, asked, *, size=None, etag=None, length=True):
        """A correct head for what was asked."""
        size = len(self.data) if size is None else size
        at, end = asked.position, asked.end or size
        lines = [f'ETag: "{etag or self.etag}"', "Connection: close"]
        if length:
            lines.append(f"Content-Length: {end - at}")
        partial = "range" in asked.headers
        if partial:
            lines.append(f"Content-Range: bytes {at}-{end - 1}/{size}")
        return "\r\n".join([f"HTTP/1.1 {206 if partial else 200} x", *lines, "", ""]).encode()

    def head_of_all(self):
        return self.head(Asked("/", {}))

    # --- scripts ---

    async def good(self, asked, reader, writer):
        writer.write(self.head(asked) + self.data[asked.position : asked.end])

    def cut(self, count, **head):
        """Promises all, sends `count` bytes and closes."""

        async def script(asked, reader, writer):
            writer.write(self.head(asked, **head) + self.data[asked.position : asked.end][:count])

        return script

    def stall(self, count):
        """Sends `count` bytes, then nothing until `release` is set or the reader is gone; then the rest."""

        async def script(asked, reader, writer):
            rest = self.data[asked.position : asked.end]
            writer.write(self.head(asked) + rest[:count])
            gone = asyncio.ensure_future(reader.read())
            released = asyncio.ensure_future(self.release.wait())
            _, pending = await asyncio.wait([gone, released], return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            if self.release.is_set():
                writer.write(rest[count:])

        return script

    def zeros(self, size):
        """So many zeros, as fast as they are taken."""

        async def script(asked, reader, writer):
            writer.write(self.head(asked, size=size))
            block = bytes(1 << 20)
            for _ in range(size // len(block)):
                writer.write(block)
                await writer.drain()

        return script

    def status(self, status, *headers):
        async def script(asked, reader, writer):
            writer.write("\r\n".join([f"HTTP/1.1 {status} x", "Content-Length: 0", *headers, "", ""]).encode())

        return script

    def raw(self, content):
        async def script(asked, reader, writer):
            writer.write(content)

        return script


@dataclasses.dataclass
class Reply:
    status: int
    document: dict
    headers: dict

    @property
    def code(self):
        return self.document["error"]["code"]


class Caller:
    """Speaks the contract to one function."""

    def __init__(self, url, session):
        self.url, self.session = url, session

    @staticmethod
    def order(source, algorithms=("md5",), **changes):
        fields = {"url": source.url + "/o?sig=SECRET", "etag": source.etag, "size": len(source.data)} | changes
        return {"source": fields, "algorithms": list(algorithms)}

    async def post(self, data, headers):
        async with self.session.post(self.url + "/", data=data, headers=headers) as response:
            return Reply(response.status, json.loads(await response.read()), response.headers)

    async def source(self, source, algorithms=("md5",), **changes):
        return await self.send(self.order(source, algorithms, **changes))

    async def send(self, order):
        return await self.post(json.dumps(order).encode(), {"Content-Type": "application/json"})

    async def body(self, data, *, size, algorithms="md5", etag="v1", **headers):
        fields = {"Content-Type": "application/octet-stream", "X-Checksum-Algorithms": algorithms}
        fields |= {"X-Object-Size": str(size), "X-Object-Etag": etag}
        return await self.post(data, fields | headers)


@pytest_asyncio.fixture
async def session():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=scaled(60))) as session:
        yield session


@pytest_asyncio.fixture
async def function(session):
    """Starts functions inside this process: `caller = await function(attempts=1)`."""
    running = []

    async def start(**changes):
        stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
        settings = dataclasses.replace(QUICK, **{"grace_seconds": 0.1, **changes})
        task = asyncio.create_task(serve(settings, stop, port.set_result))
        running.append((stop, task))
        await asyncio.wait([task, port], return_when=asyncio.FIRST_COMPLETED)
        return Caller(f"http://127.0.0.1:{port.result()}", session)

    yield start
    for stop, task in running:
        stop.set()
        await task


class Process(Caller):
    """A function as a process of its own."""

    async def start(self, **environ):
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "checksums_function",
            env={**INHERITED, "PORT": "0", "CHECKSUMS_HOST": "127.0.0.1", **environ},
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        line = json.loads(await asyncio.wait_for(self.process.stdout.readline(), scaled(20)))
        self.url = f"http://127.0.0.1:{line['port']}"
        self.log = asyncio.ensure_future(self.process.stdout.read())
        return self

    def peak_mib(self):
        """The most memory that the process ever had, as the kernel counts it."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024

    async def end(self):
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self.log


@pytest_asyncio.fixture
async def process(session):
    """Starts functions as processes: `caller = await process(CHECKSUMS_ATTEMPTS="1")`."""
    running = []

    async def start(**environ):
        running.append(Process("", session))
        return await running[-1].start(**environ)

    yield start
    for caller in running:
        await caller.end()


@pytest_asyncio.fixture
async def source():
    source = await Source(DATA).start()
    yield source
    source.close()


@pytest.fixture
def new_source():
    return Source


@pytest.fixture
def within():
    """Waits until a condition holds; fails after a time in which it would have held on any machine."""

    async def wait(condition):
        async with asyncio.timeout(scaled(30)):
            while not condition():  # noqa: ASYNC110 - conditions of other people's objects set no event
                await asyncio.sleep(0.01)

    return wait
