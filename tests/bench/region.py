"""What bounds a region of many replicas and tenants: a simulation of its token caches, with measured costs.

Not simulated: queues. The result says how many processors each part needs, so at what rate its first one is full.
"""

import random
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import click

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Measured costs, on one processor of the machine of the benchmark.

    Attributes:
        call: CPU seconds of the gateway for a warm small invocation.
        validation: CPU seconds of Keystone for one token.
        limits: CPU seconds of Valkey for one call whose limits are shared.
        record_bytes: resident memory of the gateway for one Tenant record.
        base_bytes: resident memory of the gateway without records.
        change: CPU seconds of the gateway for one changed record.
    """

    call: float
    validation: float
    limits: float
    record_bytes: float
    base_bytes: float
    change: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """What is simulated.

    Attributes:
        replicas: gateway processes.
        tenants: each calls with one token; the n-th calls in proportion to 1/n (Zipf).
        calls_per_second: of all tenants together.
        by_token: calls with the same token reach the same replica (consistent hashing); else any replica.
        cache_seconds: lifetime of a validated token in a replica's cache (`OSFAAS_TOKEN_CACHE_SECONDS`).
        cache_entries: size of that cache (`OSFAAS_TOKEN_CACHE_ENTRIES`).
        changes_per_day: changes of one Tenant record.
    """

    replicas: int
    tenants: int
    calls_per_second: int
    by_token: bool
    cache_seconds: float = 30
    cache_entries: int = 10_000
    changes_per_day: float = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a region needs: processors, MiB, and the share of calls whose token Keystone has to validate."""

    validated: float
    gateway_processors: float
    keystone_processors: float
    valkey_processors: float
    gateway_mib: float


# Of one run of `python -m tests.bench S` on a busy machine, which makes all dearer; records: `make bench-cluster`.
MEASURED = Costs(
    call=1117e-6, validation=18.1e-3, limits=155e-6, record_bytes=1.7 * 1024, base_bytes=102 * MIB, change=0.2e-3
)
REGION = Region(replicas=100, tenants=100_000, calls_per_second=5_000, by_token=False)


def need(region: Region, costs: Costs) -> Need:
    """What the region needs at its rate, all replicas together (`gateway_mib`: each)."""
    validated = share_validated(region)
    calls = region.calls_per_second
    changes = region.tenants * region.changes_per_day / 86_400
    return Need(
        validated=validated,
        gateway_processors=calls * costs.call + region.replicas * changes * costs.change,
        keystone_processors=calls * validated * costs.validation,
        valkey_processors=calls * costs.limits,
        gateway_mib=(costs.base_bytes + region.tenants * costs.record_bytes) / MIB,
    )


def share_validated(region: Region) -> float:
    """The share of calls whose token is in no cache of the replica that they reach; after the caches have filled."""
    caches: list[OrderedDict[int, float]] = [OrderedDict() for _ in range(region.replicas)]
    calls = missed = 0
    for now, tenant, replica in _calls(region, seconds=2 * region.cache_seconds):
        cache = caches[replica]
        hit = cache.get(tenant, 0.0) > now
        if not hit:
            cache[tenant] = now + region.cache_seconds
            if len(cache) > region.cache_entries:
                cache.popitem(last=False)
        cache.move_to_end(tenant)
        if now >= region.cache_seconds:
            calls += 1
            missed += not hit
    return missed / calls


def _calls(region: Region, *, seconds: float) -> Iterator[tuple[float, int, int]]:
    """Time, tenant and replica of each call; the same ones each time."""
    chance = random.Random(1)
    total = 0.0
    weights = [total := total + 1 / number for number in range(1, region.tenants + 1)]
    count = int(region.calls_per_second * seconds)
    for number, tenant in enumerate(chance.choices(range(region.tenants), cum_weights=weights, k=count)):
        replica = tenant % region.replicas if region.by_token else chance.randrange(region.replicas)
        yield number / region.calls_per_second, tenant, replica


def table(region: Region = REGION, costs: Costs = MEASURED) -> str:
    """The region with fewer and with all of its calls, and each with calls routed by token, as Markdown."""
    lines = [
        "| calls a second | routed | validated tokens | gateways | memory of each | Keystone | Valkey |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for calls in (region.calls_per_second // 10, region.calls_per_second):
        for by_token in (False, True):
            needs = need(replace(region, calls_per_second=calls, by_token=by_token), costs)
            lines.append(
                f"| {calls:,} | {'by token' if by_token else 'anywhere'} | {needs.validated:.1%} of calls "
                f"| {needs.gateway_processors:.1f} processors | {needs.gateway_mib:.0f} MiB "
                f"| {needs.keystone_processors:.1f} processors | {needs.valkey_processors:.1f} processors |"
            )
    return "\n".join(lines)


@click.command()
def main() -> None:
    """Print what a region of 100 replicas and 100,000 tenants needs."""
    print(table())


if __name__ == "__main__":
    main()
