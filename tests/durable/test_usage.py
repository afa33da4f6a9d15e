"""Usage on real Keystone, Swift, functions and gateway, with a database."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
import uuid

import pytest
from echo import say_what_came
from keystoneauth1.identity import v3
from sqlalchemy import select
from worker import code, stage

from operations.store.database import Database
from operations.store.schema import usage_records
from operations.store.upgrade import upgrade
from tests.machine import wait_until


def records(database) -> list:
    made = Database(database.url, connections=1)
    try:
        with made.engine.begin() as connection:
            return list(connection.execute(select(usage_records)).mappings())
    finally:
        made.close()


def stored(database, count: int) -> list:
    wait_until(lambda: len(records(database)) >= count, what=f"{count} usage records")
    return records(database)


@pytest.fixture
def used(servers, start_gateway, cloud, backend):
    """A gateway with a database of its own, whose functions have a size."""
    database = servers.new("sqlite")
    made = Database(database.url, connections=1)
    upgrade(made.engine)
    made.close()
    with stage(start_gateway, cloud, backend, database, OSFAAS_USAGE_FLUSH_SECONDS="0.05") as running:
        text = running.gateway.tenants.read_text()
        running.gateway.tenants.write_text(text.replace("callable: true", "callable: true\n      memory_mib: 256"))
        time.sleep(1.1)
        yield running


def test_calls_leave_their_records_and_members_see_the_sums_of_their_project(used, cloud, token):
    get = used.gateway.get
    body = b"x" * 1_000
    answer = used.gateway.call("POST", "/v1/invoke/echo/x", token, content=body)
    assert answer.status_code == 200
    assert get("/v1/invoke/none/x", token).status_code == 404
    assert get("/v1/limits", token).status_code == 200
    assert get("/v1/invoke/echo/x", "gAAAA-no-token").status_code == 401
    found = stored(used.database, 2)
    assert len(found) == 2
    called, missing = sorted(found, key=lambda row: row["status"])
    assert called["id"] == answer.headers["X-Openstack-Request-Id"]
    assert (called["function"], called["outcome"], called["status"]) == ("echo", "answered", 200)
    assert (called["request_bytes"], called["response_bytes"]) == (1_000, len(answer.content))
    assert called["duration_ms"] >= called["function_ms"] > 0
    # Rounded each by itself.
    assert abs(called["mib_ms"] - called["function_ms"] * 256) <= 256
    assert abs(called["started_at"] - time.time() * 1000) < 600_000
    # No name that only the caller knows is stored: it would make rows without end.
    assert (missing["function"], missing["outcome"], missing["function_ms"]) == ("", "refused", 0)
    document = get("/v1/usage?group_by=function", token).json()
    assert [(row["function"], row["calls"], row["failed"]) for row in document["usage"]] == [("", 1, 1), ("echo", 1, 0)]
    # Another project sees its own.
    assert get("/v1/usage", cloud.token("bob")).json()["usage"][0]["calls"] == 0
    # Roles: reading is enough, and no token is not.
    assert get("/v1/usage", cloud.token("alice-reader")).status_code == 200
    assert get("/v1/usage").status_code == 401
    refused = get("/v1/usage?project_id=" + called["project_id"], cloud.token("bob"))
    assert (refused.status_code, code(refused)) == (400, "request.malformed")


def test_digest_counts_the_bytes_of_its_object_and_its_function(used, bucket, token):
    bucket.put("usage-digest", bytes(70_000))
    path = f"{bucket.path('usage-digest')}?algorithm=adler32"
    assert used.gateway.get(path, token).status_code == 200
    (first,) = stored(used.database, 1)
    assert (first["function"], first["object_bytes"]) == ("checksums", 70_000)
    # Known now: it costs a call, and no work.
    assert used.gateway.get(path, token).status_code == 200
    second = next(each for each in stored(used.database, 2) if each["id"] != first["id"])
    assert (second["function"], second["object_bytes"], second["function_ms"]) == ("", 0, 0)


def test_list_is_one_call_that_counts_as_many_requests(used, bucket, token):
    for number in range(3):
        bucket.put(f"usage-{number}", bytes(1_000 + number))
    names = [{"container": bucket.name, "object": f"usage-{number}"} for number in range(3)]
    body = {"objects": names, "algorithms": ["adler32"]}
    answer = used.gateway.call("POST", "/v1/checksums", token, json=body)
    assert answer.status_code == 200
    (row,) = stored(used.database, 1)
    assert (row["requests"], row["object_bytes"]) == (3, 3_003)


def test_asynchronous_call_counts_once(used, token):
    with used.worker():
        location = used.accepted(token)
        assert used.ended(token, location)["state"] == "succeeded"
        (row,) = stored(used.database, 1)
        assert (row["function"], row["status"]) == ("echo", 200)


def test_call_that_a_worker_repeats_counts_once_with_all_that_it_used(used, backend, token):
    """The function works, fails, and works again for the same operation."""
    failed = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nfull"
    answers = [failed, failed]

    def answer(connection, seen):
        if answers:
            connection.sendall(answers.pop())
        else:
            say_what_came(connection, seen)

    before, backend.answer = len(backend.seen), answer
    try:
        with used.worker():
            location = used.accepted(token, method="PUT", content=b"abc")
            ended = used.ended(token, location)
    finally:
        backend.answer = say_what_came
    assert (ended["state"], ended["attempts"], len(backend.seen) - before) == ("succeeded", 3, 3)
    (row,) = stored(used.database, 1)
    wait_until(lambda: records(used.database)[0]["status"] == 200, what="the record of the last attempt")
    (row,) = records(used.database)
    assert row["id"] == f"req-{ended['id']}"
    assert (row["outcome"], row["requests"], row["request_bytes"]) == ("answered", 3, 9)
    (usage,) = used.gateway.get("/v1/usage", token).json()["usage"]
    assert (usage["calls"], usage["failed"], usage["requests"], usage["request_bytes"]) == (1, 0, 3, 9)


def test_id_of_an_operation_that_a_caller_names_makes_no_call_free(used, cloud, token):
    """Only a worker's token may say that a request is an attempt; a trust for anybody else may not."""
    name = f"req-{uuid.uuid4()}"
    fields = {"X-Openstack-Request-Id": name}
    for _ in range(2):
        assert used.gateway.call("GET", "/v1/invoke/echo/x", token, headers=fields).status_code == 200
    foreign = delegated_token(cloud, trustee="bob")
    for _ in range(2):
        assert used.gateway.call("GET", "/v1/invoke/echo/x", foreign, headers=fields).status_code == 200
    found = stored(used.database, 4)
    assert len({row["id"] for row in found} - {name}) == 4


