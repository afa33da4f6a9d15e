"""Triggers as values: which objects they are about, what their outputs are called, and what loops."""

import datetime as dt
import itertools

import pytest

from tenancy.model.errors import RecordError
from tenancy.model.schedule import Schedule
from tenancy.model.trigger import (
    Firing,
    ObjectCreated,
    Outcome,
    Readiness,
    Trigger,
    TriggerRecord,
    TriggerStatus,
    firing_id,
    trigger_manifest_of,
    trigger_record_of,
    trigger_status_fields,
)
from tenancy.model.trigger_loops import loop_of, looping, may_fire

NOON = dt.datetime(2026, 11, 29, 12, tzinfo=dt.UTC)


def created(prefix: str, output: str | None = None, container: str = "c") -> ObjectCreated:
    return ObjectCreated(container=container, prefix=prefix, output=output)


@pytest.mark.parametrize("source", [created("in/", "c/out/{rest}"), Schedule("0 3 * * *", "Europe/Zurich")])
def test_record_survives_its_object(source: ObjectCreated | Schedule) -> None:
    spec = Trigger(function="f", name="t", source=source, user_id="u", trust_id="secret", defined_at=NOON)
    record = TriggerRecord(namespace="faas-p", spec=spec, function_uid="uid")
    manifest = trigger_manifest_of(record)
    assert manifest["metadata"]["name"] == "f.t"
    assert manifest["metadata"]["ownerReferences"][0]["uid"] == "uid"
    assert trigger_record_of(manifest) == record
    assert "secret" not in repr(record)


def test_status_survives_its_object_and_a_part_leaves_the_others() -> None:
    status = TriggerStatus(
        observed_generation=2,
        scheduled_at=NOON,
        firing=Firing(outcome=Outcome.REJECTED, at=NOON, id="1", message="no"),
        readiness=Readiness(status=False, reason="Loop", message="m", since=NOON),
    )
    spec = Trigger(function="f", name="t", source=created(""), user_id="u", trust_id="t")
    manifest = {**trigger_manifest_of(TriggerRecord(namespace="n", spec=spec)), "status": trigger_status_fields(status)}
    assert trigger_record_of(manifest).status == status
    assert set(trigger_status_fields(TriggerStatus(observed_generation=1))) == {"observedGeneration"}


@pytest.mark.parametrize("change", [{"function": "other"}, {"schedule": {"cron": "x"}}, {"objectCreated": None}])
def test_malformed_object_is_named(change: dict[str, object]) -> None:
    spec = Trigger(function="f", name="t", source=created(""), user_id="u", trust_id="t")
    manifest = trigger_manifest_of(TriggerRecord(namespace="n", spec=spec))
    with pytest.raises(RecordError, match=r"f\.t"):
        trigger_record_of({**manifest, "spec": {**manifest["spec"], **change}})


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("o/{object}", "o/in/a/cat.png"),
        ("o/small/{rest}", "o/small/a/cat.png"),
        ("o/{basename}", "o/cat.png"),
        ("o/{stem}.jpg", "o/cat.jpg"),
        ("o/{rest}/{other}", "o/a/cat.png/{other}"),
    ],
)
def test_output_is_named_after_the_input(output: str, expected: str) -> None:
    assert created("in/", output).output_for("in/a/cat.png") == expected


def test_names_in_an_input_are_not_placeholders() -> None:
    assert created("in/", "o/{rest}").output_for("in/{object}") == "o/{object}"


@pytest.mark.parametrize(
    ("output", "prefix", "fires"),
    [
        ("c/in/{rest}", "in/", True),
        ("c/in/deeper/{rest}", "in/", True),
        ("c/{object}", "in/", True),  # the rest of the name may begin with the prefix
        ("c/i{rest}", "in/", True),
        ("c/out/{rest}", "in/", False),
        ("d/in/{rest}", "in/", False),
        ("c/out/x", "", True),
        (None, "", False),
    ],
)
def test_output_that_may_be_an_object_of_a_trigger_may_fire_it(output: str | None, prefix: str, fires: bool) -> None:
    assert may_fire(created("x/", output), created(prefix)) is fires


def test_chains_are_no_loops_and_loops_are_named_in_their_order() -> None:
    chain = {"a": created("1/", "c/2/{rest}"), "b": created("2/", "c/3/{rest}"), "c": created("3/")}
    assert loop_of(chain) is None
    assert looping(chain) == frozenset()
    ring = {**chain, "c": created("3/", "c/1/{rest}")}
    found = loop_of(ring)
    assert found is not None
    assert found[0] == found[-1]
    assert all(may_fire(ring[one], ring[two]) for one, two in itertools.pairwise(found))
    assert looping(ring) == {"a", "b", "c"}


def test_triggers_before_and_after_a_loop_fire() -> None:
    triggers = {
        "before": created("0/", "c/1/{rest}"),
        "there": created("1/", "c/2/{rest}"),
        "back": created("2/", "c/1/{rest}"),
        "after": created("2/", "c/3/{rest}"),
    }
    assert looping(triggers) == {"there", "back"}


def test_ids_of_firings_are_the_same_everywhere_and_for_nothing_else() -> None:
    assert firing_id("u", "a", "b") == firing_id("u", "a", "b")
    assert len({firing_id("u", "a", "b"), firing_id("u", "ab", ""), firing_id("v", "a", "b")}) == 3
