"""The Job that builds a tenant's function from its source, and the Secrets with the credentials of the registry. Pure.

A build runs code of others where source distributions are allowed, so it is as isolated as a function: restricted, in a
user namespace or the sandbox (`policies.admission_pods`), without a token, and with a way out to the registry and the
index only (`policies.network`). Its credential can push to the repositories of its own project, and to no other.
"""

import base64
import hashlib
import json
import re
from typing import Any

from policies.access import SERVICE_ACCOUNT
from policies.function import RESTRICTED
from policies.labels import BUILD, BUILD_KEY
from policies.mesh import POD_INJECTION_LABEL
from policies.metadata import tenant_labels, tenant_metadata
from policies.model import Builds, Manifest, Platform, TenantSpec
from policies.names import ProjectId
from policies.own_function import DEFAULT_USER, OwnFunction, RegistryCredentials

PULL_SECRET = "osfaas-registry-pull"  # noqa: S105 - a name
PUSH_SECRET = "osfaas-registry-push"  # noqa: S105 - a name
REGISTRY_SECRETS = (PULL_SECRET, PUSH_SECRET)
# The user name beside a credential that the controller has signed.
REGISTRY_USER = "workload"
CONTAINER = "build"
# Exit statuses of osfaas-build after which another attempt is useless.
_FINAL = [64, 65]
_ATTEMPTS = 3
# The log of a build is there for so long.
_KEPT_SECONDS = 3_600
_FOLDER, _CREDENTIAL = "/run/osfaas", "credential"
_OWNER = re.compile(r"[a-z0-9]{1,64}")


def repository_of(project_id: ProjectId, function: str) -> str:
    """The repository of a function's archives and images."""
    return f"{project_id}/{function}"


def has_repositories(project_id: ProjectId) -> bool:
    """Whether repositories of a registry can be named after the project."""
    return bool(_OWNER.fullmatch(project_id))


def build_key(function: OwnFunction) -> str:
    """Identifies a build. The same source is built once, unless another attempt is asked for."""
    return hashlib.sha256(f"{function.source} {function.attempt}".encode()).hexdigest()[:16]


def job_name(function: OwnFunction) -> str:
    """The name of the Job of a build."""
    return f"build-{function.name}-{build_key(function)[:8]}"


def build_job(spec: TenantSpec, builds: Builds, function: OwnFunction) -> Manifest:
    """The Job that builds a function."""
    metadata = tenant_metadata(spec, job_name(function), annotations={BUILD_KEY: build_key(function)})
    metadata["labels"][BUILD] = function.name
    # istio-cni's proxy would never end, and would carry its connections past the policy on addresses.
    labels = {**tenant_labels(spec), BUILD: function.name, POD_INJECTION_LABEL: "false"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "backoffLimit": _ATTEMPTS - 1,
            "activeDeadlineSeconds": builds.deadline_seconds,
            "ttlSecondsAfterFinished": _KEPT_SECONDS,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": _FINAL},
                    },
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]
            },
            "template": {"metadata": {"labels": labels}, "spec": _pod(spec, builds, function)},
        },
    }


def _pod(spec: TenantSpec, builds: Builds, function: OwnFunction) -> dict[str, Any]:
    resources = {
        "cpu": f"{builds.cpu_millis}m",
        "memory": f"{builds.memory_mib}Mi",
        "ephemeral-storage": f"{builds.disk_mib}Mi",
    }
    container = {
        "name": CONTAINER,
        "image": builds.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["osfaas-build"],
        "env": [{"name": name, "value": value} for name, value in _environment(spec, builds, function).items()],
        "resources": {"requests": resources, "limits": resources},
        "securityContext": RESTRICTED | {"runAsUser": DEFAULT_USER},
        # The result; if the program was killed, the end of its output.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own
            {"name": "registry", "mountPath": _FOLDER, "readOnly": True},
        ],
    }
    return {
        "restartPolicy": "Never",
        "serviceAccountName": SERVICE_ACCOUNT,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "securityContext": {"fsGroup": DEFAULT_USER},
        "containers": [container],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": f"{builds.disk_mib}Mi"}},
            {"name": "registry", "secret": {"secretName": PUSH_SECRET, "defaultMode": 0o440}},
        ],
    }


def _environment(spec: TenantSpec, builds: Builds, function: OwnFunction) -> dict[str, str]:
    return {
        "OSFAAS_BUILD_SOURCE": function.source,
        "OSFAAS_BUILD_REPOSITORY": repository_of(spec.project_id, function.name),
        "OSFAAS_BUILD_REGISTRY_URL": builds.registry_url,
        "OSFAAS_BUILD_TOKEN_URL": builds.token_url,
        "OSFAAS_BUILD_CREDENTIAL_FILE": f"{_FOLDER}/{_CREDENTIAL}",
        "OSFAAS_BUILD_INDEX_URL": builds.index_url,
        "OSFAAS_BUILD_BASES": ",".join(f"{runtime}={base}" for runtime, base in sorted(builds.bases.items())),
        "OSFAAS_BUILD_SOURCE_DISTRIBUTIONS": "true" if builds.source_distributions else "false",
        "OSFAAS_BUILD_ARCHIVE_MAX_BYTES": str(builds.archive_max_bytes),
        "OSFAAS_BUILD_RESULT_FILE": "/dev/termination-log",
    }


def build_pull_secret(spec: TenantSpec, builds: Builds, credentials: RegistryCredentials) -> Manifest:
    """The Secret with which the kubelet pulls images of the project's repositories."""
    login = f"{REGISTRY_USER}:{credentials.pull}"
    entry = {"username": REGISTRY_USER, "password": credentials.pull, "auth": _base64(login)}
    content = json.dumps({"auths": {builds.registry: entry}}, sort_keys=True)
    return _secret(spec, PULL_SECRET, "kubernetes.io/dockerconfigjson", {".dockerconfigjson": content})


def build_push_secret(spec: TenantSpec, credentials: RegistryCredentials) -> Manifest:
    """The Secret of the builds of a project; it is there while one runs."""
    return _secret(spec, PUSH_SECRET, "Opaque", {_CREDENTIAL: f"{REGISTRY_USER}:{credentials.push}"})


def needs_pull_secret(image: str, spec: TenantSpec, platform: Platform) -> bool:
    """Whether an image is in the project's own repositories."""
    return platform.builds is not None and image.startswith(f"{platform.builds.registry}/{spec.project_id}/")


def _secret(spec: TenantSpec, name: str, type_: str, content: dict[str, str]) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": tenant_metadata(spec, name),
        "type": type_,
        "data": {key: _base64(value) for key, value in content.items()},
    }


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
