"""The real Envoy with the configuration of `osfaas envoy-config`, in front of a real gateway, Keystone and Swift."""

import contextlib
import hashlib
import http.client
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Gateway, StartGateway
from tls import make_certificate

from localcloud import LocalCloud
from localcloud.ports import free_ports
from localcloud.services import Service
from localcloud.stack import envoy_service, running
from tests.machine import wait_until

# Objects whose names a proxy might change: two slashes, dot segments, escapes of a slash and of a dot.
NAMES = ["a//b/../c", "%2F%2e", "../up", "a/./b", "//", "ends/"]
# The path that has all of it.
PATH = "/v1/checksums/c/a//b/../%2F%2e;x=%7e?q=%2F%2e&r=//../"


@pytest.fixture(scope="module")
def front(gateway: Gateway, cloud: LocalCloud) -> Iterator[Service]:
    with running(envoy_service(cloud.state, program=cloud.bin / "envoy", gateways=[gateway.service.port])) as service:
        yield service


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("envoy") / "envoy.pem")


@pytest.fixture(scope="module")
def tls_front(gateway: Gateway, cloud: LocalCloud, certificate: Path) -> Iterator[Service]:
    options = ["--certificate", str(certificate), "--key", str(certificate.with_suffix(".key"))]
    service = envoy_service(
        cloud.state, program=cloud.bin / "envoy", gateways=[gateway.service.port], name="envoy-tls", options=options
    )
    with running(service):
        yield service


def curl(*arguments: str) -> tuple[str, bytes]:
    """The version of HTTP that was spoken with the status, and the body."""
    command = ["curl", "--silent", "--path-as-is", "--write-out", "%{stderr}%{http_version} %{http_code}"]
    done = subprocess.run([*command, *arguments], capture_output=True, check=True, timeout=120)
    return done.stderr.decode(), done.stdout


@contextlib.contextmanager
def line_keeper() -> Iterator[tuple[int, list[bytes]]]:
    """A port, and the first line of each request that came there; each is answered with 200."""
    lines: list[bytes] = []

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    head = b""
                    while b"\r\n\r\n" not in head:
                        head += connection.recv(65_536)
                    lines.append(head.partition(b"\r\n")[0])
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1], lines


