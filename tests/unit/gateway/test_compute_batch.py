"""A function's answer about many objects counts only if every part of it is about the right bytes."""

import contextlib
import dataclasses
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.calls.call import Call
from gateway.checksums.contract import DigestContract
from gateway.compute.batch import MAX_CONTENT_BYTES, MAX_OBJECTS, BatchOrder, BatchRefusedError, LoadedJob
from gateway.compute.job import Job
from gateway.compute.reply import MAX_REPLY_BYTES
from gateway.digests import ALGORITHMS
from gateway.errors import ErrorCode, GatewayError
from gateway.http.context import RequestContext
from gateway.identity.caller import Caller
from gateway.limits.model import LimitSubject
from gateway.objects.model import ObjectKind, ObjectRef, ObjectStat
from gateway.policy.names import Rule
from policies.names import NamespaceName, ProjectId
from tenancy.directory.protocol import Tenant

CALLER = Caller("secret-token", "u", "alice", ProjectId("p"), "demo", frozenset(), 0)
CALL = Call(
    caller=CALLER,
    tenant=Tenant(ProjectId("p"), NamespaceName("faas-p"), {}),
    subject=LimitSubject(CALLER.project_id, CALLER.user_id),
    context=RequestContext(),
    rule=Rule.CHECKSUMS_GET,
)
# Equally long, so that only their bytes tell them apart; the last two have the same ETag and size.
CONTENTS = {"a" * 32: b"first", "b" * 32: b"other", "c" * 32: b"third"}


def loaded(etag: str, content: bytes, name: str = "o") -> LoadedJob[dict[str, str]]:
    stat = ObjectStat(
        "p", "http://swift.test", ObjectRef("c", name), etag, len(content), ObjectKind.PLAIN, "text/plain"
    )
    return LoadedJob(Job(call=CALL, stat=stat, contract=DigestContract(("adler32",))), content)


def order() -> BatchOrder[dict[str, str]]:
    return BatchOrder([loaded(etag, content) for etag, content in CONTENTS.items()])


def reply_to(batch: BatchOrder[Any]) -> dict[str, Any]:
    """What a function answers that reads the order as it is documented."""
    head, _, content = batch.body().partition(b"\n")
    document = json.loads(head)
    results = []
    for number, entry in enumerate(document["objects"]):
        own, content = content[: entry["size"]], content[entry["size"] :]
        digests = {"adler32": f"{zlib.adler32(own):08x}"}
        results.append({"id": number, **entry, "crc32": f"{zlib.crc32(own):08x}", "digests": digests})
    assert content == b""
    return {"version": 1, "batch": document["batch"], "results": results}


def exchanged(part: str) -> Callable[[dict[str, Any]], None]:
    """Exchanges a part of the first two results."""

    def change(reply: dict[str, Any]) -> None:
        one, two = reply["results"][:2]
        one[part], two[part] = two[part], one[part]

    return change


def with_first(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda reply: reply["results"][0].update(changes)


def with_all(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda reply: reply.update(changes)


def swapped(reply: dict[str, Any]) -> None:
    """The first two results in each other's place, with the labels of the place."""
    one, two = reply["results"][:2]
    for part in ("digests", "crc32"):
        one[part], two[part] = two[part], one[part]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(swapped, id="bytes-of-another"),
        pytest.param(exchanged("id"), id="ids-exchanged"),
        pytest.param(exchanged("etag"), id="etags-exchanged"),
        pytest.param(exchanged("crc32"), id="checks-exchanged"),
        pytest.param(lambda reply: reply["results"].reverse(), id="reversed"),
        pytest.param(lambda reply: reply["results"].pop(), id="one-missing"),
        pytest.param(lambda reply: reply["results"].append(reply["results"][0]), id="one-more"),
        pytest.param(with_first(id=1), id="id-twice"),
        pytest.param(with_first(id=-1), id="id-negative"),
        pytest.param(with_first(id=True), id="id-true"),
        pytest.param(with_first(id="0"), id="id-word"),
        pytest.param(with_first(id=None), id="id-null"),
        pytest.param(with_first(size=4), id="size"),
        pytest.param(with_first(etag=None), id="etag-null"),
        pytest.param(with_first(crc32="0" * 8), id="check"),
        pytest.param(with_first(crc32=None), id="check-null"),
        pytest.param(with_first(digests={}), id="no-digest"),
        pytest.param(with_first(digests=None), id="digests-null"),
        pytest.param(with_first(digests={"adler32": 5}), id="digest-number"),
        pytest.param(with_first(digests={"adler32": "11E60398"}), id="digest-capitals"),
        pytest.param(with_first(digests={"adler32": "00000000\r\nX: 1"}), id="digest-injection"),
        pytest.param(with_all(batch="another"), id="another-batch"),
        pytest.param(with_all(batch=None), id="batch-null"),
        pytest.param(with_all(version=2), id="another-version"),
        pytest.param(with_all(results=None), id="results-null"),
        pytest.param(with_all(results={}), id="results-mapping"),
        pytest.param(with_all(results=[None] * 3), id="results-of-null"),
        pytest.param(with_all(error={"code": "internal"}), id="error-beside-results"),
        pytest.param(with_all(error={"code": "source_refused"}), id="error-of-a-capability"),
        pytest.param(with_all(error={"code": []}), id="error-code-list"),
        pytest.param(with_all(error="bad_request"), id="error-word"),
        pytest.param(with_all(error=False), id="error-false"),
        pytest.param(lambda reply: reply.clear(), id="empty"),
    ],
)
def test_reply_of_which_a_part_does_not_fit_gives_no_digest_at_all(change: Callable[[dict[str, Any]], None]) -> None:
    batch = order()
    reply = reply_to(batch)
    assert batch.results(reply)
    change(reply)
    with pytest.raises(GatewayError) as caught:
        batch.results(reply)
    assert caught.value.kind is ErrorCode.FUNCTION_FAILED


