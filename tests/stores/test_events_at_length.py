"""Ten thousand objects, and each part killed once while they are written: every digest is stored, and once.

EVENT_OBJECTS says how many. What a store itself loses is named, and the documented remedy stores the rest.
"""

import concurrent.futures
import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from urllib.parse import urlsplit

import pytest
import yaml
from botocore.exceptions import BotoCoreError
from chain import WAIT_SECONDS, Chain, chain, serves, subscribe
from conftest import content_of
from filler import RefusedError

from localcloud.seed import Keystone
from localcloud.services import Service
from tests.bench.measure import resident_mib
from tests.machine import scaled, wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(0)]

OBJECTS = int(os.environ.get("EVENT_OBJECTS", "10000"))
WRITERS = 8
UNTOLD = 20
# Of the gateway; the events and digests of 10,000 objects that it remembers take some 10 MiB.
GROWTH_MIB = 64


class Writing:
    """Objects that are written while parts are killed.

    Attributes:
        contents: of all objects that were written.
        attempts: how often each was sent, by path: an upload without an answer is sent again, and may be there twice.
    """

    def __init__(self, made: Chain, pool: concurrent.futures.Executor) -> None:
        self.made = made
        self.contents: dict[str, bytes] = {}
        self.attempts: Counter[str] = Counter()
        self._pool = pool
        events = made.filler.client.meta.events
        events.register("before-send.s3.PutObject", self._count)

    def _count(self, request, **_kwargs) -> None:
        self.attempts[urlsplit(request.url).path] += 1

    def put(self, name: str) -> None:
        deadline = time.monotonic() + scaled(300)
        while True:
            try:
                self.made.filler.put(self.made.bucket, name, self.contents[name])
            except (RefusedError, BotoCoreError):
                assert time.monotonic() < deadline, f"{name} cannot be written"
                time.sleep(0.5)
            else:
                return

    def write(self, prefix: str, count: int, killed: Service | None = None, *, at_once: bool = False) -> None:
        """Writes objects; kills a service after a third of them, and restarts it at once or after the second third."""
        names = [f"{prefix.replace(' ', '-')}/{number:05}" for number in range(count)]
        self.contents |= {name: f"{self.made.store.name} {name}".encode() for name in names}
        written = [self._pool.submit(self.put, name) for name in names]
        if killed is not None:
            written[count // 3].result()
            killed.kill()
            if not at_once:
                written[2 * count // 3].result()
            killed.restart()
        for each in written:
            each.result()

    def without_digest(self) -> list[str]:
        """The objects that have no digest beside them; a wrong one is an error."""

        def lacks(name: str) -> bool:
            value = self.made.filler.metadata(self.made.bucket, name).get("adler32")
            assert value in {None, content_of(self.contents[name]).digests["adler32"]}, name
            return value is None

        names = list(self.contents)
        return [name for name, without in zip(names, self._pool.map(lacks, names), strict=True) if without]

    def stored(self) -> Counter[str]:
        """How often the gateway wrote each object, which it does to store a digest."""
        return self.made.front.by_target("PUT")

    def wait(self) -> list[str]:
        """Waits until all have digests, or until nothing has happened for long; returns those that have none."""
        # Ceph's own times do not depend on the machine.
        longest = WAIT_SECONDS + scaled(5)
        left, seen, last = list(self.contents), -1, time.monotonic()
        while left and time.monotonic() - last < longest:
            time.sleep(2)
            now = self.stored().total()
            if now != seen:
                seen, last = now, time.monotonic()
            if now >= len(self.contents) - WRITERS or time.monotonic() - last > longest:
                left = self.without_digest()
        return left


@pytest.mark.parametrize("name", ["rgw-s3", "minio"])
def test_digests_of_many_objects_are_stored_once_although_each_part_is_killed(name, cloud, function, request):
    if name == "rgw-s3":
        lets_ceph_read_secrets(cloud)
    with contextlib.ExitStack() as stack:
        made = stack.enter_context(chain(name, cloud, function, request))
        request.node.user_properties.append(("store", name))
        made.bucket = f"many-{name}"
        subscribe(made, made.bucket)
        writing = Writing(made, stack.enter_context(concurrent.futures.ThreadPoolExecutor(WRITERS)))
        parts = {"gateway": made.gateway, "function": function, "forwarder": made.forwarder}
        parts["store"] = made.store.services["front"]
        if "storage daemon killed alone" not in made.store.lacks:
            parts["storage daemon"] = made.store.services["disk"]
        stopping = {part for part in parts if f"event kept when the {part} is killed" in made.store.lacks}
        share = OBJECTS // len(parts)
        begun = time.monotonic()
        # The gateway first: afterwards its memory is that of one process.
        writing.write("gateway", share, made.gateway)
        before = resident_mib(made.gateway.pid)
        for part in [part for part in parts if part not in stopping | {"gateway"}]:
            writing.write(part, share, parts[part], at_once=part.startswith("stor"))
        written, count = time.monotonic() - begun, len(writing.contents)
        assert not writing.wait(), "nothing of this is lost"
        seconds = time.monotonic() - begun
        say(name, f"{count} objects written in {written:.0f} s ({count / written:.1f} a second)")
        say(name, f"all digests stored after {seconds:.0f} s ({count / seconds:.1f} a second); none lost")
        for part in stopping:
            writing.write(part, share, parts[part])
            say(name, f"{part} killed while {share} more were written: {len(writing.wait())} without a digest")
            taken_over(made, writing, request.getfixturevalue("ceph"))
        is_remedied(made, writing, cloud)
        is_quiet(made)
        more = {path: times for path, times in writing.stored().items() if times > writing.attempts[path]}
        assert not more, "a digest is stored once"
        after = resident_mib(made.gateway.pid)
        report(made, writing, before=before, after=after)
        assert after - before < GROWTH_MIB


def lets_ceph_read_secrets(cloud) -> None:
    """As docs/how-to/ceph.md says, before Ceph starts: otherwise Keystone, not Ceph, is what the test measures."""
    keystone, seeded = Keystone(cloud.session("admin"), cloud.auth_url), cloud.seed
    roles = {role["name"]: role["id"] for role in keystone.list("role")}
    keystone.grant(seeded.projects["Default/service"], seeded.users["swift"], roles["admin"])


def taken_over(made: Chain, writing: Writing, ceph) -> list[str]:
    """Restarts the RADOS gateways, one of which delivers nothing any more; the objects that have no digest then."""
    for each in (ceph.account, ceph.plain):
        each.service.kill()
        each.service.restart()
    wait_until(lambda: serves(made, made.bucket), what="the store")
    left = writing.wait()
    say(made.store.name, f"after a restart of the RADOS gateways {len(left)} without a digest {left[:3]}")
    return left


def is_remedied(made: Chain, writing: Writing, cloud) -> None:
    """A list of a bucket stores the digests that are missing, also where no event told of any object; and no others."""
    untold = f"untold-{made.store.name}"
    made.filler.make(untold)
    contents = {f"untold/{number}": f"untold {number}".encode() for number in range(UNTOLD)}
    for name, data in contents.items():
        made.filler.put(untold, name, data)
    lost, stored = writing.without_digest(), writing.stored()
    for bucket in (made.bucket, untold):
        remedied(made, cloud, bucket)
    assert not writing.without_digest()
    assert made.with_digest(untold, contents) == UNTOLD
    missing = [*(f"{made.bucket}/{name}" for name in lost), *(f"{untold}/{name}" for name in contents)]
    assert writing.stored() - stored == Counter(f"/{name}" for name in missing)


def is_quiet(made: Chain) -> None:
    """No event leads to another one for ever."""
    wires = (made.wire, made.front)
    seen = [wire.count(method) for wire in wires for method in ("POST", "PUT")]
    time.sleep(scaled(5))
    assert [wire.count(method) for wire in wires for method in ("POST", "PUT")] == seen


def remedied(made: Chain, cloud, bucket: str) -> None:
    """As docs/how-to/checksums-by-event.md says: of the container, or of named objects where there is no Swift API."""
    command = [sys.executable, "-m", "client.cli", "checksum", "list", bucket, "--store", "-t", "adler32"]
    command += ["-e", f"http://127.0.0.1:{made.gateway.port}"]
    clouds, names = yaml.safe_load(cloud.clouds_yaml.read_text(encoding="utf-8")), ""
    if made.store.name == "rgw-s3":
        account = f"{made.store.url}/swift/v1/AUTH_{cloud.users['alice'].project_id}"
        clouds["clouds"]["alice"]["object_store_endpoint_override"] = account
    else:
        pages = made.filler.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        names = "".join(f"{entry['Key']}\n" for page in pages for entry in page.get("Contents", ()))
        command += ["--names", "-"]
    file = cloud.state / f"clouds-{bucket}.yaml"
    file.write_text(yaml.safe_dump(clouds), encoding="utf-8")
    env = {**os.environ, "OS_CLIENT_CONFIG_FILE": str(file), "OS_CLOUD": "alice", "XDG_CACHE_HOME": str(cloud.state)}
    done = subprocess.run(command, env=env, input=names, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]


def report(made: Chain, writing: Writing, *, before: float, after: float) -> None:
    """Figures of both lives of the gateway: its log outlives it."""
    outcomes: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    for line in made.gateway.log.read_text(encoding="utf-8", errors="replace").splitlines():
        if '"route": "events"' in line:
            entry = json.loads(line[line.index("{") :])
            statuses[entry["status"]] += 1
            outcomes.update(entry.get("events") or {})
    name, objects = made.store.name, len(writing.contents)
    say(name, f"events by outcome: {dict(outcomes)}; deliveries to the gateway by status: {dict(statuses)}")
    computed, stored = made.wire.count("POST"), writing.stored()
    twice = sum(times > 1 for times in stored.values())
    uploads, writes = writing.attempts.total(), stored.total()
    say(name, f"{objects} objects, {uploads} uploads, {computed} computations, digests stored {writes} times")
    say(
        name,
        f"{twice} of them stored again, after another upload; gateway {before:.0f} MiB, at the end {after:.0f} MiB",
    )


def say(store: str, sentence: str) -> None:
    print(f"{store}: {sentence}", flush=True)
