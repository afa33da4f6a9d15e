"""Bodies and answers that are too long for the database: objects of the caller's project, and nobody else's."""

import contextlib
import hashlib
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from sqlalchemy import select
from test_authority import trusts
from test_operations import answering
from worker import code, stage

from operations.store.database import Database
from operations.store.schema import requests
from tests.bench.measure import resident_mib
from tests.machine import scaled, wait_until

BOUND = 262_144
CONTAINER = "osfaas-operations"
LONG = bytes(range(256)) * 1_025  # 256 bytes more than the bound
MEMBER = "alice-member"


def url_of(cloud, user: str = "alice", container: str = CONTAINER) -> str:
    return f"{cloud.account_url(user)}/{container}"


def kept(cloud, location: str = "", user: str = "alice") -> list[str]:
    """The names of the objects of an operation, or of all."""
    response = cloud.session(user).get(f"{url_of(cloud, user)}?prefix={location.rpartition('/')[2]}", raise_exc=False)
    return response.text.split() if response.status_code == 200 else []


def say_the_digest(connection, seen) -> None:
    body = hashlib.sha256(seen.body).hexdigest().encode()
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Length: %d\r\nContent-Length: 64\r\n\r\n" % len(seen.body) + body)


def say_as_much_as_wanted(connection, seen) -> None:
    """The number in the path is the length of the answer."""
    size = int(re.search(rb"/size-(\d+)", seen.line)[1])
    connection.sendall(b"HTTP/1.1 201 Made\r\nX-Own: yes\r\nContent-Length: %d\r\n\r\n" % size + content(size))


