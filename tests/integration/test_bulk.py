"""Many objects in one call, over sockets: errors stay with their object, and nobody pays for the others."""

import contextlib
import http.server
import json
import os
import random
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from conftest import Bucket, Content, content_of
from relay import relay

from tests.machine import scaled

FEW, MANY = 120, 10_000


def entries(bucket: Bucket, names: list[str]) -> list[dict[str, str]]:
    return [{"container": bucket.name, "object": name} for name in names]


def post(gateway, token: str | None, document: object, **headers: str) -> httpx.Response:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return gateway.call("POST", "/v1/checksums", token, content=body, headers=headers)


def lines_of(response: httpx.Response) -> list[dict]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in response.text.splitlines() if line]


def filled(bucket: Bucket, count: int, prefix: str) -> dict[str, Content]:
    contents = {f"{prefix}/{number:05} ü": content_of(f"{prefix} {number}".encode()) for number in range(count)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda item: bucket.put(item[0], item[1].data), contents.items()))
    return contents


@pytest.fixture(scope="module")
def few(bucket: Bucket) -> dict[str, Content]:
    return filled(bucket, FEW, "few")


def code(response: httpx.Response) -> str:
    return response.json()["errors"][0]["code"]


@pytest.mark.main_story
def test_caller_without_a_token_gets_no_line(gateway):
    assert code(post(gateway, None, {"objects": []})) == "token.missing"


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b'{"objects": 5}', b"[" * 50_000])
def test_body_that_is_no_order_is_refused(gateway, alice, body):
    assert code(post(gateway, alice, body)) == "request.malformed"


def test_body_of_another_type_than_json_is_refused(gateway, alice):
    body = b'{"objects": [{"container": "none", "object": "o"}]}'
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx"):
        answer = post(gateway, alice, body, **{"Content-Type": media_type})
        assert (answer.status_code, code(answer)) == (415, "request.media_type")
    for media_type in ("application/json", "Application/JSON; charset=utf-8"):
        assert post(gateway, alice, body, **{"Content-Type": media_type}).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b'{"objects": [{"container": "none", "object": "o"}], "objects": [{"container": "none", "object": "p"}]}',
        b'{"objects": [{"container": "none", "object": "o", "object": "p"}]}',
        b'{"objects": [{"container": "none", "\\u006fbject": "o", "object": "p"}]}',
    ],
)
def test_field_that_is_there_twice_is_refused(gateway, alice, body):
    """What stands between may have read the other one."""
    answer = post(gateway, alice, body)
    assert (answer.status_code, code(answer)) == (400, "request.malformed")
    assert "twice" in answer.json()["error"]["message"]


def test_misspelt_field_is_answered_with_the_one_that_was_meant(gateway, alice):
    answer = post(gateway, alice, {"objects": [{"container": "none", "object": "o"}], "algorithm": ["md5"]})
    assert "(did you mean 'algorithms'?)" in answer.json()["error"]["message"]
    answer = post(gateway, alice, {"objects": [{"container": "none", "object": "o", "versionid": "v"}]})
    assert "(did you mean 'version_id'?)" in answer.json()["error"]["message"]


@pytest.mark.parametrize("objects", [[], [1] * 10_000, [{}] * 10_000, [{"container": "a/b", "object": "x"}] * 101])
def test_list_that_is_none_is_refused_before_the_first_line(gateway, alice, objects):
    before = cpu_seconds(gateway.service.pid)
    answer = post(gateway, alice, {"objects": objects})
    print(
        f"{len(objects)} entries: {cpu_seconds(gateway.service.pid) - before:.2f} s of CPU, {len(answer.content)} bytes"
    )
    assert (answer.status_code, code(answer)) == (400, "request.malformed")


def test_http_1_0_gets_lines_without_chunks_that_end_with_the_connection(gateway, alice):
    """RFC 9112, 6.1: it knows no transfer coding. Nor does it know `100 Continue` (RFC 9110, 10.1.1)."""
    parts = urlsplit(gateway.url)
    body = json.dumps({"objects": [{"container": "none", "object": "o"}] * 3}).encode()
    fields = f"Host: x\r\nX-Auth-Token: {alice}\r\nContent-Type: application/json\r\nExpect: 100-continue"
    head = f"POST /v1/checksums HTTP/1.0\r\n{fields}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((parts.hostname, parts.port), timeout=scaled(60)) as connection:
        connection.sendall(head.encode() + body)
        answer = connection.makefile("rb").read()
    said, _, lines = answer.partition(b"\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 200 ")
    assert b"transfer-encoding" not in said.lower()
    assert [json.loads(line)["error"]["code"] for line in lines.splitlines()] == [404] * 3


