"""Functions invoked through the gateway: what reaches them, what comes back, and who may call what. Over sockets."""

import contextlib
import json
import re
import socket
import threading
import time

import httpx
import pytest
import yaml
from echo import Echo, echo, plainly

from tests.machine import scaled, wait_until

INVOKE = "/v1/invoke/echo"


def code(response: httpx.Response) -> str:
    return response.json()["errors"][0]["code"]


@contextlib.contextmanager
def gateway_before(start_gateway, cloud, backend: Echo, **settings):
    """A gateway whose tenant alice has `echo`, callable; bob has nothing that can be called."""
    with start_gateway(OSFAAS_FUNCTION_CONNECT_TIMEOUT_SECONDS="2", OSFAAS_RETRY_SECONDS="0.5", **settings) as gateway:
        tenants = [
            {
                "project_id": cloud.users["alice"].project_id,
                "functions": {
                    "echo": {"url": backend.url, "host": "echo.faas-a.svc.cluster.local", "callable": True},
                    "private": {"url": backend.url},
                    "gone": {"url": "http://127.0.0.1:1", "callable": True},
                },
            },
            {"project_id": cloud.users["bob"].project_id, "functions": {"checksums": {"url": backend.url}}},
        ]
        gateway.tenants.write_text(yaml.safe_dump({"tenants": tenants}))
        time.sleep(1.1)
        yield gateway


@pytest.fixture(scope="module")
def backend():
    with echo() as made:
        yield made


@pytest.fixture(scope="module")
def invoked(start_gateway, cloud, backend):
    with gateway_before(start_gateway, cloud, backend) as gateway:
        yield gateway


@pytest.fixture
def token(cloud):
    return cloud.token("alice")


# --- who may call what


@pytest.mark.parametrize("name", ["private", "none", "checksums"])
def test_function_that_is_not_marked_callable_is_not_there(invoked, backend, token, name):
    before = len(backend.seen)
    response = invoked.get(f"/v1/invoke/{name}/x", token)
    assert (response.status_code, code(response)) == (404, "function.not_found")
    assert len(backend.seen) == before


def test_function_of_another_project_is_not_there(invoked, cloud, backend):
    before = len(backend.seen)
    response = invoked.get(f"{INVOKE}/x", cloud.token("bob"))
    assert (response.status_code, code(response)) == (404, "function.not_found")
    assert len(backend.seen) == before


def test_without_a_token_nothing_reaches_the_function(invoked, backend):
    before = len(backend.seen)
    assert invoked.get(f"{INVOKE}/x").status_code == 401
    assert len(backend.seen) == before


@pytest.mark.parametrize(
    "path",
    [
        "/v1/invoke/",
        "/v1/invoke/Echo/x",
        "/v1/invoke/echo.faas-b/x",
        "/v1/invoke/echo:80/x",
        "/v1/invoke/echo%2Fx",
        "/v1/invoke/e%63ho/x",
        "/v1/%69nvoke/echo/x",
        "/v1/invoke//x",
    ],
)
def test_names_that_are_not_a_functions_name_lead_nowhere(invoked, backend, token, path):
    before = len(backend.seen)
    assert invoked.get(path, token).status_code == 404
    assert len(backend.seen) == before


@pytest.mark.parametrize(
    "path",
    ["/a/../b", "/..", "/.", "/a/.", "/%2e%2e/b", "/.%2E/b", "/a/..;x=1/b", "/a%2fb", "/a%2Fb", "/a%5Cb", "/%2e;/b"],
)
def test_paths_that_mean_another_one_further_on_are_refused(invoked, backend, token, path):
    before = len(backend.seen)
    response = invoked.get(INVOKE + path, token)
    assert (response.status_code, code(response)) == (400, "request.malformed")
    assert len(backend.seen) == before


def test_access_rules_hold_for_the_path_that_is_sent(invoked, backend, cloud):
    rules = [{"service": "function", "method": "GET", "path": "/v1/invoke/echo/public/*"}]
    token = restricted(cloud, rules)
    before = len(backend.seen)
    for path in ("/private/x", "/public/x/y", "/publicx", "/public", "//public/x"):
        assert code(invoked.get(INVOKE + path, token)) == "access.denied_by_rule", path
    for path in ("/public/../private/x", "/public/%2e%2e/private"):
        assert invoked.get(INVOKE + path, token).status_code in {400, 403}
    assert code(invoked.call("POST", f"{INVOKE}/public/x", token)) == "access.denied_by_rule"
    assert len(backend.seen) == before
    assert invoked.get(f"{INVOKE}/public/x", token).status_code == 200
    assert backend.seen[-1].line == b"GET /public/x HTTP/1.1"


