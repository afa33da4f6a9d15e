"""A gateway, a checksums function and Envoy as processes next to the local cloud, for the demo and the tests."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from localcloud.cloud import LocalCloud
from localcloud.ports import free_ports
from localcloud.services import Service

THUMBNAIL = Path(__file__).resolve().parents[1] / "functions" / "thumbnail" / "main.py"


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


def thumbnail_service(state: Path, *, port: int | None = None) -> Service:
    """The sample function that takes objects as input and output (`functions/thumbnail`)."""
    port = port or free_ports(1)[0]
    return Service(
        "thumbnail",
        [sys.executable, str(THUMBNAIL)],
        port,
        state,
        {"PORT": str(port), "THUMBNAIL_HOST": "127.0.0.1", "PYTHONDONTWRITEBYTECODE": "1"},
    )


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


def envoy_service(
    state: Path,
    *,
    program: Path,
    gateways: Sequence[int],
    name: str = "envoy",
    port: int | None = None,
    options: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> Service:
    """An Envoy in front of gateways, with the configuration that `osfaas envoy-config` prints.

    Args:
        state: folder of its configuration and its log.
        program: the program `envoy`.
        gateways: their ports.
        name: of the service.
        port: on which it listens; by default a free one.
        options: more of `osfaas envoy-config`.
        env: settings of the gateways.

    Raises:
        subprocess.CalledProcessError: the settings or the options are not valid; stderr says why.
    """
    port = port or free_ports(1)[0]
    to = [option for each in gateways for option in ("--gateway", f"127.0.0.1:{each}")]
    printed = subprocess.run(
        [sys.executable, "-m", "client.cli", "envoy-config", "--listen", f"127.0.0.1:{port}", *to, *options],
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    config = state / f"{name}.yaml"
    config.write_bytes(printed)
    return Service(name, envoy_command(program, config), port, state)


@contextlib.contextmanager
def gateway_behind_envoy(cloud: LocalCloud, *, tenants: Path) -> Iterator[Service]:
    """A gateway and the Envoy in front of it, which listens where the catalog points; gives the Envoy."""
    public = f"http://127.0.0.1:{cloud.gateway_port}"
    (port,) = free_ports(1)
    with running(gateway_service(cloud, tenants=tenants, port=port, env={"OSFAAS_PUBLIC_URL": public})):
        program = cloud.bin / "envoy"
        front = envoy_service(cloud.state, program=program, gateways=[port], port=cloud.gateway_port)
        with running(front):
            yield front


def envoy_command(program: Path, config: Path) -> list[str]:
    """Envoy with one worker thread, which writes its log at once.

    Without hot restart: with it, only one could run on a machine.
    """
    log = ("--log-level", "warning", "--file-flush-interval-msec", "200")
    return [*map(str, (program, "-c", config)), "--concurrency", "1", "--disable-hot-restart", *log]


def write_tenants(
    path: Path,
    functions: Mapping[str, str],
    suspended: Mapping[str, str] | None = None,
    *,
    with_objects: Mapping[str, str] | None = None,
) -> None:
    """Writes the static directory: URL of the checksums function by project id, and reasons of suspensions.

    `with_objects`: URLs, by name, of functions of every project that are callable and take objects.
    """
    reasons = suspended or {}
    further = {name: {"url": url, "callable": True, "objects": True} for name, url in (with_objects or {}).items()}
    tenants = [
        {
            "project_id": project,
            "functions": {"checksums": {"url": url}, **further},
            **({"suspended": reasons[project]} if project in reasons else {}),
        }
        for project, url in functions.items()
    ]
    draft = path.with_suffix(".new")
    draft.write_text(yaml.safe_dump({"tenants": tenants}), encoding="utf-8")
    draft.replace(path)
