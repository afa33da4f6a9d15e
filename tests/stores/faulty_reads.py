"""Reads of a real store through a way that fails at random: networks, careless proxies, and real overwriting.

Unlike in tests/long/fault_reads.py, whose plans and readers are used here, the store's own answers are broken. What a
proxy does wrong is done to the request: a proxy that ignores `Range` or `If-Match` is one that does not pass it on. The
object is really overwritten, between two requests of a read or before the first one.
"""

import hashlib
import random
import re
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote, urlsplit

import fault_reads
from botocore.credentials import Credentials
from fault_reads import Plan, Source, head_of
from filler import SwiftFiller
from stores import ACCOUNT_KEY, Store

from gateway.objects.model import ObjectRef
from gateway.objects.s3 import presign
from gateway.objects.tempurl import sign
from tests.machine import scaled

NAME = "failing"
RESET = struct.pack("ii", 1, 0)
HOUR = 3_600


@dataclass(frozen=True)
class Reply:
    """An answer of the store, whole."""

    head: bytes
    body: bytes

    def without(self, field: bytes) -> "Reply":
        return Reply(without(self.head, field), self.body)

    def with_field(self, field: bytes) -> "Reply":
        return Reply(self.head.removesuffix(b"\r\n\r\n") + b"\r\n" + field + b"\r\n\r\n", self.body)


def without(head: bytes, field: bytes) -> bytes:
    return re.sub(rb"(?i)\r\n" + field + rb":[^\r]*", b"", head)


def one_byte_before(request: bytes) -> bytes:
    """The range of a request begins earlier."""
    return re.sub(rb"(?i)(\r\nRange: bytes=)(\d+)", lambda found: found[1] + b"%d" % max(0, int(found[2]) - 1), request)


def some(plan: Plan, data: bytes) -> bytes:
    return data[: plan.chance.randrange(len(data) + 1)]


Ending = Callable[["FaultySource", socket.socket, Reply, Plan], None]


def whole(_: "FaultySource", connection: socket.socket, reply: Reply, __: Plan) -> None:
    connection.sendall(reply.head + reply.body)


def cut(_: "FaultySource", connection: socket.socket, reply: Reply, plan: Plan) -> None:
    connection.sendall(reply.head + some(plan, reply.body))


def reset(source: "FaultySource", connection: socket.socket, reply: Reply, plan: Plan) -> None:
    cut(source, connection, reply, plan)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.close()


def reset_at_once(_: "FaultySource", connection: socket.socket, __: Reply, ___: Plan) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.close()


def cut_in_the_head(_: "FaultySource", connection: socket.socket, reply: Reply, plan: Plan) -> None:
    connection.sendall(some(plan, reply.head))


def stall(source: "FaultySource", connection: socket.socket, reply: Reply, plan: Plan) -> None:
    cut(source, connection, reply, plan)
    time.sleep(1.5 * source.stall_seconds)


def drip(_: "FaultySource", connection: socket.socket, reply: Reply, __: Plan) -> None:
    data = reply.head + reply.body
    step = len(data) // 3 + 1
    for begin in range(0, len(data), step):
        connection.sendall(data[begin : begin + step])
        time.sleep(0.001)


def without_length(body: Callable[[Plan, bytes], bytes]) -> Ending:
    def end(_: "FaultySource", connection: socket.socket, reply: Reply, plan: Plan) -> None:
        connection.sendall(reply.without(b"Content-Length").head + body(plan, reply.body))

    return end


def in_chunks(body: Callable[[Plan, bytes], bytes], last: bytes = b"0\r\n\r\n") -> Ending:
    def end(_: "FaultySource", connection: socket.socket, reply: Reply, plan: Plan) -> None:
        data = body(plan, reply.body)
        chunk = b"%x\r\n%s\r\n" % (len(data), data) if data else b""
        head = reply.without(b"Content-Length").with_field(b"Transfer-Encoding: chunked").head
        connection.sendall(head + chunk + last)

    return end


