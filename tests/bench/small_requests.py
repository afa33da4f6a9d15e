"""Rows about small requests: P1 (invocation), P2 (HEAD with known digests), P9 (many tenants)."""

from collections.abc import Callable

from localcloud.services import Service
from tests.bench.load import send_requests
from tests.bench.measure import Comparison, Goal, Pairs, cpu_seconds
from tests.bench.stage import CONTAINER, Effort, Stage

# Half of the invocations that a project may have at once by default: a place is free only after the answer is out.
CONNECTIONS = 16
ONE_TENANT_RUNS = 2


def invocation(stage: Stage, effort: Effort) -> list[Comparison]:
    """P1: CPU of one small invocation, to that of Envoy alone, and of Envoy with keystonemiddleware."""
    through_gateway = stage.request("GET", stage.gateway.port, "/v1/invoke/echo/")
    through_envoy = stage.request("GET", stage.envoy.port, "/")
    authorised = stage.request("GET", stage.authorised_envoy.port, "/")
    few = max(effort.requests // 4, 100)

    def built() -> float:
        before = cpu_seconds(stage.middleware.pid)
        proxy = cpu_us(stage.authorised_envoy, authorised, few)
        # Its own warm-up is among the requests.
        return proxy + (cpu_seconds(stage.middleware.pid) - before) / (few + 2 * CONNECTIONS) * 1e6

    figures = Pairs(effort.runs).measure(
        ours=lambda: cpu_us(stage.gateway, through_gateway, effort.requests),
        envoy=lambda: cpu_us(stage.envoy, through_envoy, effort.requests),
        built=built,
    )
    probe = stage.probe(
        lambda: send_requests(
            stage.gateway.port, through_gateway, connections=CONNECTIONS, requests=2 * effort.requests
        ),
        bound="identity, limits, log line, metrics and trace of each call, in Python",
    )
    return [
        Comparison(
            "P1",
            "CPU of a warm small invocation",
            "µs",
            figures["ours"],
            {"Envoy, which only proxies": figures["envoy"]},
            Goal(2.5),
            probe=probe,
        ),
        Comparison(
            "P1b",
            "the same, to what a user would build",
            "µs",
            figures["ours"],
            {"Envoy, ext_authz, keystonemiddleware": figures["built"]},
            Goal(0.4),
            probe=probe,
        ),
    ]


def known_head(stage: Stage, effort: Effort) -> list[Comparison]:
    """P2: what one worker can serve, and how long a caller waits."""
    name = stage.upload(1)
    ours = stage.request("HEAD", stage.gateway.port, stage.gateway_path(name), Want_Digest="md5")
    plain = stage.request("HEAD", stage.known_digest.port, f"/{CONTAINER}/{name}")
    swift = stage.request("HEAD", stage.swift_port, stage.swift_path(name))
    requests = max(effort.requests // 4, 100)
    capacity = Pairs(effort.runs).measure(
        ours=lambda: 1e6 / cpu_us(stage.gateway, ours, requests),
        plain=lambda: 1e6 / cpu_us(stage.known_digest, plain, requests),
        swift=lambda: 1e6 / cpu_us(stage.cloud.services["swift-proxy"], swift, requests),
    )
    latency = Pairs(effort.runs).measure(
        ours=lambda: _latency_ms(stage.gateway, ours, requests // 4),
        swift=lambda: _latency_ms(stage.cloud.services["swift-proxy"], swift, requests // 4),
    )
    probe = stage.probe(
        lambda: send_requests(stage.gateway.port, ours, connections=CONNECTIONS, requests=2 * requests),
        bound="a HEAD to Swift for each, by an HTTP client in Python",
    )
    return [
        Comparison(
            "P2",
            "HEAD with a known digest, requests per CPU second of one worker",
            "1/s",
            capacity["ours"],
            {"keystonemiddleware and swiftclient": capacity["plain"], "Swift's proxy": capacity["swift"]},
            Goal(4.0, at_least=True),
            "both ask Swift each time whether the caller may still read the object",
            probe,
        ),
        Comparison(
            "P2",
            "HEAD with a known digest, one at a time, median latency",
            "ms",
            latency["ours"],
            {"Swift's own HEAD": latency["swift"]},
            Goal(1.2),
            probe=probe,
        ),
    ]


def many_tenants(stage: Stage, effort: Effort) -> list[Comparison]:
    """P9, in one process: a thousand tenants in the directory instead of one."""
    request = stage.request("GET", stage.crowded.port, "/v1/invoke/echo/")
    probe = stage.probe(
        lambda: send_requests(stage.crowded.port, request, connections=4, requests=2 * effort.requests),
        profiled="the gateway of 1,000 tenants",
    )
    return [
        Comparison(
            "P9",
            "95th percentile of an invocation, 1,000 tenants in the directory",
            "ms",
            *_both(stage, effort, _p95_ms),
            Goal(1.1),
            probe=probe,
        ),
        Comparison(
            "P9",
            "CPU of an invocation, 1,000 tenants in the directory",
            "µs",
            *_both(stage, effort, cpu_us),
            Goal(1.1),
            probe=probe,
        ),
    ]


def _both(
    stage: Stage, effort: Effort, measure: Callable[[Service, bytes, int], float]
) -> tuple[list[float], dict[str, list[float]]]:
    """The figures of the gateway with many tenants, and of the one with one."""

    def run(service: Service) -> float:
        return measure(service, stage.request("GET", service.port, "/v1/invoke/echo/"), effort.requests)

    figures = Pairs(effort.runs * ONE_TENANT_RUNS).measure(
        many=lambda: run(stage.crowded), one=lambda: run(stage.gateway)
    )
    return figures["many"], {"1 tenant": figures["one"]}


def cpu_us(service: Service, request: bytes, requests: int) -> float:
    """CPU of one request in the service alone, in microseconds; warm, with many connections."""
    send_requests(service.port, request, connections=CONNECTIONS, requests=2 * CONNECTIONS)
    before = cpu_seconds(service.pid)
    send_requests(service.port, request, connections=CONNECTIONS, requests=requests)
    return (cpu_seconds(service.pid) - before) / requests * 1e6


def _latency_ms(service: Service, request: bytes, requests: int) -> float:
    return send_requests(service.port, request, connections=1, requests=requests).median_seconds * 1e3


def _p95_ms(service: Service, request: bytes, requests: int) -> float:
    return send_requests(service.port, request, connections=4, requests=requests).p95_seconds * 1e3
