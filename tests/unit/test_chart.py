"""The generator of the chart: what it takes from the manifests, and what it refuses. `make chart-test` runs helm."""

import json
import re
import tarfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from charts.bindings import COMPONENTS, bindings_of
from charts.errors import ChartError
from charts.generate import chart_files, write_chart
from charts.templates import template_of
from gateway.settings import Settings
from tests.unit.manifests.rendered import CHECKOUT, KUBECTL, MANIFESTS

# Parts that are no part of the product's installation.
OUTSIDE = {
    "crd": "crds/ has the files themselves",
    "eventing": "a project's own",
    "overlays/example": "example-values.yaml",
    "platform": "Knative's settings, which `osfaas platform install` applies",
    "system": "always",
}


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return chart_files(CHECKOUT, str(KUBECTL))


def test_every_part_of_the_manifests_is_in_the_chart() -> None:
    folders = {str(file.parent.relative_to(MANIFESTS)) for file in MANIFESTS.rglob("kustomization.yaml")}
    assert folders == {*COMPONENTS, *OUTSIDE}


def test_definitions_and_monitoring_are_the_files_of_the_manifests(files: dict[str, bytes]) -> None:
    for folder in ("crd", "monitoring"):
        for file in (MANIFESTS / folder).iterdir():
            if file.name != "kustomization.yaml":
                place = folder.replace("crd", "crds")
                assert files[f"{place}/{file.name}"] == file.read_bytes()


def test_templates_use_values_that_the_schema_knows(files: dict[str, bytes]) -> None:
    """A misspelled one would be empty without a word."""
    schema = json.loads(files["values.schema.json"])
    used = {
        path
        for name, text in files.items()
        if name.startswith("templates/")
        for path in re.findall(rb"\.Values\.([A-Za-z.]+)", text)
    }
    assert len(used) > 50
    for path in used:
        part = schema
        for step in path.decode().split("."):
            part = part["properties"][step]
            part = schema["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part


def test_defaults_are_those_of_the_manifests(files: dict[str, bytes]) -> None:
    """No placeholder is left, and one default is seen to come from its manifest."""
    values = files["values.yaml"].decode()
    assert "$" not in values
    assert "\n    maxReplicas: 8\n" in values


def test_the_same_manifests_make_the_same_archive(files: dict[str, bytes], tmp_path: Path) -> None:
    archives = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        archives.append(write_chart(chart_files(CHECKOUT, str(KUBECTL)), tmp_path / name)[1])
    assert archives[0].read_bytes() == archives[1].read_bytes()
    with tarfile.open(archives[0]) as packed:
        assert packed.getnames()[0] == "osfaas/Chart.yaml"
        assert {name.removeprefix("osfaas/") for name in packed.getnames()} == set(files)


def test_notes_name_the_labels_of_a_namespace_that_is_not_of_the_chart(files: dict[str, bytes]) -> None:
    """Without them pods may be privileged, and policies of the platform do not find the gateway."""
    namespace = yaml.safe_load((MANIFESTS / "system" / "namespace.yaml").read_text(encoding="utf-8"))
    words = files["templates/NOTES.txt"].decode().split()
    assert {f"{key}={value}" for key, value in namespace["metadata"]["labels"].items()} <= set(words)


def config_map(name: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": name}, "data": {}}


def policy(name: str) -> dict[str, Any]:
    rule = {"to": [{"ipBlock": {"cidr": "192.0.2.9/32"}}], "ports": [{"protocol": "TCP", "port": 443}]}
    return {"kind": "NetworkPolicy", "metadata": {"name": name}, "spec": {"egress": [rule]}}


def deployment(secret: str) -> dict[str, Any]:
    container = {"image": "a", "imagePullPolicy": "Always", "resources": {}, "env": []}
    pod = {"containers": [container], "volumes": [{"name": "a", "secret": {"secretName": secret}}]}
    return {"kind": "Deployment", "metadata": {"name": "a"}, "spec": {"template": {"metadata": {}, "spec": pod}}}


@pytest.mark.parametrize(
    "item", [config_map("other"), policy("other"), deployment("other")], ids=lambda item: item["kind"]
)
def test_what_differs_between_sites_needs_a_value(item: dict[str, Any]) -> None:
    """A new Secret, address or ConfigMap in the manifests would be fixed in the chart."""
    with pytest.raises(ChartError, match="no value stands for"):
        list(bindings_of("gateway", item))


def test_known_names_are_no_error() -> None:
    """Otherwise the test above proves nothing."""
    for item in (config_map("osfaas-gateway"), policy("allow-openstack"), deployment("osfaas-gateway-keystone")):
        assert list(bindings_of("gateway", item))


def test_braces_of_an_object_are_no_expression() -> None:
    item = {"kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"text": "{{ .Values.publicUrl }}"}}
    with pytest.raises(ChartError, match="Helm would evaluate"):
        template_of(item, [])


def check_value(files: dict[str, bytes], name: str, value: Any) -> None:
    """Raises if the schema refuses a value."""
    jsonschema.validate({name: value}, {**json.loads(files["values.schema.json"]), "required": []})


def secret_settings() -> list[str]:
    fields = Settings.model_fields.items()
    return [f"OSFAAS_{name.upper()}" for name, field in fields if "SecretStr" in str(field.annotation)]


@pytest.mark.parametrize("name", secret_settings())
def test_secret_is_no_setting_of_the_config_map(files: dict[str, bytes], name: str) -> None:
    """Whoever may read ConfigMaps could use it."""
    with pytest.raises(jsonschema.ValidationError, match=name):
        check_value(files, "settings", {name: "postgresql://osfaas:secret@database.example.org/osfaas"})


def test_settings_without_a_secret_are_accepted(files: dict[str, bytes]) -> None:
    accepted = {"OSFAAS_LIMIT_STORE_URL": "valkeys://valkey.example.org/0", "OSFAAS_OPERATION_ROLES": "member"}
    check_value(files, "settings", accepted)


@pytest.mark.parametrize(
    "host", ["*", "*.example.org", "user@example.org", "example.org?", "a b", "a..b", "-a", "A\nb"]
)
def test_host_of_the_edge_is_one_name(files: dict[str, bytes], host: str) -> None:
    """A wildcard would let the edge serve every host."""
    with pytest.raises(jsonschema.ValidationError, match="does not match"):
        check_value(files, "publicUrl", f"https://{host}")


@pytest.mark.parametrize("host", ["faas.example.org", "faas", "192.0.2.1", "faas-1.example.org:8443/"])
def test_host_of_the_edge_is_accepted(files: dict[str, bytes], host: str) -> None:
    check_value(files, "publicUrl", f"https://{host}")
