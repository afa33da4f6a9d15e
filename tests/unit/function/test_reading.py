"""Both shapes of a call, resumption, the heartbeat, and callers who go away."""

import asyncio
import hashlib
import json
import ssl
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.machine import scaled

ALL = "adler32,crc32,crc32c,crc64nvme,md5,sha1,sha256,sha512,blake3,xxh3_64"


def sha256_of(source):
    return {"sha256": hashlib.sha256(source.data).hexdigest()}


async def test_both_shapes_give_the_same_answer(function, source):
    caller = await function()
    first = await caller.source(source, ALL.split(","))
    second = await caller.body(source.data, size=len(source.data), algorithms=ALL)
    assert first.status == second.status == 200
    assert first.document == second.document
    assert (first.document["etag"], first.document["size"]) == ("v1", len(source.data))
    assert list(first.document["digests"]) == ALL.split(",")
    assert first.document["digests"].items() >= sha256_of(source).items()
    async with caller.session.get(caller.url + "/healthz") as health:
        assert health.status == 200


async def test_an_empty_object(function, new_source):
    source = await new_source(b"").start()
    caller = await function()
    for reply in (await caller.source(source), await caller.body(b"", size=0)):
        assert reply.document["digests"] == {"md5": "d41d8cd98f00b204e9800998ecf8427e"}
    source.close()


@pytest.mark.parametrize("content_encoding", ["gzip", "identity"])
async def test_a_body_is_digested_as_it_is_sent(function, content_encoding):
    reply = await (await function()).body(b"\x1f\x8b", size=2, **{"Content-Encoding": content_encoding})
    assert reply.document["digests"]["md5"] == hashlib.md5(b"\x1f\x8b").hexdigest()


@pytest.mark.parametrize(
    "target",
    [
        "/v1/AUTH_a/c/a%2Fb//..%2e/%E2%82%AC;x=1,2?temp_url_sig=aB%2F&temp_url_expires=1&x",
        "/a/../b/./c", "/%61%2e%2E", "/a+b%20c%2520", "/o?", '/o?a=%zz&b=[]{}|^`"<>\\', "/?", "//x//",
    ],
)  # fmt: skip
async def test_the_target_is_sent_byte_for_byte(function, source, target):
    url = source.url + target
    reply = await (await function()).source(source, url=url)
    assert reply.status == 200
    assert [asked.target for asked in source.asked] == [target]


async def test_what_the_source_is_asked_with(function, source):
    await (await function()).source(source)
    assert source.asked[0].headers == {
        "host": f"127.0.0.1:{source.port}", "accept-encoding": "identity", "user-agent": "checksums-function",
        "connection": "close", "if-match": '"v1"',
    }  # fmt: skip
    reply = await (await function()).source(source, etag=None)
    assert "if-match" not in source.asked[1].headers
    assert reply.document["etag"] == "v1"


async def test_an_etag_without_quotes_is_the_same(function, source):
    head = b"HTTP/1.1 200 x\r\nEtag: v1\r\nContent-Length: %d\r\n\r\n" % len(source.data)
    source.scripts = [source.raw(head + source.data)]
    assert (await (await function()).source(source)).status == 200


async def test_many_headers(function, source):
    many = b"".join(b"X-Object-Meta-%d: x\r\n" % number for number in range(150))
    head = b"HTTP/1.1 200 x\r\nETag: v1\r\nContent-Length: %d\r\n" % len(source.data)
    source.scripts = [source.raw(head + many + b"\r\n" + source.data)]
    assert (await (await function()).source(source)).status == 200


def in_chunks(source, sizes, *, end=True):
    async def script(asked, reader, writer):
        writer.write(source.head(asked, length=False).replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"))
        at = asked.position
        for size in sizes:
            piece = source.data[at : at + size]
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if piece else b"")
            at += size
        writer.write(b"0\r\n\r\n" if end else b"")

    return script


async def test_a_source_that_sends_chunks(function, source):
    source.scripts = [in_chunks(source, [1, 2_000_000, 2_000_000])]
    assert (await (await function()).source(source, ["sha256"])).document["digests"] == sha256_of(source)
    source.scripts = [in_chunks(source, [1, 700_000], end=False), in_chunks(source, [4_000_000])]
    assert (await (await function()).source(source, ["sha256"])).document["digests"] == sha256_of(source)
    source.scripts = [in_chunks(source, [4_000_000], end=False)]
    assert (await (await function()).source(source, ["sha256"])).code == "short_read"


