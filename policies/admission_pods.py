"""Admission of tenants' pods: user namespaces, sandboxed runtime, the tenant's own nodes, placement.

Knative's pod template has no field for the first, and those for the others are disabled. The API server therefore sets
them on the pods themselves, and refuses any pod without them. Knative's own setting of a runtime class
(`runtime-class-name` in `config-deployment`) would reach only the pods that Knative creates, and enforces nothing.
"""

from typing import Any

from policies.admission import TENANT_NAMESPACES, Rule, mutating, namespaces_from, quoted, resources, validating
from policies.labels import BUILD, OWN_FUNCTION
from policies.model import IsolationLevel, Manifest, Platform

# Labels of the pods that run code which the operator has not chosen, by the name of their policy.
_TENANT_CODE = {"osfaas-pods-own-functions": OWN_FUNCTION, "osfaas-pods-builds": BUILD}


def build_pod_admission(platform: Platform) -> tuple[Manifest, ...]:
    """Mutating and validating policies on pods; those of levels that the platform does not support are omitted."""
    parts = [*_no_token(platform), *_user_namespace(platform), *_placement(platform)]
    if platform.sandbox_runtime_class is not None:
        levels = _pods(namespaces_from(IsolationLevel.L4))
        parts += [*_sandbox("osfaas-pods-sandbox", levels, platform.sandbox_runtime_class), *_node_pool(platform)]
        if platform.sandbox_own_functions:
            for name, label in _TENANT_CODE.items():
                labelled = {"matchExpressions": [{"key": label, "operator": "Exists"}]}
                match = {**_pods(TENANT_NAMESPACES), "objectSelector": labelled}
                parts += _sandbox(name, match, platform.sandbox_runtime_class)
    return tuple(parts)


def _pods(namespaces: dict[str, Any], *operations: str) -> dict[str, Any]:
    rule = resources("", "pods", operations=operations or ["CREATE"])
    return {"namespaceSelector": namespaces, "resourceRules": [rule]}


def _set(fields: str) -> dict[str, Any]:
    """A mutation that sets fields of the pod's spec."""
    expression = f"Object{{spec: Object.spec{{{fields}}}}}"
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


def _no_token(platform: Platform) -> tuple[Manifest, ...]:
    """A sidecar's token is valid for Istio's certificate authority only."""
    token = "source.?serviceAccountToken.hasValue()"  # noqa: S105 - a CEL expression
    if platform.sidecars:
        token += " && source.serviceAccountToken.?audience.orValue('') != 'istio-ca'"
    volumes = "object.spec.?volumes.orValue([])"
    sources = "volume.?projected.?sources.orValue([])"
    rule = Rule(
        f"!{volumes}.exists(volume, {sources}.exists(source, {token}))",
        "pods of tenants must not have a service account token",
    )
    return validating("osfaas-pods-without-token", _pods(TENANT_NAMESPACES), [rule])


def _user_namespace(platform: Platform) -> tuple[Manifest, ...]:
    """Applies from L3 on; a sandbox whose runtime supports no such pods has its own kernel instead.

    Without a sandbox, L4 and L5 are not available, but a namespace may have their label: its pods then get L3.
    """
    match, name = _pods(namespaces_from(IsolationLevel.L3)), "osfaas-pods-user-namespace"
    mutation, in_user_namespace = _set("hostUsers: false"), "object.spec.?hostUsers.orValue(true) == false"
    sandbox = platform.sandbox_runtime_class
    if sandbox is None or platform.sandbox_user_namespaces:
        rule = Rule(in_user_namespace, "pods at this level must run in a user namespace")
        return (*mutating(name, match, [mutation]), *validating(name, match, [rule]))
    match["namespaceSelector"]["matchExpressions"][0]["values"] = [IsolationLevel.L3.value]
    in_sandbox = f"object.spec.?runtimeClassName.orValue('') == {quoted(sandbox)}"
    # The API server may set the RuntimeClass of a tenant's own code after this policy.
    labelled = [f"object.metadata.?labels[?{quoted(label)}].hasValue()" for label in _TENANT_CODE.values()]
    sandboxed = [in_sandbox, *(labelled if platform.sandbox_own_functions else [])]
    elsewhere = f"!({' || '.join(sandboxed)})"
    condition = {"name": "not-in-the-sandbox", "expression": elsewhere}
    rule = Rule(
        f"{in_user_namespace} || {in_sandbox}", "pods at this level must run in a user namespace or in the sandbox"
    )
    return (*mutating(name, match, [mutation], [condition]), *validating(name, match, [rule]))


