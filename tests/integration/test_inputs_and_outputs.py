"""Functions that read and write objects with capabilities: real Keystone, Swift and S3, and a function told what to do.

The function is hostile or honest as the test wants it; the store, not the gateway, has the last word on a capability.
"""

import contextlib
import json
import socket
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import httpx
import pytest
import yaml
from conftest import Bucket, Gateway
from echo import Echo, echo, plainly, say_what_came

from tests.machine import scaled, wait_until

INVOKE = "/v1/invoke/resize"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Stage:
    """A gateway, the function of alice's that takes objects, and her container."""

    gateway: Gateway
    backend: Echo
    bucket: Bucket
    token: str
    names: list[str] = field(default_factory=list)

    def name(self, word: str) -> str:
        """A name of an object that no other test uses."""
        self.names.append(f"{word}-{time.monotonic_ns()}")
        return self.names[-1]

    def put(self, content: bytes = b"content") -> str:
        """A new object."""
        name = self.name("in")
        self.bucket.put(name, content)
        return name

    def invoke(self, *, token: str | None = None, path: str = "", **parameters) -> httpx.Response:
        """`input` and `output` are names in the container, or lists of values as they are sent."""
        pairs = []
        for key, value in parameters.items():
            values = (
                value if isinstance(value, list) else [f"{self.bucket.name}/{value}" if key != "overwrite" else value]
            )
            pairs += [f"{key}={quote(each, safe='/:')}" for each in values]
        return self.gateway.call("POST", f"{INVOKE}{path}?{'&'.join(pairs)}", token or self.token)

    def content(self, name: str) -> bytes | None:
        """What the object contains, as its owner sees it; None: there is none."""
        response = self.bucket.session.get(f"{self.bucket.url}/{name}", raise_exc=False)
        return response.content if response.status_code == 200 else None

    @contextlib.contextmanager
    def told(self, answer):
        failures = []

        def guarded(connection, seen):
            try:
                answer(connection, seen)
            except OSError:
                raise
            except Exception as error:  # noqa: BLE001 - the test fails with it
                failures.append(error)
                connection.sendall(b"HTTP/1.1 599 Broken test\r\nContent-Length: 0\r\n\r\n")

        self.backend.answer = guarded
        try:
            yield
        finally:
            self.backend.answer = say_what_came
        assert not failures


def code(response: httpx.Response) -> str:
    return response.json()["errors"][0]["code"]


def documents(seen, name: str) -> list[dict]:
    """The documents of a field, as a function reads it: lines joined by commas."""
    return json.loads(b"[" + b",".join(seen.all(name)) + b"]")


def results(response: httpx.Response, name: str) -> dict[str, dict]:
    """By name of the object."""
    return {each["name"]: each for each in json.loads(f"[{response.headers.get(name, '')}]")}


def use(request: dict, content: bytes | None = None, **changes) -> httpx.Response:
    """The request of a capability, sent as it is described, or with changes."""
    described = {"method": request["method"], "url": request["url"], "headers": request["headers"], **changes}
    return httpx.request(**described, content=content, timeout=scaled(60))


def copying(*, statuses: list[int]):
    """A function that reads its input and writes it, reversed, to its output, and then replies."""

    def answer(connection, seen):
        read = use(documents(seen, "Osfaas-Input")[0])
        written = use(documents(seen, "Osfaas-Output")[0], read.content[::-1])
        statuses.extend([read.status_code, written.status_code])
        connection.sendall(EMPTY)

    return answer


@contextlib.contextmanager
def stage_of(start_gateway, cloud, bucket, **settings):
    with (
        echo() as backend,
        start_gateway(OSFAAS_TEMPURL_SET_KEY="true", OSFAAS_RETRY_SECONDS="0.5", **settings) as gateway,
    ):
        function = {"url": backend.url, "callable": True}
        tenants = [
            {
                "project_id": cloud.users["alice"].project_id,
                "functions": {"resize": {**function, "objects": True}, "plain": function},
            }
        ]
        gateway.tenants.write_text(yaml.safe_dump({"tenants": tenants}))
        time.sleep(1.1)
        yield Stage(gateway, backend, bucket, cloud.token("alice"))


