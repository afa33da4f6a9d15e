"""The two Deployments: restricted, spread, and in agreement with the settings and with each other."""

from pathlib import Path
from typing import Any

import click
import pytest

from client.cli import main
from gateway.settings import Settings
from policies.labels import SYSTEM
from policies.model import Platform
from tests.unit.manifests.rendered import kustomizations, one, overlay_with_policy, rendered

PARTS = (
    ("manifests/gateway", "osfaas-gateway"),
    ("manifests/controller", "osfaas-controller"),
    ("manifests/admin-api", "osfaas-admin-api"),
    ("manifests/functions-api", "osfaas-functions-api"),
    ("manifests/scheduler", "osfaas-scheduler"),
    ("manifests/registry-tokens", "osfaas-registry-tokens"),
    ("manifests/worker", "osfaas-worker"),
)
EXAMPLE = "manifests/overlays/example"
PREFIX = "OSFAAS_"


def pod_of(folder: str, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = one(rendered(folder), "Deployment", name)["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("folder", kustomizations())
def test_every_variable_is_a_setting(folder: str):
    """The gateway refuses to start with one that it does not know."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for item in rendered(folder):
        if item["kind"] == "ConfigMap":
            assert {key for key in item.get("data", {}) if key.startswith(PREFIX)} <= known
        if item["kind"] == "Deployment":
            for container in item["spec"]["template"]["spec"]["containers"]:
                assert {
                    entry["name"] for entry in container.get("env", []) if entry["name"].startswith(PREFIX)
                } <= known


def test_the_settings_of_the_gateway_are_accepted(monkeypatch: pytest.MonkeyPatch):
    """As a whole, by the code that reads them."""
    data = one(rendered("manifests/gateway"), "ConfigMap", "osfaas-gateway")["data"]
    for name, value in data.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    (container,) = pod_of(*PARTS[0])["containers"]
    assert settings.listen_port == container["ports"][0]["containerPort"]
    assert settings.listen_host == "0.0.0.0"
    assert settings.tenant_source == "kubernetes"
    assert settings.local_gateway_url == Platform(functions={}).local_gateway_url


@pytest.mark.parametrize(("folder", "name"), PARTS)
def test_pods_are_restricted(folder: str, name: str):
    """As Pod Security `restricted` wants it, and a read-only root beyond."""
    pod = pod_of(folder, name)
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] == 65532
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False
        assert own["readOnlyRootFilesystem"] is True
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("process", ["serve", "admin-api", "functions-api", "registry-tokens"])
def test_policy_rules_of_a_site_are_where_the_setting_names_them(tmp_path: Path, process: str):
    """In every process that decides by rules, with the lines of the page."""
    objects = [
        *rendered(str(overlay_with_policy(tmp_path, '"sweeps:list": "!"'))),
        *rendered("manifests/registry-tokens"),
    ]
    settings = one(objects, "ConfigMap", "osfaas-gateway")["data"]
    pods = [item["spec"]["template"]["spec"] for item in objects if item["kind"] == "Deployment"]
    (pod,) = [pod for pod in pods if pod["containers"][0]["args"][0] == process]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "policy"]
    (mount,) = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "policy"]
    rules = one(objects, "ConfigMap", "osfaas-policy")
    assert settings["OSFAAS_POLICY_FILE"] == f"{mount['mountPath']}/policy.yaml"
    assert rules["data"] == {"policy.yaml": '"sweeps:list": "!"'}
    # A changed file has another name, and starts new pods; without a file the pods start too.
    known = {rules["metadata"]["name"]} if process != "registry-tokens" else {"osfaas-policy"}
    assert volume["configMap"]["name"] in known
    assert volume["configMap"]["optional"] is True


@pytest.mark.parametrize(("folder", "name"), PARTS)
def test_variables_of_services_stay_out(folder: str, name: str):
    """A Service `osfaas-gateway` would bring OSFAAS_GATEWAY_PORT, which is no setting."""
    assert pod_of(folder, name)["enableServiceLinks"] is False


@pytest.mark.parametrize(("folder", "name"), PARTS)
def test_one_replica_may_go(folder: str, name: str):
    """Two of them, on different nodes where there are some, and never both evicted."""
    objects = rendered(folder)
    deployment = one(objects, "Deployment", name)["spec"]
    scaled = [item for item in objects if item["kind"] == "HorizontalPodAutoscaler"]
    if scaled:
        # Both would give the number: each `apply` would take away what the load had added.
        assert "replicas" not in deployment
        assert scaled[0]["spec"]["scaleTargetRef"]["name"] == name
        assert scaled[0]["spec"]["minReplicas"] == 2
    else:
        assert deployment["replicas"] == 2
    assert deployment["template"]["spec"]["topologySpreadConstraints"][0]["topologyKey"] == "kubernetes.io/hostname"
    budget = one(objects, "PodDisruptionBudget", name)["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"]["matchLabels"].items() <= deployment["template"]["metadata"]["labels"].items()


def test_calls_may_end_before_a_pod_does():
    """preStop and the gateway's own patience fit into the grace period."""
    pod = pod_of(*PARTS[0])
    (container,) = pod["containers"]
    shutdown = Settings.model_fields["shutdown_seconds"].default
    before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert before + shutdown < pod["terminationGracePeriodSeconds"]


def test_the_edge_waits_longer_than_the_gateway():
    """Otherwise Envoy's 504 takes the place of the gateway's sentence."""
    longest = Settings.model_fields["function_timeout_seconds"].default
    for route in one(rendered("manifests/gateway"), "VirtualService", "osfaas-edge")["spec"]["http"]:
        assert int(route["timeout"].removesuffix("s")) > longest


def test_only_reading_is_tried_again():
    """A POST may have done its work."""
    for route in one(rendered("manifests/gateway"), "VirtualService", "osfaas-edge")["spec"]["http"]:
        reading = all(match.get("method") == {"regex": "GET|HEAD"} for match in route["match"])
        assert reading or route["retries"] == {"attempts": 0}


def test_health_and_metrics_have_no_way_in_from_outside():
    """They need no token."""
    paths = {
        (kind, path)
        for route in one(rendered("manifests/gateway"), "VirtualService", "osfaas-edge")["spec"]["http"]
        for match in route["match"]
        for kind, path in match["uri"].items()
    }
    for closed in ("/metrics", "/readyz"):
        assert not [path for kind, path in paths if path == closed or (kind == "prefix" and closed.startswith(path))]


def test_the_edge_is_on_the_ingress_pods_and_speaks_tls():
    """The plain port only redirects."""
    spec = one(rendered("manifests/gateway"), "Gateway", "osfaas-edge")["spec"]
    assert spec["selector"] == dict(Platform(functions={}).ingress_labels)
    secure, plain = spec["servers"]
    assert secure["tls"]["mode"] == "SIMPLE"
    assert secure["tls"]["minProtocolVersion"] == "TLSV1_2"
    assert plain["tls"] == {"httpsRedirect": True}


def test_both_parts_run_one_image_and_say_which_policies_mean_them():
    """The labels that the policies of the platform and the namespace select by."""
    platform = Platform(functions={})
    objects = rendered(EXAMPLE)
    # One ConfigMap for both processes of the gateway's code, under its generated name.
    name = one(objects, "ConfigMap", "osfaas-gateway")["metadata"]["name"]
    for part in ("osfaas-gateway", "osfaas-admin-api", "osfaas-functions-api"):
        (container,) = one(objects, "Deployment", part)["spec"]["template"]["spec"]["containers"]
        (settings, *secrets) = container["envFrom"]
        assert settings == {"configMapRef": {"name": name}}
        assert all(each["secretRef"]["optional"] for each in secrets)
    images = {
        container["image"]
        for item in objects
        if item["kind"] == "Deployment"
        for container in item["spec"]["template"]["spec"]["containers"]
    }
    assert images == {"registry.example.org/osfaas/gateway:0.1.0"}
    labels = one(objects, "Deployment", "osfaas-gateway")["spec"]["template"]["metadata"]["labels"]
    assert platform.gateway_labels.items() <= labels.items()
    namespace = one(objects, "Namespace", platform.system_namespace)["metadata"]
    assert namespace["labels"][SYSTEM] == "true"
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_gateway_reaches_functions_by_the_local_gateway_alone():
    """One port of the ingress pods, and none of the tenants'."""
    policy = one(rendered("manifests/gateway"), "NetworkPolicy", "gateway-to-functions")["spec"]
    ((rule,),) = (policy["egress"],)
    assert rule["ports"] == [{"protocol": "TCP", "port": 8081}]
    (peer,) = rule["to"]
    assert peer["podSelector"]["matchLabels"] == dict(Platform(functions={}).ingress_labels)


@pytest.mark.parametrize(("folder", "name"), PARTS)
def test_every_selector_means_the_pods_of_its_own_part(folder: str, name: str):
    """A policy without one would hold for the whole namespace."""
    wanted = {"app.kubernetes.io/name": name}
    objects = rendered(folder)
    selectors = [item["spec"]["podSelector"] for item in objects if item["kind"] == "NetworkPolicy"]
    selectors += [item["spec"]["selector"] for item in objects if item["kind"] in {"Deployment", "PodDisruptionBudget"}]
    for selector in selectors:
        assert selector["matchLabels"] == wanted
    for service in (item for item in objects if item["kind"] == "Service"):
        assert service["spec"]["selector"] == wanted
    assert wanted.items() <= one(objects, "Deployment", name)["spec"]["template"]["metadata"]["labels"].items()


def test_controller_and_functions_api_read_the_same_platform_file():
    """What one accepts, the other builds."""
    objects = rendered(EXAMPLE)
    name = one(objects, "ConfigMap", "osfaas-platform")["metadata"]["name"]
    for part in ("osfaas-controller", "osfaas-functions-api"):
        volumes = one(objects, "Deployment", part)["spec"]["template"]["spec"]["volumes"]
        assert {"name": "platform", "configMap": {"name": name}} in volumes


@pytest.mark.parametrize(("folder", "name"), PARTS)
def test_the_arguments_are_ones_that_the_command_takes(folder: str, name: str):
    """By the command's own parser, and with the port that the probes ask."""
    (container,) = pod_of(folder, name)["containers"]
    word, *words = container["args"]
    command = main.get_command(click.Context(main), word)
    assert command is not None
    given, rest, _ = command.make_parser(click.Context(command)).parse_args(list(words))
    assert rest == []
    ports = [parameter.default for parameter in command.params if parameter.name == "port"]
    ports += [Settings.model_fields["worker_metrics_port"].default] if word == "worker" else []
    assert container["ports"][0]["containerPort"] == int(given.get("port", (ports or [8788])[0]))
