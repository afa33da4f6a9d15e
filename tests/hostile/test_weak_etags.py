"""Weak ETags, of a store or a proxy before it: they match no condition and prove nothing (RFC 9110, 8.8.1)."""

import hashlib
import re
import socket

import pytest
from faulty import SMALL, made_faulty
from fronts import Request


def weakly(port: int):
    """Passes everything on, makes ETags weak, and lets no condition be met."""

    def fault(connection: socket.socket, request: Request) -> bool:
        if "if-match" in request.fields:
            connection.sendall(b"HTTP/1.1 412 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return True
        head, _, body = request.raw.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
        answer = b""
        with socket.create_connection(("127.0.0.1", port)) as upstream:
            upstream.sendall(b"\r\n".join([*lines, b"Connection: close", b"", b""]) + body)
            while piece := upstream.recv(1 << 16):
                answer += piece
        answer = re.sub(rb'(?im)^(etag: )"?([^"\r]+)"?', rb'\1W/"\2"', answer, count=1)
        connection.sendall(answer)
        return True

    return fault


@pytest.fixture(scope="module", params=["tempurl", "stream"])
def weak(start_gateway, cloud, function, bucket, request):
    settings = {"OSFAAS_CAPABILITIES": request.param, "OSFAAS_TEMPURL_SET_KEY": "true"}
    with made_faulty(start_gateway, cloud, function, bucket, **settings) as made:
        made.store.fault = weakly(made.store.target_port)
        yield made


def test_object_with_a_weak_etag_is_read_each_time_and_nothing_is_bound_to_it(weak, bucket):
    path, before = weak.path + "?algorithm=sha1,md5&store=true", dict(bucket.head("faulty"))
    for _ in range(2):
        answer = weak.get(path, weak.fresh())
        assert answer.status_code == 200, answer.text
        assert answer.json()["digests"]["sha1"] == hashlib.sha1(SMALL).hexdigest()
        # The MD5 would be the ETag, if that were strong.
        assert answer.json()["sources"] == {"sha1": "computed", "md5": "computed"}
        assert answer.json()["stored"] is False
        assert answer.json()["etag"].startswith('W/"')
    now = dict(bucket.head("faulty"))
    assert [name for name in now if name.lower().startswith("x-object-meta")] == [
        name for name in before if name.lower().startswith("x-object-meta")
    ]


def test_digest_of_before_is_not_taken_for_one_of_an_object_with_a_weak_etag(weak, bucket):
    """Stored under the strong ETag, which the weak one resembles."""
    weak.store.fault = lambda *_: False
    assert weak.get(weak.path + "?algorithm=crc32&store=true", weak.fresh()).json()["stored"] is True
    weak.store.fault = weakly(weak.store.target_port)
    assert weak.get(weak.path + "?algorithm=crc32", weak.fresh()).json()["sources"] == {"crc32": "computed"}


def test_lookup_asks_for_the_object_as_it_is_stored(weak):
    """A proxy weakens the ETag of what it would compress."""
    before = len(weak.store.seen)
    weak.get(weak.path + "?algorithm=sha1", weak.fresh())
    heads = [each for each in weak.store.seen[before:] if each.line.startswith(b"HEAD ") and b"/faulty" in each.line]
    assert heads
    assert {each.fields["accept-encoding"] for each in heads} == {"identity"}
