"""What pods of tenants get and must have, by level: user namespaces, a sandboxed runtime, the tenant's own nodes.

Knative's pod template has no field for the first and none that is on for the others, so the API server sets them on
the pods themselves, and refuses a pod that, however it came about, is without.
"""

from typing import Any

from policies.admission import TENANT_NAMESPACES, Rule, mutating, namespaces_from, quoted, resources, validating
from policies.model import IsolationLevel, Manifest, Platform


def build_pod_admission(platform: Platform) -> tuple[Manifest, ...]:
    """Mutating and validating policies on pods; those of the levels that the platform cannot give are left out."""
    parts = [*_no_token(platform), *_user_namespace(platform)]
    if platform.sandbox_runtime_class is not None:
        parts += [*_sandbox(platform.sandbox_runtime_class), *_node_pool(platform)]
    return tuple(parts)


def _pods(namespaces: dict[str, Any]) -> dict[str, Any]:
    return {"namespaceSelector": namespaces, "resourceRules": [resources("", "pods", operations=["CREATE"])]}


def _set(fields: str) -> dict[str, Any]:
    """A mutation that sets fields of the pod's spec."""
    expression = f"Object{{spec: Object.spec{{{fields}}}}}"
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


def _no_token(platform: Platform) -> tuple[Manifest, ...]:
    """A sidecar's token is for Istio's certificate authority alone; nothing else takes it."""
    token = "source.?serviceAccountToken.hasValue()"  # noqa: S105 - a CEL expression
    if platform.sidecars:
        token += " && source.serviceAccountToken.?audience.orValue('') != 'istio-ca'"
    volumes = "object.spec.?volumes.orValue([])"
    sources = "volume.?projected.?sources.orValue([])"
    rule = Rule(
        f"!{volumes}.exists(volume, {sources}.exists(source, {token}))",
        "a tenant's pod gets no token of a service account",
    )
    return validating("osfaas-pods-without-token", _pods(TENANT_NAMESPACES), [rule])


def _user_namespace(platform: Platform) -> tuple[Manifest, ...]:
    """From L3 on; a sandbox whose runtime takes no such pods has a kernel of its own in its place."""
    match = _pods(namespaces_from(IsolationLevel.L3))
    if not platform.sandbox_user_namespaces:
        match["namespaceSelector"]["matchExpressions"][0]["values"] = [IsolationLevel.L3.value]
    rule = Rule("object.spec.?hostUsers.orValue(true) == false", "pods of this level run in a user namespace")
    name = "osfaas-pods-user-namespace"
    return (*mutating(name, match, [_set("hostUsers: false")]), *validating(name, match, [rule]))


def _sandbox(runtime_class: str) -> tuple[Manifest, ...]:
    match = _pods(namespaces_from(IsolationLevel.L4))
    rule = Rule(
        f"object.spec.?runtimeClassName.orValue('') == {quoted(runtime_class)}",
        f"pods of this level run in the sandbox {runtime_class}",
    )
    name = "osfaas-pods-sandbox"
    return (
        *mutating(name, match, [_set(f"runtimeClassName: {quoted(runtime_class)}")]),
        *validating(name, match, [rule]),
    )


def _node_pool(platform: Platform) -> tuple[Manifest, ...]:
    """The tenant's nodes bear its namespace's name as a label and as a taint.

    Both fields are atomic to Kubernetes, which an apply configuration may not touch; hence JSON patches. A selector of
    the pod's own is replaced: it could only lead away from the tenant's nodes, or nowhere.
    """
    match = _pods(namespaces_from(IsolationLevel.L5))
    label, owner = quoted(platform.node_pool_label), "namespaceObject.metadata.name"
    selector = f"[JSONPatch{{op: 'add', path: '/spec/nodeSelector', value: {{{label}: {owner}}}}}]"
    toleration = f"Object.spec.tolerations{{key: {label}, operator: 'Equal', value: {owner}}}"
    tolerations = (
        "has(object.spec.tolerations)"
        f" ? [JSONPatch{{op: 'add', path: '/spec/tolerations/-', value: {toleration}}}]"
        f" : [JSONPatch{{op: 'add', path: '/spec/tolerations', value: [{toleration}]}}]"
    )
    rule = Rule(
        f"object.spec.?nodeSelector[?{label}].orValue('') == {owner}",
        "pods of this level run on the tenant's own nodes",
    )
    name = "osfaas-pods-node-pool"
    patches = [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}} for patch in (selector, tolerations)]
    return (*mutating(name, match, patches), *validating(name, match, [rule]))