KINDS = {
    "tempurl": {"OSFAAS_CAPABILITIES": "tempurl"},
    "s3": {"OSFAAS_CAPABILITIES": "s3"},
    "s3-store": {"OSFAAS_OBJECT_STORE": "s3", "OSFAAS_CAPABILITIES": "s3"},
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def each(kind, start_gateway, cloud, bucket):
    """A stage for each kind of capability."""
    with stage_of(start_gateway, cloud, bucket, **KINDS[kind]) as made:
        yield made


@pytest.fixture(scope="module")
def stage(start_gateway, cloud, bucket):
    """A stage with the default capabilities."""
    with stage_of(start_gateway, cloud, bucket) as made:
        yield made


# --- what a capability is not


def test_write_capability_writes_no_other_object_and_reads_none(each):
    secret, output, other = each.put(b"secret"), each.name("out"), each.name("other")
    seen = {}

    def attack(connection, request):
        write = documents(request, "Osfaas-Output")[0]
        elsewhere = write["url"].replace(output, other)
        source = f"/{each.bucket.name}/{secret}"
        seen["another object"] = use(write, b"x", url=elsewhere)
        seen["another method"] = use(write, method="DELETE")
        seen["POST"] = use(write, method="POST")
        for name, value in (
            ("X-Copy-From", source),
            ("X-Amz-Copy-Source", source),
            ("X-Object-Manifest", source[1:]),
            ("X-Symlink-Target", source[1:]),
        ):
            seen[name] = use(write, b"", headers={**write["headers"], name: value})
            seen[f"{name} was ignored"] = each.content(output) in {None, b"", b"own"}
            use(write, b"own")
        seen["read"] = use(write, method="GET", headers={})
        seen["read with the condition"] = use(write, method="GET")
        connection.sendall(EMPTY)

    with each.told(attack):
        assert each.invoke(output=output).status_code == 200
    for what in ("another object", "another method", "POST", "read", "read with the condition"):
        assert seen[what].status_code >= 400, (what, seen[what].status_code)
        assert b"secret" not in seen[what].content
    for what in ("X-Copy-From", "X-Amz-Copy-Source", "X-Object-Manifest", "X-Symlink-Target"):
        assert seen[f"{what} was ignored"], what
    assert each.content(other) is None
    assert b"secret" not in (each.content(output) or b"")
    assert each.content(secret) == b"secret"


def test_read_capability_writes_nothing_and_reads_no_other_object(each):
    name, other = each.put(b"mine"), each.put(b"secret")
    seen = {}

    def attack(connection, request):
        read = documents(request, "Osfaas-Input")[0]
        seen["another object"] = use(read, url=read["url"].replace(name, other))
        seen["the container"] = use(read, url=read["url"].replace(f"/{name}", ""))
        seen["write"] = use(read, b"x", method="PUT", headers={})
        seen["write with the condition"] = use(read, b"x", method="PUT")
        seen["remove"] = use(read, method="DELETE")
        seen["own"] = use(read)
        connection.sendall(EMPTY)

    with each.told(attack):
        assert each.invoke(input=name).status_code == 200
    assert seen.pop("own").content == b"mine"
    for what, response in seen.items():
        assert response.status_code >= 400, (what, response.status_code)
        assert b"secret" not in response.content
    assert each.content(name) == b"mine"


def test_capabilities_end(start_gateway, cloud, bucket, kind):
    with stage_of(start_gateway, cloud, bucket, OSFAAS_CAPABILITY_SECONDS="1", **KINDS[kind]) as short:
        name, output = short.put(), short.name("out")
        statuses = []

        def late(connection, seen):
            wait_until(lambda: time.time() > documents(seen, "Osfaas-Output")[0]["expires_at"] + 1)
            statuses.append(use(documents(seen, "Osfaas-Input")[0]).status_code)
            statuses.append(use(documents(seen, "Osfaas-Output")[0], b"late").status_code)
            connection.sendall(EMPTY)

        with short.told(late):
            response = short.invoke(input=name, output=output)
        assert set(statuses) <= {401, 403}
        assert results(response, "Osfaas-Output")["1"] == {"name": "1", "state": "missing"}
        assert short.content(output) is None


def test_presigned_write_writes_once_and_not_without_its_condition(start_gateway, cloud, bucket):
    with stage_of(start_gateway, cloud, bucket, **KINDS["s3"]) as made:
        output, statuses = made.name("out"), {}

        def attack(connection, seen):
            write = documents(seen, "Osfaas-Output")[0]
            statuses["without its condition"] = use(write, b"0", headers={}).status_code
            statuses["first"] = use(write, b"1").status_code
            statuses["second"] = use(write, b"2").status_code
            connection.sendall(EMPTY)

        with made.told(attack):
            made.invoke(output=output)
        assert statuses == {"without its condition": 403, "first": 200, "second": 412}
        assert made.content(output) == b"1"


def test_presigned_read_is_of_the_content_that_was_there(start_gateway, cloud, bucket):
    with stage_of(start_gateway, cloud, bucket, **KINDS["s3"]) as made:
        name, statuses = made.put(b"before"), {}

        def attack(connection, seen):
            read = documents(seen, "Osfaas-Input")[0]
            bucket.put(name, b"after")
            statuses["as described"] = use(read).status_code
            statuses["without its condition"] = use(read, headers={}).status_code
            connection.sendall(EMPTY)

        with made.told(attack):
            made.invoke(input=name)
        assert statuses == {"as described": 412, "without its condition": 403}


# --- who may name which objects


def test_caller_without_rights_on_an_input_gets_the_error_of_checksums_and_the_function_no_call(each, cloud, kind):
    name, before = each.put(), len(each.backend.seen)
    token = cloud.token("alice-member")
    checksums = each.gateway.get(each.bucket.path(name), token, headers={"Accept": "application/json"})
    response = each.invoke(input=name, output=each.name("out"), token=token)
    assert (response.status_code, code(response)) == (checksums.status_code, code(checksums))
    assert code(response) == ("object.no_ec2_credential" if kind == "s3-store" else "object.forbidden")
    assert len(each.backend.seen) == before


def test_input_that_is_not_there_is_named_and_the_function_is_not_called(each):
    name, before = each.put(), len(each.backend.seen)
    response = each.invoke(input=[f"a:{each.bucket.name}/{name}", f"b:{each.bucket.name}/nowhere"])
    assert (response.status_code, code(response)) == (404, "object.not_found")
    assert results(response, "Osfaas-Input") == {"b": {"name": "b", "state": "refused"}}
    assert len(each.backend.seen) == before


def test_output_that_exists_is_refused_before_the_function_runs(each):
    name, before = each.put(b"old"), len(each.backend.seen)
    response = each.invoke(output=name)
    assert (response.status_code, code(response)) == (409, "object.exists")
    assert results(response, "Osfaas-Output") == {"1": {"name": "1", "state": "refused"}}
    assert len(each.backend.seen) == before
    assert each.content(name) == b"old"


def test_reader_who_has_nothing_to_sign_with_is_told_so(stage, cloud):
    """She may read the object, but owns no account and has no EC2 credential."""
    name, before = stage.put(), len(stage.backend.seen)
    with stage.bucket.readable_by(cloud.users["alice-member"]):
        response = stage.invoke(input=name, token=cloud.token("alice-member"))
    assert (response.status_code, code(response)) == (403, "object.no_capability")
    assert len(stage.backend.seen) == before


RULES = [
    {"service": "function", "method": "POST", "path": "/v1/invoke/resize"},
    {"service": "object-store", "method": "HEAD", "path": "/v1/**"},
    {"service": "object-store", "method": "GET", "path": "/v1/**"},
    {"service": "object-store", "method": "PUT", "path": "/v1/**"},
]


@pytest.mark.parametrize("lacking", ["HEAD", "GET", "PUT"])
def test_access_rules_of_a_credential_bound_what_its_functions_read_and_write(stage, cloud, lacking):
    """A signed URL has no access rules in the store, so none is signed for what the rules forbid."""
    name, output, before = stage.put(), stage.name("out"), len(stage.backend.seen)
    token = restricted(cloud, [rule for rule in RULES if rule["method"] != lacking])
    response = stage.invoke(input=name, output=output, token=token)
    assert (response.status_code, code(response)) == (403, "object.denied_by_rule")
    assert len(stage.backend.seen) == before


def test_access_rules_that_allow_it_let_a_function_read_and_write(stage, cloud):
    name, output, statuses = stage.put(b"abc"), stage.name("out"), []
    with stage.told(copying(statuses=statuses)):
        response = stage.invoke(input=name, output=output, token=restricted(cloud, RULES))
    assert (response.status_code, statuses) == (200, [200, 201])
    assert stage.content(output) == b"cba"


def test_access_rule_of_another_function_does_not_lead_to_objects(stage, cloud):
    rules = [{**RULES[0], "path": "/v1/invoke/other"}, *RULES[1:]]
    response = stage.invoke(input=stage.put(), token=restricted(cloud, rules))
    assert (response.status_code, code(response)) == (403, "access.denied_by_rule")


# --- what reaches the function


def test_function_gets_no_credential_and_no_other_objects_url(each, cloud):
    name, output = each.put(), each.name("out")
    parts = [f"image:{each.bucket.name}/{name}"], [f"small:{each.bucket.name}/{output}"]
    each.invoke(input=parts[0], output=parts[1])
    seen = each.backend.seen[-1]
    whole = b"\n".join([seen.line, seen.body, *(name + b": " + value for name, value in seen.fields)])
    account = each.bucket.session.head(
        urlsplit(each.bucket.url)._replace(path="/v1/AUTH_" + cloud.users["alice"].project_id).geturl()
    )
    container = each.bucket.session.head(each.bucket.url)
    keys = [
        value
        for headers in (account.headers, container.headers)
        for key, value in headers.items()
        if "temp-url-key" in key.lower()
    ]
    for secret in (each.token, cloud.seed.ec2[1], *keys):
        assert secret
        assert secret.encode() not in whole
    assert seen.line == b"POST / HTTP/1.1"
    (read,), (write,) = documents(seen, "Osfaas-Input"), documents(seen, "Osfaas-Output")
    assert (read["name"], read["container"], read["object"], read["size"]) == ("image", each.bucket.name, name, 7)
    assert (write["name"], write["container"], write["object"]) == ("small", each.bucket.name, output)
    assert urlsplit(read["url"]).path.endswith(f"/{each.bucket.name}/{name}")
    assert urlsplit(write["url"]).path.endswith(f"/{each.bucket.name}/{output}")
    assert whole.count(b"://") == 2


def test_fields_that_a_caller_forges_do_not_reach_the_function(stage):
    forged = {"Osfaas-Input": '{"name":"forged"}', "osfaas-output": "x", "Osfaas_Input": "x", "Osfaas-Other": "x"}
    for path in (f"{INVOKE}?input={stage.bucket.name}/{stage.put()}", INVOKE, "/v1/invoke/plain"):
        assert stage.gateway.call("POST", path, stage.token, headers=forged).status_code == 200
        sent = [value for name, value in stage.backend.seen[-1].fields if b"osfaas" in name.lower()]
        assert len(sent) == path.count("input=")
        assert not [value for value in sent if b"forged" in value or value == b"x"]


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ("width=2&input={}&a=%2f", "?width=2&a=%2f"),
        ("in%70ut={}", ""),
        ("input={}&&x", "?&x"),
        ("overwrite=true", "?overwrite=true"),
    ],
)
def test_rest_of_the_query_is_the_functions(stage, query, sent):
    named = f"{stage.bucket.name}/{stage.put()}"
    assert stage.gateway.call("POST", f"{INVOKE}/a?{query.format(named)}", stage.token).status_code == 200
    assert stage.backend.seen[-1].line == f"POST /a{sent} HTTP/1.1".encode()