def _sandbox(name: str, match: dict[str, Any], runtime_class: str) -> tuple[Manifest, ...]:
    rule = Rule(
        f"object.spec.?runtimeClassName.orValue('') == {quoted(runtime_class)}",
        f"pods of this kind or at this level must have the RuntimeClass {runtime_class}",
    )
    return (
        *mutating(name, match, [_set(f"runtimeClassName: {quoted(runtime_class)}")]),
        *validating(name, match, [rule]),
    )


def _placement(platform: Platform) -> tuple[Manifest, ...]:
    """At every level: keeps pods off the nodes of other tenants, whether past their taint or past the scheduler.

    A toleration admits a pod, and may be added to an existing pod, hence UPDATE. A pod with `nodeName` bypasses the
    scheduler, which honours taints; the scheduler itself sets it by another request (`binding`). The pool's label in a
    selector is useless without the toleration, unless a node lacks its taint. Tolerations that a pod had before this
    policy existed stay valid, so that other writers can still update it.
    """
    label, owner = quoted(platform.node_pool_label), "namespaceObject.metadata.name"
    tolerations = "object.spec.?tolerations.orValue([])"
    unchanged = f"request.operation == 'UPDATE' && {tolerations} == oldObject.spec.?tolerations.orValue([])"
    own = f"each.?operator.orValue('Equal') == 'Equal' && each.?value.orValue('') == {owner}"
    tolerated = f"each.?key.orValue('') != '' && (each.?key.orValue('') != {label} || {own})"
    node_affinity = "object.spec.?affinity.?nodeAffinity"
    required = f"{node_affinity}.?requiredDuringSchedulingIgnoredDuringExecution.?nodeSelectorTerms.orValue([])"
    preferred = f"{node_affinity}.?preferredDuringSchedulingIgnoredDuringExecution.orValue([])"
    selected = f"each.key != {label} || (each.operator == 'In' && each.?values.orValue([]) == [{owner}])"
    pool = f"the value of {platform.node_pool_label} must be the tenant's own namespace"
    rules = [
        Rule(
            f"({unchanged}) || {tolerations}.all(each, {tolerated})",
            f"pods of tenants must not tolerate all taints, nor the taint of another tenant's nodes: {pool}",
        ),
        Rule(f"object.spec.?nodeSelector[?{label}].orValue({owner}) == {owner}", pool),
        Rule(
            f"{required}.all(term, term.?matchExpressions.orValue([]).all(each, {selected}))"
            f" && {preferred}.all(term, term.preference.?matchExpressions.orValue([]).all(each, {selected}))",
            pool,
        ),
        Rule(
            "request.operation == 'UPDATE' || object.spec.?nodeName.orValue('') == ''",
            "pods of tenants must not set nodeName: the scheduler chooses the node",
        ),
        Rule(
            "!object.spec.?priorityClassName.orValue('').startsWith('system-')",
            "pods of tenants must not have a system priority: they would evict other pods",
        ),
    ]
    return validating("osfaas-pods-placement", _pods(TENANT_NAMESPACES, "CREATE", "UPDATE"), rules)


def _node_pool(platform: Platform) -> tuple[Manifest, ...]:
    """The tenant's nodes have its namespace's name as a label and as a taint.

    Both fields are atomic in Kubernetes and cannot be set by an apply configuration; hence JSON patches. The pod's own
    selector is replaced: it could only select other nodes, or none.
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
        "pods at this level must run on the tenant's own nodes",
    )
    name = "osfaas-pods-node-pool"
    patches = [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}} for patch in (selector, tolerations)]
    return (*mutating(name, match, patches), *validating(name, match, [rule]))
