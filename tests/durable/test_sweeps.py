"""Sweeps on real Keystone, Swift, function, gateway and worker: what they find, what stops them, what kills leave."""

import contextlib
import json
import random
import signal
import time

import pytest
from databases import NAMES, Databases
from killed import PROGRAM
from sweeping import (
    adler32,
    begin,
    csv_dump,
    end_in_database,
    filled,
    lines_of,
    outputs,
    read_nothing_more,
    reads,
    without_id,
)
from worker import code, stage, status_at_end

from operations.store import sweeps
from operations.store.database import Database
from operations.store.upgrade import upgrade
from operations.sweeps.position import position_of
from tests.machine import scaled, slowness_under_load, wait_until

PART = 10
SMALL_PARTS = {"OSFAAS_SWEEP_PART_OBJECTS": str(PART), "OSFAAS_SWEEP_RECHECK_SECONDS": "0.5"}
COUNT = 120


@contextlib.contextmanager
def sweeping(servers: Databases, kind: str, start_gateway, cloud, backend, **settings: str):
    """A gateway whose sweeps have small parts."""
    raw = servers.new(kind)
    made = Database(raw.url, connections=1)
    upgrade(made.engine)
    made.close()
    with stage(start_gateway, cloud, backend, raw, **{**SMALL_PARTS, **settings}) as running:
        yield running


@pytest.fixture(scope="module", params=NAMES)
def swept(request, servers, start_gateway, cloud, backend):
    with sweeping(servers, request.param, start_gateway, cloud, backend) as running:
        yield running


@pytest.fixture(scope="module")
def container(cloud):
    return filled(cloud, "swept", COUNT)


class TestRefusals:
    def test_unknown_container(self, swept, token):
        response = swept.gateway.call("POST", "/v1/sweeps", token, json={"container": "none"})
        assert (response.status_code, code(response)) == (404, "object.not_found")

    def test_unknown_dump(self, swept, container, token):
        body = {"container": "swept", "against": {"container": "swept", "object": "none"}}
        response = swept.gateway.call("POST", "/v1/sweeps", token, json=body)
        assert (response.status_code, code(response)) == (404, "object.not_found")

    def test_application_credential(self, swept, container, cloud):
        foreign = cloud.application_credential_token("plain")
        response = swept.gateway.call("POST", "/v1/sweeps", foreign, json={"container": "swept"})
        assert (response.status_code, code(response)) == (403, "operation.no_delegation")

    def test_another_project(self, swept, container, cloud, token):
        location = begin(swept, token, "swept")
        response = swept.gateway.get(location, cloud.token("bob"))
        assert (response.status_code, code(response)) == (404, "operation.not_found")
        assert swept.gateway.call("DELETE", location.replace("sweeps", "operations"), token).status_code == 200

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"container": "a/b"},
            {"container": "swept", "output": {"container": "swept"}},
            {"container": "swept", "algorithms": ["crc9"]},
            {"container": "swept", "limits": {"bytes_per_second": 0}},
            {"container": "swept", "formats": ["xml"]},
            {"container": "swept", "part_objects": 1},
            {"container": "swept", "nonsense": 1},
        ],
    )
    def test_malformed(self, swept, token, body):
        assert swept.gateway.call("POST", "/v1/sweeps", token, json=body).status_code == 400


