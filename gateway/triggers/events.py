"""The triggers of object events: fires those of the sender's project, and collects what the answer says about them."""

from dataclasses import dataclass, field
from typing import Any

from gateway.calls.call import Call
from gateway.errors import GatewayError
from gateway.http.metrics import Metrics
from gateway.objects.model import ObjectRef
from gateway.triggers.firing import TriggerFiring
from gateway.triggers.reports import TriggerReports

# Of an answer: as many events as it may have, times the triggers of a project, would be millions.
MAX_ANSWERED = 1_000


@dataclass(slots=True)
class FiredTriggers:
    """What became of the triggers of one request, for its answer; `more`: how many are not in the list."""

    answers: list[dict[str, Any]] = field(default_factory=list)
    more: int = 0

    def add(self, answer: dict[str, Any]) -> None:
        """One firing."""
        if len(self.answers) < MAX_ANSWERED:
            self.answers.append(answer)
        else:
            self.more += 1

    def document(self) -> dict[str, Any]:
        """For the answer, in the order of the records."""
        ordered = sorted(self.answers, key=lambda each: (each["record"], each["function"], each["trigger"]))
        return {"triggers": ordered, **({"further_triggers": self.more} if self.more else {})}


class EventTriggers:
    """Fires the triggers of object events."""

    def __init__(self, firing: TriggerFiring, reports: TriggerReports, metrics: Metrics) -> None:
        self._firing = firing
        self._reports = reports
        self._metrics = metrics

    async def fire(
        self, call: Call, refs: tuple[ObjectRef, ...], fired: FiredTriggers, *, record: int, copied: bool
    ) -> GatewayError | None:
        """Fires the triggers for one record of a request; the temporary failure of one, for its redelivery.

        Args:
            call: of the sender. Its project's triggers are fired; each acts with its own trust, not as the sender.
            refs: candidates for the object.
            fired: gets the outcomes.
            record: number of the record in the request.
            copied: whether the store has copied the object.
        """
        failure = None
        for trigger in self._firing.matching(call.tenant.namespace, refs):
            result = await self._firing.fire(trigger, refs, copied=copied, request_id=call.context.request_id)
            self._metrics.trigger_firings.labels("event", result.word).inc()
            self._reports.add(trigger, result)
            failure = failure or result.error
            about = {"record": record, "function": trigger.spec.function, "trigger": trigger.spec.name}
            fired.add({**about, "outcome": result.word, "id": result.id})
        return failure