@pytest.mark.parametrize("options", [[], ["--admin", "127.0.0.1:1", "--gateway", "localhost:2"]], ids=["least", "most"])
def test_envoy_accepts_the_configuration(cloud: LocalCloud, certificate: Path, options: list[str]) -> None:
    files = ["--certificate", str(certificate), "--key", str(certificate.with_suffix(".key"))] if options else []
    service = envoy_service(
        cloud.state, program=cloud.bin / "envoy", gateways=[1], name="validated", options=[*options, *files]
    )
    done = subprocess.run(
        [*service.command, "--mode", "validate"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    # Nothing in it is deprecated, and no protection is missing.
    assert "warning" not in done.stderr.lower(), done.stderr


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_path_arrives_byte_for_byte(cloud: LocalCloud, version: str) -> None:
    with line_keeper() as (port, lines):
        with running(
            envoy_service(cloud.state, program=cloud.bin / "envoy", gateways=[port], name="envoy-lines")
        ) as front:
            said, _ = curl(version, f"http://127.0.0.1:{front.port}{PATH}")
        assert said == f"{'1.1' if version == '--http1.1' else '2'} 200"
        assert lines == [f"GET {PATH} HTTP/1.1".encode()]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_digest_of_an_object_with_such_a_name_is_its_own(front: Service, bucket, alice, name: str, version) -> None:
    content = b"content of " + name.encode()
    bucket.put(name, content)
    url = f"http://127.0.0.1:{front.port}{bucket.path(name)}?algorithm=sha256"
    said, body = curl(version, "-H", f"X-Auth-Token: {alice}", url)
    assert said.split() == ["1.1" if version == "--http1.1" else "2", "200"]
    answer = json.loads(body)
    assert (answer["object"], answer["digests"]["sha256"]) == (name, hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize(("offered", "spoken"), [("--http2", "2"), ("--http1.1", "1.1")])
def test_tls_is_ended_and_the_version_is_negotiated(tls_front: Service, certificate, offered, spoken) -> None:
    url = f"https://127.0.0.1:{tls_front.port}/healthcheck"
    said, body = curl(offered, "--cacert", str(certificate), url)
    assert (said, body) == (f"{spoken} 200", b"OK")


def test_tls_of_old_is_refused(tls_front: Service, certificate: Path) -> None:
    def handshake(version: ssl.TLSVersion) -> str | None:
        context = ssl.create_default_context(cafile=str(certificate))
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        with (
            socket.create_connection(("127.0.0.1", tls_front.port)) as raw,
            context.wrap_socket(raw, server_hostname="127.0.0.1") as secured,
        ):
            return secured.version()

    assert handshake(ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    with pytest.warns(DeprecationWarning, match="TLSv1_1"), pytest.raises(ssl.SSLError):
        handshake(ssl.TLSVersion.TLSv1_1)


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/v1x", "/checksumsx", "/docs"])
def test_what_is_for_operators_has_no_route(front: Service, gateway: Gateway, path: str) -> None:
    """Envoy's own answers have the form of the gateway's errors."""
    said, body = curl("--http1.1", f"http://127.0.0.1:{front.port}{path}")
    assert said == "1.1 404"
    (error,) = json.loads(body)["errors"]
    assert (error["code"], error["status"]) == ("route.not_found", 404)
    assert error["request_id"].startswith("envoy-")
    # A line follows its answer.
    wait_until(lambda: f"request_id={error['request_id']} " in front.log.read_text(), what="the line of the log")
    assert gateway.get("/metrics").status_code == 200


def test_gateway_that_is_not_there_is_named(cloud: LocalCloud) -> None:
    (nobody,) = free_ports(1)
    with running(
        envoy_service(cloud.state, program=cloud.bin / "envoy", gateways=[nobody], name="envoy-alone")
    ) as front:
        connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=60)
        connection.request("GET", "/v1/checksums/c/o?signature=secret-query", headers={"X-Auth-Token": "secret-token"})
        answer = connection.getresponse()
        document = json.loads(answer.read())
        connection.close()
        wait_until(lambda: "path=/v1/checksums/c/o status=503" in front.log.read_text(), what="the line of the log")
    assert (answer.status, document["errors"][0]["code"]) == (503, "service.unavailable")
    assert document["error"]["message"].startswith("The gateway did not respond")
    assert answer.headers["Retry-After"] == "5"
    assert "secret" not in front.log.read_text()


def test_head_is_limited_as_the_gateway_limits_it(start_gateway: StartGateway, cloud: LocalCloud) -> None:
    """As many fields and bytes as the gateway takes, and not one field more."""
    env = {"OSFAAS_HEAD_MAX_FIELDS": "20", "OSFAAS_HEAD_MAX_BYTES": "2048"}
    with start_gateway(**env) as gateway, contextlib.ExitStack() as stack:
        service = envoy_service(
            cloud.state, program=cloud.bin / "envoy", gateways=[gateway.service.port], name="envoy-small", env=env
        )
        front = stack.enter_context(running(service))

        def status(fields: int, length: int = 1) -> int:
            """Of a request with so many fields beside Host, the first of so many bytes."""
            connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=60)
            connection.putrequest("GET", "/healthcheck", skip_accept_encoding=True)
            for number in range(fields):
                connection.putheader(f"X-{number}", "a" * (1 if number else length))
            connection.endheaders()
            answer = connection.getresponse()
            answer.read()
            connection.close()
            return answer.status

        assert status(19) == 200
        assert status(20) == 431
        assert status(1, 1_900) == 200
        assert status(1, 2_100) == 431


def test_drained_gateway_gets_no_more_calls(start_gateway: StartGateway, cloud: LocalCloud, tmp_path: Path) -> None:
    """While its disable file exists; the other one answers all of them."""
    switch = tmp_path / "disabled"
    with start_gateway(OSFAAS_DISABLE_FILE=str(switch)) as leaving, start_gateway() as staying:
        ports = [leaving.service.port, staying.service.port]
        switch.touch()
        with running(
            envoy_service(cloud.state, program=cloud.bin / "envoy", gateways=ports, name="envoy-two")
        ) as front:
            before = leaving.metric("osfaas_requests_total", route="version", method="GET", status="200")
            for _ in range(20):
                assert curl(f"http://127.0.0.1:{front.port}/v1/")[0] == "1.1 200"
            after = leaving.metric("osfaas_requests_total", route="version", method="GET", status="200")
    assert before == after