def test_lost_dark_corrupt_and_changed_are_named_and_nothing_else(swept, cloud, token):
    bucket, contents = filled(cloud, "findings", COUNT)
    names = list(contents)
    lost, dark, corrupt, changed = names[3:8], ["raw/9/new", "a first one"], names[10:13], names[20:22]
    dumped = dict(contents)
    for name in corrupt:
        bucket.put(name, b"x" * len(contents[name]))
    for name in lost:
        bucket.session.delete(f"{bucket.url}/{name}")
    for name in dark:
        bucket.put(name, b"nobody knows of it")
    time.sleep(1.1)  # the dump's time has no fractions
    bucket.session.put(f"{cloud.account_url('alice')}/dumps")
    bucket.session.put(f"{cloud.account_url('alice')}/dumps/findings.csv", data=csv_dump(dumped))
    time.sleep(1.1)
    for name in changed:
        bucket.put(name, b"of today")
    before = len(reads(cloud, "findings"))
    with swept.worker():
        location = begin(
            swept,
            token,
            "findings",
            algorithms=["adler32", "sha256"],
            formats=["csv", "md5sum"],
            against={"container": "dumps", "object": "findings.csv"},
        )
        document = swept.ended(token, location)
    assert document["state"] == "succeeded", document["error"]
    written = outputs(cloud, location)
    found = {(each["finding"], each["path"]) for each in lines_of(written, "report")}
    wanted = [("lost", lost), ("dark", dark), ("corrupt", corrupt), ("changed", changed)]
    assert found == {(finding, name) for finding, named in wanted for name in named}
    results = {each["path"]: each for each in lines_of(written, "results")}
    listed = sorted((set(names) - set(lost)) | set(dark), key=str.encode)
    assert list(results) == listed
    untouched = names[50]
    assert results[untouched]["digests"]["adler32"] == adler32(contents[untouched])
    # One request to the store for each object.
    assert sorted(reads(cloud, "findings")[before:]) == sorted(listed)
    first = listed[0]
    assert written["results-000001.csv"].splitlines()[0] == b"path,size,adler32,sha256"
    assert (
        written["results-000001.adler32"].splitlines()[0].decode() == f"{results[first]['digests']['adler32']}  {first}"
    )
    summary = json.loads(written["summary.json"])
    assert summary == swept.gateway.get(document["links"][2]["href"], token).json()
    assert summary["findings"] == {"lost": 5, "dark": 2, "corrupt": 3, "changed": 2, "unread": 0}
    assert (summary["objects"], document["progress"]["objects"]) == (len(listed), len(listed))
    assert document["total"]["objects"] == len(listed)


def test_damaged_bytes_in_the_store_are_corrupt(swept, cloud, token):
    bucket, contents = filled(cloud, "damaged", 5)
    # Another container has objects with the content of this one's.
    victim, content = list(contents)[2], b"content of no other object"
    bucket.put(victim, content)
    damaged = [path for path in cloud.state.rglob("*.data") if path.read_bytes() == content]
    assert damaged
    for path in damaged:
        path.write_bytes(content[:-1] + b"!")
    with swept.worker():
        location = begin(swept, token, "damaged", algorithms=["adler32"], force=True)
        assert swept.ended(token, location)["state"] == "succeeded"
    found = {each["path"]: each["finding"] for each in lines_of(outputs(cloud, location), "report")}
    # Swift takes away a replica as soon as it has seen the damage; so the second request may find nothing.
    assert found.keys() == {victim}
    assert found[victim] in {"corrupt", "lost"}


def test_malformed_dump_is_found_before_anything_is_read(swept, container, cloud, token):
    bucket = container[0]
    bucket.session.put(f"{cloud.account_url('alice')}/dumps")
    bucket.session.put(f"{cloud.account_url('alice')}/dumps/malformed", data=b"path,size\na,1\nb,many\n")
    before = len(reads(cloud, "swept"))
    with swept.worker():
        location = begin(swept, token, "swept", against={"container": "dumps", "object": "malformed"})
        document = swept.ended(token, location)
    assert (document["state"], document["error"]["code"]) == ("failed", "sweep.dump_rejected")
    assert "line 3" in document["error"]["message"]
    assert len(reads(cloud, "swept")) == before


def parts_of(swept, location: str) -> int:
    """How many parts of results have been written for good."""
    database = Database(swept.database.url, connections=1, retry_seconds=10)
    found = database.run_here(sweeps.position, location.rpartition("/")[2])
    database.close()
    return position_of(found).parts


def lease() -> str:
    """Seconds of a lease that is short, but that a worker can renew in time under the present load."""
    return str(slowness_under_load())