# --- what reaches the function


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("", "/"),
        ("/", "/"),
        ("/a//b/", "/a//b/"),
        ("/a%20b/%C3%A9%25", "/a%20b/%C3%A9%25"),
        ("/%252e%252e/x", "/%252e%252e/x"),
        ("/a.b/...;/~!$&'()*+,=:@", "/a.b/...;/~!$&'()*+,=:@"),
        ("/x?a=1&a=%2F..%2f&b=?/", "/x?a=1&a=%2F..%2f&b=?/"),
    ],
)
def test_path_and_query_go_through_byte_for_byte(invoked, backend, token, path, sent):
    assert invoked.get(INVOKE + path, token).status_code == 200
    assert backend.seen[-1].line == f"GET {sent} HTTP/1.1".encode()


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_each_method_goes_through(invoked, backend, token, method):
    content = b"some body" if method in {"POST", "PUT", "PATCH"} else None
    assert invoked.call(method, f"{INVOKE}/m", token, content=content).status_code == 200
    assert backend.seen[-1].line == f"{method} /m HTTP/1.1".encode()
    assert backend.seen[-1].body == (content or b"")


def test_credentials_forged_identities_and_steering_fields_stay_behind(invoked, backend, token, cloud):
    hostile = {
        "X-Service-Token": "st",
        "X-Subject-Token": "st",
        "Cookie": "session=1",
        "X-User-Id": "forged",
        "X-Project-Id": "forged",
        "X-Roles": "admin",
        "X-Identity-Status": "forged",
        "X-Forwarded-For": "1.2.3.4",
        "Forwarded": "for=1.2.3.4",
        "K-Network-Probe": "queue",
        "K-Original-Host": "other",
        "K-Kubelet-Probe": "queue",
        "Knative-Serving-Namespace": "faas-b",
        "Knative-Serving-Revision": "echo-00001",
        "Knative-Activator-Probe": "activator",
        "User-Agent": "kube-probe/1.36",
        "X-Envoy-Original-Path": "/other",
        "X-Original-Url": "/other",
        "X-HTTP-Method-Override": "DELETE",
        "Connection": "close, X-Secret, X-Project-Id",
        "X-Secret": "nominated",
        "TE": "trailers",
        "Proxy-Authorization": "Basic x",
        "X-Openstack-Request-Id": "req-00000000-0000-4000-8000-000000000000",
    }
    response = invoked.get(f"{INVOKE}/h", token, headers=hostile)
    seen = backend.seen[-1]
    names = {name.lower() for name, _ in seen.fields}
    for forbidden in (
        b"x-auth-token",
        b"authorization",
        b"cookie",
        b"forwarded",
        b"x-secret",
        b"te",
        b"x-service-token",
    ):
        assert forbidden not in names
    assert not [name for name in names if name.startswith((b"k-", b"knative-", b"x-envoy", b"x-forwarded", b"proxy-"))]
    assert token.encode() not in b"".join(value for _, value in seen.fields)
    assert seen.all("user-agent") == [b"osfaas-gateway"]
    assert seen.all("x-project-id") == [cloud.users["alice"].project_id.encode()]
    assert seen.all("x-identity-status") == [b"Confirmed"]
    assert b"admin" not in seen.all("x-roles")[0]
    assert b"member" in seen.all("x-roles")[0]
    assert seen.all("host") == [b"echo.faas-a.svc.cluster.local"]
    assert seen.all("x-openstack-request-id") == [response.headers["x-openstack-request-id"].encode()]


def test_fields_of_the_call_itself_go_through(invoked, backend, token):
    own = {"Content-Type": "a/b", "Accept": "x/y", "Range": "bytes=1-", "Ce-Id": "7", "X-Custom": "é".encode()}
    invoked.call("POST", f"{INVOKE}/h", token, headers=own, content=b"x")
    for name, value in own.items():
        assert backend.seen[-1].all(name) == [value if isinstance(value, bytes) else value.encode()]


def test_value_goes_through_byte_for_byte(invoked, backend, token):
    assert invoked.get(f"{INVOKE}/h", token, headers={"X-Custom": b"\xff\xe4"}).status_code == 200
    assert backend.seen[-1].all("x-custom") == [b"\xff\xe4"]


