"""Waits until a function is ready, and prints its progress."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from client.errors import CommandError, NotInTimeError, UnreachableError
from client.functions.output import condition_of

_POLL_SECONDS = 0.5
# A pull that failed once, or a quota that another pod is about to free, is no failure yet.
_FAILED_SECONDS = 4.0
# No failure at all: the pod starts when others end, or when a node is added.
_PASSING = frozenset(["Unschedulable"])

Function = dict[str, Any]


class NotReadyInTimeError(NotInTimeError):
    """The function was not ready within the time; the controller continues."""


@dataclass(frozen=True)
class Wait:
    """How long to wait (seconds), how to read the function, and where progress goes.

    `stages` shows the new stages of a build. `condition` is what is waited for: a change of the shares alone does not
    wait for the latest revision, which may never become ready.
    """

    seconds: float
    read: Callable[[], Function]
    say: Callable[[str], None]
    sleep: Callable[[float], None] = field(default=time.sleep)
    clock: Callable[[], float] = field(default=time.monotonic)
    stages: Callable[[], None] = field(default=lambda: None)
    condition: str = "Ready"


def wait_until_ready(wait: Wait) -> Function:
    """Waits until the function has the condition for its current specification; returns it.

    Raises:
        NotReadyInTimeError: it was not ready within the time.
        CommandError: it cannot become ready; with the reason.
    """
    started, said, failed_since, building = wait.clock(), "", None, False
    while True:
        function = _read(wait, started)
        now = wait.clock() - started
        state = _state(function, wait.condition) if function["status"]["current"] else {}
        # Once more after it has ended: its last stages.
        if building or _is_building(function):
            wait.stages()
            building = _is_building(function)
        if state.get("status") is True:
            wait.say(f"  {now:5.1f} s  {_reached(wait.condition, function)}")
            return function
        progress = _progress(state)
        if progress != said:
            wait.say(f"  {now:5.1f} s  {progress}")
            said = progress
        failed = state.get("status") is False and state.get("reason") not in _PASSING
        failed_since = (now if failed_since is None else failed_since) if failed else None
        if failed_since is not None and (not _may_recover(function) or now - failed_since >= _FAILED_SECONDS):
            raise CommandError(f"The function '{function['name']}' is not ready: {_why(state)}")
        if now > wait.seconds:
            raise NotReadyInTimeError(
                f"The function '{function['name']}' was not ready within {wait.seconds:g} s; the controller continues."
                + (f" The last reason: {_why(state)}" if state.get("status") is False else "")
            )
        wait.sleep(_POLL_SECONDS)


def _read(wait: Wait, started: float) -> Function:
    """The function; patiently, because what is stored is carried out even while nobody answers."""
    while True:
        try:
            return wait.read()
        except UnreachableError as error:
            now = wait.clock() - started
            if now > wait.seconds:
                raise
            wait.say(f"  {now:5.1f} s  {error}")
            wait.sleep(_POLL_SECONDS)


def _reached(condition: str, function: Function) -> str:
    if condition == "Ready":
        return f"ready: revision {function['status']['latest_ready_revision']}"
    return f"{condition}: the calls are shared as wanted"


def _state(function: Function, condition: str) -> Mapping[str, Any]:
    """The condition. A specification that is not accepted changes nothing; the condition Ready has the reason."""
    accepted = condition_of(function, "Accepted").get("status") is not False
    found: Mapping[str, Any] = condition_of(function, condition if accepted else "Ready")
    return found


def _may_recover(function: Function) -> bool:
    return all(condition_of(function, each).get("status") is not False for each in ("Accepted", "Built"))


def _is_building(function: Function) -> bool:
    if not function.get("source"):
        return False
    built = condition_of(function, "Built") if function["status"]["current"] else {}
    return built.get("status") is None


def _progress(state: Mapping[str, Any]) -> str:
    if not state:
        return "stored; waiting for the controller"
    # Of an output of many lines, the first sentence is progress enough.
    text = str(state.get("message", "")).partition("\n")[0]
    return f"{state['reason']}: {text}" if text else str(state["reason"])


def _why(state: Mapping[str, Any]) -> str:
    message = str(state.get("message", "")).rstrip(".")
    return f"{state['reason']}: {message}." if message else f"{state['reason']}."