def content(size: int) -> bytes:
    return (LONG * (size // len(LONG) + 1))[:size]


def chunks(data: bytes):
    for start in range(0, len(data), 100_000):
        yield data[start : start + 100_000]


def executed(backend, word: str) -> int:
    return sum(word.encode() in each.line for each in backend.seen)


@contextlib.contextmanager
def header_of_container(cloud, name: str, value: str):
    session = cloud.session("alice")
    session.put(url_of(cloud), headers={name: value})
    session.post(url_of(cloud), headers={name: value})
    try:
        yield
    finally:
        session.post(url_of(cloud), headers={name: ""})


@contextlib.contextmanager
def members_container(cloud):
    """The container, in which a member may read and write."""
    member = cloud.users[MEMBER]
    acl = f"{member.project_id}:{member.id}"
    with (
        header_of_container(cloud, "X-Container-Write", acl),
        header_of_container(cloud, "X-Container-Read", acl),
    ):
        yield


# --- the sizes


def test_bodies_of_every_size_reach_the_function_unchanged(durable, cloud, backend, token):
    sizes = (0, BOUND, BOUND + 1, 3 << 20)
    with answering(backend, say_the_digest):
        made = {size: durable.accepted(token, f"/v1/invoke/echo/in-{size}", content=content(size)) for size in sizes}
        made["chunked"] = durable.accepted(token, "/v1/invoke/echo/chunked", content=chunks(content(1 << 20)))
        for size, location in made.items():
            long = size == "chunked" or size > BOUND
            assert len(kept(cloud, location)) == long
            if long:
                head = cloud.session("alice").head(f"{url_of(cloud)}/{kept(cloud, location)[0]}").headers
                assert int(head["X-Delete-At"]) > time.time() + 86_400
                assert head["Content-Type"] == "application/octet-stream"
        with durable.worker():
            for size, location in made.items():
                body = content(1 << 20 if size == "chunked" else size)
                assert durable.ended(token, location)["state"] == "succeeded"
                result = durable.gateway.get(f"{location}/result", token)
                assert (result.text, result.headers["x-length"]) == (hashlib.sha256(body).hexdigest(), str(len(body)))
                wait_until(lambda: not kept(cloud, location), what="the end of the body")  # noqa: B023 - called here


def test_worker_of_the_release_before_finds_no_function_to_call(durable, token):
    """It reads only the rows that it knows, and an empty body must not reach the function."""
    location = durable.accepted(token, "/v1/invoke/echo/old-worker", content=LONG)
    database = Database(durable.database.url, connections=1)
    wanted = select(requests).where(requests.c.operation_id == location.rpartition("/")[2])
    row = database.run_here(lambda connection: connection.execute(wanted).mappings().one())
    database.close()
    answer = durable.gateway.call(row["method"], row["target"], token, content=row["body"])
    assert (answer.status_code, code(answer)) == (404, "route.not_found")
    assert durable.gateway.call("DELETE", location, token).status_code == 200


# --- keys, cancelling, retrying


def test_one_key_is_one_object(durable, cloud, backend, token):
    path, key = f"/v1/invoke/echo/long-key-{durable.database.name}", f"long-{durable.database.name}"
    all_upload, before = threading.Barrier(4), set(kept(cloud))

    def post(body: bytes = LONG):
        return durable.post(token, path, content=chunks(body), Idempotency_Key=key)

    def race(_number: int):
        """Ends its body when the bodies of all are on their way, so nobody knows the key of another."""

        def pieces():
            yield LONG[:-1]
            wait_until(lambda: uploading(cloud) >= 4, what="four uploads")
            all_upload.wait(timeout=scaled(60))
            yield LONG[-1:]

        return durable.post(token, path, content=pieces(), Idempotency_Key=key)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(race, range(4)))
    assert {each.status_code for each in found} == {202, 409}
    (location,) = {each.headers["Location"] for each in found}
    name = kept(cloud, location)
    assert len(name) == 1
    assert set(kept(cloud)) - before == set(name)
    assert code(post()) == "idempotency.running"
    other = post(LONG[:-1] + b"x")
    assert (other.status_code, code(other)) == (422, "idempotency.conflict")
    assert post(hashlib.sha256(LONG).hexdigest().encode()).status_code == 422
    with durable.worker():
        assert durable.ended(token, location)["state"] == "succeeded"
    again = post()
    assert (again.status_code, again.headers["Location"]) == (202, location)
    assert set(kept(cloud)) <= {*before, *kept(cloud, location)}
    assert executed(backend, f"long-key-{durable.database.name}") == 1


def test_cancelled_call_leaves_no_object(durable, cloud, token):
    location = durable.accepted(token, content=LONG)
    assert len(kept(cloud, location)) == 1
    assert durable.gateway.call("DELETE", location, token).json()["state"] == "cancelled"
    assert kept(cloud, location) == []


# --- what is refused before the 202


def test_too_long_body_is_refused_and_a_too_long_answer_is_said(start_gateway, cloud, backend, durable, token):
    with stage(
        start_gateway, cloud, backend, durable.database, OSFAAS_OPERATION_OBJECT_MAX_BYTES=str(1 << 20)
    ) as small:
        for body in (bytes((1 << 20) + 1), chunks(bytes((1 << 20) + 1))):
            before = kept(cloud)
            response = small.post(token, content=body)
            assert (response.status_code, code(response)) == (413, "operation.body_too_large")
            assert str(1 << 20) in response.text
            assert kept(cloud) == before
        absolute = small.gateway.get("/v1/limits", token).json()["limits"]["absolute"]
        assert (absolute["maxOperationBodyBytes"], absolute["maxOperationResultBytes"]) == (1 << 20, 1 << 20)
        with answering(backend, say_as_much_as_wanted), small.worker():
            location = small.accepted(token, f"/v1/invoke/echo/size-{(1 << 20) + 1}")
            document = small.ended(token, location)
        assert (document["state"], document["error"]["code"]) == ("failed", "operation.result_too_large")
        assert kept(cloud, location) == []
    with stage(start_gateway, cloud, backend, durable.database, OSFAAS_OPERATION_OBJECT_MAX_BYTES="0") as none:
        response = none.post(token, content=LONG)
        assert (response.status_code, code(response)) == (413, "operation.body_too_large")
        assert str(BOUND) in response.text


def test_caller_who_may_not_write_is_told(durable, cloud):
    cloud.session("alice").put(url_of(cloud))
    before = kept(cloud)
    response = durable.post(cloud.token(MEMBER), content=LONG)
    assert (response.status_code, code(response)) == (403, "operation.storage_refused")
    assert CONTAINER in response.text
    assert kept(cloud) == before


def test_application_credential_is_told_before_its_body_is_written(durable, cloud):
    before = kept(cloud)
    response = durable.post(cloud.application_credential_token("plain"), content=LONG)
    assert (response.status_code, code(response)) == (403, "operation.no_delegation")
    assert kept(cloud) == before


def test_caller_who_stops_in_the_middle_leaves_nothing(durable, cloud, token):
    before = kept(cloud)
    listed = durable.gateway.get("/v1/operations?limit=1000", token).json()["operations"]
    head = (
        f"POST /v1/invoke/echo/stops HTTP/1.1\r\nHost: gateway\r\nX-Auth-Token: {token}\r\n"
        f"Prefer: respond-async\r\nContent-Length: {2 << 20}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", durable.gateway.service.port), timeout=scaled(60)) as connection:
        connection.sendall(head.encode() + bytes(1 << 20))
        wait_until(lambda: uploading(cloud), what="the upload")
    wait_until(lambda: not uploading(cloud), what="the end of the upload")
    assert kept(cloud) == before
    assert durable.gateway.get("/v1/operations?limit=1000", token).json()["operations"] == listed