def test_results_for_objects_with_the_same_etag_and_size_are_told_apart_by_their_bytes() -> None:
    """A store may give two objects the same ETag, if it is no digest of their content."""
    batch = BatchOrder([loaded("same", b"first", "1"), loaded("same", b"other", "2")])
    reply = reply_to(batch)
    swapped(reply)
    with pytest.raises(GatewayError):
        batch.results(reply)


def test_reply_to_another_order_about_the_same_objects_is_none_to_this_one() -> None:
    assert order().name != order().name
    with pytest.raises(GatewayError):
        order().results(reply_to(order()))


def test_digest_that_contradicts_the_stores_own_is_refused() -> None:
    one = loaded("e", b"first")
    stat = dataclasses.replace(one.job.stat, native={"adler32": "0" * 8})
    batch = BatchOrder([dataclasses.replace(one, job=dataclasses.replace(one.job, stat=stat))])
    with pytest.raises(GatewayError):
        batch.results(reply_to(batch))


def test_function_that_does_not_know_batches_is_told_from_one_that_fails() -> None:
    with pytest.raises(BatchRefusedError):
        order().results({"error": {"code": "bad_request", "message": "Content-Type must be …", "status": 400}})
    with pytest.raises(GatewayError) as caught:
        order().results({"error": {"code": "too_busy"}})
    assert caught.value.kind is ErrorCode.FUNCTION_BUSY


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["version", "batch", "results", "error", "x"]), JSON))
def test_no_reply_gives_a_digest_or_another_exception(reply: dict[str, Any]) -> None:
    with pytest.raises((GatewayError, BatchRefusedError)):
        order().results(reply)


@given(st.sampled_from(["id", "etag", "size", "crc32", "digests"]), st.integers(0, 2), JSON)
def test_no_other_value_of_a_part_gives_another_digest(part: str, position: int, value: Any) -> None:
    batch = order()
    reply, right = reply_to(batch), batch.results(reply_to(batch))
    reply["results"][position][part] = value
    with contextlib.suppress(GatewayError):
        assert batch.results(reply) == right


def test_each_object_gets_its_own_digest() -> None:
    batch = order()
    assert batch.results(reply_to(batch)) == [{"adler32": f"{zlib.adler32(each):08x}"} for each in CONTENTS.values()]


def test_reply_to_the_largest_batch_fits_into_what_is_read_of_it() -> None:
    names = tuple(ALGORITHMS)
    largest = [loaded("e" * 512, bytes(MAX_CONTENT_BYTES // MAX_OBJECTS), str(number)) for number in range(MAX_OBJECTS)]
    digests = dict.fromkeys(names, "0" * 128)
    results = [
        {"id": number, "etag": "e" * 512, "size": MAX_CONTENT_BYTES, "crc32": "0" * 8, "digests": digests}
        for number in range(len(largest))
    ]
    assert len(json.dumps({"version": 1, "batch": BatchOrder(largest).name, "results": results})) < MAX_REPLY_BYTES
