"""Where the time until the head of a function's reply went.

From outside, a pod that first has to start and a function that thinks for long look the same. So a function may say
two things in the head of its reply, in the form of `Server-Timing` (W3C):

    Server-Timing: process;dur=812, function;dur=37

`process`: how old its process was when the request arrived; `function`: how long it worked until it sent the head
(both in milliseconds). What is left of the waiting is the way there and back. If the process is younger than that, it
was started while this call was waiting: that is a cold start, and everything but the function's own work belongs to
it. A function that says nothing is not guessed about.
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