@pytest.mark.parametrize("chunked", [False, True])
def test_body_that_is_too_long_is_refused_before_it_is_read(gateway, alice, chunked):
    parts = urlsplit(gateway.url)
    framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: 1000000000"
    head = f"POST /v1/checksums HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {alice}\r\n{framing}\r\n\r\n"
    with socket.create_connection((parts.hostname, parts.port), timeout=scaled(60)) as connection:
        connection.sendall(head.encode())
        answer = b""
        with contextlib.suppress(OSError):
            for _ in range(100 if chunked else 0):
                connection.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")
        with contextlib.suppress(OSError):
            while piece := connection.recv(65_536):
                answer += piece
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"request.body_too_large" in answer


def test_method_that_is_not_there_names_those_that_are(gateway, alice):
    answer = gateway.call("PUT", "/v1/checksums", alice)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].replace(" ", "").split(",")) == {"GET", "HEAD", "POST"}


def test_access_rules_for_reading_one_do_not_allow_asking_for_many(gateway, cloud):
    token = cloud.application_credential_token("get-only")
    assert code(post(gateway, token, {"objects": []})) == "access.denied_by_rule"


@pytest.mark.main_story
def test_every_object_is_answered_and_failures_stay_with_theirs(gateway, alice, bucket, few):
    names = list(few)
    asked = entries(bucket, names)
    asked[FEW // 2] = {"container": bucket.name, "object": "not there"}
    asked[7] = {"container": "a/b", "object": "x"}
    asked[8] = {"container": "none", "object": "x"}
    lines = {line["index"]: line for line in lines_of(post(gateway, alice, {"objects": asked}))}
    assert sorted(lines) == list(range(FEW))
    failed = {index: line["errors"][0]["code"] for index, line in lines.items() if "error" in line}
    assert failed == {
        7: "request.malformed",
        8: "object.not_found",
        FEW // 2: "object.not_found",
    }
    assert {key: lines[8][key] for key in ("container", "object", "version_id")} == {**asked[8], "version_id": None}
    for index, name in enumerate(names):
        if index not in failed:
            assert lines[index]["object"] == name
            assert lines[index]["digests"] == {n: few[name].digests[n] for n in ("adler32", "md5")}


def test_project_of_another_gets_nothing(gateway, cloud, bucket, few):
    lines = lines_of(post(gateway, cloud.token("bob"), {"objects": entries(bucket, list(few)[:3])}))
    assert [line["errors"][0]["code"] for line in lines] == ["object.not_found"] * 3


def test_algorithms_force_and_store_are_for_all(gateway, alice, bucket):
    contents = filled(bucket, 3, "stored")
    order = {"objects": entries(bucket, list(contents)), "algorithms": ["sha-256"], "store": True}
    for line in lines_of(post(gateway, alice, order)):
        content = contents[line["object"]]
        assert (line["digests"], line["stored"]) == ({"sha256": content.digests["sha256"]}, True)
        assert bucket.head(line["object"])["X-Object-Meta-Sha256"] == content.digests["sha256"]
    sources = [line["sources"]["sha256"] for line in lines_of(post(gateway, alice, {**order, "force": True}))]
    assert sources == ["computed"] * 3


def test_lines_fit_the_openapi_document(gateway, alice, bucket, few):
    from jsonschema import Draft202012Validator

    document = gateway.get("/v1/openapi.json").json()
    validator = Draft202012Validator(
        {"$ref": "#/components/schemas/BulkLine", "components": document["components"]},
    )
    asked = [*entries(bucket, list(few)[:2]), {"container": "none", "object": "x"}]
    for line in lines_of(post(gateway, alice, {"objects": asked})):
        validator.validate(line)


def test_project_with_little_room_gets_all_its_answers(start_gateway, alice, bucket):
    contents = filled(bucket, 30, "room")
    with start_gateway(OSFAAS_PROJECT_CONCURRENT_CALLS="1", OSFAAS_BULK_CONCURRENCY="4") as gateway:
        lines = lines_of(post(gateway, alice, {"objects": entries(bucket, list(contents))}))
    assert [line for line in lines if "error" in line] == []
    assert len(lines) == 30


def test_caller_who_leaves_ends_the_work(start_gateway, cloud, function, alice, bucket):
    contents = filled(bucket, 200, "left")
    with relay(function.port) as wire:
        functions = {cloud.users["alice"].project_id: f"http://127.0.0.1:{wire.port}"}
        with start_gateway(functions=functions) as gateway:
            body = json.dumps({"objects": entries(bucket, list(contents))}).encode()
            with httpx.Client(timeout=scaled(60)) as client:
                headers = {"X-Auth-Token": alice}
                with client.stream("POST", f"{gateway.url}/v1/checksums", content=body, headers=headers) as answer:
                    next(answer.iter_lines())
            deadline = time.monotonic() + scaled(30)
            while gateway.metric("osfaas_requests_in_flight") > 1:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            calls = wire.calls
            time.sleep(2)
            assert wire.calls == calls < 200


def test_caller_who_leaves_is_logged_and_counted_as_gone(start_gateway, cloud, function, alice, bucket):
    """However often, and with no complaint of the event loop about what was left behind."""
    contents = filled(bucket, 60, "gone")
    with start_gateway(OSFAAS_LOG_FORMAT="json") as gateway:
        body = json.dumps({"objects": entries(bucket, list(contents)), "force": True}).encode()
        headers = {"X-Auth-Token": alice}
        for number in range(10):
            with (
                httpx.Client(timeout=60) as client,
                client.stream("POST", f"{gateway.url}/v1/checksums", content=body, headers=headers) as answer,
            ):
                assert answer.status_code == 200
                for _ in zip(range(number), answer.iter_lines(), strict=False):
                    pass
        deadline = time.monotonic() + 60
        while gateway.metric("osfaas_requests_in_flight") > 1:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        gone = gateway.metric("osfaas_requests_total", route="checksums.bulk", method="POST", status="499")
        log = gateway.service.log.read_text(encoding="utf-8")
    lines = [json.loads(line) for line in log.splitlines() if '"checksums.bulk"' in line]
    assert [(line["status"], line["outcome"], line["error"]) for line in lines] == [(499, "gone", "caller.gone")] * 10
    assert gone == 10
    assert "Task was destroyed" not in log
    assert "never retrieved" not in log


def half_sent(gateway, token: str, length: int) -> socket.socket:
    """A list whose body does not come, on a connection that stays open."""
    parts = urlsplit(gateway.url)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=60)
    head = f"POST /v1/checksums HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\r\nContent-Length: {length}\r\n\r\n"
    connection.sendall(head.encode() + b" ")
    return connection