def uploading(cloud) -> int:
    """The number of connections of Swift's proxy to the object server."""
    server, proxy = cloud.services["swift-object"], psutil.Process(cloud.services["swift-proxy"].pid)
    return sum(bool(each.raddr) and each.raddr.port == server.port for each in proxy.net_connections(kind="tcp"))


# --- attacks, and what may happen to an object between the 202 and the call


@pytest.mark.parametrize("attack", ["replaced", "same_size", "deleted", "container"])
def test_body_that_is_not_the_accepted_one_never_reaches_the_function(durable, cloud, backend, token, attack):
    path = f"/v1/invoke/echo/{attack}-{durable.database.name}"
    location = durable.accepted(token, path, method="PUT", content=LONG)
    session, (name,) = cloud.session("alice"), kept(cloud, location)
    url = f"{url_of(cloud)}/{name}"
    if attack in {"replaced", "same_size"}:
        session.put(url, data=b"another" if attack == "replaced" else LONG[::-1])
    else:
        session.delete(url)
    if attack == "container":
        for each in kept(cloud):
            session.delete(f"{url_of(cloud)}/{each}")
        wait_until(
            lambda: session.delete(url_of(cloud), raise_exc=False).status_code in {204, 404}, what="the deletion"
        )
    with durable.worker():
        document = durable.ended(token, location)
    assert (document["state"], document["error"]["code"]) == ("failed", "operation.body_changed")
    assert name in document["error"]["message"]
    assert executed(backend, f"{attack}-{durable.database.name}") == 0
    retried = durable.gateway.call("POST", f"{location}/retry", token)
    assert (retried.status_code, code(retried)) == (409, "operation.body_changed")


def test_withdrawn_acl_stops_the_call(durable, cloud, backend):
    token, path = cloud.token(MEMBER), f"/v1/invoke/echo/withdrawn-{durable.database.name}"
    with members_container(cloud):
        location = durable.accepted(token, path, content=LONG)
    with durable.worker():
        document = durable.ended(token, location)
    assert (document["state"], document["error"]["code"]) == ("failed", "operation.storage_refused")
    assert executed(backend, f"withdrawn-{durable.database.name}") == 0


def test_deleted_trust_stops_the_call_and_a_retry_makes_it(durable, cloud, backend):
    token, word = cloud.token("bob"), f"untrusted-{durable.database.name}"
    location = durable.accepted(token, f"/v1/invoke/echo/{word}", content=LONG)
    for trust in trusts(cloud, "bob"):
        cloud.session("bob").delete(f"{cloud.auth_url}/OS-TRUST/trusts/{trust['id']}")
    with durable.worker(), answering(backend, say_the_digest):
        document = durable.ended(token, location)
        assert (document["state"], document["error"]["code"]) == ("failed", "operation.authority_lost")
        assert executed(backend, word) == 0
        assert durable.gateway.call("POST", f"{location}/retry", token).status_code == 202
        assert durable.ended(token, location)["state"] == "succeeded"
    assert executed(backend, word) == 1


# --- memory


