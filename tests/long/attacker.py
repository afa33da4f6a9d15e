"""One member of one project who does the worst that a token of theirs allows; a process of its own.

`python attacker.py PORT TOKEN SECONDS CONTAINER ATTACKS` attacks a gateway on loopback and prints, as JSON, how often
each attack was answered with which status (0: the connection ended without one). The attacks, a comma list of names or
`all`, repeat until the time is over.
"""

import asyncio
import contextlib
import itertools
import json
import secrets
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

HOST = "127.0.0.1"
MIB = 1 << 20
# Longest wait for an answer: an attacker who waits for ever attacks nobody.
PATIENCE_SECONDS = 20.0

Attack = Callable[["Member"], Awaitable[int]]


class Member:
    """What the attacker knows: where the gateway is, a token of the project, and a container of it."""

    def __init__(self, port: int, token: str, container: str) -> None:
        self.port, self.token, self.container = port, token, container
        self.numbers = itertools.count()

    def head(self, line: str, *fields: str, length: int | None = None, token: str | None = None) -> bytes:
        """The head of a request, with the member's token unless another one, or none (empty), is given."""
        token = self.token if token is None else token
        lines = [f"{line} HTTP/1.1", "Host: gateway", *fields]
        lines += [f"X-Auth-Token: {token}"] if token else []
        lines += [f"Content-Length: {length}"] if length is not None else []
        return "\r\n".join([*lines, "", ""]).encode()

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection(HOST, self.port)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def ask(self, head: bytes, body: bytes = b"", *, leave_after: float = PATIENCE_SECONDS) -> int:
        """The status of the answer, which is read to its end; 0 if there was none in time."""
        async with self.connected() as (reader, writer):
            writer.write(head + body)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(leave_after):
                    status = int((await reader.readline()).split()[1])
                    with contextlib.suppress(asyncio.IncompleteReadError):
                        await _rest(reader)
                    return status
        return 0


