"""What makes functions run without a caller. A resource of openstacksdk."""

from __future__ import annotations

from typing import Any

from openstack import resource


class Trigger(resource.Resource):
    """A trigger of a function; its id is its name."""

    resource_key = "trigger"
    resources_key = "triggers"
    base_path = "/v1/functions/%(function)s/triggers"
    allow_fetch = allow_list = True

    name: str = resource.Body("name", alternate_id=True)
    function: str = resource.URI("function")
    #: The user for whom it acts.
    user_id: str = resource.Body("user_id")
    #: Container, prefix, output and overwrite; None: it has a schedule.
    object_created: dict[str, Any] | None = resource.Body("object_created", type=dict)
    #: Cron expression and time zone; None: it has a container.
    schedule: dict[str, Any] | None = resource.Body("schedule", type=dict)
    created_at: str = resource.Body("created_at")
    #: Of a schedule.
    next_at: str | None = resource.Body("next_at")
    #: Conditions and the last firing, as the scheduler last reported them.
    status: dict[str, Any] = resource.Body("status", type=dict)
    #: After a change: what remains in Keystone of the trigger as it was, as a sentence.
    remains: str | None = resource.Body("remains")

    @property
    def condition(self) -> dict[str, Any]:
        """The condition `Ready`; empty if it was not reported."""
        return next((each for each in self.status["conditions"] if each["type"] == "Ready"), {})