@pytest.mark.long
@pytest.mark.parametrize("durable", ["sqlite"], indirect=True)
def test_memory_is_flat(durable, cloud, backend, token):
    """A body and an answer of 200 MiB each pass through gateway and worker in pieces."""
    size, block = 200 << 20, LONG[:BOUND]

    def skim(stream, seen):
        left = int(seen.all("content-length")[0])
        while left:
            left -= len(stream.read1(min(left, 1 << 16)))

    def stream(connection, _seen):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // len(block)):
            connection.sendall(block)

    backend._body = skim
    peak: dict[str, float] = {}
    ended = threading.Event()
    with durable.worker() as worker, answering(backend, stream):
        watched = {"gateway": durable.gateway.service.pid, "worker": worker.pid}
        # Each process has done each step once before.
        small = durable.accepted(token, "/v1/invoke/echo/small", content=content(1 << 20))
        assert durable.ended(token, small, 600)["state"] == "succeeded"
        before = {name: resident_mib(pid) for name, pid in watched.items()}

        def watch():
            while not ended.wait(0.1):
                for name, pid in watched.items():
                    peak[name] = max(peak.get(name, 0), resident_mib(pid))

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            location = durable.accepted(
                token, "/v1/invoke/echo/large", content=(block for _ in range(size // len(block)))
            )
            assert durable.ended(token, location, 600)["state"] == "succeeded"
            result = durable.gateway.get(f"{location}/result", token)
        finally:
            ended.set()
            thread.join()
            del backend._body
    assert hashlib.sha256(result.content).digest() == hashlib.sha256(block * (size // len(block))).digest()
    grown = {name: peak[name] - before[name] for name in watched}
    print(f"grown by {grown} MiB, from {before}")
    assert all(each < 24 for each in grown.values()), grown


# --- with a worker that runs all the time: those above decide when one begins


def test_answers_of_every_size_are_kept_byte_for_byte(durable, worker, cloud, backend, token):
    with answering(backend, say_as_much_as_wanted):
        for size in (0, BOUND, BOUND + 1, 3 << 20):
            location = durable.accepted(token, f"/v1/invoke/echo/size-{size}")
            assert durable.ended(token, location)["state"] == "succeeded"
            assert len(kept(cloud, location)) == (size > BOUND)
            for _ in range(2):
                result = durable.gateway.get(f"{location}/result", token)
                assert (result.status_code, result.headers["x-own"]) == (201, "yes")
                assert result.headers["content-length"] == str(size)
                assert result.content == content(size)
        waiting = f"respond-async, wait={int(scaled(30))}"
        at_once = durable.post(token, f"/v1/invoke/echo/size-{1 << 20}", content=LONG, Prefer=waiting)
        assert (at_once.status_code, at_once.content) == (201, content(1 << 20))


def test_dead_letter_with_a_long_body_and_a_long_answer_is_retried(durable, worker, cloud, backend, token):
    def broken(connection, _seen):
        connection.sendall(b"HTTP/1.1 500 Oops\r\nContent-Length: %d\r\n\r\n" % len(LONG) + LONG)

    with answering(backend, broken):
        location = durable.accepted(token, content=LONG)
        assert durable.ended(token, location)["state"] == "failed"
    assert durable.gateway.get(f"{location}/result", token).content == LONG
    assert len(kept(cloud, location)) == 2
    with answering(backend, say_the_digest):
        assert durable.gateway.call("POST", f"{location}/retry", token).status_code == 202
        assert durable.ended(token, location)["state"] == "succeeded"
    assert durable.gateway.get(f"{location}/result", token).text == hashlib.sha256(LONG).hexdigest()
    wait_until(lambda: kept(cloud, location) == [], what="the end of the objects")


def test_exhausted_quota_is_said(durable, worker, cloud, backend, token):
    cloud.session("alice").put(url_of(cloud))
    with header_of_container(cloud, "X-Container-Meta-Quota-Bytes", "1"):
        response = durable.post(token, content=LONG)
        assert (response.status_code, code(response)) == (403, "operation.storage_refused")
        assert "quota" in response.text
        with answering(backend, say_as_much_as_wanted):
            location = durable.accepted(token, f"/v1/invoke/echo/size-{BOUND + 1}")
            document = durable.ended(token, location)
    assert (document["state"], document["error"]["code"]) == ("failed", "operation.result_not_stored")
    assert "quota" in document["error"]["message"]


def test_another_project_and_another_member_read_nothing(durable, worker, cloud, backend, token):
    with answering(backend, say_as_much_as_wanted):
        location = durable.accepted(token, f"/v1/invoke/echo/size-{BOUND + 1}")
        durable.ended(token, location)
    (name,) = kept(cloud, location)
    stranger = durable.gateway.get(f"{location}/result", cloud.token("bob"))
    assert (stranger.status_code, code(stranger)) == (404, "operation.not_found")
    for user in ("bob", MEMBER):
        answer = cloud.session(user).get(f"{url_of(cloud)}/{name}", raise_exc=False)
        assert answer.status_code == 403
    # A member of the same project: the store decides, as about every object.
    member = durable.gateway.get(f"{location}/result", cloud.token(MEMBER))
    assert (member.status_code, code(member)) == (403, "object.forbidden")
    with members_container(cloud):
        assert durable.gateway.get(f"{location}/result", cloud.token(MEMBER)).status_code == 201


@pytest.mark.parametrize("attack", ["replaced", "deleted"])
def test_answer_that_is_not_the_kept_one_is_not_shown(durable, worker, cloud, backend, token, attack):
    with answering(backend, say_as_much_as_wanted):
        location = durable.accepted(token, f"/v1/invoke/echo/size-{BOUND + 1}")
        durable.ended(token, location)
    url = f"{url_of(cloud)}/{kept(cloud, location)[0]}"
    if attack == "replaced":
        cloud.session("alice").put(url, data=content(BOUND + 1)[::-1])
    else:
        cloud.session("alice").delete(url)
    result = durable.gateway.get(f"{location}/result", token)
    assert (result.status_code, code(result)) == (410, "operation.result_changed")


def test_withdrawn_acl_leaves_an_answer_unkept(durable, worker, cloud, backend):
    with answering(backend, say_as_much_as_wanted):
        location = durable.accepted(cloud.token(MEMBER), f"/v1/invoke/echo/size-{BOUND + 1}")
        document = durable.ended(cloud.token(MEMBER), location)
    assert (document["state"], document["error"]["code"]) == ("failed", "operation.result_not_stored")
    assert "OSFAAS_OPERATION_ROLES" in document["error"]["message"]