def test_lists_of_a_project_are_limited_from_before_their_body_to_the_end_of_their_answer(start_gateway, cloud, alice):
    order = {"objects": [{"container": "none", "object": "o"}]}
    settings = {"OSFAAS_BULK_PROJECT_BYTES": str(1 << 20), "OSFAAS_BULK_PROCESS_BYTES": str(3 << 19)}
    with start_gateway(**settings, OSFAAS_TRANSFER_MIN_BYTES_PER_SECOND="0") as gateway:
        assert post(gateway, alice, order).status_code == 200
        first = half_sent(gateway, alice, 1 << 20)
        refused = until(lambda: post(gateway, alice, order), 429)
        assert code(refused) == "bulk.exceeded"
        assert int(refused.headers["retry-after"]) > 0
        # It is the project's limit: another's is not touched, until the process itself has no more to give.
        bob = cloud.token("bob")
        assert post(gateway, bob, order).status_code == 200
        second = half_sent(gateway, bob, 1 << 19)
        full = until(lambda: post(gateway, bob, order), 429)
        assert code(full) == "bulk.exceeded"
        first.close()
        second.close()
        assert until(lambda: post(gateway, alice, order), 200)


def until(ask, status: int) -> httpx.Response:
    """The answer, once it has this status."""
    deadline = time.monotonic() + 60
    while (answer := ask()).status_code != status:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)
    return answer


