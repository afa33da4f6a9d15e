"""Counts the cold starts of revisions from Knative's PodAutoscalers. Pure.

The count is in the status of the function, so it survives the controller. It is level-triggered: a revision that got
pods and lost them again while nobody looked is not counted; Knative keeps pods for a minute at least.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from policies.model import Manifest
from tenancy.kubernetes.kinds import SERVICE_LABEL
from tenancy.model.function import RevisionStarts

_ACTIVE = "Active"


def counted_starts(
    function: str, before: Sequence[RevisionStarts], autoscalers: Iterable[Manifest] | None
) -> tuple[RevisionStarts, ...]:
    """The counts of the function's existing revisions, by name.

    Args:
        function: its name.
        before: the counts that were reported last.
        autoscalers: of the namespace; each has the name of its revision. None: not known, then nothing changes.
    """
    if autoscalers is None:
        return tuple(before)
    known = {each.name: each for each in before}
    own = (each for each in autoscalers if each["metadata"].get("labels", {}).get(SERVICE_LABEL) == function)
    found = (_counted(known.get(each["metadata"]["name"]), each) for each in own)
    return tuple(sorted(found, key=lambda starts: starts.name))


def _counted(before: RevisionStarts | None, autoscaler: Manifest) -> RevisionStarts:
    conditions = autoscaler.get("status", {}).get("conditions", ())
    active: dict[str, Any] = next((each for each in conditions if each.get("type") == _ACTIVE), {})
    starts = before or RevisionStarts(autoscaler["metadata"]["name"])
    since = str(active.get("lastTransitionTime", ""))
    if active.get("status") != "True" or since == starts.active_since:
        return starts
    # The first time is the deployment, which no call waited for.
    more = 1 if starts.active_since else 0
    return RevisionStarts(starts.name, starts.cold_starts + more, since)


def starts_fields(starts: Iterable[RevisionStarts]) -> list[dict[str, Any]]:
    """The counts as fields of a status."""
    return [{"name": each.name, "coldStarts": each.cold_starts, "activeSince": each.active_since} for each in starts]