async def _rest(reader: asyncio.StreamReader) -> None:
    """Reads the answer: as long as it says, or until its last chunk."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"content-length:" in head:
        await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
    elif b"transfer-encoding: chunked" in head:
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)


def record(**entry: object) -> dict[str, object]:
    """One S3 record of a written object."""
    marks = {"key": secrets.token_hex(8), "sequencer": secrets.token_hex(8), **entry}
    return {"eventName": "ObjectCreated:Put", "eventSource": "aws:s3", "s3": {"bucket": {"name": "b"}, "object": marks}}


# --- memory that stays after the answer


async def events_with_long_marks(member: Member) -> int:
    """Version ids, sequencers and ETags of 2 MB; one wide character makes each take four bytes a character."""
    mark = "\U0001f600" + "x" * (2 * MIB - 600)
    part = ("versionId", "sequencer", "eTag")[next(member.numbers) % 3]
    body = json.dumps({"Records": [record(**{part: mark})]}, ensure_ascii=False).encode()
    return await member.ask(member.head("POST /v1/events", "Content-Type: application/json", length=len(body)), body)


# --- memory while a request is open


async def list_of_nothing_held_open(member: Member) -> int:
    """A list of objects whose entries are not objects but two megabytes of empty ones; the answer is not read."""
    nothing = "[" + "{}," * 690_000 + "{}]"
    body = f'{{"objects": [{nothing}, {{"container": "{member.container}", "object": "none"}}]}}'.encode()
    head = member.head("POST /v1/checksums", "Content-Type: application/json", length=len(body))
    return await _unread(member, head + body, seconds=15)


async def long_lists_held_open(member: Member) -> int:
    """Ten thousand objects that are not there; the answer is not read."""
    entries = ",".join(f'{{"container":"{member.container}","object":"{number:0140}"}}' for number in range(9_900))
    body = f'{{"objects":[{entries}]}}'.encode()[: 2 * MIB]
    head = member.head("POST /v1/checksums", "Content-Type: application/json", length=len(body))
    return await _unread(member, head + body, seconds=15)


async def _unread(member: Member, request: bytes, *, seconds: float) -> int:
    async with member.connected() as (reader, writer):
        writer.write(request)
        status = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                status = int((await reader.readline()).split()[1])
        if status == 200:
            await asyncio.sleep(seconds)
        return status


async def slow_upload(member: Member) -> int:
    """A list of two megabytes whose last piece never comes, after the token was accepted."""
    return await _slowly(member, member.token, 2 * MIB - 64 * 1024)


async def slow_upload_of_a_stranger(member: Member) -> int:
    """A quarter of a megabyte with a token that Keystone has to be asked about."""
    return await _slowly(member, "gAAAAAB" + secrets.token_urlsafe(130), MIB // 4)


async def _slowly(member: Member, token: str, first: int) -> int:
    async with member.connected() as (reader, writer):
        writer.write(member.head("POST /v1/checksums", length=2 * MIB, token=token) + b" " * first)
        status = asyncio.ensure_future(reader.readline())
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not status.done():
                    writer.write(b" " * 2_048)
                    await asyncio.wait([status], timeout=1)
                return int(status.result().split()[1])
        except TimeoutError:
            return 0
        finally:
            status.cancel()


async def invocation_with_a_slow_body(member: Member) -> int:
    """A body for the function that never ends."""
    async with member.connected() as (reader, writer):
        writer.write(member.head("POST /v1/invoke/sink/x", length=32 * MIB) + b" " * MIB)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                return int((await reader.readline()).split()[1])
        return 0


# --- processor time


async def list_of_numbers(member: Member) -> int:
    """Ten thousand entries of which none is an object."""
    body = b'{"objects":[' + b"1," * 9_999 + b"1]}"
    return await member.ask(member.head("POST /v1/checksums", "Content-Type: application/json", length=len(body)), body)


async def deep_document(member: Member) -> int:
    """A million brackets."""
    body = b'{"objects":' + b"[" * MIB
    return await member.ask(member.head("POST /v1/checksums", "Content-Type: application/json", length=len(body)), body)


async def many_records(member: Member) -> int:
    """Two megabytes of records in one event."""
    body = json.dumps({"Records": [record() for _ in range(9_000)]}, separators=(",", ":")).encode()[: 2 * MIB]
    return await member.ask(member.head("POST /v1/events", "Content-Type: application/json", length=len(body)), body)


async def many_cloud_events(member: Member) -> int:
    """A batch of ten thousand CloudEvents."""
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"Records": []}}
    body = json.dumps([event] * 10_000, separators=(",", ":")).encode()
    media = "Content-Type: application/cloudevents-batch+json"
    return await member.ask(member.head("POST /v1/events", media, length=len(body)), body)


async def accept_of_commas(member: Member) -> int:
    """16 KiB of commas in `Accept`, without a token."""
    return await member.ask(member.head("GET /v1/checksums/c/o", "Accept: " + "," * 16_000, token=""))


async def wants_of_everything(member: Member) -> int:
    """A long `Want-Repr-Digest`, with a token."""
    wants = ",".join(f"k{number}=1" for number in range(2_000))[:16_000]
    return await member.ask(member.head(f"GET /v1/checksums/{member.container}/none", f"Want-Repr-Digest: {wants}"))


async def made_up_token(member: Member) -> int:
    """A token of the right form that Keystone has never seen."""
    return await member.ask(member.head("GET /v1/checksums/c/o", token="gAAAAAB" + secrets.token_urlsafe(130)))


async def plain_calls(member: Member) -> int:
    """As many calls as the rate allows, and more."""
    return await member.ask(member.head(f"GET /v1/checksums/{member.container}/none"))


# --- the function and the store


async def huge_object_left_early(member: Member) -> int:
    """A static large object of one segment, many times over: its size costs nothing to make."""
    target = f"GET /v1/checksums/{member.container}/huge?force=true&algorithm=sha512"
    return await member.ask(member.head(target), leave_after=2)


ATTACKS: dict[Attack, int] = {
    # How many of each go on at the same time.
    events_with_long_marks: 4,
    list_of_nothing_held_open: 24,
    long_lists_held_open: 16,
    slow_upload: 200,
    slow_upload_of_a_stranger: 200,
    invocation_with_a_slow_body: 20,
    list_of_numbers: 4,
    deep_document: 2,
    many_records: 4,
    many_cloud_events: 4,
    accept_of_commas: 8,
    wants_of_everything: 8,
    made_up_token: 8,
    plain_calls: 8,
    huge_object_left_early: 4,
}


async def go_on(attack: Attack, member: Member, until: float, statuses: Counter[str]) -> None:
    """The attack again and again. One that is refused comes back after a moment, as a program would."""
    while time.monotonic() < until:
        try:
            status = await attack(member)
        except (OSError, ValueError, IndexError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            status = 0
        statuses[f"{attack.__name__} {status}"] += 1
        await asyncio.sleep(0.05)


async def main(port: int, token: str, seconds: float, container: str, attacks: dict[Attack, int]) -> None:
    member, statuses = Member(port, token, container), Counter[str]()
    until = time.monotonic() + seconds
    await asyncio.gather(
        *(go_on(attack, member, until, statuses) for attack, count in attacks.items() for _ in range(count))
    )
    print(json.dumps(statuses))


def summary(statuses: dict[str, int]) -> Iterator[str]:
    """A line for each attack: its statuses, and how often each came."""
    for attack in ATTACKS:
        found = {key.split()[1]: count for key, count in statuses.items() if key.split()[0] == attack.__name__}
        yield f"  {attack.__name__:<28} " + ", ".join(f"{status}: {count}" for status, count in sorted(found.items()))


def chosen(names: str) -> dict[Attack, int]:
    """The attacks of a comma list, or all."""
    return {attack: count for attack, count in ATTACKS.items() if names == "all" or attack.__name__ in names.split(",")}


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4], chosen(sys.argv[5])))
