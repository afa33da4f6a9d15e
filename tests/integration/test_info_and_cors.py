"""What an installation offers, and calls of web pages, against the real gateway: Keystone, HTTP, a function."""

import json
import os
import subprocess
import sys

import httpx
import pytest
from echo import echo
from streams import gateway_before

from tests.machine import scaled

PAGE = "https://dashboard.example.org"
# A function that would open the answers of the gateway's origin to everybody.
OPEN = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: *\r\n"
    b"Access-Control-Allow-Credentials: true\r\nTiming-Allow-Origin: *\r\nX-Own: 1\r\n\r\nok"
)


@pytest.fixture(scope="module")
def backend():
    with echo(lambda connection, _seen: connection.sendall(OPEN)) as made:
        yield made


@pytest.fixture(scope="module")
def open_gateway(start_gateway, cloud, backend):
    with gateway_before(start_gateway, cloud, backend.url, OSFAAS_CORS_ORIGINS=PAGE) as gateway:
        yield gateway


def allowed(answer: httpx.Response) -> dict[str, str]:
    names = ("access-control-", "timing-allow")
    return {name: value for name, value in answer.headers.items() if name.startswith(names)}


def test_page_of_the_operator_calls_a_function(open_gateway, backend, cloud):
    url, before = f"{open_gateway.url}/v1/invoke/echo/x", len(backend.seen)
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-auth-token"}
    preflight = httpx.options(url, headers=asked, timeout=scaled(30))
    assert (preflight.status_code, allowed(preflight)["access-control-allow-origin"]) == (204, PAGE)
    assert len(backend.seen) == before
    fields = {"Origin": PAGE, "X-Auth-Token": cloud.token("alice")}
    answer = httpx.put(url, headers=fields, content=b"x", timeout=scaled(30))
    assert (answer.status_code, answer.text, answer.headers["x-own"]) == (200, "ok", "1")
    assert allowed(answer)["access-control-allow-origin"] == PAGE
    assert set(allowed(answer)) == {"access-control-allow-origin", "access-control-expose-headers"}
    assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"{PAGE}.evil", None])
def test_function_opens_nothing_to_other_pages(open_gateway, cloud, origin):
    fields = {"X-Auth-Token": cloud.token("alice"), **({"Origin": origin} if origin else {})}
    answer = httpx.get(f"{open_gateway.url}/v1/invoke/echo/x", headers=fields, timeout=scaled(30))
    assert (answer.status_code, answer.headers["x-own"], allowed(answer)) == (200, "1", {})


def test_command_shows_what_the_gateway_says(gateway, cloud, tmp_path):
    document = gateway.get("/v1/info").json()
    own = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "OSFAAS_"))}
    env = own | {"OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml), "OS_CLOUD": "alice", "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "client.cli", "info", "-f", "json"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=scaled(60), check=False)
    assert (done.returncode, json.loads(done.stdout)) == (0, document)
    program = "import osfaas.sdk; print(osfaas.sdk.connect().function.info().features['sweeps'])"
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=scaled(60), check=False
    )
    assert (done.stdout.strip(), done.returncode) == (str(document["features"]["sweeps"]), 0), done.stderr