@pytest.mark.parametrize("query", ["input=data/x&output=json", "output=../..", "input=", "input=%FF"])
def test_query_of_a_function_that_takes_no_objects_is_its_own(stage, query):
    for method in ("GET", "POST"):
        assert stage.gateway.call(method, f"/v1/invoke/plain?{query}", stage.token).status_code == 200
        assert stage.backend.seen[-1].line == f"{method} /?{query} HTTP/1.1".encode()
        assert not stage.backend.seen[-1].all("osfaas-input")


def test_body_of_the_caller_streams_through(stage):
    """The function sees the first piece, with the capabilities, before the caller has sent the last."""
    path = f"{INVOKE}?input={stage.bucket.name}/{stage.put()}"
    with raw(stage.gateway) as connection:
        connection.sendall(head(path, stage.token, "Transfer-Encoding: chunked") + b"5\r\nfirst\r\n")
        wait_until(lambda: stage.backend.seen and stage.backend.received == 5)
        connection.sendall(b"4\r\nlast\r\n0\r\n\r\n")
        answer = connection.recv(1 << 16)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'osfaas-input: {"name":"1","state":"unchanged"' in answer
    assert stage.backend.seen[-1].body == b"firstlast"
    assert stage.backend.seen[-1].all("osfaas-input")


