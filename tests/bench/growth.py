"""How cost grows: with the object's size, with how many ask at once, with how many tenants there are. No goals."""

from tests.bench.load import send_requests
from tests.bench.measure import Comparison, Pairs, cpu_seconds
from tests.bench.objects import computed
from tests.bench.stage import Effort, Stage

SIZES_MIB = (1, 16, 128)
AT_ONCE = (1, 4, 16)


def growth(stage: Stage, effort: Effort) -> list[Comparison]:
    """Growth: sizes of objects, callers at once."""
    return [*_sizes(stage, effort), *_callers(stage, effort)]


def _sizes(stage: Stage, effort: Effort) -> list[Comparison]:
    sizes = sorted({*(min(size, effort.object_mib) for size in SIZES_MIB), min(effort.object_mib, 1024)})
    names = {size: stage.upload(size) for size in sizes}
    figures = Pairs(effort.runs).measure(
        **{str(size): lambda size=size: computed(stage, names[size], "adler32,md5")[0] * 1e3 for size in sizes}
    )
    smallest = {f"{sizes[0]} MiB": figures[str(sizes[0])]}
    return [
        Comparison("G", f"adler32 and md5 of {size} MiB, end to end", "ms", figures[str(size)], smallest, None)
        for size in sizes[1:]
    ]


def _callers(stage: Stage, effort: Effort) -> list[Comparison]:
    request = stage.request("GET", stage.gateway.port, "/v1/invoke/echo/")

    def cpu_us(connections: int) -> float:
        before = cpu_seconds(stage.gateway.pid)
        send_requests(stage.gateway.port, request, connections=connections, requests=effort.requests // 2)
        return (cpu_seconds(stage.gateway.pid) - before) / (effort.requests // 2) * 1e6

    figures = Pairs(effort.runs).measure(**{str(count): lambda count=count: cpu_us(count) for count in AT_ONCE})
    one = {"1 caller": figures["1"]}
    return [
        Comparison("G", f"CPU of an invocation, {count} callers at once", "µs", figures[str(count)], one, None)
        for count in AT_ONCE[1:]
    ]
