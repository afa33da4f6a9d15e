"""Asynchronous calls on real Keystone, Swift, function, gateway and worker, with each of the databases."""

import contextlib
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from worker import code, stage

from tests.machine import scaled

# --- what is refused before the 202


def test_without_a_database_the_caller_is_told_what_is_missing(start_gateway, token):
    with start_gateway() as gateway:
        path = "/v1/checksums/data/none"
        response = gateway.get(path, token, headers={"Prefer": "respond-async"})
        assert (response.status_code, code(response)) == (501, "operation.not_configured")
        assert "OSFAAS_DATABASE_URL" in response.text
        assert gateway.get(path, token).status_code == 404
        assert code(gateway.get("/v1/operations", token)) == "operation.not_configured"


@pytest.mark.parametrize("durable", ["sqlite"], indirect=True)
class TestRefusals:
    def test_unknown_function(self, durable, token):
        response = durable.post(token, "/v1/invoke/none/x")
        assert (response.status_code, code(response)) == (404, "function.not_found")

    def test_no_token(self, durable):
        assert durable.post("").status_code == 401

    def test_wrong_role(self, durable, cloud):
        response = durable.post(cloud.token("alice-reader"))
        assert (response.status_code, code(response)) == (403, "role.missing")

    def test_application_credential(self, durable, cloud):
        response = durable.post(cloud.application_credential_token("plain"))
        assert (response.status_code, code(response)) == (403, "operation.no_delegation")

    @pytest.mark.parametrize(
        "url",
        [
            "http://example.org/",
            "https://10.0.0.1/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://localhost/",
            "https://169.254.169.254/",
            "https://user@example.org/",
            "https://0x7f.1/",
            "https://[::ffff:10.0.0.1]/",
            "https://kubernetes.default.svc/",
            "file:///etc/passwd",
        ],
    )
    def test_callback_to_a_private_place(self, durable, token, url):
        response = durable.post(token, X_Callback_Url=url)
        assert (response.status_code, code(response)) == (400, "callback.rejected")

    @pytest.mark.parametrize("value", ["0x10", "-1", "9999999"])
    def test_retention(self, durable, token, value):
        assert durable.post(token, Result_Retention=value).status_code == 400

    def test_project_without_room(self, start_gateway, cloud, backend, durable, token):
        full = {"OSFAAS_OPERATION_PROJECT_QUEUE": "1"}
        with stage(start_gateway, cloud, backend, durable.database, **full) as small:
            durable.accepted(token)
            response = small.post(token)
            assert (response.status_code, code(response)) == (429, "operation.queue_full")


# --- an operation from its acceptance to its end


def test_function_is_called_later_and_the_answer_kept(durable, worker, backend, token):
    before = len(backend.seen)
    response = durable.post(
        token,
        "/v1/invoke/echo/a%2Cb?c=%20",
        content=b"\x00\xff",
        X_Custom="one",
        Prefer="respond-async, handling=strict",
    )
    assert response.status_code == 202
    assert response.headers["Preference-Applied"] == "respond-async"
    assert response.headers["Retry-After"] == "1"
    location = response.headers["Location"]
    assert re.fullmatch(r"/v1/operations/[0-9a-f-]{36}", location)
    document = durable.ended(token, location)
    assert (document["state"], document["kind"], document["subject"]) == ("succeeded", "invoke", "echo")
    # Calls that other tests have left are made meanwhile.
    assert [each.line for each in backend.seen[before:]].count(b"POST /a%2Cb?c=%20 HTTP/1.1") == 1
    result = durable.gateway.get(f"{location}/result", token)
    assert (result.status_code, result.headers["content-type"]) == (200, "application/json")
    came = result.json()
    assert came["line"] == "POST /a%2Cb?c=%20 HTTP/1.1"
    assert came["body"] == "\x00\xff"
    fields = {name.lower(): value for name, value in came["fields"]}
    assert fields["x-custom"] == "one"
    assert fields["prefer"] == "handling=strict"
    assert fields["x-user-id"] == durable.cloud.users["alice"].id
    assert fields["x-project-id"] == durable.cloud.users["alice"].project_id
    assert "x-auth-token" not in fields
    assert result.headers["x-openstack-request-id"] != response.headers["x-openstack-request-id"]


def test_digest_is_computed_later(durable, worker, bucket, token):
    bucket.put("asynchronous", b"content of an object")
    location = durable.accepted(token, bucket.path("asynchronous") + "?algorithm=md5,sha256", method="GET")
    assert durable.ended(token, location)["state"] == "succeeded"
    now = durable.gateway.get(bucket.path("asynchronous") + "?algorithm=md5,sha256", token)
    later = durable.gateway.get(f"{location}/result", token)
    assert later.json()["digests"] == now.json()["digests"]


def test_digests_of_many_objects_are_computed_later(durable, worker, bucket, token):
    bucket.put("one", b"1")
    body = json.dumps({"objects": [{"container": bucket.name, "object": name} for name in ("one", "none")]})
    location = durable.accepted(token, "/v1/checksums", content=body.encode(), Content_Type="application/json")
    assert durable.ended(token, location)["state"] == "succeeded"
    lines = durable.gateway.get(f"{location}/result", token).text.split("\n")
    assert sum('"digests"' in line for line in lines) == 1
    assert sum('"error"' in line for line in lines) == 1


def test_answer_that_comes_while_the_caller_waits_is_the_answer(durable, worker, token):
    response = durable.post(token, Prefer=f"respond-async, wait={int(scaled(30))}")
    assert (response.status_code, response.json()["line"]) == (200, "POST /x HTTP/1.1")


