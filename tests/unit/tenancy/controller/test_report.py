"""From what a round found to the record's status."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from policies.names import ProjectId
from tenancy.controller.execute import ApplyResult
from tenancy.controller.plan import Refusal
from tenancy.controller.report import ReconcileResult, events_of, status_of, status_patch
from tenancy.directory.kubernetes_directory import tenant_of_record
from tenancy.kubernetes.client import Kind, Ref
from tenancy.kubernetes.kinds import KNATIVE_SERVICE, NAMESPACE, RESOURCE_QUOTA
from tenancy.model.record import (
    ConditionType,
    FunctionStatus,
    ObservedOffboarding,
    Offboarding,
    ProjectFacts,
    ProjectState,
    TenantRecord,
    TenantStatus,
    record_of,
)
from tenancy.model.suspension import spec_in_force
from tests.unit.tenancy.objects import NAME, SPEC

NOW = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(hours=1)
POLICY = Ref(Kind("networking.k8s.io/v1", "NetworkPolicy"), NAME, "osfaas-out")
RUNNING = FunctionStatus("checksums", ready=True)
RECORD = TenantRecord(SPEC, generation=4)


def round_of(record: TenantRecord = RECORD, **more: Any) -> ReconcileResult:
    project = ProjectFacts(*more.pop("project", (ProjectState.ENABLED, "atlas", "physics")))
    return ReconcileResult(
        record, spec_in_force(record, project.state), project, functions=more.pop("functions", (RUNNING,)), **more
    )


def conditions(result: ReconcileResult) -> dict[str, tuple[bool | None, str, str]]:
    return {each.type.value: (each.status, each.reason, each.message) for each in status_of(result).conditions}


@pytest.mark.parametrize(
    ("ref", "concerned"),
    [
        (POLICY, "Policies"),
        (Ref(RESOURCE_QUOTA, NAME, "osfaas"), "Quota"),
        (Ref(KNATIVE_SERVICE, NAME, "checksums"), "Function"),
    ],
)
def test_a_refusal_is_in_its_condition_and_in_ready_only(ref: Ref, concerned: str) -> None:
    """With its reason and what to do."""
    found = conditions(round_of(refusals=(Refusal(ref, "NotOwned", "remove it"),)))
    for name, condition in found.items():
        expected = (False, "NotOwned", "remove it") if name in {concerned, "Ready"} else True
        assert condition == expected or condition[0] is expected


def test_behind_a_refused_namespace_nothing_is_known() -> None:
    """Nothing was tried there."""
    found = conditions(round_of(refusals=(Refusal(Ref(NAMESPACE, "", NAME), "NotOwned", "remove it"),)))
    assert found["Namespace"][:2] == found["Ready"][:2] == (False, "NotOwned")
    assert {found[name][0] for name in ("Policies", "Quota", "Function")} == {None}


def test_a_function_that_cannot_be_built_says_why_and_hides_nothing_else() -> None:
    """Namespace, policies and quota are there all the same."""
    found = conditions(round_of(problems=("needs a sandbox", "too small")))
    assert found["Function"] == found["Ready"] == (False, "InvalidSpec", "needs a sandbox; too small")
    assert [found[name][0] for name in ("Namespace", "Policies", "Quota", "Pods")] == [True] * 4


def pod(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}}


def test_pods_of_a_suspended_tenant_are_named_until_they_have_ended() -> None:
    """A suspension that is not complete does not look like one that is."""
    suspended = replace(RECORD, spec=replace(SPEC, suspended="unpaid"))
    found = conditions(round_of(suspended, functions=(), pods=tuple(map(pod, "abcdefg"))))
    assert found["Pods"] == (False, "Stopping", "still running: a, b, c, d, e and 2 more")
    assert found["Ready"][:2] == (False, "Suspended")
    assert conditions(round_of(suspended, functions=()))["Pods"][:2] == (True, "Stopped")


def test_pods_that_are_older_than_the_level_keep_the_tenant_from_being_ready() -> None:
    """By name, with what to do."""
    found = conditions(round_of(pods=(pod("old"),)))
    assert found["Pods"][:2] == found["Ready"][:2] == (False, "BelowLevel")
    assert "created below level L3: old." in found["Ready"][2]


def test_pods_that_could_not_be_seen_are_not_called_right() -> None:
    """Neither at their level nor stopped."""
    assert conditions(round_of(pods=None))["Pods"][:2] == (None, "NotListed")
    suspended = replace(RECORD, spec=replace(SPEC, suspended="unpaid"))
    assert conditions(round_of(suspended, functions=(), pods=None))["Pods"][:2] == (None, "NotListed")


@pytest.mark.parametrize(
    ("functions", "reason"),
    [
        ((), "NotReady"),
        ((FunctionStatus("checksums", ready=False, reason="ImagePullBackOff", message="gone"),), "ImagePullBackOff"),
        ((FunctionStatus("checksums", ready=True, reason="ExceededQuota", message="full"),), "ExceededQuota"),
    ],
)
def test_a_function_that_does_not_run_keeps_the_tenant_from_being_ready(
    functions: tuple[FunctionStatus, ...], reason: str
) -> None:
    """Also when Knative calls it ready."""
    found = conditions(round_of(functions=functions))
    assert found["Function"][:2] == found["Ready"][:2] == (False, reason)


def test_a_tenants_own_function_is_its_own_matter() -> None:
    """It is listed and does not count."""
    own = FunctionStatus("own", ready=False, callable=False, reason="CrashLoopBackOff", message="x")
    status = status_of(round_of(functions=(RUNNING, own)))
    assert status.functions == (RUNNING, own)
    assert status.conditions[-1].status is True


OFFBOARDING = Offboarding(NOW, 60)
OFFBOARDED = replace(RECORD, offboarding=OFFBOARDING, status=TenantStatus(offboarding=ObservedOffboarding(NOW, NOW)))


@pytest.mark.parametrize(
    ("record", "project", "reason", "said"),
    [
        (replace(RECORD, spec=replace(SPEC, suspended="unpaid")), ProjectState.ENABLED, "Suspended", "unpaid"),
        (RECORD, ProjectState.DISABLED, "ProjectDisabled", "the project is disabled in Keystone"),
        (RECORD, ProjectState.DELETED, "ProjectDeleted", "osfaas tenant offboard p1"),
        (OFFBOARDED, ProjectState.ENABLED, "Offboarding", "--confirm"),
        (
            replace(OFFBOARDED, offboarding=replace(OFFBOARDING, confirmed=True)),
            ProjectState.DELETED,
            "Offboarding",
            "removed",
        ),
        (replace(RECORD, offboarding=OFFBOARDING), ProjectState.ENABLED, "Offboarding", "begins now"),
    ],
)
def test_why_a_tenant_is_stopped_is_the_reason_of_ready(
    record: TenantRecord, project: ProjectState, reason: str, said: str
) -> None:
    """And what ends it is in the message."""
    result = round_of(record, project=(project, "atlas"), functions=())
    status, found, message = conditions(result)["Ready"]
    assert (status, found) == (False, reason)
    assert said in message


@pytest.mark.parametrize("state", [ProjectState.UNKNOWN, ProjectState.ENABLED])
def test_what_keystone_does_not_say_changes_nothing_that_runs(state: ProjectState) -> None:
    """It may just be away."""
    assert spec_in_force(RECORD, state) == SPEC


@pytest.mark.parametrize("state", ProjectState)
@pytest.mark.parametrize(
    "record",
    [
        RECORD,
        replace(RECORD, spec=replace(SPEC, suspended="unpaid")),
        replace(RECORD, offboarding=Offboarding(NOW, 60)),
    ],
)
def test_gateway_and_controller_suspend_alike(record: TenantRecord, state: ProjectState) -> None:
    """Whose calls are refused, of that nothing runs; the callers read what the administrator reads."""
    known = replace(record, status=replace(record.status, project=state))
    address = tenant_of_record(known, local_gateway_url="http://x")
    assert address.suspended == spec_in_force(record, state).suspended
    if address.suspended is not None:
        ready = conditions(round_of(record, project=(state, "atlas"), functions=()))["Ready"]
        assert address.suspended in ready[2]


def test_all_is_well() -> None:
    """Every condition, in the order of the building."""
    status = status_of(round_of())
    assert [condition.type for condition in status.conditions] == list(ConditionType)
    assert all(condition.status for condition in status.conditions)
    assert (status.observed_generation, status.project_name) == (4, "atlas")


def stored(status: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": NAME}, "spec": {"projectID": "p1"}, **status}


def test_a_status_that_says_the_same_is_not_written() -> None:
    """Time alone is no news."""
    first = status_patch(stored({}), status_of(round_of()), NOW)
    assert first is not None
    assert status_patch(stored(first), status_of(round_of()), LATER) is None


def test_what_is_written_can_be_read_back() -> None:
    """The controller remembers by it what Keystone said last."""
    own = FunctionStatus("own", ready=True, objects=True)
    status = status_of(round_of(functions=(RUNNING, own)))
    patch = status_patch(stored({}), status, NOW)
    assert patch is not None
    assert record_of(stored(patch)).status == status


def test_times_move_with_the_status_of_each_condition_only() -> None:
    """Not with its message."""
    first = status_patch(stored({}), status_of(round_of()), NOW)
    assert first is not None
    worse = round_of(refusals=(Refusal(POLICY, "NotOwned", "remove it"),))
    second = status_patch(stored(first), status_of(worse), LATER)
    assert second is not None
    times = {each["type"]: each["lastTransitionTime"] for each in second["status"]["conditions"]}
    assert times["Namespace"] == times["Quota"] == "2026-11-24T12:00:00Z"
    assert times["Policies"] == times["Ready"] == "2026-11-24T13:00:00Z"
    third = status_patch(
        stored(second), status_of(round_of(refusals=(Refusal(POLICY, "NotOwned", "again"),))), LATER + dt.timedelta(1)
    )
    assert third is not None
    assert {each["type"]: each["lastTransitionTime"] for each in third["status"]["conditions"]} == times
    assert third["status"]["project"]["checkedAt"] == "2026-11-24T12:00:00Z"


def test_domain_of_the_project_is_written_once_and_is_not_lost() -> None:
    """Nor does it count as a check of the project: with a CRD that drops it, each patch would be a change."""
    unknown = status_patch(stored({}), status_of(round_of(project=(ProjectState.ENABLED, "atlas"))), NOW)
    assert unknown is not None
    assert "domainID" not in unknown["status"]["project"]
    known = status_patch(stored(unknown), status_of(round_of()), LATER)
    assert known is not None
    assert known["status"]["project"] == {**unknown["status"]["project"], "domainID": "physics"}
    away = status_of(round_of(project=(ProjectState.DELETED, "atlas")))
    after = status_patch(stored(known), away, LATER)
    assert after is not None
    assert after["status"]["project"]["domainID"] == "physics"


def test_events_tell_what_was_done_and_what_turned() -> None:
    """And are silent when nothing happened."""
    before = TenantStatus()
    status = status_of(round_of(refusals=(Refusal(POLICY, "NotOwned", "remove it"),)))
    news = {each.reason: each.warning for each in events_of(before, status, ApplyResult(corrected=(POLICY,)))}
    assert news["DriftCorrected"] is False
    assert news["PoliciesNotOwned"] is True
    assert events_of(status, status, ApplyResult()) == ()


def test_an_id_of_a_project_is_in_the_sentence_that_names_the_command() -> None:
    """So that it can be pasted."""
    record = TenantRecord(replace(SPEC, project_id=ProjectId("abc"), suspended="x"))
    assert "osfaas tenant resume abc" in conditions(round_of(record))["Ready"][2]