def cpu_seconds(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def children(group: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ProcessLookupError):
            if entry.name.isdigit() and os.getpgid(int(entry.name)) == group:
                yield int(entry.name)


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_ten_thousand_objects(start_gateway, cloud, function, bucket, alice):
    """Rate and memory are printed; one failure in the middle stays one failure."""
    contents = filled(bucket, MANY, "many")
    names = list(contents)
    names[MANY // 2] = "many/not there"
    with start_gateway() as gateway:
        group = gateway.service.pid
        before = sum(resident_kib(pid) for pid in children(group))
        most, started, lines = before, time.monotonic(), []
        body = json.dumps({"objects": entries(bucket, names)}).encode()
        headers = {"X-Auth-Token": alice}
        with (
            httpx.Client(timeout=scaled(600)) as client,
            client.stream("POST", f"{gateway.url}/v1/checksums", content=body, headers=headers) as answer,
        ):
            for line in answer.iter_lines():
                if line:
                    lines.append(json.loads(line))
                if len(lines) % 200 == 0:
                    most = max(most, sum(resident_kib(pid) for pid in children(group)))
        seconds = time.monotonic() - started
    print(
        f"\n{MANY} objects in {seconds:.0f} s: {MANY / seconds:.1f}/s; gateway {before // 1024} MiB before, "
        f"{most // 1024} MiB at most; request {len(body)} bytes; "
        f"tests' own peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB"
    )
    failed = [line for line in lines if "error" in line]
    assert [(line["index"], line["errors"][0]["code"]) for line in failed] == [(MANY // 2, "object.not_found")]
    assert sorted(line["index"] for line in lines) == list(range(MANY))
    assert all(
        line["digests"]["adler32"] == contents[line["object"]].digests["adler32"]
        for line in lines
        if "error" not in line
    )
    assert most - before < 100 * 1024


@contextlib.contextmanager
def counted_gateway(start_gateway, cloud, **settings: str):
    """A gateway whose requests to Swift pass a relay."""
    swift = urlsplit(cloud.swift_url)
    with relay(swift.port) as wire:
        seen_as = f"http://127.0.0.1:{wire.port}"
        endpoint = cloud.account_url("alice").replace(cloud.users["alice"].project_id, "{project_id}")
        endpoint = seen_as + urlsplit(endpoint).path
        with start_gateway(
            OSFAAS_SWIFT_ENDPOINT=endpoint, OSFAAS_STORE_ALLOWLIST=seen_as, OSFAAS_CAPABILITIES="stream", **settings
        ) as gateway:
            yield gateway, wire


def requests_for(wire, method: str) -> int:
    return bytes(wire.sent).count(f"{method} /v1/AUTH_".encode())


def test_small_object_costs_one_request_to_the_store(start_gateway, cloud, alice, bucket):
    contents = filled(bucket, 64, "once")
    with counted_gateway(start_gateway, cloud) as (gateway, wire):
        order = {"objects": entries(bucket, list(contents))}
        lines = lines_of(post(gateway, alice, order))
        assert (requests_for(wire, "GET"), requests_for(wire, "HEAD")) == (64, 0)
        assert {line["object"]: line["digests"]["adler32"] for line in lines} == {
            name: content.digests["adler32"] for name, content in contents.items()
        }
        # Now they are known: a HEAD each is enough, after the first of each worker.
        assert {line["sources"]["adler32"] for line in lines_of(post(gateway, alice, order))} == {"remembered"}
        assert requests_for(wire, "HEAD") >= 64 - 2 * 8
        assert requests_for(wire, "GET") + requests_for(wire, "HEAD") == 128
        batches = gateway.metric("osfaas_computations_total", capability="batch", outcome="done")
    assert 1 <= batches < 64


def test_mixed_list_has_the_digests_of_every_kind_of_object(gateway, alice, bucket):
    """Empty, small, too large to be read at once, in segments, with digests stored: each in its own way."""
    contents = filled(bucket, 20, "mixed/small")
    made = {
        "mixed/empty": b"",
        "mixed/65536": b"x" * 65_536,
        "mixed/65537": b"y" * 65_537,
        "mixed/large": b"z" * 5_000_000,
        "mixed/odd %20 ü?#": b"odd",
    }
    for name, data in made.items():
        bucket.put(name, data)
        contents[name] = content_of(data)
    bucket.put_large("mixed/slo", [f"{bucket.name}/mixed/large", f"{bucket.name}/mixed/65537"])
    contents["mixed/slo"] = content_of(made["mixed/large"] + made["mixed/65537"])
    bucket.put("mixed/dlo", b"", X_Object_Manifest=f"{bucket.name}/mixed/6553")
    contents["mixed/dlo"] = content_of(made["mixed/65536"] + made["mixed/65537"])
    names = list(contents) * 2 + ["mixed/none"]
    order = {"objects": entries(bucket, names), "algorithms": ["sha256", "crc32"], "force": True}
    lines = {line["index"]: line for line in lines_of(post(gateway, alice, order))}
    assert sorted(lines) == list(range(len(names)))
    for index, name in enumerate(names[:-1]):
        content = contents[name]
        assert lines[index].get("digests") == {key: content.digests[key] for key in ("sha256", "crc32")}, lines[index]
        assert lines[index]["size"] == len(content.data)
    assert lines[len(names) - 1]["errors"][0]["code"] == "object.not_found"


def test_object_that_is_written_all_the_time_never_gets_the_digest_of_another_content(gateway, alice, bucket):
    """Every answer has the digest of the content whose ETag it has; or it is a 409."""
    made = {content.digests["md5"]: content for content in (content_of(f"{n}".encode() * 9_000) for n in range(8))}
    names = [f"changing/{number}" for number in range(6)]
    for name in names:
        bucket.put(name, b"0")
    known = made | {content_of(b"0").digests["md5"]: content_of(b"0")}
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            for name in names:
                bucket.put(name, random.choice(list(made.values())).data)

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    try:
        for _ in range(12):
            order = {"objects": entries(bucket, names * 4), "algorithms": ["adler32", "sha256"], "force": True}
            for line in lines_of(post(gateway, alice, order)):
                if "error" in line:
                    assert line["errors"][0]["code"] == "object.changed"
                    continue
                seen.add(line["etag"])
                content = known[line["etag"]]
                assert line["size"] == len(content.data)
                assert line["digests"] == {key: content.digests[key] for key in ("adler32", "sha256")}
    finally:
        done.set()
        writer.join()
    assert len(seen) > 1


def mixed_up(reply: dict) -> None:
    """The digests of neighbours exchanged, with everything that belongs to them."""
    results = reply.get("results", [])
    for one, two in zip(results[::2], results[1::2], strict=False):
        for part in ("digests", "crc32"):
            one[part], two[part] = two[part], one[part]


class ChangedFunction:
    """A relay to a function that changes batches.

    Attributes:
        calls: how many there were of each kind.
    """

    def __init__(self, port: int, *, batch_type: str, change: Callable[[dict], None] = lambda _: None) -> None:
        """`batch_type`: media type with which batches reach the function; `change`: alters its replies to them."""
        self.calls = {"batch": 0, "single": 0}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                batch = "batch" in self.headers["Content-Type"]
                outer.calls["batch" if batch else "single"] += 1
                kind = batch_type if batch else self.headers["Content-Type"]
                fields = {name: value for name, value in self.headers.items() if name.startswith("X-")}
                answer = httpx.post(
                    f"http://127.0.0.1:{port}/",
                    content=body,
                    headers={**fields, "Content-Type": kind},
                    timeout=scaled(60),
                )
                document = answer.json()
                if batch:
                    change(document)
                content = json.dumps(document).encode()
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.parametrize(
    ("batch_type", "change"),
    [
        pytest.param("application/x-unknown", lambda _: None, id="old-image"),
        pytest.param("application/vnd.osfaas.checksums-batch", mixed_up, id="exchanged-digests"),
    ],
)
def test_function_without_or_with_wrong_batches_gives_right_digests_one_by_one(
    start_gateway, cloud, function, alice, bucket, batch_type, change
):
    contents = filled(bucket, 60, "one by one")
    changed = ChangedFunction(function.port, batch_type=batch_type, change=change)
    functions = {cloud.users["alice"].project_id: f"http://127.0.0.1:{changed.server.server_port}"}
    try:
        with start_gateway(functions=functions) as gateway:
            for _ in range(2):
                order = {"objects": entries(bucket, list(contents)), "force": True}
                for line in lines_of(post(gateway, alice, order)):
                    assert line["digests"]["adler32"] == contents[line["object"]].digests["adler32"]
            refused = gateway.metric("osfaas_computations_total", capability="batch", outcome="unsupported")
            failed = gateway.metric("osfaas_computations_total", capability="batch", outcome="function.failed")
    finally:
        changed.close()
    assert changed.calls["batch"] <= 60
    assert refused + failed >= 1
    # For a minute after the first failure, there are no batches.
    assert changed.calls["single"] >= 60