# --- what the caller is told


@pytest.mark.parametrize("name", ["in/a b%20ü+?#&=:;", "in/plain"])
def test_function_reads_and_writes(each, name):
    content, output, statuses = bytes(range(256)) * 100, f"{name}-{time.monotonic_ns()}", []
    each.bucket.put(name, content)
    with each.told(copying(statuses=statuses)):
        response = each.invoke(input=name, output=output)
    assert (response.status_code, statuses) in [(200, [200, status]) for status in (200, 201)]
    assert each.content(quote(output)) == content[::-1]
    (read,), (written,) = results(response, "Osfaas-Input").values(), results(response, "Osfaas-Output").values()
    assert (read["state"], read["size"]) == ("unchanged", len(content))
    assert written == {
        "name": "1",
        "state": "written",
        "etag": each.bucket.head(output)["etag"].strip('"'),
        "size": len(content),
    }


def test_function_that_writes_nothing_is_found_out(stage):
    def claims(connection, _seen):
        forged = b'Osfaas-Output: {"name":"1","state":"written","etag":"x","size":1}\r\n'
        connection.sendall(b"HTTP/1.1 201 Created\r\n" + forged + b"Content-Length: 0\r\n\r\n")

    with stage.told(claims):
        response = stage.invoke(output=stage.name("out"))
    assert response.status_code == 201
    assert response.headers.get_list("osfaas-output") == ['{"name":"1","state":"missing"}']


