"""Slots for computations: users share those of their project's limit, service callers have a separate queue."""

import contextlib
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass

from gateway.calls.call import Call
from gateway.limits.background_throttle import BackgroundThrottle
from gateway.limits.byte_charges import charged_read
from gateway.limits.limiter import ProjectLimiter
from gateway.limits.service_queue import ServiceCallerQueue


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeSlots:
    """Concurrency of computations.

    Attributes:
        limiter: limits of projects.
        services: slots of service callers; they take nothing from the users of the project.
        throttle: makes the streams of service callers yield to users who wait.
        answer_seconds: maximum wait for a result; then the caller is told to repeat the request.
    """

    limiter: ProjectLimiter
    services: ServiceCallerQueue
    throttle: BackgroundThrottle
    answer_seconds: float

    def slot(self, call: Call, size: int) -> AbstractAsyncContextManager[object]:
        """Charges an object of `size` bytes, then holds a slot.

        Raises:
            GatewayError: BYTES_EXCEEDED, CONCURRENCY_EXCEEDED.
        """
        return charged_read(self.limiter, call.subject, size, self.charged_slot(call))

    def charged_slot(self, call: Call) -> AbstractAsyncContextManager[object]:
        """Holds a slot for objects that are charged already.

        Raises:
            GatewayError: CONCURRENCY_EXCEEDED.
        """
        services, users = self.services, self.limiter
        return services.slot(call.caller.project_id) if call.of_service else users.slot(call.subject)

    def interactive(self, call: Call) -> AbstractContextManager[None]:
        """Marks the time in which a user waits for an answer."""
        return contextlib.nullcontext() if call.of_service else self.throttle.interactive()
