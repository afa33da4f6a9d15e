"""What comes back within seconds is waited for, if the work may be repeated; what does not is said to be away."""

import concurrent.futures
import contextlib
import socket
import threading
import time
from pathlib import Path

import pytest
import yaml
from conftest import content_of
from echo import Echo

from localcloud.ports import free_ports
from localcloud.stack import function_service, running

JSON = {"Accept": "application/json"}


def code(response) -> str:
    return response.json()["errors"][0]["code"]


@contextlib.contextmanager
def gateway_with_own_function(start_gateway, cloud, **settings):
    """A gateway whose alice has a function process of its own, which a test may kill."""
    with running(function_service(cloud.state, name=f"mortal-{time.monotonic_ns()}")) as mortal:
        functions = {cloud.users["alice"].project_id: f"http://127.0.0.1:{mortal.port}"}
        with start_gateway(functions=functions, OSFAAS_TEMPURL_SET_KEY="true", **settings) as gateway:
            yield gateway, mortal


def until(found, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def tried_in_vain(gateway) -> bool:
    """Whether the gateway has had a failure that it does not leave at that."""
    return "retrying" in gateway.service.log.read_text()


def test_function_that_is_dead_for_good_is_said_to_be_when_the_time_is_over(start_gateway, cloud, bucket, alice):
    bucket.put("restarts", b"restarts")
    with gateway_with_own_function(start_gateway, cloud, OSFAAS_RETRY_SECONDS="1") as (gateway, mortal):
        mortal.kill()
        response = gateway.get(bucket.path("restarts") + "?algorithm=sha1&force=true", alice, headers=JSON)
        assert (response.status_code, code(response)) == (503, "function.unreachable")
        assert "'checksums'" in response.json()["error"]["message"]
        mortal.restart()


@pytest.mark.parametrize("capability", ["tempurl", "stream"])
def test_function_that_is_away_when_it_is_called_is_waited_for(start_gateway, cloud, bucket, alice, capability):
    bucket.put("restarts", b"restarts")
    with gateway_with_own_function(start_gateway, cloud, OSFAAS_CAPABILITIES=capability) as (gateway, mortal):
        mortal.kill()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            path = bucket.path("restarts") + "?algorithm=sha1&force=true"
            reading = pool.submit(gateway.get, path, alice, headers=JSON)
            until(lambda: tried_in_vain(gateway) or reading.done())
            mortal.restart()
            response = reading.result()
    assert response.status_code == 200, response.text
    assert response.json()["digests"]["sha1"] == content_of(b"restarts").digests["sha1"]


@pytest.mark.parametrize("capability", ["tempurl", "stream"])
def test_function_that_is_killed_while_it_reads_begins_anew(start_gateway, cloud, bucket, gibibyte, alice, capability):
    with (
        gateway_with_own_function(start_gateway, cloud, OSFAAS_CAPABILITIES=capability) as (gateway, mortal),
        concurrent.futures.ThreadPoolExecutor(1) as pool,
    ):
        path = bucket.path("gibibyte") + "?algorithm=sha256,md5&force=true"
        reading = pool.submit(gateway.get, path, alice, headers=JSON)
        until(lambda: connected(mortal.port) or reading.done())
        assert not reading.done()
        mortal.kill()
        mortal.restart()
        response = reading.result()
    assert response.status_code == 200, response.text
    assert response.json()["digests"] == {name: gibibyte[name] for name in ("sha256", "md5")}


def connected(port: int) -> bool:
    """Whether somebody has a connection to the port (Linux: state 1 in /proc/net/tcp is ESTABLISHED)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()][1:]
    return any(int(row[1].rpartition(":")[2], 16) == port and row[3] == "01" for row in rows)


def test_object_server_that_is_down_for_eight_seconds_is_waited_for(gateway, cloud, bucket, alice):
    """Swift answers 503 or 404 for what it cannot find for the moment; the stat is the first to meet it."""
    bucket.put("eight", b"eight seconds")
    server = cloud.services["swift-object"]
    server.kill()
    timer = threading.Timer(8, server.restart)
    timer.start()
    try:
        response = gateway.get(bucket.path("eight") + "?algorithm=sha1&force=true", alice, headers=JSON)
    finally:
        timer.join()
    assert response.status_code == 200, response.text
    assert response.json()["digests"]["sha1"] == content_of(b"eight seconds").digests["sha1"]


@pytest.fixture
def invoked(start_gateway, cloud):
    """A gateway, and the port at which its function will be."""
    port = free_ports(1)[0]
    with start_gateway() as gateway:
        functions = {"late": {"url": f"http://127.0.0.1:{port}", "callable": True}}
        tenants = [{"project_id": cloud.users["alice"].project_id, "functions": functions}]
        gateway.tenants.write_text(yaml.safe_dump({"tenants": tenants}))
        time.sleep(1.1)
        yield gateway, port


@pytest.mark.parametrize("body", [b"", b"some body"])
def test_post_that_found_no_connection_is_sent_when_there_is_one_and_only_once(invoked, alice, body):
    """Nothing of it was sent, so it cannot have been done."""
    gateway, port = invoked
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        calling = pool.submit(gateway.call, "POST", "/v1/invoke/late/x", alice, content=body)
        until(lambda: tried_in_vain(gateway) or calling.done())
        late = Echo(listener=socket.create_server(("127.0.0.1", port), backlog=64))
        try:
            assert calling.result().status_code == 200
        finally:
            late.close()
    assert [(seen.line, seen.body) for seen in late.seen] == [(b"POST /x HTTP/1.1", body)]