def test_reply_of_a_call_without_objects_cannot_claim_any(stage):
    with stage.told(plainly(b"HTTP/1.1 200 OK\r\nOsfaas-Output: {}\r\nOsfaas-X: y\r\nContent-Length: 0\r\n\r\n")):
        response = stage.gateway.call("POST", INVOKE, stage.token)
    assert response.status_code == 200
    assert not [name for name in response.headers if "osfaas" in name.lower()]


def test_overwriting_is_asked_for_and_told(each):
    name, statuses = each.put(b"old"), []

    def write(connection, seen):
        statuses.append(use(documents(seen, "Osfaas-Output")[0], b"new").status_code)
        connection.sendall(EMPTY)

    with each.told(write):
        response = each.invoke(output=name, overwrite="true")
    assert results(response, "Osfaas-Output")["1"]["state"] == "written"
    assert each.content(name) == b"new"
    idle = each.invoke(output=name, overwrite="true")
    assert results(idle, "Osfaas-Output")["1"]["state"] == "unchanged"


def test_input_that_changes_or_goes_during_the_call_is_told(stage):
    changed, gone, same = stage.put(), stage.put(), stage.put()

    def meanwhile(connection, _seen):
        stage.bucket.put(changed, b"other")
        stage.bucket.session.delete(f"{stage.bucket.url}/{gone}")
        connection.sendall(EMPTY)

    names = {"changed": changed, "gone": gone, "same": same}
    with stage.told(meanwhile):
        response = stage.invoke(input=[f"{key}:{stage.bucket.name}/{name}" for key, name in names.items()])
    assert response.status_code == 200
    states = {key: each["state"] for key, each in results(response, "Osfaas-Input").items()}
    assert states == {"changed": "changed", "gone": "missing", "same": "unchanged"}


@pytest.mark.parametrize("end", ["an error", "no reply"])
def test_half_of_the_outputs_is_told_also_when_the_function_fails(stage, end):
    first, second = stage.name("out"), stage.name("out")

    def half(connection, seen):
        use(documents(seen, "Osfaas-Output")[0], b"x")
        if end == "an error":
            connection.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
        else:
            connection.close()
            raise OSError

    with stage.told(half):
        response = stage.invoke(output=[f"{stage.bucket.name}/{name}" for name in (first, second)])
    assert response.status_code == (500 if end == "an error" else 503)
    states = {key: each["state"] for key, each in results(response, "Osfaas-Output").items()}
    assert states == {"1": "written", "2": "missing"}


def test_reply_streams_after_its_outputs_are_known(stage):
    output, arrived = stage.name("out"), threading.Event()

    def slowly(connection, seen):
        use(documents(seen, "Osfaas-Output")[0], b"x")
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        arrived.wait()
        connection.sendall(b"0\r\n\r\n")

    url = f"{stage.gateway.url}{INVOKE}?output={stage.bucket.name}/{output}"
    asked = {"method": "POST", "url": url, "headers": {"X-Auth-Token": stage.token}}
    with stage.told(slowly), httpx.stream(**asked, timeout=scaled(60)) as response:
        assert next(response.iter_raw()) == b"first"
        assert results(response, "Osfaas-Output")["1"]["state"] == "written"
        arrived.set()


