"""Everything that is measured, running: Keystone, Swift, the function, the gateway, and the peers beside them."""

import contextlib
import json
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from localcloud import LocalCloud, local_cloud
from localcloud.ports import free_ports
from localcloud.seed import password_of
from localcloud.services import Service
from localcloud.stack import function_service, gateway_service, running
from tests.bench.measure import Probe

SUBJECTS = Path(__file__).parent / "subjects"
PEERS = Path(".cache/bench")
CONTAINER = "bench"
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Attributes:
        runs: pairs of each comparison.
        requests: in a run of small requests.
        object_mib: size of the large object.
    """

    runs: int
    requests: int
    object_mib: int


@dataclass(frozen=True)
class Stage:
    """What the rows have to play with."""

    cloud: LocalCloud
    token: str
    function: Service
    gateway: Service
    crowded: Service
    responder: Service
    envoy: Service
    middleware: Service
    known_digest: Service
    authorised_envoy: Service
    files: Path

    def probe(self, repeat: Callable[[], object], *, profiled: str = "the gateway", bound: str = "") -> Probe:
        """Repeats work and looks into one of the processes that take part in it."""
        pids = {
            "the gateway": self.gateway.pid,
            "the gateway of 1,000 tenants": self.crowded.pid,
            "the function": self.function.pid,
            "the responder": self.responder.pid,
            "Swift's proxy": self.cloud.services["swift-proxy"].pid,
            "Swift's object server": self.cloud.services["swift-object"].pid,
        }
        return Probe(repeat, (profiled, pids.pop(profiled)), pids, bound=bound)

    @property
    def middleware_environment(self) -> dict[str, str]:
        return _middleware_environment(self.cloud, self.token)

    def request(self, method: str, port: int, path: str, **fields: str) -> bytes:
        """A request with the caller's token, as it goes over the wire."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"X-Auth-Token: {self.token}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")

    def swift_path(self, name: str) -> str:
        return f"/v1/AUTH_{self.cloud.users['alice'].project_id}/{CONTAINER}/{name}"

    def gateway_path(self, name: str) -> str:
        return f"/v1/checksums/{CONTAINER}/{name}"

    @property
    def swift_port(self) -> int:
        return self.cloud.services["swift-proxy"].port

    def file(self, mib: int) -> Path:
        """A file of so many MiB, no two of which are the same; in the page cache, because it has just been written."""
        path = self.files / f"{mib}-mib"
        if not path.exists():
            block = random.Random(1).randbytes(MIB)
            with path.open("wb") as file:
                for number in range(mib):
                    file.write(number.to_bytes(8, "big") + block[8:])
        return path

    def upload(self, mib: int) -> str:
        """The same as an object of alice's; its name."""
        name = f"object-{mib}"
        url = f"{self.cloud.account_url('alice')}/{CONTAINER}/{name}"
        headers = {"X-Auth-Token": self.token}
        with httpx.Client(timeout=300) as client:
            if client.head(url, headers=headers).status_code == httpx.codes.NOT_FOUND:
                with self.file(mib).open("rb") as file:
                    client.put(url, headers=headers, content=file).raise_for_status()
        return name


