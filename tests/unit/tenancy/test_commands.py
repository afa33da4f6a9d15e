"""The commands' words: what is refused before anything is asked, exit codes, and how records look."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from policies.errors import PolicyError
from tenancy.commands import output
from tenancy.commands.access import exit_code_of
from tenancy.commands.controller import controller
from tenancy.commands.tenant import tenant
from tenancy.commands.waiting import has_stopped, is_gone, is_ready
from tenancy.model.condition import Condition
from tenancy.model.errors import (
    AdministrationError,
    ConflictError,
    NoSuchProjectError,
    NotOnboardedError,
    ProjectsError,
    UnavailableError,
)
from tenancy.model.record import (
    ConditionType,
    FunctionStatus,
    ProjectState,
    TenantRecord,
    TenantStatus,
)
from tests.unit.tenancy.objects import SPEC

READY = Condition(ConditionType.READY, True, "AllReady")
STATUS = TenantStatus(
    observed_generation=2,
    project=ProjectState.ENABLED,
    functions=(
        FunctionStatus("checksums", ready=True),
        FunctionStatus("own", False, False, "CrashLoopBackOff", "ends"),
    ),
    conditions=(READY,),
)
RECORD = TenantRecord(SPEC, STATUS, generation=2)


@pytest.mark.parametrize(
    "words",
    [
        ["suspend", "p"],
        ["offboard", "p", "--confirm", "--cancel"],
        ["offboard", "p", "--grace", "soon"],
        ["offboard", "p", "--grace", "-1d"],
        ["onboard", "p", "--isolation", "L9"],
        ["onboard", "p", "--pods", "-1"],
        ["onboard"],
    ],
)
def test_wrong_words_are_refused_before_anything_is_asked(words: list[str]) -> None:
    """Exit code 2."""
    assert CliRunner().invoke(tenant, words).exit_code == 2


def test_no_cluster_is_exit_code_5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a sentence and no traceback."""
    empty = tmp_path / "kubeconfig"
    empty.write_text("{}")
    done = CliRunner().invoke(tenant, ["--kubeconfig", str(empty), "list"])
    assert done.exit_code == 5
    assert "no usable kubeconfig" in done.output


def test_a_controller_with_a_selector_that_is_none_does_not_start(tmp_path: Path) -> None:
    """It would look after all tenants, or none."""
    platform = tmp_path / "platform.yaml"
    platform.write_text("functions: {}")
    done = CliRunner().invoke(controller, ["--platform", str(platform), "--selector", "a in (b)"])
    assert done.exit_code == 2
    assert "KEY=VALUE" in done.output


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AdministrationError("x"), 1),
        (ConflictError("x"), 1),
        (PolicyError("x"), 1),
        (NoSuchProjectError("x"), 4),
        (NotOnboardedError("x"), 4),
        (ProjectsError("x"), 5),
        (UnavailableError("x"), 5),
    ],
)
def test_exit_codes_tell_refusals_from_silence(error: Exception, code: int) -> None:
    """A script may try again on 5 and must not on 1."""
    assert exit_code_of(error) == code


def test_waiting_believes_no_status_of_an_earlier_spec() -> None:
    """The controller has not seen this one yet."""
    assert not is_ready(replace(RECORD, generation=3))
    assert not is_ready(None)
    assert is_ready(RECORD)
    stopped, pods = (
        Condition(ConditionType.READY, False, "Suspended", "x"),
        Condition(ConditionType.PODS, True, "x"),
    )
    assert has_stopped(replace(RECORD, status=replace(STATUS, conditions=(pods, stopped))))
    still = replace(pods, status=False)
    assert not has_stopped(replace(RECORD, status=replace(STATUS, conditions=(still, stopped))))
    assert not has_stopped(replace(RECORD, status=replace(STATUS, conditions=(pods, stopped)), generation=3))
    assert not has_stopped(RECORD)
    assert is_gone(None)
    assert not is_gone(RECORD)


def test_a_table_has_a_line_per_tenant() -> None:
    """One that the controller has not seen says so."""
    lines = output.as_table([RECORD, TenantRecord(SPEC)]).splitlines()
    assert lines[0].split() == ["PROJECT", "ID", "NAME", "LEVEL", "READY", "REASON", "KEYSTONE", "FUNCTIONS"]
    assert lines[1].split() == ["p1", "L3", "yes", "Enabled", "checksums"]
    assert "NotReconciled" in lines[2]


def test_a_page_shows_why_a_function_does_not_run() -> None:
    """In words."""
    page = output.as_page(RECORD)
    assert "CrashLoopBackOff: ends" in page
    assert "runs when called" in page


def test_json_is_the_object_itself() -> None:
    """For scripts that know Kubernetes."""
    found = json.loads(output.as_json([RECORD]))[0]
    assert (found["kind"], found["spec"]["projectID"]) == ("Tenant", "p1")
    assert found["status"]["conditions"] == [{"type": "Ready", "status": "True", "reason": "AllReady", "message": ""}]


def test_a_difference_leaves_the_servers_bookkeeping_out() -> None:
    """And is empty when nothing else differs."""
    before = {"kind": "A", "metadata": {"name": "a", "resourceVersion": "1", "uid": "u"}, "spec": {"x": 1}}
    after = {"kind": "A", "metadata": {"name": "a", "resourceVersion": "2"}, "spec": {"x": 1}, "status": {"y": 1}}
    assert output.difference("A a", before, after) == ""
    text = output.difference("A a", before, {**after, "spec": {"x": 2}})
    assert "-  x: 1\n+  x: 2\n" in text
    assert "+kind: A" in output.difference("A a", None, after)
    assert "-kind: A" in output.difference("A a", before, None)
