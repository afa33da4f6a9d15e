"""What dCache and FTS send and expect, by their sources: neither runs here. See `dcache.py` and `fts.py`."""

import contextlib
import hashlib
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import dcache
import fts
import pytest
from raw import Head, head_of, sent
from relay import Relay
from samples import Sample, contents

from gateway.settings import Settings
from tests.machine import scaled, wait_until

NAMES = list(contents())
KNOWN = [wanted for count in (1, 2, 5) for wanted in combinations(dcache.NAMES, count)]


def known_to_dcache(sample: Sample, names: tuple[str, ...]) -> dict[str, str]:
    """Checksums in dCache's namespace, hex by the names of RFC 3230."""
    ours = {"adler32": "adler32", "md5": "md5", "sha": "sha1", "sha-256": "sha256"}
    digests = {**sample.digests, "sha512": hashlib.sha512(sample.data).hexdigest()}
    return {name: digests[ours.get(name, "sha512")] for name in names}


def test_dcaches_want_digest_is_written_as_in_its_source():
    assert dcache.want_digest(["adler32"]) == "adler32"
    assert dcache.want_digest(["md5", "adler32"]) == "md5,adler32;q=0.5"
    assert dcache.want_digest(dcache.NAMES) == "sha-512,sha-256;q=0.8,sha;q=0.6,md5;q=0.4,adler32;q=0.2"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("names", KNOWN, ids="-".join)
def test_dcache_verifies_a_pushed_file_by_its_most_preferred_checksum(gateway, bucket, samples, alice, name, names):
    sample, port = samples[name], gateway.service.port
    message = dcache.head(bucket.path(name), port, alice, dcache.want_digest(names))
    reply = head_of(port, message, dcache.SOCKET_TIMEOUT_SECONDS)
    known = known_to_dcache(sample, names)
    assert dcache.verify(reply, len(sample.data), known, required=True) == dcache.Verified(frozenset(names[:1]))


def test_dcache_up_to_6_2_verifies_by_adler32(gateway, bucket, samples, alice):
    sample, port = samples["zeros"], gateway.service.port
    reply = head_of(port, dcache.head(bucket.path("zeros"), port, alice, dcache.OLD_WANT_DIGEST))
    known = known_to_dcache(sample, ("adler32", "md5"))
    assert known["adler32"].startswith("00")
    assert dcache.verify(reply, len(sample.data), known, required=True) == dcache.Verified(frozenset(["adler32"]))


@pytest.mark.parametrize("changed", ["adler32", "md5", "size"])
def test_dcache_fails_a_transfer_with_other_content(gateway, bucket, samples, alice, changed):
    sample, port = samples["zeros"], gateway.service.port
    reply = head_of(port, dcache.head(bucket.path("zeros"), port, alice, "adler32,md5"))
    known = known_to_dcache(sample, ("adler32", "md5"))
    if changed in known:
        known[changed] = known[changed].replace("0", "1")
    with pytest.raises(dcache.TransferFailedError, match=changed if changed in known else "Content-Length"):
        dcache.verify(reply, len(sample.data) + (changed == "size"), known, required=True)


def test_what_dcache_cannot_compare_fails_only_a_transfer_that_requires_it(gateway, bucket, samples, alice):
    """dCache reads neither CRCs nor BLAKE3 in a reply, and sends no name that it does not read."""
    sample, port = samples["zeros"], gateway.service.port
    for wanted in ("crc32c", "blake3", "md4"):
        reply = head_of(port, dcache.head(bucket.path("zeros"), port, alice, wanted))
        known = known_to_dcache(sample, ("adler32",))
        assert dcache.verify(reply, len(sample.data), known, required=False) == dcache.Verified(frozenset())
        with pytest.raises(dcache.TransferFailedError, match="no useful checksum"):
            dcache.verify(reply, len(sample.data), known, required=True)


