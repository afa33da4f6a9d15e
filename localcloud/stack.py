"""A gateway and a checksums function as processes next to the local cloud, for the demo and the tests."""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from localcloud.cloud import LocalCloud
from localcloud.services import Service, free_ports


@contextlib.contextmanager
def running(service: Service) -> Iterator[Service]:
    """Starts a service, waits for it, and ends it with the block."""
    service.start()
    try:
        service.wait()
        yield service
    finally:
        service.stop()


def function_service(
    state: Path, *, name: str = "function", port: int | None = None, env: Mapping[str, str] | None = None
) -> Service:
    """The checksums function of one tenant."""
    port = port or free_ports(1)[0]
    command = [sys.executable, "-m", "checksums_function"]
    return Service(name, command, port, state, {"PORT": str(port), "CHECKSUMS_HOST": "127.0.0.1", **(env or {})})


def gateway_service(
    cloud: LocalCloud,
    *,
    tenants: Path,
    name: str = "gateway",
    port: int | None = None,
    env: Mapping[str, str] | None = None,
) -> Service:
    """A gateway with the credential of the cloud's user `osfaas`."""
    port = port or cloud.gateway_port
    settings = {
        "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml),
        "OS_CLOUD": "osfaas",
        "OSFAAS_LISTEN_PORT": str(port),
        "OSFAAS_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "OSFAAS_TENANTS_FILE": str(tenants),
        # The store is on loopback, so it must be listed.
        "OSFAAS_STORE_ALLOWLIST": cloud.swift_url,
        **(env or {}),
    }
    return Service(name, [sys.executable, "-m", "client.cli", "serve"], port, cloud.state, settings)


def write_tenants(path: Path, functions: Mapping[str, str], suspended: Mapping[str, str] | None = None) -> None:
    """Writes the static directory: URL of the checksums function by project id, and reasons of suspensions."""
    reasons = suspended or {}
    tenants = [
        {
            "project_id": project,
            "functions": {"checksums": {"url": url}},
            **({"suspended": reasons[project]} if project in reasons else {}),
        }
        for project, url in functions.items()
    ]
    draft = path.with_suffix(".new")
    draft.write_text(yaml.safe_dump({"tenants": tenants}), encoding="utf-8")
    draft.replace(path)
