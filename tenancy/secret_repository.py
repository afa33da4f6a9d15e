"""Stores the secrets of projects' functions: the list as `FunctionSecret` objects, each value as a Secret of its own.

Nothing here reads a Secret. The process that uses it has no right to.
"""

import base64
from collections.abc import Mapping
from typing import Protocol

from policies.names import NamespaceName
from policies.own_function_secrets import build_secret, mounted_secrets, secret_object_name
from tenancy.function_repository import MANAGER
from tenancy.kubernetes.client import Cluster, Ref, ref_of
from tenancy.kubernetes.kinds import FUNCTION_SECRETS, REVISION, SECRET
from tenancy.model.errors import ClusterError, ForbiddenError, SecretError, UnavailableError
from tenancy.model.function_secret import SecretRecord, secret_manifest_of, secret_record_of


class SecretRepository(Protocol):
    """A repository of secrets. Every method raises ClusterError, and RecordError for a malformed object."""

    def list(self, namespace: NamespaceName) -> tuple[SecretRecord, ...]:
        """All secrets of a tenant, sorted by name; also those of which no value was stored yet."""
        ...

    def create(self, record: SecretRecord) -> SecretRecord:
        """Lists a new secret.

        Raises:
            ConflictError: there is one of this name already.
        """
        ...

    def update(self, record: SecretRecord) -> SecretRecord:
        """Replaces the version of the record that was read.

        Raises:
            ConflictError: it has changed since.
        """
        ...

    def delete(self, record: SecretRecord) -> None:
        """Takes the version that was read off the list.

        Raises:
            ConflictError: it has changed since.
        """
        ...

    def store(self, namespace: NamespaceName, name: str, version: str, value: bytes) -> None:
        """Stores a value.

        Raises:
            SecretError: Kubernetes refuses it; no message has the value.
        """
        ...

    def discard(self, namespace: NamespaceName, name: str, version: str) -> None:
        """Deletes a value, if it is there."""
        ...

    def mounts(self, namespace: NamespaceName) -> Mapping[str, frozenset[str]]:
        """Names of the Kubernetes Secrets that each existing revision mounts, by the revision's name."""
        ...


class KubernetesSecretRepository:
    """`SecretRepository` in a Kubernetes cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def list(self, namespace: NamespaceName) -> tuple[SecretRecord, ...]:
        """See `SecretRepository`."""
        records = (secret_record_of(each) for each in self._cluster.list(FUNCTION_SECRETS, namespace=namespace).items)
        return tuple(sorted(records, key=lambda record: record.name))

    def create(self, record: SecretRecord) -> SecretRecord:
        """See `SecretRepository`."""
        return secret_record_of(self._cluster.create(secret_manifest_of(record), manager=MANAGER))

    def update(self, record: SecretRecord) -> SecretRecord:
        """See `SecretRepository`."""
        manifest = secret_manifest_of(record)
        operations = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": record.resource_version},
            {"op": "replace", "path": "/spec", "value": manifest["spec"]},
        ]
        return secret_record_of(self._cluster.patch(ref_of(manifest), operations, manager=MANAGER))

    def delete(self, record: SecretRecord) -> None:
        """See `SecretRepository`."""
        ref = Ref(FUNCTION_SECRETS, record.namespace, record.name)
        self._cluster.delete(ref, uid=record.uid, resource_version=record.resource_version)

    def store(self, namespace: NamespaceName, name: str, version: str, value: bytes) -> None:
        """See `SecretRepository`."""
        manifest = build_secret(namespace, name, version, base64.b64encode(value).decode())
        try:
            self._cluster.create(manifest, manager=MANAGER)
        except UnavailableError:
            # Its message is never shown to callers.
            raise UnavailableError("the Secret was not stored: Kubernetes did not respond") from None
        except ClusterError as error:
            # An API server may quote in its message what it refuses, so neither that nor the error itself goes further.
            quota = isinstance(error, ForbiddenError) and "exceeded quota" in str(error)
            why = "the namespace's quota of Secrets is used up" if quota else "Kubernetes refused the Secret"
            raise SecretError(why) from None

    def discard(self, namespace: NamespaceName, name: str, version: str) -> None:
        """See `SecretRepository`."""
        # The name has a random part, so nobody else's object can have it.
        self._cluster.delete(Ref(SECRET, namespace, secret_object_name(name, version)), uid="")

    def mounts(self, namespace: NamespaceName) -> Mapping[str, frozenset[str]]:
        """See `SecretRepository`."""
        items = self._cluster.list(REVISION, namespace=namespace).items
        return {item["metadata"]["name"]: mounted_secrets(item["spec"]) for item in items}