def tell(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def open_stage() -> Iterator[Stage]:
    """Starts everything; it ends with the block."""
    with contextlib.ExitStack() as stack:
        cloud = stack.enter_context(local_cloud(progress=tell))
        token = cloud.token("alice")
        httpx.put(f"{cloud.account_url('alice')}/{CONTAINER}", headers={"X-Auth-Token": token}).raise_for_status()
        function = stack.enter_context(running(function_service(cloud.state)))
        port, *ports = free_ports(7)
        responder = stack.enter_context(
            running(_python("responder", cloud.state, port, SUBJECTS / "responder.py", str(port)))
        )
        files = cloud.state / "bench-files"
        files.mkdir()
        tell("the gateway, once for one tenant and once for a thousand; Envoy; keystonemiddleware")
        envoy, middleware, one, many, known_digest, authorised_envoy = (
            stack.enter_context(running(service))
            for service in (
                _envoy("envoy", cloud.state, ports[0], _envoy_config(ports[0], responder.port)),
                _middleware(cloud, token, "keystonemiddleware", ports[1], "application"),
                _gateway(cloud, "gateway", ports[2], function.port, responder.port, tenants=1),
                _gateway(cloud, "gateway-crowded", ports[3], function.port, responder.port, tenants=1_000),
                _middleware(cloud, token, "swiftclient", ports[4], "known_digest"),
                _envoy("authorised", cloud.state, ports[5], _envoy_config(ports[5], responder.port, ports[1])),
            )
        )
        yield Stage(
            cloud, token, function, one, many, responder, envoy, middleware, known_digest, authorised_envoy, files
        )


def gateway_of(stage: Stage, name: str, env: Mapping[str, str]) -> Service:
    """One more gateway for alice, with settings of its own."""
    (port,) = free_ports(1)
    return _gateway(stage.cloud, name, port, stage.function.port, stage.responder.port, tenants=1, env=env)


def _gateway(
    cloud: LocalCloud,
    name: str,
    port: int,
    function_port: int,
    responder_port: int,
    *,
    tenants: int,
    env: Mapping[str, str] | None = None,
) -> Service:
    """The gateway as `make demo` starts it, but that it may make TempURL keys; alice is the last of so many tenants."""
    functions = {
        "checksums": {"url": f"http://127.0.0.1:{function_port}"},
        "echo": {"url": f"http://127.0.0.1:{responder_port}", "callable": True},
    }
    projects = [*(f"{number:032x}" for number in range(1, tenants)), cloud.users["alice"].project_id]
    path = cloud.state / f"{name}.yaml"
    path.write_text(
        yaml.safe_dump({"tenants": [{"project_id": each, "functions": functions} for each in projects]}),
        encoding="utf-8",
    )
    return gateway_service(
        cloud, tenants=path, name=name, port=port, env={"OSFAAS_TEMPURL_SET_KEY": "true", **(env or {})}
    )


def _middleware_environment(cloud: LocalCloud, token: str) -> dict[str, str]:
    return {
        "BENCH_AUTH_URL": cloud.auth_url,
        "BENCH_PASSWORD": password_of("swift"),
        "BENCH_TOKEN": token,
        "BENCH_ACCOUNT_URL": cloud.account_url("alice"),
        "PYTHONWARNINGS": "ignore",
    }


def _middleware(cloud: LocalCloud, token: str, name: str, port: int, application: str) -> Service:
    """As Keystone itself is served here: one worker of gunicorn with threads."""
    command = [
        *(str(cloud.bin / "gunicorn"), "--bind", f"127.0.0.1:{port}", "--workers", "1"),
        *("--worker-class", "gthread", "--threads", "8", "--keep-alive", "30", "--no-control-socket"),
        *("--chdir", str(SUBJECTS), f"middleware_app:{application}"),
    ]
    return Service(name, command, port, cloud.state, _middleware_environment(cloud, token))


def _python(name: str, state: Path, port: int, *arguments: str | Path) -> Service:
    return Service(name, [sys.executable, *map(str, arguments)], port, state)


def _envoy(name: str, state: Path, port: int, content: dict[str, object]) -> Service:
    """One worker."""
    config = state / f"{name}.json"
    config.write_text(json.dumps(content), encoding="utf-8")
    command = [str(PEERS / "venv/bin/envoy"), "--concurrency", "1", "--log-level", "error", "-c", str(config)]
    return Service(name, [*command, "--disable-hot-restart"], port, state)


def _envoy_config(port: int, upstream: int, authoriser: int | None = None) -> dict[str, object]:
    """Passes everything on, after it asked an HTTP authorisation service if there is one."""

    def address(number: int) -> dict[str, object]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    types = "type.googleapis.com/envoy.extensions.filters"
    manager = {
        "@type": f"{types}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "up"}}]}
            ]
        },
        "http_filters": [
            *([_ext_authz(types)] if authoriser else []),
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{types}.http.router.v3.Router"},
            },
        ],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    clusters = {"up": upstream, **({"authoriser": authoriser} if authoriser else {})}
    return {
        "static_resources": {
            "listeners": [{"address": address(port), "filter_chains": [{"filters": filters}]}],
            "clusters": [
                {
                    "name": name,
                    "type": "STATIC",
                    "load_assignment": {
                        "cluster_name": name,
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(number)}}]}],
                    },
                }
                for name, number in clusters.items()
            ],
        }
    }


def _ext_authz(types: str) -> dict[str, object]:
    service = {
        "server_uri": {"uri": "http://authoriser", "cluster": "authoriser", "timeout": "10s"},
        "authorization_request": {"allowed_headers": {"patterns": [{"exact": "x-auth-token"}]}},
    }
    return {
        "name": "envoy.filters.http.ext_authz",
        "typed_config": {"@type": f"{types}.http.ext_authz.v3.ExtAuthz", "http_service": service},
    }
