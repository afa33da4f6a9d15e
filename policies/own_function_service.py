"""The Knative Service of a tenant's own function.

A revision is named after the content of its template. The same specification is the same revision, so deploying it
again changes nothing, and returning to an earlier one starts nothing anew. A name is never given to another content,
which traffic to a revision depends on.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from policies.access import SERVICE_ACCOUNT
from policies.function import READINESS, RESTRICTED, sidecar_annotations
from policies.labels import CALLABLE, CLUSTER_LOCAL, ISOLATION, KNATIVE_VISIBILITY, OBJECTS, OWN_FUNCTION, SANDBOX
from policies.mesh import POD_INJECTION_LABEL, has_sidecars
from policies.metadata import tenant_labels, tenant_metadata
from policies.model import Manifest, Platform, TenantSpec
from policies.own_build import PULL_SECRET, needs_pull_secret
from policies.own_function import OwnFunction, TrafficTarget
from policies.own_function_secrets import add_secrets
from policies.quota import pods_that_fit
from policies.sandbox import sandbox_of

_TMP_MIB = 128


_NO_SECRETS: Mapping[str, str] = MappingProxyType({})


def build_own_function(
    spec: TenantSpec,
    platform: Platform,
    function: OwnFunction,
    revisions: Collection[str] | None = None,
    *,
    secrets: Mapping[str, str] = _NO_SECRETS,
) -> Manifest:
    """The Knative Service: as isolated as one of the catalogue, with the shares of its revisions.

    Args:
        spec: of the tenant.
        platform: the cluster.
        function: accepted by `policies.own_function_rules.rejection_of`.
        revisions: names of the existing revisions. Knative routes nothing at all if one of the named ones does not
            exist, so the share of such a one goes to the latest. None: all exist.
        secrets: the current version of each of the project's secrets.
    """
    metadata = tenant_metadata(spec, function.name)
    metadata["labels"] |= {KNATIVE_VISIBILITY: CLUSTER_LOCAL, CALLABLE: "true", OWN_FUNCTION: function.name}
    metadata["labels"][OBJECTS] = "true" if function.objects else "false"
    template = _template(spec, platform, function, secrets)
    known = None if revisions is None else {*revisions, template["metadata"]["name"]}
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"template": template, "traffic": [_target(target, known) for target in function.traffic]},
    }


def shares_without_latest(
    function: OwnFunction, revisions: Collection[str] | None = None
) -> list[dict[str, Any]] | None:
    """The shares of the revisions, if each of them is an existing one; None: the latest revision gets a share.

    They do not depend on a build. A share of the latest revision does: until the build has ended, Knative would send
    it to the revision that this change replaces.

    Args:
        function: whose latest revision is not built.
        revisions: as in `build_own_function`.
    """
    shares = [_target(target, revisions) for target in function.traffic]
    return None if any(share["latestRevision"] for share in shares) else shares


def missing_revisions(function: OwnFunction, service: Manifest) -> tuple[str, ...]:
    """Revisions that the function's traffic names and its built Knative Service does not, because they are gone."""
    routed = {target.get("revisionName") for target in service["spec"]["traffic"]}
    return tuple(
        dict.fromkeys(
            target.revision
            for target in function.traffic
            if target.revision is not None and target.revision not in routed
        )
    )


def _template(
    spec: TenantSpec, platform: Platform, function: OwnFunction, secrets: Mapping[str, str]
) -> dict[str, Any]:
    proxy = has_sidecars(spec, platform, tenant_code=True)
    annotations = {
        "autoscaling.knative.dev/min-scale": str(function.min_scale),
        "autoscaling.knative.dev/max-scale": str(max(pods_that_fit(function, spec.limits), 1)),
        **sidecar_annotations(platform, proxy=proxy),
    }
    template: dict[str, Any] = {
        "metadata": {"labels": _labels(spec, platform, function), "annotations": annotations},
        "spec": _pod(function),
    }
    add_secrets(template["spec"], function, secrets)
    if needs_pull_secret(function.image, spec, platform):
        template["spec"]["imagePullSecrets"] = [{"name": PULL_SECRET}]
    content = json.dumps([template, function.attempt], sort_keys=True).encode()
    template["metadata"]["name"] = f"{function.name}-{hashlib.sha256(content).hexdigest()[:8]}"
    return template


def _labels(spec: TenantSpec, platform: Platform, function: OwnFunction) -> dict[str, str]:
    labels = {**tenant_labels(spec), ISOLATION: spec.isolation.value, OWN_FUNCTION: function.name}
    sandbox = sandbox_of(spec.isolation, platform, tenant_code=True)
    if sandbox:
        # Admission sets the RuntimeClass. The label makes another revision when the platform gains or loses a sandbox,
        # because the runtime of a pod is decided when it is created.
        labels[SANDBOX] = sandbox
    if has_sidecars(spec, platform) and not has_sidecars(spec, platform, tenant_code=True):
        # The label of the namespace asks for sidecars, for the catalogue's functions.
        labels[POD_INJECTION_LABEL] = "false"
    return labels


def _pod(function: OwnFunction) -> dict[str, Any]:
    resources = {"cpu": f"{function.cpu_millis}m", "memory": f"{function.memory_mib}Mi"}
    # Knative sets this default when the revision is named, and never again: without it here, the next apply of the same
    # template would take it away, which Knative rejects as a change of the revision.
    probe: dict[str, Any] = {**READINESS, "successThreshold": 1}
    if function.health_path:
        probe["httpGet"] = {"path": function.health_path}
    else:
        probe["tcpSocket"] = {"port": function.port}
    container: dict[str, Any] = {
        "name": "function",
        "image": function.image,
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"containerPort": function.port}],
        "readinessProbe": probe,
        "resources": {"requests": resources, "limits": resources},
        "securityContext": RESTRICTED | {"runAsUser": function.run_as_user},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - the pod's own
    }
    if function.command:
        container["command"] = list(function.command)
    if function.args:
        container["args"] = list(function.args)
    if function.environment:
        container["env"] = [{"name": name, "value": value} for name, value in sorted(function.environment.items())]
    return {
        "serviceAccountName": SERVICE_ACCOUNT,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containerConcurrency": function.concurrency,
        "timeoutSeconds": function.timeout_seconds,
        "responseStartTimeoutSeconds": function.timeout_seconds,
        "containers": [container],
        # The root file system is read-only.
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": f"{_TMP_MIB}Mi"}}],
    }


def _target(target: TrafficTarget, known: Collection[str] | None) -> dict[str, Any]:
    exists = target.revision is not None and (known is None or target.revision in known)
    return {
        "percent": target.percent,
        "latestRevision": not exists,
        **({"revisionName": target.revision} if exists else {}),
        **({"tag": target.tag} if target.tag else {}),
    }
