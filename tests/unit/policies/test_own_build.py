"""Builds of own functions: when there are Jobs and Secrets, what they may do, and where they may connect to."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from policies.labels import BUILD
from policies.model import Builds, Destination, IsolationLevel, Limits, Manifest, TenantSpec
from policies.names import ProjectId
from policies.own_build import PULL_SECRET, PUSH_SECRET, build_job, build_key, job_name
from policies.own_function import OwnBuilds, OwnFunction, OwnFunctions, RegistryCredentials, TrafficTarget
from policies.own_function_rules import rejection_of
from policies.own_function_service import build_own_function
from policies.quota import build_limit_range, build_quota
from policies.tenant import TenantObjects, build_tenant
from tests.unit.policies.examples import PLATFORM as BARE
from tests.unit.policies.examples import SPEC, SUSPENDED, at

DIGEST = "sha256:" + "0a" * 32
BUILDS = Builds(
    image="builder@sha256:1",
    registry="registry.example.org:5000",
    registry_url="https://registry.example.org:5000",
    token_url="https://faas.example.org/v1/registry/token",
    index_url="https://index.example.org/simple/",
    bases={"asgi": f"base/asgi@{DIGEST}", "framework": f"base/framework@{DIGEST}"},
    destinations=(Destination("192.0.2.20/32", (443, 5000)),),
)
PLATFORM = replace(BARE, builds=BUILDS)
HELLO = OwnFunction(name="hello", source=DIGEST)
CREDENTIALS = RegistryCredentials(pull="of-pulls", push="of-pushes")
IMAGE = f"{BUILDS.registry}/{SPEC.project_id}/hello@{DIGEST}"
WANTED = OwnBuilds(wanted=frozenset({"hello"}), credentials=CREDENTIALS)


def tenant(builds: OwnBuilds = WANTED, spec: TenantSpec = SPEC, *functions: OwnFunction) -> TenantObjects:
    return build_tenant(spec, PLATFORM, OwnFunctions(functions or (HELLO,), builds=builds))


def named(objects: TenantObjects, kind: str) -> dict[str, Manifest]:
    return {each["metadata"]["name"]: each for each in objects.manifests if each["kind"] == kind}


def test_job_is_made_while_there_is_no_image_and_the_service_stays_as_it_is() -> None:
    objects = tenant()
    assert list(named(objects, "Job")) == [job_name(HELLO)]
    assert (objects.unbuilt, objects.kept) == ({"hello"}, {"hello"})
    assert "hello" not in named(objects, "Service")
    # Its Secrets come first.
    kinds = [each["kind"] for each in objects.manifests]
    assert max(index for index, kind in enumerate(kinds) if kind == "Secret") < kinds.index("Job")


def rerouted(*traffic: TrafficTarget, revisions: frozenset[str] | None) -> Any:
    function = replace(HELLO, traffic=traffic)
    return build_tenant(SPEC, PLATFORM, OwnFunctions((function,), builds=WANTED, revisions=revisions)).traffic


def test_shares_of_existing_revisions_do_not_wait_for_a_build() -> None:
    """A rollback works while a build runs, and after it has failed. What is still to be built waits for itself."""
    old, older = TrafficTarget(90, "hello-1", "stable"), TrafficTarget(10, "hello-0")
    revisions = frozenset({"hello-1", "hello-0"})
    shares = [
        {"percent": 90, "latestRevision": False, "revisionName": "hello-1", "tag": "stable"},
        {"percent": 10, "latestRevision": False, "revisionName": "hello-0"},
    ]
    for known in (revisions, None):
        assert rerouted(old, older, revisions=known) == {"hello": shares}
    # The latest revision is one that the user has just replaced: it must not get calls back for the time of a build.
    assert rerouted(TrafficTarget(100), revisions=revisions) == {}
    assert rerouted(old, TrafficTarget(10), revisions=revisions) == {}
    # Knative would route no call at all.
    assert rerouted(old, older, revisions=frozenset({"hello-1"})) == {}


def test_image_that_was_built_runs_with_the_projects_credential() -> None:
    objects = tenant(OwnBuilds(images={"hello": IMAGE}, credentials=CREDENTIALS))
    assert named(objects, "Job") == {}
    pod = named(objects, "Service")["hello"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == IMAGE
    assert pod["imagePullSecrets"] == [{"name": PULL_SECRET}]
    assert set(named(objects, "Secret")) == {PULL_SECRET}


def test_same_image_is_the_same_revision_whatever_the_source() -> None:
    """Another archive of the same files changes nothing that runs."""
    services = [
        build_own_function(SPEC, PLATFORM, replace(HELLO, source=source, image=IMAGE)) for source in (DIGEST, "other")
    ]
    assert services[0] == services[1]


def test_images_elsewhere_get_no_credential_of_the_registry() -> None:
    for image in (f"registry.example.org/x@{DIGEST}", f"{BUILDS.registry}/other-project/x@{DIGEST}"):
        pod = build_own_function(SPEC, PLATFORM, OwnFunction(name="x", image=image))["spec"]["template"]["spec"]
        assert "imagePullSecrets" not in pod


def test_job_is_restricted_and_holds_no_credential_but_the_mounted_one() -> None:
    job = build_job(SPEC, BUILDS, HELLO)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["runAsUser"] != 0
    assert container["resources"]["limits"] == container["resources"]["requests"]
    assert CREDENTIALS.push not in json.dumps(job)
    assert [each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each] == [PUSH_SECRET]
    assert job["spec"]["activeDeadlineSeconds"] == BUILDS.deadline_seconds
    settings = {each["name"]: each["value"] for each in container["env"]}
    assert settings["OSFAAS_BUILD_REPOSITORY"] == f"{SPEC.project_id}/hello"
    assert settings["OSFAAS_BUILD_SOURCE_DISTRIBUTIONS"] == "false"


def test_credential_to_push_is_there_while_something_is_built() -> None:
    idle = named(tenant(OwnBuilds(images={"hello": IMAGE}, credentials=CREDENTIALS)), "Secret")
    running = named(tenant(OwnBuilds(running=True, credentials=CREDENTIALS)), "Secret")
    assert (set(idle), set(running)) == ({PULL_SECRET}, {PULL_SECRET, PUSH_SECRET})
    content = base64.b64decode(running[PUSH_SECRET]["data"]["credential"]).decode()
    assert content == "workload:of-pushes"
    logins = json.loads(base64.b64decode(idle[PULL_SECRET]["data"][".dockerconfigjson"]))
    assert logins["auths"][BUILDS.registry]["password"] == "of-pulls"
    assert "of-pushes" not in repr(CREDENTIALS)


def test_suspended_or_low_tenant_builds_nothing() -> None:
    for spec in (SUSPENDED, at(IsolationLevel.L2)):
        objects = tenant(WANTED, spec)
        assert (named(objects, "Job"), named(objects, "Secret")) == ({}, {})


def policies_of(platform: Any) -> dict[str, Any]:
    return {
        each["metadata"]["name"]: each["spec"]
        for each in build_tenant(SPEC, platform).manifests
        if each["kind"] == "NetworkPolicy"
    }


def test_build_connects_to_its_destinations_and_dns_only_and_a_function_not_to_those() -> None:
    policies = policies_of(PLATFORM)
    assert policies["osfaas-deny-all"]["podSelector"] == {}
    assert policies["osfaas-builds-out"]["podSelector"] == {"matchExpressions": [{"key": BUILD, "operator": "Exists"}]}
    peers = [peer for rule in policies["osfaas-builds-out"]["egress"] for peer in rule["to"]]
    assert [peer["ipBlock"]["cidr"] for peer in peers if "ipBlock" in peer] == ["192.0.2.20/32"]
    assert len(peers) == 2
    assert all(rule["ports"] for rule in policies["osfaas-builds-out"]["egress"])
    for name in ("osfaas-calls", "osfaas-metrics", "osfaas-out"):
        selector = {"matchExpressions": [{"key": BUILD, "operator": "DoesNotExist"}]}
        assert policies[name]["podSelector"] == selector
    assert "192.0.2.20" not in str(policies["osfaas-out"])


def test_nothing_changes_where_no_builds_are_set_up() -> None:
    assert "osfaas-builds-out" not in policies_of(BARE)
    assert build_quota(SPEC, BARE)["spec"]["hard"]["count/jobs.batch"] == "0"


def test_quota_has_room_for_the_jobs_and_disks_of_builds_and_no_more_processors() -> None:
    bare, hard = (build_quota(SPEC, platform)["spec"]["hard"] for platform in (BARE, PLATFORM))
    assert hard["count/jobs.batch"] == "20"
    assert (hard["requests.cpu"], hard["limits.memory"]) == (bare["requests.cpu"], bare["limits.memory"])
    added = int(hard["limits.ephemeral-storage"][:-2]) - int(bare["limits.ephemeral-storage"][:-2])
    assert added == BUILDS.per_project * BUILDS.disk_mib
    maximum = build_limit_range(SPEC, PLATFORM)["spec"]["limits"][0]["max"]
    assert maximum["ephemeral-storage"] == f"{BUILDS.disk_mib}Mi"


@pytest.mark.parametrize(
    ("function", "spec", "platform", "reason"),
    [
        (HELLO, SPEC, BARE, "BuildsNotAvailable"),
        (HELLO, replace(SPEC, project_id=ProjectId("Not-A-Repository")), PLATFORM, "BuildsNotAvailable"),
        (replace(HELLO, source="sha256:abc"), SPEC, PLATFORM, "InvalidSource"),
        (HELLO, replace(SPEC, limits=Limits(memory_mib=512)), PLATFORM, "LimitsTooSmall"),
        (HELLO, at(IsolationLevel.L2), PLATFORM, "IsolationTooLow"),
        (replace(HELLO, name="checksums"), SPEC, PLATFORM, "NameConflict"),
    ],
)
def test_source_that_cannot_be_built_is_refused(function: Any, spec: Any, platform: Any, reason: str) -> None:
    rejection = rejection_of(function, spec, platform)
    assert rejection is not None
    assert rejection.reason == reason


def test_project_runs_its_own_images_of_the_registry_and_no_others() -> None:
    """Even where the operator allows the whole registry: a node may have the other project's image already."""
    platform = replace(PLATFORM, own_function_images=(BUILDS.registry,))
    allowed = OwnFunction(name="x", image=IMAGE)
    assert rejection_of(allowed, SPEC, platform) is rejection_of(allowed, SPEC, PLATFORM) is None
    for repository in ("ffff0c5ab2f54ad5a7a2ab0e51b2ffff/hello", "base/asgi", f"{SPEC.project_id}2/hello"):
        other = OwnFunction(name="x", image=f"{BUILDS.registry}/{repository}@{DIGEST}")
        rejection = rejection_of(other, SPEC, platform)
        assert rejection is not None
        assert (rejection.reason, "of its own repositories" in rejection.message) == ("ImageNotAllowed", True)


def test_build_is_known_by_source_and_attempt_alone() -> None:
    same = replace(HELLO, memory_mib=512, environment={"A": "b"})
    assert build_key(same) == build_key(HELLO)
    assert len({build_key(each) for each in (HELLO, replace(HELLO, attempt=1), replace(HELLO, source="x"))}) == 3
    assert len(job_name(replace(HELLO, name="a" * 40))) <= 63
