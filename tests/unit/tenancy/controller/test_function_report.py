"""The status of own functions, from objects as Kubernetes and Knative write them."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from policies.labels import CALLABLE, OWN_FUNCTION
from policies.own_function import OwnFunction, Rejection, TrafficTarget
from policies.own_function_service import build_own_function
from policies.tenant import TenantObjects
from tenancy.controller.builds import BuildState
from tenancy.controller.crashes import last_lines
from tenancy.controller.function_report import OwnFunctionContext, function_status_patch, own_function_status
from tenancy.controller.function_status import function_statuses
from tenancy.controller.plan import Refusal
from tenancy.kubernetes.client import Ref
from tenancy.kubernetes.kinds import KNATIVE_SERVICE
from tenancy.model.function import (
    FunctionBuild,
    FunctionConditionType,
    FunctionRecord,
    OwnFunctionStatus,
    function_record_of,
)
from tenancy.model.suspension import Suspension
from tests.unit.tenancy.objects import PLATFORM, SPEC

Object = dict[str, Any]
HELLO = OwnFunction(name="hello", image="registry.example.org/atlas/hello@sha256:" + "0a" * 32)
BUILT = build_own_function(SPEC, PLATFORM, HELLO)
NEW: str = BUILT["spec"]["template"]["metadata"]["name"]
OLD = "hello-00000000"
NOON = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
RECORD = FunctionRecord(SPEC.namespace, HELLO, generation=2)


def service(*, created: str = NEW, ready: str = NEW, routes: str = "True", **status: Any) -> Object:
    conditions = [{"type": "RoutesReady", "status": routes, "reason": "RevisionMissing", "message": "none is ready"}]
    reported = {
        "observedGeneration": 1,
        "latestCreatedRevisionName": created,
        "latestReadyRevisionName": ready,
        "traffic": [{"revisionName": ready, "percent": 100, "latestRevision": True}] if ready else [],
        "address": {"url": "http://hello.ns.svc.cluster.local"},
        "conditions": [*conditions, *status.pop("more", [])],
        **status,
    }
    metadata = {**BUILT["metadata"], "generation": 1}
    return {**BUILT, "metadata": metadata, "status": reported}


def labels(revision: str) -> Object:
    return {"serving.knative.dev/service": "hello", "serving.knative.dev/revision": revision}


def pod(revision: str = NEW, **container: Any) -> Object:
    status = {"containerStatuses": [{"name": "function", "ready": False, **container}]}
    return {"metadata": {"labels": labels(revision)}, "status": status}


def failing_deployment(message: str, revision: str = NEW) -> Object:
    condition = {"type": "ReplicaFailure", "status": "True", "message": message}
    return {"metadata": {"labels": labels(revision)}, "status": {"conditions": [condition]}}


def status(live: Object | None, record: FunctionRecord = RECORD, **more: Any) -> OwnFunctionStatus:
    wanted = more.pop("wanted", TenantObjects((BUILT,)))
    context = OwnFunctionContext(wanted=wanted, services={"hello": live} if live else {}, **more)
    return own_function_status(record, context)


def said(found: OwnFunctionStatus, type_: FunctionConditionType) -> tuple[bool | None, str, str]:
    condition = found.condition(type_)
    assert condition is not None
    return condition.status, condition.reason, condition.message


READY, REVISION = FunctionConditionType.READY, FunctionConditionType.REVISION
ACCEPTED, TRAFFIC = FunctionConditionType.ACCEPTED, FunctionConditionType.TRAFFIC


def test_a_function_that_serves_is_ready() -> None:
    found = status(service())
    assert [condition.status for condition in found.conditions] == [True] * 4
    assert (found.latest_ready, found.active[0].name, found.active[0].percent) == (NEW, NEW, 100)
    assert found.observed_generation == 2
    assert found.image_digest.startswith("sha256:0a")


@pytest.mark.parametrize(
    ("objects", "reason", "words"),
    [
        (
            {"pods": [pod(state={"waiting": {"reason": "ImagePullBackOff", "message": "not found"}})]},
            "ImagePullBackOff",
            "cannot be pulled: not found",
        ),
        (
            {
                "pods": [
                    pod(
                        state={"waiting": {"reason": "CrashLoopBackOff"}},
                        lastState={"terminated": {"exitCode": 3, "reason": "Error", "message": "one\nboom\x1b[0m\n"}},
                    )
                ]
            },
            "CrashLoopBackOff",
            "exit code 3 (Error); its last output: one\nboom [0m",
        ),
        (
            {"pods": [pod(state={"terminated": {"exitCode": 137, "reason": "OOMKilled"}})]},
            "OOMKilled",
            "exit code 137 (OOMKilled); it wrote nothing",
        ),
        (
            {"deployments": [failing_deployment("pods is forbidden: exceeded quota: osfaas, used: 10, limited: 10")]},
            "ExceededQuota",
            "exceeded quota: osfaas, used: 10, limited: 10",
        ),
    ],
)
def test_a_broken_revision_takes_no_traffic_and_says_why(objects: Object, reason: str, words: str) -> None:
    found = status(service(ready=OLD), **objects)
    state, why, message = said(found, REVISION)
    assert (state, why) == (False, reason)
    assert NEW in message
    assert words in message
    assert said(found, READY)[:2] == (False, reason)
    assert [(each.name, each.percent) for each in found.active] == [(OLD, 100)]


def test_a_container_that_listens_elsewhere_is_told_where_to_listen() -> None:
    state, reason, message = said(status(service(ready=OLD), pods=[pod(state={"running": {}})]), REVISION)
    assert (state, reason) == (None, "Deploying")
    assert "must listen on 0.0.0.0:$PORT" in message


def test_pods_of_an_earlier_revision_explain_nothing() -> None:
    broken = pod(OLD, state={"waiting": {"reason": "ImagePullBackOff"}})
    assert said(status(service(ready=OLD), pods=[broken]), REVISION)[0] is None


def test_what_the_pods_said_outlives_them() -> None:
    """Knative takes the pods of a failed revision away after its deadline."""
    failed = [{"type": "ConfigurationsReady", "status": "False", "reason": "RevisionFailed", "message": "deadline"}]
    first = status(service(ready=OLD), pods=[pod(state={"waiting": {"reason": "ErrImagePull", "message": "gone"}})])
    later = status(service(ready=OLD, more=failed), replace(RECORD, status=first))
    assert said(later, REVISION) == said(first, REVISION)
    other = status(service(ready=OLD, more=failed), RECORD)
    assert said(other, REVISION) == (False, "RevisionFailed", "deadline")


def test_a_change_that_knative_has_not_seen_is_no_success() -> None:
    """The snapshot was taken before the new Knative Service was applied."""
    assert said(status(service(created=OLD, ready=OLD)), READY)[:2] == (None, "Deploying")
    assert said(status(service(observedGeneration=0)), READY)[0] is None
    assert said(status(None), READY)[0] is None


def test_a_refused_specification_is_not_ready_though_the_earlier_one_serves() -> None:
    wanted = TenantObjects((), rejected={"hello": Rejection("ImageNotAllowed", "not there")})
    found = status(service(), wanted=wanted)
    assert said(found, READY) == (False, "ImageNotAllowed", "not there")
    assert said(found, REVISION)[0] is None
    assert found.active


def test_a_foreign_service_of_that_name_is_in_the_way() -> None:
    refusal = Refusal(Ref(KNATIVE_SERVICE, SPEC.namespace, "hello"), "NotOwned", "rename it")
    assert said(status(None, refusals=(refusal,)), READY) == (False, "NotOwned", "rename it")


def test_a_suspended_tenants_function_says_so() -> None:
    found = status(None, suspension=Suspension("Suspended", "unpaid"), wanted=TenantObjects((), suspended=True))
    assert said(found, ACCEPTED) == (False, "Suspended", "unpaid")


def test_traffic_to_a_revision_that_is_gone_is_named() -> None:
    spec = replace(HELLO, traffic=(TrafficTarget(100, OLD),))
    wanted = TenantObjects((build_own_function(SPEC, PLATFORM, spec, frozenset()),))
    state, reason, message = said(status(service(), replace(RECORD, spec=spec), wanted=wanted), TRAFFIC)
    assert (state, reason) == (False, "RevisionMissing")
    assert OLD in message


def test_shares_that_knative_has_not_taken_over_are_not_assigned_yet() -> None:
    spec = replace(HELLO, traffic=(TrafficTarget(100, OLD),))
    wanted = TenantObjects((build_own_function(SPEC, PLATFORM, spec),))
    assert said(status(service(), replace(RECORD, spec=spec), wanted=wanted), TRAFFIC)[0] is None


def test_the_status_is_written_only_if_it_changed() -> None:
    found = status(service())
    patch = function_status_patch({}, found, NOON)
    assert patch is not None
    assert function_status_patch({"status": patch["status"]}, found, NOON + dt.timedelta(hours=1)) is None
    broken = status(service(ready=OLD))
    again = function_status_patch({"status": patch["status"]}, broken, NOON + dt.timedelta(hours=1))
    assert again is not None
    times = {each["type"]: each["lastTransitionTime"] for each in again["status"]["conditions"]}
    assert times["Accepted"] == "2026-11-24T12:00:00Z"
    assert times["Ready"] == "2026-11-24T13:00:00Z"


def merged(patch: Any, value: Any) -> Any:
    """A JSON merge patch, as the API server applies it (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    before = value if isinstance(value, dict) else {}
    after = {**before, **{name: merged(part, before.get(name)) for name, part in patch.items()}}
    return {name: part for name, part in after.items() if part is not None}


def test_a_failed_build_leaves_nothing_of_the_build_before_in_the_status() -> None:
    """The image of an earlier source must not look like that of this one."""
    source = OwnFunction(name="hello", source="sha256:" + "0b" * 32)
    record = FunctionRecord(SPEC.namespace, source, generation=2)
    good = FunctionBuild(key="1", source="sha256:" + "0a" * 32, image=HELLO.image, runtime="asgi")
    failed = FunctionBuild(key="2", source=source.source, reason="BuildFailed", message="resolve: no such package")
    manifest: Object = {"metadata": {"name": "hello", "namespace": SPEC.namespace}, "spec": {"source": source.source}}
    for build in (good, failed, None):
        context = OwnFunctionContext(
            TenantObjects((), unbuilt=frozenset({"hello"})), {}, builds={"hello": BuildState(build)}
        )
        found = own_function_status(record, context)
        patch = function_status_patch(manifest, found, NOON)
        assert patch is not None
        manifest = merged(patch, manifest)
        assert function_status_patch(manifest, found, NOON) is None
        record = function_record_of({**manifest, "metadata": {**manifest["metadata"], "generation": 2}})
        # While another one runs, it is the last that ended.
        assert record.status.build == (build or failed)
        built = {True: "Built", False: "BuildFailed", None: "Building"}
        condition = found.condition(FunctionConditionType.BUILT)
        assert condition is not None
        assert condition.reason == built[condition.status]


@pytest.mark.parametrize("build", [None, FunctionBuild(key="2", source="x", reason="BuildFailed", message="why")])
def test_shares_are_assigned_before_a_build_ends_if_they_are_what_is_wanted(build: FunctionBuild | None) -> None:
    """Commands that change shares wait for this condition alone."""
    source = OwnFunction(name="hello", source="sha256:" + "0b" * 32, traffic=(TrafficTarget(100, OLD),))

    def assigned(live: Object, *traffic: TrafficTarget) -> tuple[bool | None, str, str]:
        record = FunctionRecord(SPEC.namespace, replace(source, traffic=traffic), generation=2)
        named = all(target.revision for target in traffic)
        wanted = TenantObjects((), unbuilt=frozenset({"hello"}), traffic={"hello": []} if named else {})
        return said(status(live, record, wanted=wanted, builds={"hello": BuildState(build)}), TRAFFIC)

    live = service()
    assert assigned(live, TrafficTarget(100))[:2] == (True, "Assigned")
    assert assigned(live, TrafficTarget(100, OLD))[0] is None
    found = assigned(live, TrafficTarget(90, OLD), TrafficTarget(10))
    assert found[:2] == (False if build else None, "NotBuilt")
    rerouted = {**live, "spec": {**live["spec"], "traffic": [{"percent": 100, "revisionName": OLD}]}}
    assert assigned(rerouted, TrafficTarget(100, OLD))[:2] == (True, "Assigned")


def test_callers_get_no_problem_of_a_revision_that_gets_no_calls() -> None:
    """Otherwise a broken deployment would turn calls of the serving revision away."""
    broken = pod(state={"waiting": {"reason": "ImagePullBackOff"}})
    (found,) = function_statuses([service(ready=OLD)], [], [broken])
    assert (found.ready, found.reason, found.callable) == (True, "", True)
    (found,) = function_statuses([service(ready=NEW)], [], [broken])
    assert found.reason == "ImagePullBackOff"


def test_tags_are_told_to_the_gateway() -> None:
    shares = [{"revisionName": OLD, "percent": 100}, {"revisionName": NEW, "tag": "canary"}]
    (found,) = function_statuses([service(traffic=shares)], [], [])
    assert found.tags == ("canary",)


@pytest.mark.parametrize(
    ("shares", "revision"),
    [
        ([{"revisionName": OLD, "percent": 100}, {"revisionName": NEW, "tag": "canary"}], OLD),
        ([{"revisionName": OLD, "percent": 90}, {"revisionName": NEW, "percent": 10}], ""),
        ([{"revisionName": NEW, "percent": 60}, {"revisionName": NEW, "percent": 40}], NEW),
        ([], ""),
    ],
)
def test_revision_that_gets_all_calls_is_told_for_usage(shares: list[dict[str, object]], revision: str) -> None:
    (found,) = function_statuses([service(traffic=shares)], [], [])
    assert found.revision == revision


@pytest.mark.parametrize(("limit", "mib"), [("256Mi", 256), ("1Gi", 0), ("Mi", 0), ("-1Mi", 0), (None, 0)])
def test_memory_of_a_pod_is_told_for_usage(limit: str | None, mib: int) -> None:
    live = service(traffic=[])
    limits = {"memory": limit} if limit else {}
    live["spec"] = {"template": {"spec": {"containers": [{"resources": {"limits": limits}}]}}}
    (found,) = function_statuses([live], [], [])
    assert found.memory_mib == mib


def test_our_own_services_have_their_memory_in_the_unit_that_is_read() -> None:
    (found,) = function_statuses([BUILT], [], [])
    assert found.memory_mib > 0


def test_a_services_own_labels_decide_what_is_an_own_function() -> None:
    live = service(ready=OLD)
    live["metadata"] = {**live["metadata"], "labels": {CALLABLE: "true"}}
    assert OWN_FUNCTION in BUILT["metadata"]["labels"]
    broken = pod(state={"waiting": {"reason": "ImagePullBackOff"}})
    (found,) = function_statuses([live], [], [broken])
    assert found.reason == "ImagePullBackOff"


def test_the_end_of_an_output_is_bounded() -> None:
    assert last_lines("".join(f"line {n}\n" for n in range(100))).splitlines()[0] == "line 90"
    assert len(last_lines("x" * 5_000)) == 1_000
