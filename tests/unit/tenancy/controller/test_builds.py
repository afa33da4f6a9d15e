"""What the controller concludes from Jobs and their pods."""

import dataclasses
import json
from typing import Any

import pytest

from policies.model import Manifest
from policies.names import NamespaceName
from policies.own_build import build_job, build_key
from policies.own_function import OwnFunction
from tenancy.controller.builds import BuildDecision, ObservedBuilds, decide_builds
from tenancy.model.function import FunctionBuild, FunctionRecord, OwnFunctionStatus
from tests.unit.policies.examples import SPEC
from tests.unit.policies.test_own_build import BUILDS, CREDENTIALS, DIGEST, HELLO

NAMESPACE = NamespaceName(SPEC.namespace)
IMAGE = f"{BUILDS.registry}/{SPEC.project_id}/hello@{DIGEST}"


def record(function: OwnFunction = HELLO, build: FunctionBuild | None = None) -> FunctionRecord:
    return FunctionRecord(NAMESPACE, function, OwnFunctionStatus(build=build))


def job(function: OwnFunction = HELLO, **condition: str) -> Manifest:
    made = build_job(SPEC, BUILDS, function)
    return {**made, "status": {"conditions": [{"status": "True", **condition}] if condition else []}}


def pod(function: OwnFunction = HELLO, *, at: str = "1", **state: Any) -> Manifest:
    name = job(function)["metadata"]["name"]
    labels = {"batch.kubernetes.io/job-name": name}
    return {
        "metadata": {"name": f"{name}-{at}", "labels": labels, "creationTimestamp": at},
        "status": {"containerStatuses": [{"name": "build", "state": state}]},
    }


def ended(code: int, result: Any, **more: Any) -> dict[str, Any]:
    message = result if isinstance(result, str) else json.dumps(result)
    return {"terminated": {"exitCode": code, "message": message, **more}}


def decide(*records: FunctionRecord, jobs: Any = (), pods: Any = (), known: bool = True) -> BuildDecision:
    observed = ObservedBuilds(tuple(jobs), tuple(pods)) if known else None
    return decide_builds(records or (record(),), observed, BUILDS, CREDENTIALS, SPEC.project_id)


def test_source_without_a_job_begins() -> None:
    decision = decide()
    assert (decision.own.wanted, decision.own.running, decision.unfinished) == ({"hello"}, False, True)


def test_nothing_begins_and_no_credential_is_made_while_nothing_is_known() -> None:
    """On a new tenant, the controller may not read Jobs yet."""
    decision = decide(known=False)
    assert (decision.own.wanted, decision.own.credentials, decision.unfinished) == (frozenset(), None, True)


def test_functions_with_an_image_have_no_build() -> None:
    decision = decide(record(OwnFunction(name="x", image="i")))
    assert (decision.states, decision.own.wanted, decision.unfinished) == ({}, frozenset(), False)


def test_result_of_the_pod_is_the_image() -> None:
    decision = decide(jobs=[job()], pods=[pod(**ended(0, {"digest": DIGEST, "runtime": "asgi"}))])
    assert decision.own.images == {"hello": IMAGE}
    assert decision.own.jobs == {job()["metadata"]["name"]}
    found = decision.states["hello"].ended
    assert found is not None
    assert (found.runtime, found.key) == ("asgi", build_key(HELLO))


def test_result_that_was_recorded_needs_no_job_any_more() -> None:
    known = FunctionBuild(key=build_key(HELLO), source=DIGEST, image=IMAGE)
    decision = decide(record(build=known))
    assert (decision.own.images, decision.own.wanted, decision.unfinished) == ({"hello": IMAGE}, frozenset(), False)


@pytest.mark.parametrize("change", [{"source": "sha256:" + "0b" * 32}, {"attempt": 1}])
def test_another_source_or_attempt_is_built_and_the_old_job_goes(change: dict[str, Any]) -> None:
    known = FunctionBuild(key=build_key(HELLO), source=DIGEST, image=IMAGE)
    changed = dataclasses.replace(HELLO, **change)
    decision = decide(record(changed, known), jobs=[job()])
    assert (decision.own.images, decision.own.wanted, decision.own.jobs) == ({}, {"hello"}, frozenset())


@pytest.mark.parametrize(
    "result",
    [
        {"digest": "sha256:0a", "runtime": "asgi"},
        {"digest": f"{DIGEST}\n", "runtime": "asgi"},
        {"digest": f"../other/x@{DIGEST}"},
        {"digest": [DIGEST]},
        [DIGEST],
        "no json",
        "[" * 4_000,
        "",
    ],
    ids=str,
)
def test_what_a_build_says_is_no_image_of_another_place(result: Any) -> None:
    """A build may run code of others, which can write the result too."""
    assert decide(jobs=[job()], pods=[pod(**ended(0, result))]).own.images == {}


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (ended(65, {"stage": "resolve", "error": "No matching distribution."}), "resolve: No matching distribution"),
        (ended(137, "", reason="OOMKilled"), f"more than {BUILDS.memory_mib} MiB"),
        (ended(1, "Traceback\nValueError: x"), "its last output: Traceback\nValueError: x"),
        ({}, "without a result"),
    ],
)
def test_failed_build_has_a_sentence(state: dict[str, Any], said: str) -> None:
    decision = decide(jobs=[job(type="Failed", reason="BackoffLimitExceeded")], pods=[pod(**state)])
    found = decision.states["hello"].ended
    assert found is not None
    assert (found.image, found.reason, said in found.message) == ("", "BuildFailed", True)
    assert not decision.unfinished


def test_build_past_its_deadline_says_so() -> None:
    found = decide(jobs=[job(type="Failed", reason="DeadlineExceeded")]).states["hello"].ended
    assert found is not None
    assert (found.reason, "900 seconds" in found.message) == ("DeadlineExceeded", True)


def test_attempt_that_failed_is_no_end_while_the_job_goes_on() -> None:
    decision = decide(jobs=[job()], pods=[pod(at="1", **ended(75, {"error": "x"})), pod(at="2", running={})])
    assert (decision.own.running, decision.states["hello"].progress) == (True, "it runs (attempt 2)")


def test_job_whose_pod_is_gone_with_the_result_is_removed_and_made_again() -> None:
    decision = decide(jobs=[job(type="Complete")])
    assert (decision.own.jobs, decision.own.wanted, decision.unfinished) == (frozenset(), frozenset(), True)
    assert decide().own.wanted == {"hello"}


def test_builds_of_a_project_are_few_at_once() -> None:
    functions = [dataclasses.replace(HELLO, name=name) for name in ("a", "b", "c", "d")]
    first = decide(*map(record, functions))
    assert first.own.wanted == {"a", "b"}
    running = decide(*map(record, functions), jobs=[job(functions[3])])
    assert running.own.wanted == {"a"}
    assert "waits for other builds" in running.states["b"].progress