def test_refusal_of_the_store_is_the_answer_of_a_failed_operation(durable, worker, bucket, token):
    location = durable.accepted(token, bucket.path("not there"), method="GET")
    document = durable.ended(token, location)
    assert (document["state"], document["error"]["code"]) == ("failed", "object.not_found")
    result = durable.gateway.get(f"{location}/result", token)
    assert (result.status_code, code(result)) == (404, "object.not_found")


def test_another_project_sees_nothing_of_it(durable, worker, cloud, token):
    location = durable.accepted(token)
    durable.ended(token, location)
    stranger = cloud.token("bob")
    for method, path in (("GET", ""), ("GET", "/result"), ("DELETE", ""), ("POST", "/retry")):
        response = durable.gateway.call(method, location + path, stranger)
        assert (response.status_code, code(response)) == (404, "operation.not_found")
    assert durable.gateway.get("/v1/operations", stranger).json()["operations"] == []


def test_list_has_filters_and_markers(durable, worker, token):
    made = [durable.accepted(token) for _ in range(3)]
    ids = [location.rpartition("/")[2] for location in reversed(made)]
    page = durable.gateway.get("/v1/operations?limit=2", token).json()
    assert [each["id"] for each in page["operations"]] == ids[:2]
    rest = durable.gateway.get(page["links"][0]["href"], token).json()
    assert rest["operations"][0]["id"] == ids[2]
    for query in ("state=nonsense", "limit=0", "marker=x", "nonsense=1"):
        assert durable.gateway.get(f"/v1/operations?{query}", token).status_code == 400
    for location in made:
        durable.ended(token, location)
    assert durable.gateway.get("/v1/operations?state=queued,running", token).json()["operations"] == []


# --- cancelling, retrying, keys


@contextlib.contextmanager
def answering(backend, answer):
    before, backend.answer = backend.answer, answer
    try:
        yield
    finally:
        backend.answer = before


def test_running_function_loses_its_connection_when_it_is_cancelled(durable, worker, backend, token):
    begun, closed = threading.Event(), threading.Event()

    def endless(connection, _seen):
        begun.set()
        connection.settimeout(scaled(60))
        assert connection.recv(1) == b""
        closed.set()
        raise OSError

    with answering(backend, endless):
        location = durable.accepted(token)
        assert begun.wait(scaled(60))
        response = durable.gateway.call("DELETE", location, token)
        assert (response.status_code, response.json()["cancel_requested"]) == (202, True)
        assert closed.wait(scaled(60))
    assert durable.ended(token, location)["state"] == "cancelled"
    result = durable.gateway.get(f"{location}/result", token)
    assert (result.status_code, code(result)) == (409, "operation.without_result")


def test_function_that_fails_leaves_a_dead_letter_that_can_be_retried(durable, worker, backend, token):
    def broken(connection, _seen):
        connection.sendall(b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno")

    with answering(backend, broken):
        location = durable.accepted(token)
        assert durable.ended(token, location)["state"] == "failed"
    assert durable.gateway.get(f"{location}/result", token).text == "no"
    assert durable.gateway.call("POST", f"{location}/retry", token).status_code == 202
    assert durable.ended(token, location)["state"] == "succeeded"
    response = durable.gateway.call("POST", f"{location}/retry", token)
    assert (response.status_code, code(response)) == (409, "operation.conflict")
    assert durable.gateway.call("DELETE", location, token).status_code == 409


def test_connection_that_ends_in_the_middle_is_repeated_only_for_repeatable_methods(durable, worker, backend, token):
    def cut(connection, seen):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        connection.close()
        if len([each for each in backend.seen if each.line == seen.line]) >= 2:
            backend.answer = usual
        raise OSError

    def count(word: str) -> int:
        wanted = f"{word}-{durable.database.name}".encode()
        return sum(wanted in each.line for each in backend.seen)

    usual = backend.answer
    with answering(backend, cut):
        location = durable.accepted(token, f"/v1/invoke/echo/cut-post-{durable.database.name}")
        document = durable.ended(token, location)
        assert (document["state"], document["error"]["code"]) == ("failed", "operation.outcome_unknown")
        assert count("cut-post") == 1
        location = durable.accepted(
            token, f"/v1/invoke/echo/cut-put-{durable.database.name}", method="PUT", content=b"x"
        )
        assert durable.ended(token, location)["state"] == "succeeded"
        assert count("cut-put") == 3


def test_function_that_asks_for_time_gets_it(durable, worker, backend, token):
    times = []

    def busy(connection, _seen):
        times.append(time.monotonic())
        if len(times) == 1:
            connection.sendall(b"HTTP/1.1 503 Busy\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n")
        else:
            connection.sendall(b"HTTP/1.1 204 Done\r\n\r\n")

    with answering(backend, busy):
        location = durable.accepted(token, method="PUT", content=b"x")
        assert durable.ended(token, location)["state"] == "succeeded"
    assert times[1] - times[0] >= 3
    assert durable.gateway.get(f"{location}/result", token).status_code == 204


def test_one_key_is_one_execution(durable, worker, backend, token):
    before = len(backend.seen)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: durable.post(token, Idempotency_Key='"one key"', content=b"x"), range(1)))
        found += pool.map(lambda _: durable.post(token, Idempotency_Key="same-key", content=b"x"), range(8))
    assert found[0].status_code == 400  # a blank is no part of a key
    assert {response.status_code for response in found[1:]} <= {202, 409}
    assert len({response.headers["Location"] for response in found[1:]}) == 1
    location = found[1].headers["Location"]
    durable.ended(token, location)
    again = durable.post(token, Idempotency_Key="same-key", content=b"x")
    assert (again.status_code, again.headers["Location"]) == (202, location)
    other = durable.post(token, Idempotency_Key="same-key", content=b"y")
    assert (other.status_code, code(other)) == (422, "idempotency.conflict")
    assert len(backend.seen) == before + 1
