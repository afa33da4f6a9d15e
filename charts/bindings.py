"""Which places of which objects are values of the chart. Pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from charts.errors import ChartError

Manifest = dict[str, Any]
Path = tuple[str | int, ...]

# Base and its key in values.yaml.
COMPONENTS = {
    "gateway": "gateway",
    "controller": "controller",
    "admin-api": "adminApi",
    "functions-api": "functionsApi",
    "scheduler": "scheduler",
    "worker": "worker",
    "registry-tokens": "registryTokens",
}
# NetworkPolicies whose peers are addresses of the site, and their keys under `network`.
NETWORKS = {
    "allow-kubernetes-api": "kubernetesApi",
    "allow-openstack": "openstack",
    "functions-api-to-registry": "registry",
    "gateway-to-database": "database",
    "admin-api-to-database": "database",
    "worker-to-database": "database",
    "worker-to-store": "store",
    "worker-to-receivers": "callbackReceivers",
}
_SECRETS = {
    "osfaas-gateway-keystone": ".Values.keystone.gatewaySecret",
    "osfaas-controller-keystone": ".Values.keystone.controllerSecret",
    "osfaas-database": ".Values.database.secret",
    "osfaas-registry-credentials": ".Values.registry.credentialsSecret",
    "osfaas-registry-tokens": ".Values.registry.tokensSecret",
}
_HOST = "(urlParse .Values.publicUrl).hostname"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A place of an object, and what the chart has there.

    Attributes:
        path: keys and indices from the object's root. The last key may be new.
        expression: of Helm's templates. Its result is written as JSON, so it needs no indentation or quotes.
        optional: the key is left out where the result is empty.
        value: path in values.yaml whose default the manifest gives; empty: none.
        default: that default.
    """

    path: Path
    expression: str
    optional: bool = False
    value: str = ""
    default: Any = None


def bindings_of(component: str, item: Manifest) -> Iterator[Binding]:
    """All bindings of one object.

    Args:
        component: name of the base.
        item: an object of it.

    Raises:
        ChartError: the object has a Secret, or addresses of a site, that no value stands for.
    """
    key = COMPONENTS.get(component, "")
    match item["kind"]:
        case "Deployment":
            yield from _deployment(key, item)
        case "NetworkPolicy":
            yield from _network(item)
        case "ConfigMap":
            yield from _settings(item)
        case "HorizontalPodAutoscaler":
            spec = f"{key}.autoscaling"
            yield _plain(item, ("spec", "minReplicas"), f"{spec}.minReplicas")
            yield _plain(item, ("spec", "maxReplicas"), f"{spec}.maxReplicas")
            path = ("spec", "metrics", 0, "resource", "target", "averageUtilization")
            yield _plain(item, path, f"{spec}.cpuUtilization")
        case "Gateway":
            for index, server in enumerate(item["spec"]["servers"]):
                yield Binding(path=("spec", "servers", index, "hosts"), expression=f"list {_HOST}")
                if "credentialName" in server["tls"]:
                    yield _plain(item, ("spec", "servers", index, "tls", "credentialName"), "edge.tlsSecret")
        case "VirtualService":
            yield Binding(path=("spec", "hosts"), expression=f"list {_HOST}")


def _deployment(key: str, item: Manifest) -> Iterator[Binding]:
    template: Path = ("spec", "template")
    pod: Path = (*template, "spec")
    container: Path = (*pod, "containers", 0)
    if "replicas" in item["spec"]:
        yield _plain(item, ("spec", "replicas"), f"{key}.replicas")
    yield Binding(
        path=(*container, "image"), expression=f'include "osfaas.image" (list .Values.image .Values.{key}.image .Chart)'
    )
    yield _plain(item, (*container, "imagePullPolicy"), "image.pullPolicy")
    yield _plain(item, (*container, "resources"), f"{key}.resources")
    yield Binding(path=(*pod, "imagePullSecrets"), expression=".Values.imagePullSecrets", optional=True)
    # A changed setting starts new pods; kustomize changes the ConfigMap's name for this.
    text = json.dumps(item)
    for name, expression in (("osfaas-gateway", "osfaas.settings"), ("osfaas-platform", "osfaas.platform")):
        if f'"configMapRef": {{"name": "{name}"}}' in text or f'"configMap": {{"name": "{name}"}}' in text:
            annotation = f"checksum/{name.removeprefix('osfaas-')}"
            path = (*template, "metadata", "annotations", annotation)
            yield Binding(path=path, expression=f'include "{expression}" . | sha256sum')
    # The same for policy rules, which only some sites have.
    if '"configMap": {"name": "osfaas-policy"' in text:
        path = (*template, "metadata", "annotations", "checksum/policy")
        yield Binding(
            path=path, expression='and .Values.policy (.Values.policy | default "" | sha256sum)', optional=True
        )
    yield from _credentials(item, container, pod)


def _credentials(item: Manifest, container: Path, pod: Path) -> Iterator[Binding]:
    for index, variable in enumerate(_at(item, (*container, "env"))):
        path: Path = (*container, "env", index)
        if variable["name"] == "OS_CLOUD":
            yield _plain(item, (*path, "value"), "keystone.cloud")
        if "secretKeyRef" in variable.get("valueFrom", {}):
            yield _secret(item, (*path, "valueFrom", "secretKeyRef", "name"))
    for index, source in enumerate(_at(item, container).get("envFrom", ())):
        if "secretRef" in source:
            yield _secret(item, (*container, "envFrom", index, "secretRef", "name"))
    for index, volume in enumerate(_at(item, (*pod, "volumes"))):
        if "secret" in volume:
            yield _secret(item, (*pod, "volumes", index, "secret", "secretName"))


def _network(item: Manifest) -> Iterator[Binding]:
    name = item["metadata"]["name"]
    rules = item["spec"].get("egress", [])
    addresses = [peer["ipBlock"]["cidr"] for rule in rules for peer in rule["to"] if "ipBlock" in peer]
    if name in NETWORKS:
        (rule,) = rules
        value = f"network.{NETWORKS[name]}"
        yield Binding(
            path=("spec", "egress", 0, "to"),
            expression=f'include "osfaas.blocks" .Values.{value} | fromJsonArray',
            value=f"{value}.cidrs",
            default=addresses,
        )
        ports = [port["port"] for port in rule["ports"]]
        yield Binding(
            path=("spec", "egress", 0, "ports"),
            expression=f'include "osfaas.ports" .Values.{value} | fromJsonArray',
            value=f"{value}.ports",
            default=ports,
        )
    elif addresses:
        raise ChartError(f"NetworkPolicy {name} has addresses of a site: no value stands for them")


def _settings(item: Manifest) -> Iterator[Binding]:
    name = item["metadata"]["name"]
    expressions = {"osfaas-gateway": "osfaas.settings", "osfaas-platform": "osfaas.platform"}
    if name not in expressions:
        raise ChartError(f"ConfigMap {name}: no value stands for its data")
    yield Binding(path=("data",), expression=f'include "{expressions[name]}" . | fromJson')


def _secret(item: Manifest, path: Path) -> Binding:
    name = _at(item, path)
    if name not in _SECRETS:
        raise ChartError(f"{item['metadata']['name']} reads the Secret {name}: no value stands for its name")
    return _plain(item, path, _SECRETS[name].removeprefix(".Values."))


def _plain(item: Manifest, path: Path, value: str) -> Binding:
    return Binding(path=path, expression=f".Values.{value}", value=value, default=_at(item, path))


def _at(item: Any, path: Path) -> Any:
    for step in path:
        item = item[step]
    return item
