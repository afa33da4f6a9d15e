"""Phases of the wait for a function's reply.

From outside, a cold start and a slow function look the same. So a function may report two durations in the head of its
reply, as `Server-Timing` (W3C):

    Server-Timing: process;dur=812, function;dur=37

`process`: how old its process was when the request arrived; `function`: how long it worked until it sent the head
(both in milliseconds). The rest of the wait is network time. If the process is younger than that, it was started while
this call was waiting: a cold start, which includes everything but the function's own work. Without the field, nothing
is guessed.
"""

import re

_METRIC = re.compile(r"\s*([A-Za-z0-9_.-]{1,32})\s*;\s*dur=([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*")


def phases(head_seconds: float, server_timing: str | None) -> dict[str, float]:
    """The phases of waiting for a head, in seconds: `coldstart` or `reach`, and `function`.

    Args:
        head_seconds: from the first byte sent to the head of the reply.
        server_timing: the function's own field, or None.
    """
    said = {
        match[1]: float(match[2]) / 1000
        for part in (server_timing or "").split(",")[:16]
        if (match := _METRIC.fullmatch(part))
    }
    if "function" not in said or said["function"] > head_seconds:
        return {"function": head_seconds}
    waited = head_seconds - said["function"]
    cold = "process" in said and said["process"] <= waited
    return {"coldstart" if cold else "reach": waited, "function": said["function"]}


def server_timing(timings: dict[str, float]) -> str:
    """The field for the caller, from seconds by phase."""
    return ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in timings.items())
