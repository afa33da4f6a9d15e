"""What the chart renders: the objects of the example overlay, each value in its place, and nothing unsafe."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.conftest import CHECKOUT, EXAMPLE, Helm, Values
from tests.machine import scaled
from tests.unit.manifests.rendered import overlay_with_policy, rendered

Change = Callable[..., Values]
_HASH = re.compile(r"^(osfaas-(?:gateway|platform|policy))-[0-9a-z]{10}$")
DIGEST = "sha256:" + "1" * 64
EVERYTHING: Values = {
    "worker.enabled": True,
    "registryTokens.enabled": True,
    "monitoring": {"podMonitor": True, "rules": True, "dashboard": True},
    "network.database": {"cidrs": ["203.0.113.30/32"]},
    "network.store": {"cidrs": ["203.0.113.10/32"]},
    "network.callbackReceivers": {"cidrs": ["203.0.113.40/32"]},
}
# What must be on for a value to have an effect.
WITH: dict[str, Values] = {
    "worker": {"worker.enabled": True},
    "registryTokens": {"registryTokens.enabled": True},
    "registry.tokensSecret": {"registryTokens.enabled": True},
    "network.store": {"worker.enabled": True},
    "network.callbackReceivers": {"worker.enabled": True},
    "monitoring.labels": {"monitoring.rules": True},
    # Without functions there is nothing to schedule.
    "functionsApi.enabled": {"scheduler.enabled": False},
}
_PART = {
    "replicas": 3,
    "resources": {"limits": {"memory": "1Gi"}},
    "image.repository": "example.org/own",
    "image.tag": "9",
}
_NETWORK = {"cidrs": ["203.0.113.99/32"], "ports": [9999]}
# Another value than the default, for every value of the schema.
OTHER: Values = {
    "publicUrl": "https://other.example.org",
    "platform": "functions: {}\ndestinations: []\n",
    "policy": '"sweeps:create": "role:auditor"\n',
    "regionName": "RegionTwo",
    "settings": {"OSFAAS_OPERATION_ROLES": "member"},
    "namespace.create": False,
    "image.repository": "example.org/gateway",
    "image.tag": "9",
    "image.digest": DIGEST,
    "image.pullPolicy": "Always",
    "imagePullSecrets": [{"name": "registry"}],
    "keystone.cloud": "other",
    "keystone.gatewaySecret": "other",
    "keystone.controllerSecret": "other",
    "database.secret": "other",
    "registry.credentialsSecret": "other",
    "registry.tokensSecret": "other",
    "edge.tlsSecret": "other",
    **{
        f"network.{name}.{key}": value
        for name in ("kubernetesApi", "openstack", "registry", "database", "store", "callbackReceivers")
        for key, value in _NETWORK.items()
    },
    "network.callbackReceivers.except": ["192.0.2.4/32"],
    **{f"gateway.{key}": value for key, value in _PART.items() if key != "replicas"},
    "gateway.image.digest": DIGEST,
    "gateway.autoscaling.minReplicas": 3,
    "gateway.autoscaling.maxReplicas": 9,
    "gateway.autoscaling.cpuUtilization": 50,
    **{
        f"{part}.{key}": value
        for part in ("controller", "adminApi", "functionsApi", "scheduler", "worker", "registryTokens")
        for key, value in {**_PART, "image.digest": DIGEST, "enabled": part in {"worker", "registryTokens"}}.items()
    },
    "monitoring.podMonitor": True,
    "monitoring.rules": True,
    "monitoring.dashboard": True,
    "monitoring.labels": {"release": "prometheus"},
}
REQUIRED = ("publicUrl", "platform", "image.repository", "network.kubernetesApi.cidrs", "network.openstack.cidrs")


def values_of(schema: Values, part: Values, path: str = "") -> Iterator[str]:
    """Each value that the schema knows, by its path; maps of names that an operator chooses are one value."""
    if "$ref" in part:
        part = schema["$defs"][part["$ref"].rpartition("/")[2]]
    if "properties" not in part or path.endswith((".resources", ".settings")):
        yield path.removeprefix(".")
        return
    for name, below in part["properties"].items():
        if name != "global":
            yield from values_of(schema, below, f"{path}.{name}")


def by_identity(objects: list[dict[str, Any]]) -> dict[tuple[str, str, str], dict[str, Any]]:
    found = {(item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]): item for item in objects}
    assert len(found) == len(objects)
    return found


def with_plain_names(value: Any) -> Any:
    """ConfigMaps without the hash that kustomize puts behind their names."""
    if isinstance(value, dict):
        return {key: with_plain_names(each) for key, each in value.items()}
    if isinstance(value, list):
        return [with_plain_names(each) for each in value]
    return _HASH.sub(r"\1", value) if isinstance(value, str) else value


def without_own(item: dict[str, Any]) -> dict[str, Any]:
    """Without what only the chart has: checksums in place of hashed names, and Helm's policy for the namespace."""
    plain: dict[str, Any] = json.loads(json.dumps(item))
    if item["kind"] == "Deployment":
        annotations = plain["spec"]["template"]["metadata"].pop("annotations")
        assert annotations
        assert all(key.startswith("checksum/") for key in annotations)
    if item["kind"] == "Namespace":
        assert plain["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    return plain


@pytest.mark.parametrize("policy", [False, True], ids=["defaults", "policy"])
def test_the_example_renders_the_objects_of_the_example_overlay(helm: Helm, tmp_path: Path, *, policy: bool) -> None:
    """Object by object, but for names of ConfigMaps, checksums of settings, and that Helm keeps the namespace."""
    folder, files = "manifests/overlays/example", [("platform", EXAMPLE / "platform.yaml")]
    if policy:
        folder = str(overlay_with_policy(tmp_path, OTHER["policy"]))
        files.append(("policy", tmp_path / "policy.yaml"))
    given = [word for name, file in files for word in ("--set-file", f"{name}={file}")]
    example = ("--values", str(helm.chart / "example-values.yaml"))
    chart = by_identity([without_own(item) for item in helm.objects({}, *example, *given, "--include-crds")])
    overlay = by_identity(with_plain_names(rendered(folder)))
    assert (("ConfigMap", "osfaas-system", "osfaas-policy") in chart) == policy
    assert chart.keys() == overlay.keys()
    for identity, item in overlay.items():
        assert chart[identity] == item, identity


def test_lint_finds_nothing(helm: Helm) -> None:
    words = ("lint", "--strict", str(helm.chart), "--namespace", "osfaas-system", "--values")
    done = helm.run(*words, helm.file(helm.least))
    assert done.returncode == 0, done.stdout + done.stderr
    assert helm.run(*words, helm.file({**helm.least, "unknown": 1})).returncode == 1


def test_archive_is_what_helm_installs_from(helm: Helm) -> None:
    done = helm.run("show", "values", str(helm.archive))
    assert done.stdout.strip() == (helm.chart / "values.yaml").read_text(encoding="utf-8").strip()


def test_every_value_of_the_schema_is_tried(helm: Helm) -> None:
    """A new value without a row above would not be."""
    schema = json.loads((helm.chart / "values.schema.json").read_text(encoding="utf-8"))
    assert set(values_of(schema, schema)) == set(OTHER)


@pytest.mark.parametrize("path", OTHER)
def test_every_value_has_an_effect(helm: Helm, changed: Change, path: str) -> None:
    conditions = {name: value for key, value in WITH.items() if path.startswith(key) for name, value in value.items()}
    conditions = {key: value for key, value in conditions.items() if key != path}
    before = by_identity(helm.objects(changed(conditions)))
    after = by_identity(helm.objects(changed({**conditions, path: OTHER[path]})))
    assert after != before
    if path.endswith((".cidrs", ".ports", "tlsSecret", "except", ".autoscaling.minReplicas")) or "Secret" in path:
        # No other object than those that the value is about, and none more or less.
        assert after.keys() == before.keys()
        kinds = {after[key]["kind"] for key in after if after[key] != before[key]}
        assert len(kinds) == 1, kinds


def test_changed_settings_start_new_pods(helm: Helm, changed: Change) -> None:
    """Of all that read them, and of nothing else."""
    policy: Values = {"policy": '"sweeps:list": "!"', "registryTokens.enabled": True}
    for given, path, processes in (
        ({}, "settings", {"gateway", "admin-api", "functions-api", "scheduler"}),
        ({}, "platform", {"controller", "functions-api"}),
        (policy, "policy", {"gateway", "admin-api", "functions-api", "registry-tokens"}),
    ):
        before = by_identity(helm.objects(changed(given)))
        after = by_identity(helm.objects(changed({**given, path: OTHER[path]})))
        different = {key[2] for key in after if key[0] == "Deployment" and after[key] != before[key]}
        assert different == {f"osfaas-{process}" for process in processes}


@pytest.mark.parametrize(
    ("image", "own", "expected"),
    [
        ({}, {}, "registry.example.org/osfaas/gateway:{version}"),
        ({"digest": DIGEST, "tag": "9"}, {}, f"registry.example.org/osfaas/gateway@{DIGEST}"),
        ({"digest": DIGEST}, {"tag": "8"}, "registry.example.org/osfaas/gateway:8"),
        ({"tag": "9"}, {"repository": "example.org/own"}, "example.org/own:9"),
    ],
)
def test_image_of_a_part(helm: Helm, changed: Change, image: Values, own: Values, expected: str) -> None:
    """A digest wins over a tag, and what a part says over what is said for all."""
    differences = {f"image.{key}": value for key, value in image.items()}
    objects = by_identity(helm.objects(changed({**differences, "worker.enabled": True, "worker.image": own})))
    pod = objects["Deployment", "osfaas-system", "osfaas-worker"]["spec"]["template"]["spec"]
    version = yaml.safe_load((helm.chart / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"]
    assert pod["containers"][0]["image"] == expected.format(version=version.replace("+", "-"))


def test_without_the_scheduler_outcomes_of_triggers_are_reported_to_nobody(helm: Helm, changed: Change) -> None:
    objects = by_identity(helm.objects(changed({"scheduler.enabled": False})))
    assert "OSFAAS_TRIGGER_REPORT_URL" not in objects["ConfigMap", "osfaas-system", "osfaas-gateway"]["data"]


@pytest.mark.parametrize("path", REQUIRED)
def test_missing_required_value_is_named(helm: Helm, changed: Change, path: str) -> None:
    done = helm.render(changed({path: None}))
    assert done.returncode == 1
    assert path.rpartition(".")[2] in done.stderr
    assert all(step in done.stderr for step in path.split("."))


@pytest.mark.parametrize(
    ("differences", "said"),
    [
        ({"unknown": 1}, "unknown"),
        ({"image.unknown": 1}, "unknown"),
        ({"worker.unknown": 1}, "unknown"),
        ({"network.unknown": {}}, "unknown"),
        ({"network.openstack.except": ["203.0.113.5/32"]}, "except"),
        ({"gateway.replicas": 2}, "replicas"),
        ({"image.digest": "1" * 64}, "digest"),
        ({"worker.replicas": "two"}, "replicas"),
        ({"worker.resources": {"limits": {"memory": None}}}, "memory"),
        ({"network.openstack.cidrs": ["0.0.0.0/0"]}, "cidrs"),
        ({"network.openstack.cidrs": []}, "cidrs"),
        ({"network.openstack.ports": [70000]}, "ports"),
        ({"publicUrl": "http://faas.example.org"}, "publicUrl"),
        ({"settings": {"OSFAAS_PUBLIC_URL": "https://other.example.org"}}, "'OSFAAS_PUBLIC_URL'"),
        ({"settings": {"OSFAAS_LISTEN_PORT": 8789}}, "OSFAAS_LISTEN_PORT"),
        ({"settings": {"PATH": "/tmp"}}, "'PATH'"),
        ({"settings": {"OSFAAS_DATABASE_URL": "sqlite://"}}, "'OSFAAS_DATABASE_URL'"),
        ({"publicUrl": "https://*"}, "publicUrl"),
        ({"worker.enabled": True, "network.callbackReceivers.cidrs": ["0.0.0.0/0"]}, "callbackReceivers.except"),
        ({"platform": "functions: [unclosed"}, "platform"),
        ({"platform": "destinations: []"}, "--set-file platform=platform.yaml"),
        ({"platform": "functions: {}\nsystem_namespace: other"}, "system_namespace"),
        ({"policy": ""}, "policy"),
        ({"policy": "# no rule\n"}, "policy has no rule"),
        ({"policy": "{}"}, "policy has no rule"),
        ({"policy": "sweeps:create: [unclosed"}, "policy is not a mapping"),
        ({"policy": "- sweeps:create"}, "policy is not a mapping"),
        ({"policy": '"sweeps:create": true'}, "sweeps:create"),
        ({"policy": {"sweeps:create": "!"}}, "policy"),
        ({"settings": {"OSFAAS_POLICY_FILE": "/policy.yaml"}}, "'OSFAAS_POLICY_FILE'"),
        ({"functionsApi.enabled": False}, "functionsApi.enabled"),
        ({"gateway.autoscaling.maxReplicas": 1}, "minReplicas"),
    ],
    ids=str,
)
def test_wrong_value_is_refused_by_its_name(helm: Helm, changed: Change, differences: Values, said: str) -> None:
    done = helm.render(changed(differences))
    assert done.returncode == 1
    assert said in done.stderr


def test_the_whole_world_needs_networks_that_stay_closed(helm: Helm, changed: Change) -> None:
    values = {"cidrs": ["0.0.0.0/0"], "except": ["10.0.0.0/8", "169.254.0.0/16"]}
    objects = by_identity(helm.objects(changed({"worker.enabled": True, "network.callbackReceivers": values})))
    (rule,) = objects["NetworkPolicy", "osfaas-system", "worker-to-receivers"]["spec"]["egress"]
    assert rule["to"] == [{"ipBlock": {"cidr": "0.0.0.0/0", "except": values["except"]}}]


def test_another_namespace_is_refused(helm: Helm) -> None:
    """Policies and settings name it."""
    done = helm.render(helm.least, namespace="other")
    assert done.returncode == 1
    assert "--namespace osfaas-system (given: other)" in done.stderr


def test_rendered_objects_pass_the_tests_of_the_manifests(helm: Helm, changed: Change, tmp_path: Path) -> None:
    """RBAC, networks, schemas, settings: with as little and as much as there can be."""
    for name, values in (("least", {}), ("everything", EVERYTHING)):
        (tmp_path / f"{name}.yaml").write_text(helm.render(changed(values), "--include-crds").stdout, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n0",
        "-k",
        "least.yaml or everything.yaml",
        "tests/unit/manifests",
    ]
    environment = {**os.environ, "RENDERED_CHARTS": str(tmp_path)}
    done = subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False, timeout=scaled(240)
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 22  # type: ignore[index]