@pytest.mark.parametrize(("name", "token", "status"), [("no-such", None, 404), ("zeros", "nonsense", 401)])
def test_dcache_takes_a_rejected_head_as_final_and_verifies_nothing(
    gateway, bucket, samples, alice, name, token, status
):
    """With `RequireChecksumVerification: false`, which FTS sends for `checksum-mode` source, it is a success."""
    port = gateway.service.port
    reply = head_of(port, dcache.head(bucket.path(name), port, token or alice, "adler32"))
    assert dcache.verify(reply, 1_000, {"adler32": "0" * 8}, required=False) == dcache.Verified(frozenset())
    with pytest.raises(dcache.TransferFailedError, match=f"rejected HEAD: {status}"):
        dcache.verify(reply, 1_000, {"adler32": "0" * 8}, required=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("algorithm", ["ADLER32", "MD5", "CRC32C", "CRC32", "SHA", "SHA-256"])
def test_fts_reads_the_true_value(gateway, bucket, samples, alice, name, algorithm):
    port = gateway.service.port
    reply = head_of(port, fts.head(bucket.path(name), port, alice, algorithm))
    ours = {"SHA": "sha1", "SHA-256": "sha256"}.get(algorithm, algorithm.lower())
    value = fts.checksum(reply, algorithm)
    assert value == samples[name].digests[ours]
    # What a user writes into a job may lack the zeros.
    assert fts.same(value, samples[name].digests[ours].lstrip("0").upper())


def test_fts_gets_no_checksum_of_an_unknown_type_and_then_skips_the_check_of_a_source(gateway, bucket, samples, alice):
    port = gateway.service.port
    reply = head_of(port, fts.head(bucket.path("zeros"), port, alice, "ROT13"))
    with pytest.raises(fts.NotSupportedError):
        fts.checksum(reply, "ROT13")


@pytest.mark.parametrize(("name", "token"), [("no-such", None), ("zeros", "nonsense")])
def test_fts_does_not_repeat_what_cannot_succeed(gateway, bucket, samples, alice, name, token):
    port = gateway.service.port
    with pytest.raises(fts.RequestFailedError) as failed:
        fts.checksum(head_of(port, fts.head(bucket.path(name), port, token or alice, "ADLER32")), "ADLER32")
    assert not fts.repeats_transfer(failed.value)


class HeldRelay(Relay):
    """Holds back what the function replies, so that a computation takes as long as the test wants."""

    def __init__(self, target_port: int) -> None:
        self.let_go = threading.Event()
        super().__init__(target_port)

    def watch(self):
        seen_sent, seen_received = super().watch()

        def received(piece: bytes) -> None:
            self.let_go.wait()
            seen_received(piece)

        return seen_sent, received


@contextlib.contextmanager
def held_gateway(start_gateway, cloud, function, **settings: str) -> Iterator[tuple]:
    """A gateway whose function does not reply until it is let go."""
    wire = HeldRelay(function.port)
    functions = {cloud.users["alice"].project_id: f"http://127.0.0.1:{wire.port}"}
    try:
        with start_gateway(functions=functions, **settings) as gateway:
            yield gateway, wire
    finally:
        wire.let_go.set()
        wire.close()


def put_fresh(bucket, name: str) -> tuple[bytes, dict[str, str]]:
    """An object that nobody has asked about, too large for a digest without the function."""
    data = hashlib.sha256(name.encode()).digest() * 200_000
    bucket.put(name, data)
    return data, {"adler32": f"{zlib.adler32(data):08x}"}


def leave(gateway, wire, message: bytes) -> None:
    """A client that sends a request, waits until the function computes, and then no longer."""
    calls = wire.calls
    with sent(gateway.service.port, message):
        wait_until(lambda: wire.calls > calls, what="the call of the function")
    wait_until(lambda: gateway.metric("osfaas_requests_in_flight") <= 1, what="the end of the request")


@pytest.mark.parametrize("computed", ["before the repeated request", "during the repeated request"])
def test_a_repeated_head_gets_what_the_first_one_did_not_wait_for(
    start_gateway, cloud, function, bucket, alice, computed
):
    """dCache waits for a HEAD for a minute or more, XRootD for 30 minutes, gfal for Python for ten seconds."""
    name = computed.partition(" ")[0]
    data, known = put_fresh(bucket, name)
    with held_gateway(start_gateway, cloud, function) as (gateway, wire):
        port = gateway.service.port
        message = dcache.head(bucket.path(name), port, alice, "adler32")
        leave(gateway, wire, message)
        if name == "before":
            wire.let_go.set()
            wait_until(lambda: gateway.metric("osfaas_computed_bytes_total") == len(data), what="the digest")
        with ThreadPoolExecutor(1) as pool:
            repeated = pool.submit(head_of, port, message)
            wait_until(lambda: repeated.done() or gateway.metric("osfaas_requests_in_flight") > 1)
            wire.let_go.set()
            reply = repeated.result(scaled(120))
        assert dcache.verify(reply, len(data), known, required=True) == dcache.Verified(frozenset(["adler32"]))
        assert wire.calls == 1


def test_fts_repeats_a_transfer_after_the_504_and_then_gets_the_checksum(start_gateway, cloud, function, bucket, alice):
    _, known = put_fresh(bucket, "longer than the gateway waits")
    with held_gateway(start_gateway, cloud, function, OSFAAS_RESPONSE_TIMEOUT_SECONDS="1") as (gateway, wire):
        port = gateway.service.port
        message = fts.head(bucket.path("longer than the gateway waits"), port, alice, "ADLER32")
        reply = head_of(port, message)
        with pytest.raises(fts.RequestFailedError) as failed:
            fts.checksum(reply, "ADLER32")
        assert reply.status == 504
        assert fts.repeats_transfer(failed.value)
        wire.let_go.set()
        last: list[Head] = []

        def succeeds() -> bool:
            last[:] = [head_of(port, message)]
            return last[0].status == 200

        wait_until(succeeds, what="the digest")
        assert fts.checksum(last[0], "ADLER32") == known["adler32"]
        assert wire.calls == 1


def test_the_gateway_answers_before_fts_gives_up():
    assert Settings.model_fields["response_timeout_seconds"].default < fts.CHECKSUM_TIMEOUT_SECONDS


@pytest.mark.parametrize(("size", "seconds"), [(0, 60), (1 << 30, 162.4), (100 << 30, 10_300)])
def test_dcache_waits_a_minute_and_what_a_tenth_of_a_second_for_each_mebibyte_adds(size, seconds):
    assert dcache.socket_timeout_seconds(size) == pytest.approx(seconds)
