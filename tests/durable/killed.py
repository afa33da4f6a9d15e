"""The worker or the gateway, in which one step kills: the process itself, or the database.

    python killed.py POINT FLAG serve|worker

POINT is `before:STEP`, `inside:STEP` (done, and not committed) or `after:STEP`, with `:database` behind it if the
database is to be killed. It kills once: the file FLAG has the process id of the database, and another name afterwards.

Steps of a sweep are `put` and `save`, with `:OBJECT` behind them: the object that is written, or was written last.
There the process gets SIGTERM, as from an orchestrator.
"""

import functools
import importlib
import os
import signal
import sys
import time
from pathlib import Path

from operations.store.database import Database

PROGRAM = __file__
# Transactions.
STORED = {
    "gateway.usable": ("operations.store.delegations", "usable"),
    "gateway.delegation": ("operations.store.delegations", "add"),
    "gateway.usage": ("operations.store.accepting", "usage"),
    "gateway.accept": ("operations.store.batches", "accept_all"),
    "gateway.record": ("operations.store.usage", "store"),
    "worker.claim": ("operations.store.working", "claim"),
    "worker.mark": ("operations.store.working", "mark_sent"),
    "worker.finish": ("operations.store.working", "finish"),
    "worker.callback_claim": ("operations.store.callbacks", "claim"),
    "worker.callback_end": ("operations.store.callbacks", "delivered"),
    "worker.trust_mark": ("operations.store.delegations", "end_unused"),
    "worker.trust_forget": ("operations.store.delegations", "remove"),
}
# Requests to Keystone, the gateway, the receiver and the object store.
SENT = {
    "gateway.trust": ("gateway.identity.trusts", "Trusts.create"),
    "worker.token": ("gateway.identity.trusts", "TrustTokens.access"),
    "worker.send": ("operations.gateway_client", "GatewayClient.send"),
    "worker.callback_send": ("operations.callbacks", "Callbacks._attempt"),
    "worker.trust_delete": ("gateway.identity.trusts", "Trusts.delete"),
    "gateway.body_put": ("gateway.operations.objects", "OperationObjects.store_request"),
    "worker.result_put": ("gateway.operations.objects", "OperationObjects.store_result"),
    "worker.body_delete": ("gateway.operations.objects", "OperationObjects.delete"),
}
# Steps of calls whose bodies are objects.
LONG_BODIES = {"gateway.body_put", "worker.result_put", "worker.body_delete"}
# Steps of sweeps.
SWEEP_PUT = ("operations.sweeps.work", "_put")
SWEEP_SAVE = ("operations.store.sweeps", "advance")
# They look for work all the time, and finding none is no step.
LOOKING = {"worker.claim", "worker.callback_claim", "worker.trust_mark"}


def points() -> list[str]:
    """Every place between two steps of an operation."""
    found = []
    for name in STORED:
        sides = ("inside", "after") if name in LOOKING else ("before", "inside", "after")
        found += [f"{side}:{name}{victim}" for side in sides for victim in ("", ":database")]
    return found + [f"{side}:{name}" for name in SENT for side in ("before", "after")]


def strike(flag: Path, *, database: bool = False, number: int = signal.SIGKILL) -> None:
    """Kills once, of all processes with this flag."""
    try:
        victim = int(flag.read_text())
        flag.rename(flag.with_suffix(".struck"))
    except OSError:
        return
    os.kill(victim if database else os.getpid(), number)
    time.sleep(0.2)


def plant(point: str, flag: Path) -> None:
    """Puts the kill into its step."""
    side, name, *rest = point.split(":")
    if name in {"put", "save"}:
        _plant_sweep(side, name, rest[0], flag)
        return
    module, path = (STORED | SENT)[name]

    def reached(here: str, *, found: object = True) -> None:
        if here == side and (found or name not in LOOKING):
            strike(flag, database=bool(rest))

    if name in STORED:
        _plant_transaction(getattr(importlib.import_module(module), path), reached)
    else:
        cls, attribute = path.split(".")
        owner = getattr(importlib.import_module(module), cls)
        _plant_request(owner, attribute, reached)


def _plant_transaction(target, reached) -> None:
    real = Database.run_here

    def run_here(self, work, *args, **kwargs):
        if work is not target:
            return real(self, work, *args, **kwargs)

        def inside(connection, *args, **kwargs):
            found = work(connection, *args, **kwargs)
            reached("inside", found=found)
            return found

        reached("before")
        found = real(self, inside, *args, **kwargs)
        reached("after", found=found)
        return found

    Database.run_here = run_here


def _plant_request(owner, attribute: str, reached) -> None:
    real = getattr(owner, attribute)

    @functools.wraps(real)
    async def step(*args, **kwargs):
        reached("before")
        found = await real(*args, **kwargs)
        reached("after")
        return found

    setattr(owner, attribute, step)


def _plant_sweep(side: str, step: str, wanted: str, flag: Path) -> None:
    """SIGTERM at a step of a sweep. A save holds up its thread, and the event loop goes on meanwhile."""
    last = [""]

    def reached(here: str, *, found: object = True) -> None:
        if here == side and last[0] == wanted and found:
            # The test may not have seen the start of the process yet.
            while not flag.exists() and not flag.with_suffix(".struck").exists():
                time.sleep(0.02)
            strike(flag, number=signal.SIGTERM)

    module, attribute = SWEEP_PUT
    owner = importlib.import_module(module).SweepWork
    if step == "put":
        _plant_request(owner, attribute, reached)
    else:
        module, function = SWEEP_SAVE
        _plant_transaction(getattr(importlib.import_module(module), function), reached)
    real = getattr(owner, attribute)

    async def put(self, name: str, *args, **kwargs):
        last[0] = name
        await real(self, name, *args, **kwargs)

    setattr(owner, attribute, put)


def main() -> None:
    point, flag, command = sys.argv[1:]
    plant(point, Path(flag))
    sys.argv = ["osfaas", command]
    from client.cli import main as osfaas

    osfaas()


if __name__ == "__main__":
    main()