def delegated_token(cloud, *, trustee: str) -> str:
    """A token of alice's that another user gets by a trust."""
    alice, other = cloud.users["alice"], cloud.users[trustee]
    trust = {
        "trustor_user_id": alice.id,
        "trustee_user_id": other.id,
        "project_id": alice.project_id,
        "roles": [{"name": "member"}],
        "impersonation": True,
    }
    made = cloud.session("alice").post(f"{cloud.auth_url}/OS-TRUST/trusts", json={"trust": trust})
    trust_id = made.json()["trust"]["id"]
    plugin = v3.Password(cloud.auth_url, user_id=other.id, password=other.password, trust_id=trust_id)
    return plugin.get_token(cloud.session(trustee))


def test_pages_csv_and_command(used, cloud, token, tmp_path):
    for _ in range(3):
        used.gateway.get("/v1/invoke/echo/x", token)
    used.gateway.get("/v1/invoke/none/x", token)
    stored(used.database, 4)
    first = used.gateway.get("/v1/usage?group_by=function&limit=1", token)
    following = first.json()["usage_links"][0]["href"]
    assert first.headers["Link"] == f'<{following}>; rel="next"'
    second = used.gateway.get("/v1/usage?" + following.partition("?")[2], token).json()
    assert [row["function"] for row in second["usage"]] == ["echo"]
    assert second["usage_links"] == []

    def run(*words: str) -> str:
        env = {
            **os.environ,
            "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml),
            "OS_CLOUD": "alice",
            "XDG_CACHE_HOME": str(tmp_path),
        }
        # The catalog does not name this gateway.
        command = [sys.executable, "-m", "client.cli", "usage", "-e", used.gateway.url, *words]
        return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout

    rows = list(csv.DictReader(io.StringIO(run("--format", "csv", "--group-by", "function", "--limit", "1"))))
    assert [(row["function"], row["calls"]) for row in rows] == [("", "1"), ("echo", "3")]
    (frame,) = json.loads(run("--format", "cloudkitty"))["dataframes"]
    assert sum(point["vol"]["qty"] for point in frame["usage"]["osfaas.calls"]) == 4
    assert "CALLS" in run("--group-by", "day")


def test_kill_of_the_gateway_loses_no_record_of_the_spool(servers, start_gateway, cloud, backend, token, tmp_path):
    """The database is away, the gateway is killed, and the next one stores what it had."""
    database = servers.new("sqlite")
    spool = {"OSFAAS_USAGE_SPOOL_DIRECTORY": str(tmp_path), "OSFAAS_USAGE_FLUSH_SECONDS": "0.05"}
    with stage(start_gateway, cloud, backend, database, **spool) as first:
        # There are no tables yet, so the database takes nothing.
        ids = {first.gateway.get("/v1/invoke/echo/x", token).headers["X-Openstack-Request-Id"] for _ in range(10)}
        wait_until(lambda: first.gateway.metric("osfaas_usage_records_waiting") == 10)
        wait_until(lambda: "takes no usage records: 10 wait" in first.gateway.get("/readyz").text)
        os.kill(first.gateway.service.pid, signal.SIGKILL)
    made = Database(database.url, connections=1)
    upgrade(made.engine)
    made.close()
    with stage(start_gateway, cloud, backend, database, **spool) as second:
        assert {row["id"] for row in stored(database, 10)} == ids
        assert second.gateway.get("/readyz").text == "ok"
    assert list(tmp_path.iterdir()) == []


def test_without_a_database_the_caller_is_told_what_is_missing(start_gateway, token):
    with start_gateway() as gateway:
        response = gateway.get("/v1/usage", token)
        assert (response.status_code, code(response)) == (501, "usage.not_configured")
        assert "OSFAAS_DATABASE_URL" in response.text