def test_killed_workers_leave_what_an_uninterrupted_sweep_leaves(swept, container, cloud, token):
    bucket, contents = container
    bucket.session.put(f"{cloud.account_url('alice')}/dumps")
    wrong = {**contents, "raw/9/lost": b"1", next(iter(contents)): b"other"}
    bucket.session.put(f"{cloud.account_url('alice')}/dumps/kills.csv", data=csv_dump(wrong))
    order = {"against": {"container": "dumps", "object": "kills.csv"}, "formats": ["csv"], "algorithms": ["adler32"]}
    with swept.worker():
        whole = begin(swept, token, "swept", **order)
        assert swept.ended(token, whole)["state"] == "succeeded"
    location = begin(swept, token, "swept", limits={"requests_per_second": 10}, **order)
    reached = [0]
    for number in range(10):
        if reached[-1] > COUNT // PART - 6:
            break  # A fast machine does more between two kills; what is left is for the last worker.
        with swept.worker(OSFAAS_WORKER_LEASE_SECONDS=lease(), OSFAAS_SWEEP_TURN_SECONDS="0.1") as worker:
            wait_until(lambda: swept.show(token, location)["state"] != "queued", what="a claim", seconds=30)
            if number % 2:
                # What makes no progress is given up.
                wait_until(lambda: parts_of(swept, location) > reached[-1], what="the next part", seconds=30)
            else:
                time.sleep(random.Random(number).uniform(0, 1.5))
            worker.kill()
        reached.append(parts_of(swept, location))
    with swept.worker():
        document = swept.ended(token, location)
    assert document["state"] == "succeeded", document["error"]
    assert reached == sorted(reached)
    assert 5 <= reached[-1] < COUNT // PART
    ours, theirs = (without_id(outputs(cloud, each), each) for each in (location, whole))
    assert ours == theirs
    assert json.loads(ours["summary.json"])["findings"]["lost"] == 1


def test_sweep_is_cancelled(swept, container, token, cloud):
    with swept.worker():
        location = begin(swept, token, "swept", limits={"requests_per_second": 2})
        wait_until(lambda: swept.show(token, location)["total"]["objects"], what="the count")
        operation = location.replace("sweeps", "operations")
        assert swept.gateway.call("DELETE", operation, token).status_code == 202
        assert swept.ended(token, location)["state"] == "cancelled"
        read_nothing_more(cloud, "swept", scaled(1))


def test_worker_that_ends_gives_its_sweep_to_another(swept, container, token):
    with swept.worker() as worker:
        location = begin(swept, token, "swept", limits={"requests_per_second": 5})
        wait_until(lambda: swept.show(token, location)["progress"]["objects"], what="progress")
        worker.signal(signal.SIGTERM)
        # No other worker runs, so only the one that ended can have given it back.
        wait_until(lambda: swept.show(token, location)["state"] == "queued", what="the sweep without a worker")
    with swept.worker():
        assert swept.ended(token, location)["state"] == "succeeded"


# A position that is being saved when the worker is told to end is saved or not. So each step is at a later object.
STEPS = (
    "before:put:results-000002.ndjson",
    "after:put:results-000003.ndjson",
    "before:put:results-000004.csv",
    "before:save:results-000005.csv",
    "inside:save:results-000006.csv",
    "after:save:results-000007.csv",
    "before:put:report-000001.ndjson",
    "after:put:report-000003.ndjson",
    "before:save:report-000005.ndjson",
    "inside:save:report-000007.ndjson",
    "before:put:summary.json",
)


def test_sweep_that_workers_give_back_at_any_step_finds_everything_once(swept, container, cloud, token, tmp_path):
    """SIGTERM at each step, and each time the next worker goes on: nothing is found twice, and nothing is left out."""
    bucket, contents = container
    bucket.session.put(f"{cloud.account_url('alice')}/dumps")
    names = sorted(contents, key=str.encode)
    wrong = {**contents, **dict.fromkeys(names[::7], b"other"), **{f"{name} lost": b"1" for name in names[::9]}}
    bucket.session.put(f"{cloud.account_url('alice')}/dumps/steps.csv", data=csv_dump(wrong))
    order = {"against": {"container": "dumps", "object": "steps.csv"}, "formats": ["csv"], "algorithms": ["adler32"]}
    with swept.worker():
        whole = begin(swept, token, "swept", **order)
        assert swept.ended(token, whole)["state"] == "succeeded"
    location = begin(swept, token, "swept", **order)
    reached = [0]
    for number, point in enumerate(STEPS):
        flag = tmp_path / f"{number}.flag"
        with swept.worker(program=(PROGRAM, point, str(flag))) as worker:
            flag.write_text("0")
            assert status_at_end(worker) == 0, point
        assert flag.with_suffix(".struck").exists(), point
        # No other worker runs, so only the one that ended can have given it back.
        assert swept.show(token, location)["state"] == "queued", point
        reached.append(parts_of(swept, location))
    with swept.worker():
        document = swept.ended(token, location)
    assert document["state"] == "succeeded", document["error"]
    assert reached == sorted(reached)
    ours, theirs = (without_id(outputs(cloud, each), each) for each in (location, whole))
    assert ours == theirs
    found = [(each["finding"], each["path"]) for each in lines_of(ours, "report")]
    assert len(found) == len(set(found)) == len(names[::7]) + len(names[::9])