def test_body_goes_through_while_it_comes(invoked, backend, token):
    """A function sees the first piece before the caller has sent the last."""
    with raw(invoked) as connection:
        connection.sendall(head("POST", f"{INVOKE}/s", token, "Transfer-Encoding: chunked") + b"5\r\nfirst\r\n")
        wait_until(lambda: backend.received == 5)
        connection.sendall(b"4\r\nlast\r\n0\r\n\r\n")
        assert b"200 OK" in connection.recv(1 << 16)
    assert backend.seen[-1].body == b"firstlast"


# --- limits and failures


def test_body_over_the_limit_is_refused_by_its_length_and_by_its_size(start_gateway, cloud, token):
    with (
        echo() as backend,
        gateway_before(start_gateway, cloud, backend, OSFAAS_INVOKE_BODY_MAX_BYTES="10") as gateway,
    ):
        declared = gateway.call("POST", f"{INVOKE}/b", token, content=b"x" * 11)
        assert (declared.status_code, code(declared)) == (413, "request.body_too_large")
        assert not backend.seen
        with raw(gateway) as connection:
            connection.sendall(head("POST", f"{INVOKE}/b", token, "Transfer-Encoding: chunked"))
            connection.sendall(b"6\r\n123456\r\n6\r\n123456\r\n0\r\n\r\n")
            assert b" 413 " in connection.recv(1 << 16)
        wait_until(lambda: backend.closed == 1)
        assert gateway.call("POST", f"{INVOKE}/b", token, content=b"x" * 10).status_code == 200


def test_function_that_cannot_be_reached_is_503(invoked, token):
    response = invoked.get("/v1/invoke/gone/x", token)
    assert (response.status_code, code(response)) == (503, "function.unreachable")
    assert response.headers["retry-after"]


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", id="two-lengths"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab", id="list-of-lengths"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab", id="signed-length"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", id="both"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="gzip"),
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", id="101"),
        pytest.param(b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", id="999"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="not-http"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", id="huge-field"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 5_000 + b"\r\n", id="many-fields"),
    ],
)
def test_reply_that_is_not_http_as_it_should_be_is_the_functions_failure(start_gateway, invoked, cloud, token, reply):
    with told(invoked, cloud, plainly(reply)):
        response = invoked.get(f"{INVOKE}/r", token)
    assert (response.status_code, code(response)) == (502, "function.failed")


def test_poisoned_fields_of_a_reply_do_not_reach_the_caller(invoked, cloud, token):
    poison = [
        "Set-Cookie: session=evil",
        "X-Auth-Token: t",
        "X-Openstack-Request-Id: req-forged",
        "Server: evil/1",
        'WWW-Authenticate: Keystone uri="http://evil.test"',
        "Location: http://evil.test/",
        "Strict-Transport-Security: max-age=1",
        "Alt-Svc: h2=evil",
        "Clear-Site-Data: *",
        "X-Envoy-Upstream-Service-Time: 1",
        "K-Revision: x",
        "Connection: X-Nominated",
        "X-Nominated: 1",
        "Server-Timing: evil;dur=1",
    ]
    reply = "\r\n".join(["HTTP/1.1 200 OK", *poison, "X-Own: kept", "Content-Length: 2", "", "ok"]).encode()
    with told(invoked, cloud, plainly(reply)):
        response = invoked.get(f"{INVOKE}/r", token)
    assert (response.status_code, response.text) == (200, "ok")
    assert response.headers["x-own"] == "kept"
    assert re.fullmatch(r"req-[0-9a-f-]{36}", response.headers["x-openstack-request-id"])
    assert "evil" not in str(response.headers)
    for name in ("set-cookie", "x-auth-token", "server", "location", "k-revision", "x-nominated", "www-authenticate"):
        assert name not in response.headers


def test_location_of_the_functions_own_is_a_path_of_the_gateway(invoked, cloud, token):
    with told(invoked, cloud, plainly(b"HTTP/1.1 303 See Other\r\nLocation: /jobs/1?x=1\r\nContent-Length: 0\r\n\r\n")):
        response = invoked.call("POST", f"{INVOKE}/jobs", token)
    assert (response.status_code, response.headers["location"]) == (303, "/v1/invoke/echo/jobs/1?x=1")


def test_errors_of_the_function_are_its_own(invoked, cloud, token):
    with told(invoked, cloud, plainly(b"HTTP/1.1 503 Busy\r\nRetry-After: 9\r\nContent-Length: 4\r\n\r\nbusy")):
        response = invoked.get(f"{INVOKE}/r", token)
    assert (response.status_code, response.text, response.headers["retry-after"]) == (503, "busy", "9")


