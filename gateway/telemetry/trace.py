"""W3C trace context: validated from callers, propagated to functions and stores.

Callers are not trusted: only valid trace context is propagated, and each outgoing request gets a new span id.
Recording is separate (`otel.py`); the ids are propagated whether or not spans are recorded.
"""

import contextlib
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MEMBER = re.compile(
    r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_MOST_MEMBERS, _LONGEST_STATE = 32, 512
_SAMPLED, _KNOWN_FLAGS = 1, 3


@dataclass(frozen=True, slots=True)
class Trace:
    """Trace context of a request.

    Attributes:
        trace_id: 32 hex digits.
        span_id: 16 hex digits; the parent span of what follows.
        flags: bit 0: sampled; bit 1: random trace id.
        state: `tracestate` to propagate; empty: none.
    """

    trace_id: str
    span_id: str
    flags: int = 0
    state: str = ""

    @property
    def sampled(self) -> bool:
        return bool(self.flags & _SAMPLED)


def received(parents: Iterable[str], states: Iterable[str]) -> Trace | None:
    """The caller's span, from every `traceparent` and `tracestate` of a request; None: there is no valid one."""
    values = tuple(parents)
    match = _PARENT.fullmatch(values[0].strip(" \t")) if len(values) == 1 else None
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return Trace(trace_id, span_id, int(flags, 16) & _KNOWN_FLAGS, state_of(states))


def state_of(values: Iterable[str]) -> str:
    """The members of `tracestate`; empty if one of them is malformed, or there are too many."""
    members = [member.strip(" \t") for member in ",".join(values).split(",")]
    members = [member for member in members if member]
    keys = {member.partition("=")[0] for member in members}
    state = ",".join(members)
    good = len(members) <= _MOST_MEMBERS and len(keys) == len(members) and len(state) <= _LONGEST_STATE
    return state if good and all(_MEMBER.fullmatch(member) for member in members) else ""


def begun(parent: Trace | None) -> Trace:
    """Our span: a child of the caller's, or the root of a new trace."""
    if parent is None:
        return Trace(_new_id(16), _new_id(8), flags=2)
    return Trace(parent.trace_id, _new_id(8), parent.flags, parent.state)


def fields_of(trace: Trace) -> dict[str, str]:
    """The header fields that propagate a trace."""
    parent = {"traceparent": f"00-{trace.trace_id}-{trace.span_id}-{trace.flags:02x}"}
    return {**parent, "tracestate": trace.state} if trace.state else parent


class Span(Protocol):
    """A recorded span."""

    trace: Trace

    def end(self, name: str, attributes: Mapping[str, str | int], *, failed: bool) -> None:
        """Ends it; at most once."""
        ...


class Recorder(Protocol):
    """Records spans."""

    def request(self, parent: Trace | None) -> Span:
        """A span for an incoming request."""
        ...

    def outgoing(self, parent: Trace, name: str) -> Span:
        """A span for an outgoing request."""
        ...


@dataclass(frozen=True, slots=True)
class _Active:
    trace: Trace
    recorder: Recorder | None


_active: ContextVar[_Active | None] = ContextVar("osfaas_trace", default=None)


def enter(trace: Trace, recorder: Recorder | None) -> None:
    """Makes it the current trace of this request."""
    _active.set(_Active(trace, recorder))


@contextlib.contextmanager
def outgoing(name: str) -> Iterator[dict[str, str]]:
    """The trace header fields of an outgoing request, with a new span id; empty outside of a request."""
    active = _active.get()
    if active is None:
        yield {}
    elif active.recorder is None:
        yield fields_of(begun(active.trace))
    else:
        span = active.recorder.outgoing(active.trace, name)
        try:
            yield fields_of(span.trace)
        except BaseException:
            span.end(name, {}, failed=True)
            raise
        span.end(name, {}, failed=False)


def _new_id(size: int) -> str:
    # Not a secret. All zeros is an invalid id.
    return f"{random.getrandbits(8 * size) or 1:0{2 * size}x}"
