"""A gateway before a function that streams, for the tests of streams and WebSockets."""

import contextlib
import json
import time

import yaml

from tests.machine import wait_until

# A revocation is seen after both at most.
QUICK = {"OSFAAS_STREAM_RECHECK_SECONDS": "0.3", "OSFAAS_TOKEN_CACHE_SECONDS": "0.3"}


def write_tenant(gateway, cloud, url: str, **more: object) -> None:
    """Alice's tenant has `echo`; a second later the gateway has read it."""
    functions = {"echo": {"url": url, "host": "echo.faas-a.svc.cluster.local", "callable": True}}
    tenants = [{"project_id": cloud.users["alice"].project_id, "functions": functions, **more}]
    gateway.tenants.write_text(yaml.safe_dump({"tenants": tenants}))
    time.sleep(1.1)


@contextlib.contextmanager
def gateway_before(start_gateway, cloud, url: str, **settings: str):
    with start_gateway(OSFAAS_RETRY_SECONDS="0.5", **settings) as gateway:
        write_tenant(gateway, cloud, url)
        yield gateway


def logged(gateway, request_id: str) -> dict[str, object]:
    """The line of the access log about a request, which is written when the request has ended."""
    found: list[dict[str, object]] = []

    def line() -> bool:
        text = gateway.service.log.read_text(errors="replace")
        found.extend(json.loads(one[one.index("{") :]) for one in text.splitlines() if f'"{request_id}"' in one)
        return bool(found)

    wait_until(line)
    return found[0]