@pytest.mark.parametrize("status", [404, 503])
def test_answer_of_the_ingress_alone_is_not_taken_for_the_functions(invoked, cloud, token, status):
    with told(invoked, cloud, plainly(b"HTTP/1.1 %d No\r\nServer: istio-envoy\r\nContent-Length: 0\r\n\r\n" % status)):
        response = invoked.get(f"{INVOKE}/r", token)
    assert (response.status_code, code(response)) == (503, "function.unreachable")


def test_reply_that_breaks_off_breaks_off_for_the_caller_too(invoked, cloud, token):
    for framing in (b"Content-Length: 100", b"Transfer-Encoding: chunked"):
        reply = (
            b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" + (b"5\r\npiece\r\n" if b"chunked" in framing else b"piece")
        )
        with told(invoked, cloud, plainly(reply)), pytest.raises(httpx.RemoteProtocolError):
            invoked.get(f"{INVOKE}/r", token)


def test_reply_comes_while_it_is_made(invoked, cloud, token):
    """The caller has the first piece while the function still holds the last one back."""
    arrived = threading.Event()

    def slowly(connection, _seen):
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        arrived.wait()
        connection.sendall(b"0\r\n\r\n")

    asked = {"method": "GET", "url": invoked.url + f"{INVOKE}/r", "headers": {"X-Auth-Token": token}}
    with told(invoked, cloud, slowly), httpx.stream(**asked, timeout=scaled(60)) as response:
        assert next(response.iter_raw()) == b"first"
        arrived.set()


def test_caller_that_does_not_read_slows_the_function_down(invoked, cloud, token):
    """Neither side's bytes pile up in the gateway."""
    sent = 0

    def endlessly(connection, _seen):
        nonlocal sent
        connection.settimeout(scaled(30))
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        while sent < 1 << 28:
            connection.sendall(piece)
            sent += 65536

    with told(invoked, cloud, endlessly), raw(invoked) as connection:
        connection.sendall(head("GET", f"{INVOKE}/r", token))
        assert b"200 OK" in connection.recv(4096)
        stalled = -1
        while sent != stalled:
            stalled = sent
            time.sleep(scaled(1))
        assert sent < 1 << 26


@pytest.mark.parametrize("moment", ["before-the-head", "in-the-body", "while-sending"])
def test_caller_that_leaves_takes_the_call_with_it(invoked, cloud, token, moment):
    def wait(connection, _seen):
        if moment == "in-the-body":
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        connection.settimeout(scaled(60))
        connection.recv(1)

    with told(invoked, cloud, wait) as backend:
        with raw(invoked) as connection:
            if moment == "while-sending":
                connection.sendall(head("POST", f"{INVOKE}/r", token, "Content-Length: 100") + b"begin")
            else:
                connection.sendall(head("GET", f"{INVOKE}/r", token))
            wait_until(lambda: backend.seen)
            if moment == "in-the-body":
                connection.recv(4096)
            time.sleep(0.2)
            assert backend.closed == 0
        wait_until(lambda: backend.closed == 1)


def test_tail_of_an_answer_that_came_early_waits_for_who_reads_it(invoked, cloud, token):
    """The function answers before it has the body; the caller takes the last part a while after it was written."""
    size, tail = 6 << 20, 256 << 10
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)
    with told(invoked, cloud, plainly(reply, then=10), eager=True), socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.settimeout(scaled(20))
        connection.connect(("127.0.0.1", invoked.service.port))
        connection.sendall(head("POST", f"{INVOKE}/r", token, "Content-Length: 1000") + b"begin")
        taken, paused = b"", False
        while len(taken.partition(b"\r\n\r\n")[2]) < size:
            if not paused and len(taken) > size - tail:
                time.sleep(4)
                paused = True
            piece = connection.recv(65_536)
            assert piece, f"{size - len(taken)} bytes are missing"
            taken += piece


def test_function_that_stops_taking_the_body_is_given_up_after_its_silence(start_gateway, cloud, token):
    """While the gateway waits to be rid of a piece it does not see that the caller has left."""

    def never(connection, _seen):
        time.sleep(60)

    patience = {"OSFAAS_FUNCTION_IDLE_TIMEOUT_SECONDS": "2", "OSFAAS_FUNCTION_PROBLEM_SECONDS": "1"}
    with (
        echo(never, eager=True) as backend,
        gateway_before(start_gateway, cloud, backend, **patience) as gateway,
        raw(gateway) as connection,
    ):
        size = 64 << 20
        connection.sendall(head("PUT", f"{INVOKE}/r", token, f"Content-Length: {size}"))
        connection.settimeout(1)
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(b"x" * 65_536)
        # On a busy machine the connection may be full before the token is validated.
        wait_until(lambda: backend.seen)
        connection.settimeout(scaled(20))
        started = time.monotonic()
        answer = connection.recv(65_536)
        while b"}" not in answer:
            answer += connection.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 502 ")
        assert b"took nothing of the request for 2 seconds" in answer
        assert time.monotonic() - started < scaled(6)


