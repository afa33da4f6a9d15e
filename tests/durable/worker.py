"""A gateway with a database, and workers, as processes."""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx
import yaml
from databases import TestDatabase

from localcloud.errors import CloudError
from localcloud.ports import free_ports
from localcloud.services import Service
from tests.machine import scaled, slowness_under_load, wait_until

KEYS = "a-secret-of-the-tests-with-enough-characters"
# Settings that workers have in common with gateways.
_SHARED = ("OSFAAS_STORE_", "OSFAAS_KEYSTONE_TIMEOUT_")
LEASE = "OSFAAS_WORKER_LEASE_SECONDS"
UNFINISHED = ("queued", "running")


@dataclass
class Stage:
    """Everything that a call passes through.

    Attributes:
        gateway: a `Gateway` of the integration tests.
    """

    gateway: object
    cloud: object
    database: TestDatabase
    settings: dict[str, str]
    workers: list[Service] = field(default_factory=list)

    @contextlib.contextmanager
    def worker(self, *, program: tuple[str, ...] = ("-m", "client.cli"), **settings: str) -> Iterator[Service]:
        service = self._worker(program, settings)
        service.start()
        try:
            started(service)
            yield service
        finally:
            service.stop()

    def refusing_worker(self) -> tuple[int, str]:
        """The exit status of a worker that does not begin, and what it says."""
        service = self._worker(("-m", "client.cli"), {})
        service.start()
        try:
            return status_at_end(service), service.log.read_text()
        finally:
            service.stop()

    def _worker(self, program: tuple[str, ...], settings: dict[str, str]) -> Service:
        (port,) = free_ports(1)
        env = {
            "OS_CLIENT_CONFIG_FILE": str(self.cloud.clouds_yaml),
            "OS_CLOUD": "osfaas",
            "OSFAAS_WORKER_GATEWAY_URL": f"http://127.0.0.1:{self.gateway.service.port}",
            "OSFAAS_WORKER_METRICS_PORT": str(port),
            "OSFAAS_WORKER_POLL_SECONDS": "0.05",
            **{name: value for name, value in self.gateway.service.env.items() if name.startswith(_SHARED)},
            **self.settings,
            # A lease that is not renewed in time, because others use the machine, is work done again.
            LEASE: str(float(self.settings[LEASE]) * slowness_under_load() / scaled(1)),
            **settings,
        }
        name = f"worker-{len(self.workers)}-{self.gateway.service.port}"
        service = Service(name, [sys.executable, *program, "worker"], port, self.cloud.state, env)
        self.workers.append(service)
        return service

    def post(
        self, token: str, path: str = "/v1/invoke/echo/x", *, method: str = "POST", **fields: str
    ) -> httpx.Response:
        content = fields.pop("content", None)
        headers = {"Prefer": "respond-async", **{key.replace("_", "-"): value for key, value in fields.items()}}
        return self.gateway.call(method, path, token, headers=headers, content=content)

    def accepted(self, token: str, path: str = "/v1/invoke/echo/x", **options) -> str:
        response = self.post(token, path, **options)
        assert response.status_code == 202, response.text
        return response.headers["Location"]

    def show(self, token: str, location: str) -> dict:
        response = self.gateway.get(location, token)
        assert response.status_code == 200, response.text
        return response.json()

    def ended(self, token: str, location: str, seconds: float = 60) -> dict:
        found: dict = {}

        def has_ended() -> bool:
            found.update(self.show(token, location))
            return found["state"] not in UNFINISHED

        wait_until(has_ended, seconds=seconds, what=f"the end of {location}")
        return found


def started(service: Service) -> None:
    """Waits for a process, on a slow machine for longer."""
    for _ in range(math.ceil(scaled(1)) - 1):
        with contextlib.suppress(CloudError):
            service.wait()
            return
    service.wait()


def status_at_end(service: Service) -> int:
    """Waits until a process has ended by itself; its exit status."""
    wait_until(lambda: service.exit_status() is not None, what=f"the end of {service.name}")
    status = service.exit_status()
    assert status is not None
    return status


def code(response: httpx.Response) -> str:
    return response.json()["errors"][0]["code"]


@contextlib.contextmanager
def stage(start_gateway: Callable, cloud: object, backend, database: TestDatabase, **settings: str) -> Iterator[Stage]:
    """A gateway whose tenants alice and bob have `echo`, and alice the function of checksums."""
    known = {
        "OSFAAS_DATABASE_URL": database.url,
        "OSFAAS_CALLBACK_KEYS": KEYS,
        # Swift of the local cloud lets managers own an account.
        "OSFAAS_OPERATION_ROLES": "member,manager",
        LEASE: str(scaled(5)),
        "OSFAAS_FUNCTION_CONNECT_TIMEOUT_SECONDS": str(scaled(2)),
        # The default, on a slow machine.
        "OSFAAS_KEYSTONE_TIMEOUT_SECONDS": str(scaled(5)),
        "OSFAAS_RETRY_SECONDS": "0.5",
        **settings,
    }
    with start_gateway(**known) as gateway:
        tenants = yaml.safe_load(gateway.tenants.read_text())["tenants"]
        for tenant in tenants:
            tenant["functions"]["echo"] = {"url": backend.url, "callable": True}
        gateway.tenants.write_text(yaml.safe_dump({"tenants": tenants}))
        time.sleep(1.1)
        yield Stage(gateway, cloud, database, known)