def no_etag(_: "FaultySource", connection: socket.socket, reply: Reply, __: Plan) -> None:
    connection.sendall(reply.without(b"ETag").head + reply.body)


def unavailable(_: "FaultySource", connection: socket.socket, __: Reply, ___: Plan) -> None:
    connection.sendall(b"HTTP/1.1 503 x\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n")


@dataclass(frozen=True)
class Fault:
    """What happens to a request, to the object before the store gets it, and to the answer."""

    ending: Ending = whole
    request: Callable[[bytes], bytes] = bytes
    overwrites: bool = False


def all_of(_: Plan, body: bytes) -> bytes:
    return body


unconditional = partial(without, field=b"If-Match")
FAULTS: dict[str, Fault] = {
    "good": Fault(),
    "cut": Fault(cut),
    "reset": Fault(reset),
    "reset before the head": Fault(reset_at_once),
    "cut in the head": Fault(cut_in_the_head),
    "stall": Fault(stall),
    "drip": Fault(drip),
    "no length": Fault(without_length(all_of)),
    "no length, cut": Fault(without_length(some)),
    "no length, more": Fault(without_length(lambda _, body: body + b"more")),
    "chunks": Fault(in_chunks(all_of)),
    "chunks, fewer": Fault(in_chunks(some)),
    "chunks, cut": Fault(in_chunks(some, last=b"")),
    "overwritten": Fault(overwrites=True),
    "overwritten, careless": Fault(request=unconditional, overwrites=True),
    "overwritten, no ETag": Fault(no_etag, unconditional, overwrites=True),
    "all of it again": Fault(request=partial(without, field=b"Range")),
    "another place": Fault(request=one_byte_before),
    "503": Fault(unavailable),
}


def plan_of(chance: random.Random) -> Plan:
    common = [name for name in FAULTS if name not in {"good", "stall"}]
    return fault_reads.plan_of(chance, common, lambda data: hashlib.md5(data).hexdigest())


class FaultySource(Source):
    """An object of a real store behind a way that fails; serves one connection at a time."""

    stall_seconds = scaled(1)

    def __init__(self, store: Store, bucket: str, ec2: tuple[str, str]) -> None:
        super().__init__()
        self._store, self._bucket = store, bucket
        parts = urlsplit(store.url)
        self._upstream = (parts.hostname, parts.port)
        if isinstance(store.filler, SwiftFiller):
            path = urlsplit(store.filler.account).path
            digest = store.settings.get("OSFAAS_TEMPURL_DIGEST", "sha256")
            url = f"{self.address}{path}/{bucket}/{quote(NAME)}"
            expires_at = int(time.time()) + HOUR
            self.url = sign(url, method="GET", key=ACCOUNT_KEY, expires_at=expires_at, digest=digest)
        else:
            ref = ObjectRef(bucket, NAME)
            self.url = presign(self.address, ref, Credentials(*ec2), region="us-east-1", seconds=HOUR)

    def prepare(self, plan: Plan) -> None:
        self._store.filler.put(self._bucket, NAME, plan.asked_for.data)
        super().prepare(plan)

    def answer(self, connection: socket.socket) -> None:
        request, plan = head_of(connection), self.plan
        if not request or plan is None:
            return
        fault = FAULTS[plan.faults.pop(0) if plan.faults else "good"]
        if fault.overwrites:
            self._store.filler.put(self._bucket, NAME, plan.overwritten.data)
        fault.ending(self, connection, self._ask(fault.request(request)), plan)
        if connection.fileno() >= 0:
            connection.shutdown(socket.SHUT_WR)

    def _ask(self, request: bytes) -> Reply:
        # The end of the connection is the end of the answer.
        closing = without(request, b"Connection").removesuffix(b"\r\n\r\n") + b"\r\nConnection: close\r\n\r\n"
        with socket.create_connection(self._upstream, timeout=scaled(60)) as upstream:
            upstream.sendall(closing)
            data = b""
            while piece := upstream.recv(1 << 16):
                data += piece
        head, blank, body = data.partition(b"\r\n\r\n")
        return Reply(head + blank, body)
