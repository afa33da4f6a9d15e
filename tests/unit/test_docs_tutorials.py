"""The onboarding tutorial prints what the commands print; `tests/cluster` runs them."""

import datetime as dt
from dataclasses import replace

import pytest

from policies.model import IsolationLevel
from policies.names import ProjectId
from tenancy.commands import output
from tenancy.controller.report import ReconcileResult, status_of
from tenancy.model.record import (
    FunctionStatus,
    Offboarding,
    ProjectFacts,
    ProjectState,
    TenantRecord,
    TenantSpec,
    manifest_of,
)
from tests.cluster.guide import ONBOARDING, Example, examples

PROJECT_ID = "3d1f0c5ab2f54ad5a7a2ab0e51b2a1c9"
NEW = TenantSpec(ProjectId(PROJECT_ID), display_name="atlas", isolation=IsolationLevel.L3)
STEPS = examples(ONBOARDING)


def record(*, pods: int = 20, memory_mib: int = 4096, suspended: str | None = None, leaving: bool = False):
    """The tenant as the controller reports it at one step of the tutorial."""
    spec = replace(NEW, limits=replace(NEW.limits, pods=pods, memory_mib=memory_mib), suspended=suspended)
    offboarding = Offboarding(dt.datetime(2026, 11, 29, tzinfo=dt.UTC), 604_800) if leaving else None
    stored = TenantRecord(spec, offboarding=offboarding, generation=1)
    functions = () if suspended or leaving else (FunctionStatus("checksums", ready=True),)
    return replace(
        stored,
        status=status_of(
            ReconcileResult(stored, spec, ProjectFacts(ProjectState.ENABLED, "atlas"), functions=functions)
        ),
    )


def said(page: str) -> str:
    """With the line of the command that has written the record."""
    return f"stored\n{page}"


FRESH = TenantRecord(NEW)
PRINTED = {
    "--dry-run": output.difference(f"Tenant {FRESH.name}", None, manifest_of(FRESH)),
    "--isolation": said(output.as_page(record())),
    "list": output.as_table([record()]),
    "show": output.as_page(record()),
    "set": said(output.as_page(record(memory_mib=8192))),
    "suspend": said(output.as_page(record(suspended="unpaid"))),
    "resume": said(output.as_page(record())),
    "--cancel": said(output.as_page(record())),
    "--confirm": "osfaas: the grace period ends at 2026-12-06 00:00:00 UTC: confirm the removal then",
    "offboard": said(output.as_page(record(leaving=True))),
}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: " ".join(step.words))
def test_a_step_of_the_tutorial_prints_what_the_page_says(step: Example) -> None:
    """By the code that prints it."""
    printed = next(text for word, text in PRINTED.items() if word in step.words)
    assert step.missing_in(printed, PROJECT_ID) == []


def test_every_command_of_the_tutorial_has_a_step() -> None:
    """And a line that is not printed would be noticed."""
    assert len(STEPS) == len(PRINTED)
    assert Example(["x"], ["ready  yes", "gone …"]).missing_in("ready yes\n", PROJECT_ID) == ["gone …"]
