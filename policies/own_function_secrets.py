"""Secrets of a tenant's own functions: names, bounds, and how a pod gets them.

Each value that is set is a Kubernetes Secret of its own, immutable and with a random version in its name. So a new
value makes a new revision of each function that mounts it, an old revision keeps the old value, nothing that is listed
tells about a value, and their writer needs no right to read any.
"""

from collections.abc import Mapping
from typing import Any

from policies.model import Manifest
from policies.names import NamespaceName
from policies.own_function import OwnFunction, Rejection

# Of a project; of the versions of a secret that existing revisions mount; of a function.
MAX_SECRETS, MAX_VERSIONS, MAX_MOUNTED = 32, 8, 16
MAX_NAME = 40
MAX_BYTES = 32_768
# Where the files are, as with containers elsewhere: /run/secrets/NAME.
MOUNT_PATH = "/run/secrets"
SECRET_TYPE = "osfaas.dev/function-secret"  # noqa: S105 - a type
OBJECT_PREFIX = "osfaas-secret-"
_KEY = "value"
_VOLUME = "secrets"


def secret_object_name(name: str, version: str) -> str:
    """The name of the Kubernetes Secret with a version of a secret."""
    return f"{OBJECT_PREFIX}{name}-{version}"


def build_secret(namespace: NamespaceName, name: str, version: str, encoded: str) -> Manifest:
    """The Kubernetes Secret with a version of a secret; `encoded`: its value in base64."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": secret_object_name(name, version), "namespace": namespace},
        "type": SECRET_TYPE,
        "immutable": True,
        "data": {_KEY: encoded},
    }


def mounted_secrets(pod: Mapping[str, Any]) -> frozenset[str]:
    """Names of the Kubernetes Secrets that a pod's specification mounts as `add_secrets` does."""
    return frozenset(
        source["secret"]["name"]
        for volume in pod.get("volumes", ())
        for source in volume.get("projected", {}).get("sources", ())
        if source.get("secret", {}).get("name", "").startswith(OBJECT_PREFIX)
    )


def add_secrets(pod: dict[str, Any], function: OwnFunction, versions: Mapping[str, str]) -> None:
    """Mounts the function's secrets into its pod, each as a file.

    Args:
        pod: the specification, which is changed.
        function: accepted by `secret_rejection`.
        versions: the current version of each secret.
    """
    if not function.secrets:
        return
    sources = [
        {"secret": {"name": secret_object_name(name, versions[name]), "items": [{"key": _KEY, "path": name}]}}
        for name in sorted(function.secrets)
    ]
    pod["volumes"].append({"name": _VOLUME, "projected": {"sources": sources}})
    pod["containers"][0]["volumeMounts"].append({"name": _VOLUME, "mountPath": MOUNT_PATH, "readOnly": True})


def secret_rejection(function: OwnFunction, known: Mapping[str, str] | frozenset[str]) -> Rejection | None:
    """Why the function's secrets cannot be mounted, or None; `known`: the secrets of the project."""
    missing = [name for name in sorted(function.secrets) if name not in known]
    if not missing:
        return None
    names = ", ".join(missing)
    return Rejection(
        "SecretMissing",
        f"the project has no secret {names}: set it with 'osfaas function secret set {missing[0]}'",
    )
