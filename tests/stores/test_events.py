"""Notifications of the stores themselves, from the written object to the digest beside it: once, and in no loop."""

import time

import pytest
from chain import chain, serves, subscribe

from tests.machine import scaled, wait_until

OBJECTS = 60
SENDERS = ("rgw-s3", "rgw-account", "minio", "versitygw")


@pytest.fixture(scope="module", params=SENDERS)
def made(request, cloud, function):
    with chain(request.param, cloud, function, request) as running_chain:
        running_chain.bucket = f"events-{request.param}"
        subscribe(running_chain, running_chain.bucket)
        yield running_chain


@pytest.fixture(autouse=True)
def counted(request, made) -> None:
    request.node.user_properties.append(("store", made.store.name))


def test_written_object_gets_its_digest_once_and_the_copy_that_stores_it_starts_no_loop(made):
    bucket = made.bucket
    contents = {f"run {number}/ü+%41.root": f"{made.store.name} {number}".encode() for number in range(OBJECTS)}
    before = made.wire.count("POST")
    begun = time.monotonic()
    for name, data in contents.items():
        made.filler.put(bucket, name, data, {"colour": "blue"})
    made.wait_for_digests(bucket, contents)
    print(f"{made.store.name}: {OBJECTS} objects, the last digest after {time.monotonic() - begun:.1f} s")
    # The events of the copies have come too, and nothing follows.
    time.sleep(scaled(2))
    changed = {name: made.filler.field(bucket, name, "last-modified") for name in contents}
    time.sleep(scaled(2))
    assert {name: made.filler.field(bucket, name, "last-modified") for name in contents} == changed
    assert made.wire.count("POST") - before == OBJECTS
    assert {made.filler.metadata(bucket, name)["colour"] for name in contents} == {"blue"}


@pytest.mark.parametrize("part", ["forwarder", "gateway", "store"])
def test_event_survives_the_restart_of_each_part(made, part):
    """The store keeps what was not accepted, and delivers it again."""
    for feature in ("event kept while the receiver is down", f"event kept when the {part} is killed"):
        if feature in made.store.lacks:
            pytest.skip(f"{feature}: {made.store.lacks[feature]}")
    bucket = made.bucket
    contents = {f"{part}-{number}": f"{part} {number}".encode() for number in range(OBJECTS // 2)}
    names = list(contents)
    service = made.store.services["front"] if part == "store" else getattr(made, part)
    for number, name in enumerate(names):
        if number == len(names) // 3:
            service.kill()
            if part == "store":
                service.restart()
                wait_until(lambda: serves(made, bucket), what="the store")
        if number == 2 * len(names) // 3 and part != "store":
            service.restart()
        made.filler.put(bucket, name, contents[name])
    made.wait_for_digests(bucket, contents)
