"""Cold starts from PodAutoscalers: each time that a revision got pods, but for its deployment."""

from typing import Any

from tenancy.controller.cold_starts import counted_starts, starts_fields
from tenancy.model.function import RevisionStarts


def autoscaler(active: str | None, since: str, name: str = "hello-1", function: str = "hello") -> dict[str, Any]:
    conditions = [] if active is None else [{"type": "Active", "status": active, "lastTransitionTime": since}]
    return {
        "metadata": {"name": name, "labels": {"serving.knative.dev/service": function}},
        "status": {"conditions": conditions},
    }


def test_a_revision_that_goes_to_zero_and_comes_back_counts_once() -> None:
    starts: tuple[RevisionStarts, ...] = ()
    seen = []
    for active, since in (
        (None, ""), ("Unknown", "0"), ("True", "1"), ("True", "1"), ("False", "2"), ("Unknown", "3"), ("True", "4"),
        ("True", "4"), ("False", "5"), ("True", "6"),
    ):  # fmt: skip
        starts = counted_starts("hello", starts, [autoscaler(active, since), autoscaler("True", "9", "x-1", "x")])
        seen.append(starts[0].cold_starts)
    assert seen == [0, 0, 0, 0, 0, 0, 1, 1, 1, 2]
    assert starts == (RevisionStarts("hello-1", 2, "6"),)
    assert starts_fields(starts) == [{"name": "hello-1", "coldStarts": 2, "activeSince": "6"}]


def test_revisions_that_are_gone_are_forgotten_and_an_outage_forgets_none() -> None:
    before = (RevisionStarts("hello-1", 3, "1"),)
    assert counted_starts("hello", before, []) == ()
    assert counted_starts("hello", before, None) == before
