"""`Function` objects as values: read strictly, written as they were read."""

from dataclasses import replace
from typing import Any

import pytest

from policies.own_function import ALL_TO_LATEST, OwnFunction, TrafficTarget
from tenancy.model.errors import RecordError
from tenancy.model.function import FunctionConditionType, FunctionRecord, function_manifest_of, function_record_of

IMAGE = "registry.example.org/atlas/hello@sha256:" + "0a" * 32
FULL = OwnFunction(
    name="hello",
    image=IMAGE,
    command=("serve",),
    args=("--fast",),
    port=9000,
    health_path="/healthz",
    run_as_user=1001,
    environment={"B": "2", "A": "1"},
    cpu_millis=100,
    memory_mib=64,
    concurrency=2,
    timeout_seconds=10,
    min_scale=1,
    max_scale=2,
    objects=True,
    attempt=3,
    traffic=(TrafficTarget(90, "hello-12345678"), TrafficTarget(10, None, "canary")),
)


def manifest(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "hello", "namespace": "faas-p1"}, "spec": {"image": IMAGE, **spec}}


@pytest.mark.parametrize("spec", [FULL, OwnFunction(name="hello", image=IMAGE)])
def test_a_record_is_read_as_it_was_written(spec: OwnFunction) -> None:
    record = FunctionRecord("faas-p1", spec)
    assert function_record_of(function_manifest_of(record)) == record


def test_only_what_is_set_is_written() -> None:
    """A list of calls that all go to the latest revision says nothing."""
    fields = function_manifest_of(FunctionRecord("faas-p1", OwnFunction(name="hello", image=IMAGE)))["spec"]
    assert not {"command", "args", "environment", "healthPath", "traffic"} & set(fields)
    assert function_record_of(manifest()).spec.traffic == ALL_TO_LATEST


@pytest.mark.parametrize(
    "spec",
    [
        {"image": None, "cpuMillis": "many"},
        {"cpuMillis": 0},
        {"maxScale": 0},
        {"environment": ["A"]},
        {"traffic": [{"percent": 50}]},
        {"traffic": [{"revision": "hello-1"}]},
        {"traffic": "all"},
    ],
)
def test_a_malformed_record_is_named(spec: dict[str, Any]) -> None:
    with pytest.raises(RecordError, match="Function hello is malformed"):
        function_record_of(manifest(**spec))


def test_a_record_without_an_image_is_malformed() -> None:
    with pytest.raises(RecordError, match="image"):
        function_record_of({"metadata": {"name": "hello", "namespace": "faas-p1"}, "spec": {}})


def test_conditions_of_a_newer_controller_do_not_lock_readers_out() -> None:
    status = {"conditions": [{"type": "Novel", "status": "True"}, {"type": "Ready", "status": "False", "reason": "R"}]}
    record = function_record_of({**manifest(), "status": status})
    (condition,) = record.status.conditions
    assert (condition.type, condition.status, condition.reason) == (FunctionConditionType.READY, False, "R")
    assert record.status.condition(FunctionConditionType.TRAFFIC) is None
    assert replace(record, status=record.status) == record
