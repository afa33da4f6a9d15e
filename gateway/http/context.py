"""Context of one request: filled while it is handled, read by the access log."""

import re
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.types import Scope

if TYPE_CHECKING:
    from gateway.http.head import RequestHead
    from gateway.identity.caller import Caller
    from gateway.telemetry.trace import Trace

# The form of a global request id that OpenStack's own services accept (oslo.middleware).
_GLOBAL_ID = re.compile(r"req-[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}")
_KEY = "osfaas.context"


@dataclass(slots=True)
class RequestContext:
    """Mutable on purpose: packages add what the access log line shows.

    Attributes:
        request_id: ours.
        global_request_id: the caller's, if it has the agreed form.
        head: the validated head.
        route: bounded name of the route, used as a metric label.
        facts: further fields of the log line (ids, outcome); never a token or a signed URL.
        timings: seconds by phase, shown as Server-Timing.
        trace: trace context of the request.
        service_caller: the caller, if it is a service: its calls are audited.
    """

    request_id: str = field(default_factory=lambda: f"req-{uuid.uuid4()}")
    global_request_id: str | None = None
    started: float = field(default_factory=time.perf_counter)
    head: "RequestHead | None" = None
    route: str = "none"
    facts: dict[str, object] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    trace: "Trace | None" = None
    service_caller: "Caller | None" = None


def open_context(scope: Scope) -> RequestContext:
    """A new context for a request, kept in its scope."""
    context = RequestContext()
    for name, value in scope["headers"]:
        if name == b"x-openstack-request-id":
            text = value.decode("latin-1")
            context.global_request_id = text if _GLOBAL_ID.fullmatch(text) else None
            break
    scope[_KEY] = context
    return context


def context_of(scope: Scope) -> RequestContext:
    """The context that `open_context` made."""
    context: RequestContext = scope[_KEY]
    return context
