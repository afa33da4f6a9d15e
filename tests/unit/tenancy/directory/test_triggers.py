"""The directory of triggers: what an object fires, at which cost, and whose."""

from typing import Any

import pytest

from policies.names import NamespaceName
from tenancy.directory.kubernetes_triggers import KubernetesTriggers
from tenancy.directory.triggers import MAX_PER_PROJECT, ProjectTriggers
from tenancy.kubernetes.client import Change
from tenancy.model.trigger import ObjectCreated, Trigger, TriggerRecord, trigger_manifest_of

A, B = NamespaceName("faas-a"), NamespaceName("faas-b")


def record(
    name: str, prefix: str = "", container: str = "c", namespace: str = A, output: str | None = None
) -> TriggerRecord:
    source = ObjectCreated(container=container, prefix=prefix, output=output)
    return TriggerRecord(
        namespace=namespace, uid=name, spec=Trigger(function="f", name=name, source=source, user_id="u", trust_id="t")
    )


def manifest(found: TriggerRecord, **metadata: Any) -> dict[str, Any]:
    made = trigger_manifest_of(found)
    made["metadata"] |= {"uid": found.uid, "resourceVersion": "1", **metadata}
    return made


def names(triggers: ProjectTriggers, name: str, container: str = "c") -> list[str]:
    return sorted(each.spec.name for each in triggers.matching(container, name))


def test_object_fires_what_matches_its_container_and_prefix() -> None:
    records = [record("all"), record("in", "in/"), record("deep", "in/a/"), record("other", "", "d"), record("x", "x")]
    triggers = ProjectTriggers({each.object_name: each for each in records})
    assert names(triggers, "in/a/1") == ["all", "deep", "in"]
    assert names(triggers, "in/") == ["all", "in"]
    assert names(triggers, "in") == ["all"]
    assert names(triggers, "in/a/1", "d") == ["other"]
    assert names(triggers, "1", "e") == []


def test_cost_of_an_object_does_not_grow_with_triggers_that_do_not_match() -> None:
    """As many look-ups as there are lengths of prefixes in the container, whatever the number of prefixes."""
    looked_up = []

    class Counted(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            looked_up.append(key)
            return super().get(key, default)

    triggers = ProjectTriggers({str(n): record(str(n), f"{n:04d}/") for n in range(200)})
    triggers.__dict__["_created"] = {"c": Counted(triggers._created["c"])}
    assert names(triggers, "0042/x") == ["42"]
    assert looked_up == ["0042/"]


@pytest.fixture
def directory() -> KubernetesTriggers:
    found = KubernetesTriggers(source=None)  # type: ignore[arg-type]  # not started
    found.replace((manifest(record("a")), manifest(record("b", namespace=B)), {"metadata": {"name": "broken"}}))
    return found


def test_each_tenant_has_its_own(directory: KubernetesTriggers) -> None:
    assert list(directory.triggers_of(A).records) == ["f.a"]
    assert list(directory.triggers_of(B).records) == ["f.b"]
    assert not directory.triggers_of(NamespaceName("faas-c")).records


def test_change_makes_the_triggers_of_one_tenant_anew(directory: KubernetesTriggers) -> None:
    untouched = directory.triggers_of(B)
    directory.apply(Change("ADDED", manifest(record("a2", "x/"))))
    assert names(directory.triggers_of(A), "x/1") == ["a", "a2"]
    assert directory.triggers_of(B) is untouched
    directory.apply(Change("DELETED", manifest(record("a"))))
    directory.apply(Change("DELETED", manifest(record("a2"))))
    assert directory.namespaces() == (B,)


def test_trigger_that_becomes_malformed_fires_no_more(directory: KubernetesTriggers) -> None:
    broken = manifest(record("a"))
    del broken["spec"]["userID"]
    directory.apply(Change("MODIFIED", broken))
    assert not directory.triggers_of(A).records


def test_number_of_triggers_that_are_kept_for_a_tenant_is_bounded(directory: KubernetesTriggers) -> None:
    for number in range(MAX_PER_PROJECT + 20):
        directory.apply(Change("ADDED", manifest(record(f"t{number}"))))
    assert len(directory.triggers_of(A).records) == MAX_PER_PROJECT


def test_triggers_on_a_loop_are_known() -> None:
    records = [record("there", "1/", output="c/2/x"), record("back", "2/", output="c/1/x"), record("end", "3/")]
    triggers = ProjectTriggers({each.object_name: each for each in records})
    assert [each.spec.name for each in records if triggers.is_looping(each)] == ["there", "back"]