async def test_a_broken_read_is_continued_into_the_same_digests(function, source):
    cuts = [0, 1, 262_143, 1_048_576, 77]
    source.scripts = [*(source.cut(count) for count in cuts), source.status(503), source.good]
    reply = await (await function(attempts=9)).source(source, ["sha256", "crc32"])
    assert reply.document["digests"].items() >= sha256_of(source).items()
    assert [asked.position for asked in source.asked] == [0, 0, 1, 262_144, 1_310_720, 1_310_797, 1_310_797]
    assert {asked.headers["if-match"] for asked in source.asked} == {'"v1"'}
    assert "range" not in source.asked[1].headers


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 1_500_000), max_size=4), chunks=st.booleans())
async def test_wherever_it_breaks(function, source, cuts, chunks):
    source.scripts = [
        in_chunks(source, [count // 2, count - count // 2], end=False) if chunks else source.cut(count)
        for count in cuts
    ]
    source.scripts.append(source.good)
    if sum(cuts) >= len(source.data):
        source.scripts = [source.good]
    reply = await (await function(attempts=9)).source(source, ["sha256"])
    assert reply.document["digests"] == sha256_of(source)


async def test_the_version_that_was_found_is_the_one_that_is_continued(function, source):
    source.scripts = [source.cut(1000), source.good]
    reply = await (await function()).source(source, ["sha256"], etag=None)
    assert reply.document["digests"] == sha256_of(source)
    assert [asked.headers.get("if-match") for asked in source.asked] == [None, '"v1"']


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    import datetime as dt
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "source")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - dt.timedelta(1)).not_valid_after(now + dt.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(private + certificate.public_bytes(pem))
    return str(file)


async def test_tls_is_checked(function, new_source, certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    source = await new_source(b"secure" * 400_000).start(context)
    source.scripts = [source.cut(1_500_000), source.good]
    caller = await function()
    assert (await caller.source(source)).code == "source_unreachable"
    assert source.asked == []
    caller = await function(cafile=certificate)
    assert (await caller.source(source, ["sha256"])).document["digests"] == sha256_of(source)
    named = source.url.replace("127.0.0.1", "localhost")
    assert (await caller.source(source, url=named)).code == "source_unreachable"
    source.close()


# --- heartbeat ---


async def beats(caller, source, *, enough=1 << 30):
    """Status, number of blanks before the document, and the document; after `enough` blanks the source goes on."""
    order = json.dumps(caller.order(source)).encode()
    async with caller.session.post(caller.url, data=order, headers={"Content-Type": "application/json"}) as response:
        content = b""
        async for piece in response.content.iter_any():
            content += piece
            if len(content) >= enough:
                source.release.set()
        blanks = len(content) - len(content.lstrip())
        return response.status, blanks, json.loads(content)


async def test_a_long_computation_shows_signs_of_life(function, source):
    caller = await function(heartbeat_seconds=0.2)
    source.scripts = [source.stall(1000)]
    started = time.monotonic()
    status, blanks, document = await beats(caller, source, enough=4)
    assert status == 200
    assert blanks >= 4
    assert time.monotonic() - started > 0.6
    assert document["digests"]["md5"] == hashlib.md5(source.data).hexdigest()


async def test_a_failure_behind_a_sign_of_life(function, source):
    caller = await function(heartbeat_seconds=0.1, stall_seconds=0.3, attempts=1)
    source.scripts = [source.stall(1000)]
    status, blanks, document = await beats(caller, source)
    assert (status, document["error"]["code"], document["error"]["status"]) == (200, "short_read", 502)
    assert blanks >= 1


async def test_a_short_computation_shows_none(function, source):
    _, blanks, _ = await beats(await function(heartbeat_seconds=3_600), source)
    assert blanks == 0


async def test_waiting_for_a_slot_shows_signs_of_life_too(function, source, within):
    caller = await function(concurrency=1, queue=1, heartbeat_seconds=0.1)
    source.scripts = [source.stall(10), source.good]
    first = asyncio.create_task(caller.source(source))
    await within(lambda: source.asked)
    status, blanks, document = await beats(caller, source, enough=2)
    assert (status, set(document)) == (200, {"etag", "size", "digests"})
    assert blanks >= 2
    assert (await first).status == 200


# --- callers who go away ---


async def once_free(caller, source):
    """The reply to a computation of SHA-256, once a slot is free: threads end a moment after their caller."""
    async with asyncio.timeout(scaled(30)):
        while (reply := await caller.source(source, ["sha256"])).status == 503:  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.05)
    return reply


@pytest.mark.parametrize("heartbeat", [0.05, 15])
@pytest.mark.parametrize("busy", [False, True])
async def test_a_caller_who_leaves_frees_the_slot_and_the_source(function, source, within, busy, heartbeat):
    caller = await function(concurrency=1, queue=0, heartbeat_seconds=heartbeat, stall_seconds=60)
    source.scripts = [source.zeros(1 << 40) if busy else source.stall(1000), source.good]
    size = 1 << 40 if busy else len(source.data)
    task = asyncio.create_task(caller.source(source, ["sha512", "md5"], size=size))
    await within(lambda: source.asked)
    await asyncio.sleep(0.2)
    assert source.open == 1
    task.cancel()
    await within(lambda: source.open == 0)
    assert (await once_free(caller, source)).document["digests"] == sha256_of(source)


async def test_a_caller_who_leaves_in_the_middle_of_the_body(function, source, within):
    caller = await function(concurrency=1, queue=0)
    sent = asyncio.Event()

    async def endless():
        for number in range(1 << 20):
            yield bytes(1 << 16)
            if number > 100:
                sent.set()
                await asyncio.sleep(30)

    task = asyncio.create_task(caller.body(endless(), size=1 << 40, algorithms="sha512"))
    await sent.wait()
    assert (await caller.source(source)).code == "too_busy"
    task.cancel()
    assert (await once_free(caller, source)).status == 200


async def test_a_caller_who_leaves_the_queue_is_never_read_for(function, source, within):
    caller = await function(concurrency=1, queue=1)
    source.scripts = [source.stall(10), source.good]
    first = asyncio.create_task(caller.source(source))
    await within(lambda: source.asked)
    waiting = asyncio.create_task(caller.source(source, url=source.url + "/left"))
    await asyncio.sleep(0.2)
    waiting.cancel()
    await asyncio.sleep(0.2)
    next_one = asyncio.create_task(caller.source(source, url=source.url + "/next"))  # the place is free again
    await asyncio.sleep(0.1)
    source.release.set()
    assert [(await first).status, (await next_one).status] == [200, 200]
    assert [asked.target for asked in source.asked] == ["/o?sig=SECRET", "/next"]
