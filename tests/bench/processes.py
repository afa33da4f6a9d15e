"""Row S: one gateway process, two and four behind one Envoy, which share limits; and what a call costs other parts."""

import contextlib
from collections.abc import Iterator

from localcloud.ports import free_ports
from localcloud.services import Service
from localcloud.stack import envoy_service, running
from tests.bench.load import Load, send_requests
from tests.bench.measure import Comparison, Pairs, cpu_seconds
from tests.bench.stage import PEERS, Effort, Stage, gateway_of
from tests.valkey import Valkey

COUNTS = (1, 2, 4)
CONNECTIONS = 16


def processes(stage: Stage, effort: Effort) -> list[Comparison]:
    """S: one, two and four processes that share limits; what a call costs Valkey, and a token Keystone."""
    with contextlib.ExitStack() as stack:
        valkey = Valkey()
        stack.callback(valkey.close)
        valkey.start()
        shared = {"OSFAAS_LIMIT_STORE_URL": valkey.url}
        fleet = [stack.enter_context(running(gateway_of(stage, f"shared-{n}", shared))) for n in range(max(COUNTS))]
        fronts = {count: stack.enter_context(_front(stage, fleet[:count])) for count in COUNTS}
        forgetful = stack.enter_context(running(gateway_of(stage, "forgetful", {"OSFAAS_TOKEN_CACHE_SECONDS": "0"})))
        return [*_growth(stage, effort, fleet, fronts), *_costs(stage, effort, fronts[1], valkey, forgetful)]


@contextlib.contextmanager
def _front(stage: Stage, fleet: list[Service]) -> Iterator[Service]:
    """The product's Envoy before so many gateways."""
    program, ports = PEERS / "venv/bin/envoy", [each.port for each in fleet]
    (port,) = free_ports(1)
    service = envoy_service(
        stage.cloud.state, program=program, gateways=ports, name=f"front-{len(fleet)}", port=port, env=fleet[0].env
    )
    with running(service):
        yield service


def _growth(stage: Stage, effort: Effort, fleet: list[Service], fronts: dict[int, Service]) -> list[Comparison]:
    loads: dict[int, list[float]] = {count: [] for count in COUNTS}

    def cpu_us(count: int) -> float:
        _invoke(stage, fronts[count], 2 * CONNECTIONS * count)
        before = sum(cpu_seconds(each.pid) for each in fleet[:count])
        loads[count].append(_invoke(stage, fronts[count], effort.requests).per_second)
        return (sum(cpu_seconds(each.pid) for each in fleet[:count]) - before) / effort.requests * 1e6

    figures = Pairs(effort.runs).measure(**{str(count): lambda count=count: cpu_us(count) for count in COUNTS})
    rows = []
    for count in COUNTS[1:]:
        one = {"1 process": figures["1"]}
        what = f"CPU of an invocation, {count} processes behind Envoy, limits shared"
        rows.append(Comparison("S", what, "µs", figures[str(count)], one, None))
        what = f"invocations a second, {count} processes behind Envoy, limits shared"
        rows.append(Comparison("S", what, "1/s", loads[count], {"1 process": loads[1]}, None))
    return rows


def _costs(stage: Stage, effort: Effort, front: Service, valkey: Valkey, forgetful: Service) -> list[Comparison]:
    """The costs of `region.py` that are no row of their own."""
    assert valkey.process is not None
    store, keystone = valkey.process.pid, stage.cloud.services["keystone"].pid
    few = max(effort.requests // 20, 50)

    def limits() -> float:
        before = cpu_seconds(store)
        _invoke(stage, front, effort.requests)
        return (cpu_seconds(store) - before) / effort.requests * 1e6

    def validation() -> float:
        before = cpu_seconds(keystone)
        # One at a time: side by side they would share one validation.
        _invoke(stage, forgetful, few, connections=1)
        return (cpu_seconds(keystone) - before) / few * 1e6

    def unshared() -> float:
        before = cpu_seconds(stage.gateway.pid)
        _invoke(stage, stage.gateway, effort.requests)
        return (cpu_seconds(stage.gateway.pid) - before) / effort.requests * 1e6

    figures = Pairs(effort.runs).measure(limits=limits, validation=validation, unshared=unshared)
    call = {"a call, limits not shared, in the gateway": figures["unshared"]}
    return [
        Comparison("S", "CPU of Valkey for an invocation whose limits are shared", "µs", figures["limits"], call, None),
        Comparison("S", "CPU of Keystone for one token", "µs", figures["validation"], call, None),
    ]


def _invoke(stage: Stage, service: Service, requests: int, *, connections: int = CONNECTIONS) -> Load:
    request = stage.request("GET", service.port, "/v1/invoke/echo/")
    return send_requests(service.port, request, connections=connections, requests=requests)
