"""Objects of the product that only the garbage collector would free: each is a reference cycle."""

import contextlib
import gc
from collections.abc import Iterator
from types import FrameType, TracebackType

# What the test itself and the libraries below the product leave behind is not the product's.
PACKAGES = ("gateway", "httptools")


@contextlib.contextmanager
def cycles() -> Iterator[list[object]]:
    """After the block, the list holds what the block left in cycles; the collector is off meanwhile."""
    found: list[object] = []
    gc.collect()
    # What earlier tests have left, and what becomes unreachable of it meanwhile, is not looked at.
    gc.freeze()
    gc.disable()
    flags = gc.get_debug()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found.extend(one for one in gc.garbage if _module_of(one).split(".")[0] in PACKAGES)
    finally:
        gc.set_debug(flags)
        gc.garbage.clear()
        gc.unfreeze()
        gc.enable()


def _module_of(one: object) -> str:
    if isinstance(one, TracebackType):
        one = one.tb_frame
    if isinstance(one, FrameType):
        return str(one.f_globals.get("__name__", ""))
    return type(one).__module__