def test_answer_that_comes_before_the_body_is_read_is_passed_on(stage):
    path = f"{INVOKE}?input={stage.bucket.name}/{stage.put()}"
    stage.backend.eager = True
    try:
        with (
            stage.told(plainly(b"HTTP/1.1 422 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno", then=1)),
            raw(stage.gateway) as connection,
        ):
            connection.sendall(head(path, stage.token, "Content-Length: 1000") + b"begin")
            answer = connection.recv(1 << 16)
    finally:
        stage.backend.eager = False
    assert answer.startswith(b"HTTP/1.1 422 ")
    assert b'osfaas-input: {"name":"1","state":"unchanged"' in answer


def test_caller_that_leaves_takes_the_call_with_it(stage):
    before = len(stage.backend.seen)

    def wait(connection, _seen):
        connection.settimeout(scaled(60))
        connection.recv(1)
        raise OSError

    with stage.told(wait):
        closed = stage.backend.closed
        with raw(stage.gateway) as connection:
            connection.sendall(head(f"{INVOKE}?output={stage.bucket.name}/{stage.name('out')}", stage.token))
            wait_until(lambda: len(stage.backend.seen) > before)
        wait_until(lambda: stage.backend.closed > closed)

    def running() -> int:
        return stage.gateway.get("/v1/limits", stage.token).json()["usage"]["concurrent_calls"]["usage"]

    wait_until(lambda: running() == 0)


# --- what it costs


def test_each_object_counts_as_a_call(start_gateway, cloud, bucket):
    limit = {
        "OSFAAS_PROJECT_REQUESTS_PER_SECOND": "1",
        "OSFAAS_LIMIT_BURST_SECONDS": "4",
        "OSFAAS_LIMIT_WAIT_SECONDS": "0",
    }
    with stage_of(start_gateway, cloud, bucket, **limit) as made:
        names = [f"{bucket.name}/{made.put()}" for _ in range(8)]
        assert made.invoke(input=names).status_code == 200
        response = made.gateway.call("POST", INVOKE, made.token)
        assert (response.status_code, code(response)) == (429, "rate.exceeded")


def test_bytes_of_inputs_are_charged(start_gateway, cloud, bucket):
    limit = {"OSFAAS_PROJECT_BYTES_PER_SECOND": "1000", "OSFAAS_LIMIT_WAIT_SECONDS": "0"}
    with stage_of(start_gateway, cloud, bucket, **limit) as made:
        name = made.put(bytes(1 << 20))
        assert made.invoke(input=name).status_code == 200
        calls = len(made.backend.seen)
        response = made.invoke(input=name)
        assert (response.status_code, code(response)) == (429, "bytes.exceeded")
        assert len(made.backend.seen) == calls


def test_number_of_objects_is_bounded_before_the_store_is_asked(stage):
    before = len(stage.backend.seen)
    response = stage.invoke(input=["nowhere/x"] * 9)
    assert (response.status_code, code(response)) == (400, "request.malformed")
    assert len(stage.backend.seen) == before


def test_nothing_is_asked_of_the_store_for_a_caller_without_a_token_or_a_function(stage, cloud):
    log = cloud.logs / "swift-proxy.log"
    named = f"input={stage.bucket.name}/{stage.name('never')}"
    for path, token in ((INVOKE, None), (INVOKE, "gAAAAAforged"), ("/v1/invoke/none", stage.token)):
        assert stage.gateway.call("POST", f"{path}?{named}", token).status_code in {401, 404}
    assert stage.names[-1] not in log.read_text(errors="replace")
    stage.gateway.call("POST", f"{INVOKE}?{named}", stage.token)
    assert stage.names[-1] in log.read_text(errors="replace")


def raw(gateway):
    return contextlib.closing(socket.create_connection(("127.0.0.1", gateway.service.port), timeout=scaled(60)))


def head(path, token, *more):
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: g", f"X-Auth-Token: {token}", *more, "", ""]).encode()


def restricted(cloud, rules):
    """A token of an application credential of alice's with access rules."""
    session = cloud.session("alice")
    url = f"{cloud.auth_url}/users/{session.get_user_id()}/application_credentials"
    body = {"application_credential": {"name": f"objects-{time.monotonic_ns()}", "access_rules": rules}}
    made = session.post(url, json=body).json()["application_credential"]
    identity = {
        "methods": ["application_credential"],
        "application_credential": {"id": made["id"], "secret": made["secret"]},
    }
    auth = json.dumps({"auth": {"identity": identity}})
    return httpx.post(f"{cloud.auth_url}/auth/tokens", content=auth, timeout=scaled(60)).headers["x-subject-token"]