# --- authority


@contextlib.contextmanager
def in_the_middle(swept, cloud, token, name="swept", **fields):
    """A sweep that runs, slowly."""
    with swept.worker():
        location = begin(swept, token, name, limits={"requests_per_second": 4}, **fields)
        before = len(reads(cloud, name))
        wait_until(lambda: len(reads(cloud, name)) > before, what="the first read")
        yield location


def stopped(swept, cloud, token, location, name="swept"):
    document = swept.ended(token, location)
    read_nothing_more(cloud, name, scaled(1.5))
    assert document["state"] == "failed"
    return document["error"]["code"]


def test_suspended_tenant_stops_a_sweep(swept, container, cloud, token):
    before = swept.gateway.tenants.read_text()
    with in_the_middle(swept, cloud, token) as location:
        own = f"project_id: {cloud.users['alice'].project_id}"
        swept.gateway.tenants.write_text(before.replace(own, f"{own}\n  suspended: unpaid"))
        try:
            wait_until(lambda: swept.gateway.get("/v1/limits", token).status_code == 403, what="the suspension")
            end_in_database(swept, cloud.users["alice"].project_id, location)
            read_nothing_more(cloud, "swept", scaled(1.5))
        finally:
            swept.gateway.tenants.write_text(before)
        wait_until(lambda: swept.gateway.get("/v1/limits", token).status_code == 200, what="the end of the suspension")
        assert stopped(swept, cloud, token, location) == "tenant.suspended"


def test_withdrawn_acl_stops_a_sweep(swept, container, cloud):
    bucket, member = container[0], cloud.users["alice-member"]
    acl = f"{member.project_id}:{member.id}"
    url = f"{cloud.account_url('alice')}/members-sweeps"
    bucket.session.put(url, headers={"X-Container-Write": acl, "X-Container-Read": acl})
    token = cloud.token("alice-member")
    with contextlib.ExitStack() as stack:
        readable = contextlib.ExitStack()
        readable.enter_context(bucket.readable_by(member))
        location = stack.enter_context(in_the_middle(swept, cloud, token, output={"container": "members-sweeps"}))
        readable.close()
        assert stopped(swept, cloud, token, location) == "object.forbidden"


@pytest.mark.parametrize("what", ["users", "projects"])
def test_disabled_user_or_project_stops_a_sweep(swept, container, cloud, what):
    bucket, member = container[0], cloud.users["alice-member"]
    acl = f"{member.project_id}:{member.id}"
    url = f"{cloud.account_url('alice')}/members-sweeps"
    bucket.session.put(url, headers={"X-Container-Write": acl, "X-Container-Read": acl})
    admin = cloud.session("admin")
    named = f"{cloud.auth_url}/{what}/{member.id if what == 'users' else member.project_id}"
    with bucket.readable_by(member):
        output = {"container": "members-sweeps"}
        with in_the_middle(swept, cloud, cloud.token("alice-member"), output=output) as location:
            admin.patch(named, json={what[:-1]: {"enabled": False}})
            try:
                end_in_database(swept, member.project_id, location)
                read_nothing_more(cloud, "swept", scaled(1.5))
            finally:
                admin.patch(named, json={what[:-1]: {"enabled": True}})
            # Tokens that were issued before are revoked.
            token = cloud.token("alice")
            document = swept.ended(token, location)
            assert (document["state"], document["error"]["code"]) == ("failed", "operation.authority_lost")
