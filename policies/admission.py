"""Building blocks of admission policies: scope, exemptions, policies and bindings.

The API server evaluates them itself (CEL), so there is no webhook that could be down. All policies apply to tenants'
namespaces only, by their labels, and fail closed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from policies.labels import ISOLATION, TENANT
from policies.metadata import platform_metadata
from policies.model import IsolationLevel, Manifest, Platform

_GROUP = "admissionregistration.k8s.io/v1"
TENANT_NAMESPACES: dict[str, Any] = {"matchExpressions": [{"key": TENANT, "operator": "Exists"}]}


@dataclass(frozen=True, slots=True)
class Rule:
    """One validation.

    Attributes:
        expression: CEL, true if the object is valid.
        message: the problem, shown to the client.
    """

    expression: str
    message: str

    def as_json(self) -> dict[str, str]:
        return {"expression": self.expression, "message": self.message, "reason": "Forbidden"}


def namespaces_from(level: IsolationLevel) -> dict[str, Any]:
    """Selects the namespaces of tenants at this level or above."""
    levels = [other.value for other in IsolationLevel if other >= level]
    return {"matchExpressions": [{"key": ISOLATION, "operator": "In", "values": levels}]}


def resources(group: str, *names: str, operations: Sequence[str] = ("CREATE", "UPDATE")) -> dict[str, Any]:
    return {"apiGroups": [group], "apiVersions": ["*"], "operations": list(operations), "resources": list(names)}


def exempt(platform: Platform) -> list[dict[str, str]]:
    """MatchConditions that exempt the platform's own controllers and its administrators."""
    controller = f"system:serviceaccount:{platform.system_namespace}:{platform.controller_account}"
    groups = [f"system:serviceaccounts:{platform.knative_namespace}", *platform.admin_groups]
    return [
        {"name": "not-our-controller", "expression": f"request.userInfo.username != {quoted(controller)}"},
        {
            "name": "not-of-the-platform",
            "expression": f"!request.userInfo.?groups.orValue([]).exists(group, group in {quoted_list(groups)})",
        },
    ]


def validating(
    name: str, match: dict[str, Any], rules: Sequence[Rule], conditions: Sequence[dict[str, str]] = ()
) -> tuple[Manifest, Manifest]:
    """A ValidatingAdmissionPolicy and its binding."""
    spec: dict[str, Any] = {
        "failurePolicy": "Fail",
        "matchConstraints": match,
        "validations": [rule.as_json() for rule in rules],
    }
    if conditions:
        spec["matchConditions"] = list(conditions)
    return (
        _object("ValidatingAdmissionPolicy", name, spec),
        _object("ValidatingAdmissionPolicyBinding", name, {"policyName": name, "validationActions": ["Deny"]}),
    )


def mutating(
    name: str, match: dict[str, Any], mutations: Sequence[dict[str, Any]], conditions: Sequence[dict[str, str]] = ()
) -> tuple[Manifest, Manifest]:
    """A MutatingAdmissionPolicy and its binding."""
    spec: dict[str, Any] = {
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "matchConstraints": match,
        "mutations": list(mutations),
    }
    if conditions:
        spec["matchConditions"] = list(conditions)
    return (
        _object("MutatingAdmissionPolicy", name, spec),
        _object("MutatingAdmissionPolicyBinding", name, {"policyName": name}),
    )


def quoted(text: str) -> str:
    """A CEL string. Names and labels of Kubernetes have neither quotes nor backslashes; others are refused."""
    if "'" in text or "\\" in text or "\n" in text:
        raise ValueError(f"{text!r} is not a valid name in Kubernetes")
    return f"'{text}'"


def quoted_list(texts: Sequence[str]) -> str:
    return f"[{', '.join(quoted(text) for text in texts)}]"


def _object(kind: str, name: str, spec: dict[str, Any]) -> Manifest:
    return {"apiVersion": _GROUP, "kind": kind, "metadata": platform_metadata(name), "spec": spec}
