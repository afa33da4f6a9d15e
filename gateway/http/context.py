"""Context of one request: filled while it is handled, read by the access log."""

import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from starlette.types import Scope

from gateway.call_usage import CallUsage
from gateway.errors import GatewayError
from gateway.limit_use import LimitUse

if TYPE_CHECKING:
    from gateway.http.head import RequestHead
    from gateway.telemetry.trace import Trace

# The form of a global request id that OpenStack's own services accept (oslo.middleware).
_GLOBAL_ID = re.compile(r"req-[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}")
_KEY = "osfaas.context"
_MAX_CAUSE_CHARS = 200


class ServiceCaller(Protocol):
    """The service whose call is audited (`gateway.identity.caller.Caller`)."""

    @property
    def user_id(self) -> str: ...
    @property
    def user_name(self) -> str: ...
    @property
    def project_id(self) -> str: ...
    @property
    def application_credential_id(self) -> str | None: ...


@dataclass(slots=True, kw_only=True)
class LogFields:
    """What the components of a request add to its access log line; never a token or a signed URL.

    Attributes:
        error: code of the error that ended the request.
        cause: the exception behind it, shortened.
        user_id, project_id: of the caller.
        function: name of the function that is invoked.
        tag: of the revision that is invoked by itself.
        sources: where each digest came from, by algorithm.
        objects, failed: how many objects a list names, or an invocation, and how many of a list ended with an error.
        events: how many events had each outcome.
        operation: id of the operation that the request has become.
    """

    error: str | None = None
    cause: str | None = None
    user_id: str | None = None
    project_id: str | None = None
    function: str | None = None
    tag: str | None = None
    sources: Mapping[str, str] | None = None
    objects: int | None = None
    failed: int | None = None
    events: Mapping[str, int] | None = None
    operation: str | None = None

    def present(self) -> dict[str, object]:
        """The fields that have a value."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}

    def fail(self, error: GatewayError) -> None:
        """The request ends with this error."""
        self.error = error.kind.code
        if error.__cause__ is not None:
            self.cause = repr(error.__cause__)[:_MAX_CAUSE_CHARS]


@dataclass(slots=True)
class RequestContext:
    """State of one request. It is mutable: components add to it what the access log line shows.

    Attributes:
        request_id: ours.
        global_request_id: the caller's, if it has the agreed form.
        head: the validated head.
        route: bounded name of the route, used as a metric label.
        log: further fields of the log line.
        timings: seconds spent in a component, shown as Server-Timing.
        limits: use of the limits that the request was counted for, by name; told to the caller.
        trace: where the request stands in a trace.
        service_caller: the caller, if it is a service: its calls are audited.
        usage: what the call has used; None until it is admitted and counted.
        attempt_at: the call that a worker makes an attempt at with this request; None: the request is a call itself.
    """

    request_id: str = field(default_factory=lambda: f"req-{uuid.uuid4()}")
    global_request_id: str | None = None
    started: float = field(default_factory=time.perf_counter)
    head: "RequestHead | None" = None
    route: str = "none"
    log: LogFields = field(default_factory=LogFields)
    timings: dict[str, float] = field(default_factory=dict)
    limits: dict[str, LimitUse] = field(default_factory=dict)
    trace: "Trace | None" = None
    service_caller: ServiceCaller | None = None
    usage: CallUsage | None = None
    attempt_at: str | None = None

    def part(self) -> "RequestContext":
        """The context of one of many objects or events of this request: fields and timings of its own."""
        return RequestContext(request_id=self.request_id, service_caller=self.service_caller, usage=self.usage)


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
