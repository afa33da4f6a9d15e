"""A secret of a project's functions: the custom resource `FunctionSecret` (`manifests/crd/function-secrets.yaml`).

It is the list of what there is; the values are in Kubernetes Secrets, which no process of ours can read.

    apiVersion: osfaas.dev/v1alpha1
    kind: FunctionSecret
    metadata: {name: db-password, namespace: faas-3d1f…}
    spec:
      current: 5f0a9c11d2e7                      # absent: none was stored yet
      versions: [5f0a9c11d2e7, 01b2c3d4e5f6]     # each may have a Secret: osfaas-secret-db-password-5f0a9c11d2e7
      changedAt: 2026-11-24T12:00:00Z
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from policies.labels import API_GROUP, API_VERSION, SECRET_KIND
from policies.model import Manifest
from policies.names import NamespaceName
from tenancy.model.errors import RecordError

_VERSION = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRecord:
    """One `FunctionSecret` object.

    Attributes:
        namespace: of the tenant.
        current: the version that new revisions mount; "" while none was stored.
        versions: each may have a Kubernetes Secret, the newest first. One is listed before its Secret is made, and
            until after that is deleted.
        changed_at: RFC 3339; "" while none was stored.
        resource_version, uid: as read; "" for a record that was never stored.
    """

    namespace: NamespaceName
    name: str
    current: str = ""
    versions: tuple[str, ...] = ()
    changed_at: str = ""
    resource_version: str = ""
    uid: str = ""


def secret_record_of(manifest: Mapping[str, Any]) -> SecretRecord:
    """Parses a `FunctionSecret` object from the API server.

    Raises:
        RecordError: a field is missing or malformed; names the record.
    """
    metadata = manifest.get("metadata", {})
    try:
        spec = manifest["spec"]
        record = SecretRecord(
            namespace=metadata["namespace"],
            name=metadata["name"],
            current=spec.get("current", ""),
            versions=tuple(spec.get("versions", ())),
            changed_at=spec.get("changedAt", ""),
            resource_version=str(metadata.get("resourceVersion", "")),
            uid=str(metadata.get("uid", "")),
        )
        # They become names of Secrets, and no other one may be meant.
        versions = [*record.versions, record.current] if record.current else record.versions
        well_formed = all(map(_VERSION.fullmatch, versions))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RecordError(f"FunctionSecret {metadata.get('name')} is malformed: {error!r}") from error
    if not well_formed:
        raise RecordError(f"FunctionSecret {record.name} is malformed: a version must be 12 hex digits")
    return record


def secret_manifest_of(record: SecretRecord) -> Manifest:
    """The `FunctionSecret` object to write."""
    fields = {"current": record.current, "versions": list(record.versions), "changedAt": record.changed_at}
    return {
        "apiVersion": f"{API_GROUP}/{API_VERSION}",
        "kind": SECRET_KIND,
        "metadata": {"name": record.name, "namespace": record.namespace},
        "spec": {name: value for name, value in fields.items() if value},
    }