def test_answer_that_comes_before_the_body_is_read_is_passed_on(invoked, cloud, token):
    reply = b"HTTP/1.1 422 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
    with told(invoked, cloud, plainly(reply, then=1), eager=True):
        response = invoked.call("POST", f"{INVOKE}/r", token, content=b"x" * 1000)
    assert (response.status_code, response.text) == (422, "no")


def test_connection_refused_is_tried_again_only_for_what_may_be_repeated(invoked, token):
    """Both end in 503; nothing was sent in either case."""
    for method in ("GET", "POST"):
        assert invoked.call(method, "/v1/invoke/gone/x", token).status_code == 503


def test_phases_are_shown(invoked, cloud, token):
    timing = b"Server-Timing: process;dur=5, function;dur=2\r\n"
    reply = b"HTTP/1.1 200 OK\r\n" + timing + b"Content-Length: 0\r\n\r\n"

    def late(connection, seen):
        time.sleep(0.3)
        plainly(reply)(connection, seen)

    with told(invoked, cloud, late):
        cold = invoked.get(f"{INVOKE}/r", token).headers["server-timing"]
    found = {part.split(";dur=")[0].strip(): float(part.split(";dur=")[1]) for part in cold.split(",")}
    assert found["coldstart"] > 250
    assert found["function"] == 2.0
    assert "identity" in found
    silent = invoked.get(f"{INVOKE}/r", token).headers["server-timing"]
    assert "coldstart" not in silent
    assert "function;dur=" in silent


def test_calls_at_once_are_bounded(start_gateway, cloud, token):
    leave = threading.Event()

    def wait(connection, _seen):
        leave.wait()
        plainly(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")(connection, _seen)

    with (
        echo(wait) as backend,
        gateway_before(
            start_gateway, cloud, backend, OSFAAS_PROJECT_CONCURRENT_CALLS="1", OSFAAS_LIMIT_WAIT_SECONDS="0.1"
        ) as gateway,
    ):
        with raw(gateway) as connection:
            connection.sendall(head("GET", f"{INVOKE}/r", token))
            wait_until(lambda: backend.seen)
            response = gateway.get(f"{INVOKE}/r", token)
            leave.set()
            assert (response.status_code, code(response)) == (429, "concurrency.exceeded")
        wait_until(lambda: gateway.get(f"{INVOKE}/r", token).status_code == 200)


# --- how the tests speak


@contextlib.contextmanager
def told(gateway, cloud, answer, *, eager=False):
    """A function that answers as it is told takes the place of `echo` for a while."""
    before = gateway.tenants.read_text()
    with echo(answer, eager=eager) as backend:
        document = yaml.safe_load(before)
        document["tenants"][0]["functions"]["echo"]["url"] = backend.url
        gateway.tenants.write_text(yaml.safe_dump(document))
        time.sleep(1.1)
        try:
            yield backend
        finally:
            gateway.tenants.write_text(before)
            time.sleep(1.1)


@contextlib.contextmanager
def raw(gateway):
    with socket.create_connection(("127.0.0.1", gateway.service.port), timeout=scaled(20)) as connection:
        yield connection


def head(method, path, token, *more):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: g", f"X-Auth-Token: {token}", *more, "", ""]).encode()


def restricted(cloud, rules):
    """A token of an application credential of alice's with access rules."""
    session = cloud.session("alice")
    user = session.get_user_id()
    url = f"{cloud.auth_url}/users/{user}/application_credentials"
    name = f"invoke-{time.monotonic_ns()}"
    made = session.post(url, json={"application_credential": {"name": name, "access_rules": rules}}).json()
    made = made["application_credential"]
    identity = {
        "methods": ["application_credential"],
        "application_credential": {"id": made["id"], "secret": made["secret"]},
    }
    answer = httpx.post(
        f"{cloud.auth_url}/auth/tokens", content=json.dumps({"auth": {"identity": identity}}), timeout=scaled(60)
    )
    return answer.headers["x-subject-token"]
