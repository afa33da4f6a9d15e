"""The Kubernetes API as the control plane uses it: objects as JSON over the official client's transport.

The client's typed models drop unknown fields, and its dynamic client caches discovery in a file in /tmp that others
can write to. Paths are therefore discovered here, once per kind, and kept in memory. Server-side apply uses one field
manager; callers decide whether it is forced.
"""

import functools
import json
import logging
import os
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kubernetes.client
import kubernetes.config
import urllib3
from kubernetes.client.exceptions import ApiException

from policies.labels import FIELD_MANAGER
from policies.model import Manifest
from tenancy.model.errors import (
    ClusterError,
    ConflictError,
    ExpiredError,
    ForbiddenError,
    KindMissingError,
    NotFoundError,
    UnavailableError,
)

log = logging.getLogger(__name__)

# Seconds to connect, and to wait for a response.
TIMEOUT = (5.0, 30.0)
# A watch sends a bookmark about once a minute; after a longer silence the connection is dead.
WATCH_SILENCE_SECONDS = 100.0
WATCH_SECONDS = 300
PAGE = 500
# Of lists; a server that cannot do it sends whole objects.
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

_TOO_MANY_REQUESTS, _SERVER_ERROR = 429, 500
_ERRORS: Mapping[int, type[ClusterError]] = {
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: ExpiredError,
}


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """A kind of object by apiVersion and kind."""

    api_version: str
    kind: str


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """A reference to one object; `namespace` is "" for cluster-scoped ones."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        place = f" in {self.namespace}" if self.namespace else ""
        return f"{self.kind.kind} {self.name}{place}"


def ref_of(manifest: Mapping[str, Any]) -> Ref:
    """The reference to the object of a manifest."""
    metadata = manifest["metadata"]
    return Ref(Kind(manifest["apiVersion"], manifest["kind"]), metadata.get("namespace", ""), metadata["name"])


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a kind, and the resourceVersion from which to watch."""

    items: tuple[Manifest, ...]
    resource_version: str


@dataclass(frozen=True, slots=True)
class Change:
    """One event of a watch: `ADDED`, `MODIFIED`, `DELETED` or `BOOKMARK`."""

    type: str
    object: Manifest


@dataclass(frozen=True, slots=True)
class _Resource:
    prefix: str
    plural: str
    namespaced: bool


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = "application/json"
    accept: str = "application/json"

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Cluster:
    """One Kubernetes cluster. May be used by several threads."""

    def __init__(self, client: kubernetes.client.ApiClient) -> None:
        self._client = client
        self._resources: dict[Kind, _Resource] = {}
        self._discovering = threading.Lock()

    def get(self, ref: Ref) -> Manifest | None:
        """The object, or None."""
        try:
            return self._call(_Request("GET", self._path(ref)))
        except NotFoundError:
            return None

    def list(self, kind: Kind, *, namespace: str = "", labels: str = "") -> Listing:
        """All objects of a kind: complete, or an error.

        Raises:
            ExpiredError: the list expired while its pages were read.
            KindMissingError: the cluster does not serve this kind.
        """
        items, version = [], ""
        for page in self._pages(kind, namespace, labels):
            # Items of a list carry neither apiVersion nor kind.
            items += [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in page["items"]]
            version = page["metadata"]["resourceVersion"]
        return Listing(tuple(items), version)

    def count(self, kind: Kind, *, namespace: str) -> int:
        """The number of objects of a kind in a namespace, of which the server sends only the metadata.

        Raises:
            ExpiredError, KindMissingError: as of `list`.
        """
        return sum(len(page["items"]) for page in self._pages(kind, namespace, accept=_METADATA))

    def _pages(
        self, kind: Kind, namespace: str, labels: str = "", *, accept: str = "application/json"
    ) -> Iterator[Manifest]:
        path, query = self._collection(kind, namespace), {"limit": str(PAGE)}
        if labels:
            query["labelSelector"] = labels
        while True:
            page = self._call(_Request("GET", path, query, accept=accept))
            yield page
            if not page["metadata"].get("continue"):
                return
            query["continue"] = page["metadata"]["continue"]

    def watch(self, kind: Kind, since: str, *, labels: str = "") -> Iterator[Change]:
        """Changes since a listing, until the server ends the watch after minutes; resume from the last version.

        Raises:
            ExpiredError: `since` is too old; list again.
            UnavailableError: the connection broke or fell silent.
        """
        query = {
            "watch": "true",
            "resourceVersion": since,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        if labels:
            query["labelSelector"] = labels
        path = self._collection(kind, "")
        response = self._send(_Request("GET", path, query), (TIMEOUT[0], WATCH_SILENCE_SECONDS))
        try:
            for line in _lines(response):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise _error(
                        int(event["object"].get("code", 0)), event["object"].get("message", ""), f"watch {path}"
                    )
                yield Change(event["type"], event["object"])
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise UnavailableError(f"watch {path}: {error}") from error
        finally:
            response.close()

    def apply(
        self, manifest: Manifest, *, force: bool, dry_run: bool = False, manager: str = FIELD_MANAGER
    ) -> Manifest:
        """Server-side apply; returns the object afterwards.

        Args:
            manifest: exactly the fields to own.
            force: take fields from other managers.
            dry_run: let the server compute the result and store nothing.
            manager: the field manager.

        Raises:
            ConflictError: without `force`, another manager owns one of the fields.
            ClusterError: an admission policy or a schema rejects it, or its uid is not the object's.
        """
        query = {"fieldManager": manager, "force": str(force).lower(), "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        return self._call(
            _Request("PATCH", self._path(ref_of(manifest)), query, manifest, "application/apply-patch+yaml")
        )

    def create(self, manifest: Manifest, *, manager: str = FIELD_MANAGER, dry_run: bool = False) -> Manifest:
        """Creates an object.

        Raises:
            ConflictError: it exists already.
        """
        ref = ref_of(manifest)
        query = {"fieldManager": manager, "fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
        return self._call(_Request("POST", self._collection(ref.kind, ref.namespace), query, manifest))

    def merge(
        self, ref: Ref, patch: Mapping[str, Any], *, subresource: str = "", manager: str = FIELD_MANAGER
    ) -> Manifest:
        """JSON merge patch; a `metadata.resourceVersion` in it is a precondition.

        Raises:
            ConflictError: the object has another resourceVersion.
            NotFoundError: the object does not exist.
        """
        path = f"{self._path(ref)}/{subresource}" if subresource else self._path(ref)
        query = {"fieldManager": manager, "fieldValidation": "Strict"}
        return self._call(_Request("PATCH", path, query, patch, "application/merge-patch+json"))

    def patch(self, ref: Ref, operations: Sequence[Mapping[str, Any]], *, manager: str = FIELD_MANAGER) -> Manifest:
        """JSON patch: all operations or none. One that replaces `metadata.resourceVersion` has it as a precondition.

        Raises:
            ConflictError: the object has another resourceVersion.
            NotFoundError: the object does not exist.
        """
        query = {"fieldManager": manager, "fieldValidation": "Strict"}
        return self._call(_Request("PATCH", self._path(ref), query, list(operations), "application/json-patch+json"))

    def delete(self, ref: Ref, *, uid: str, resource_version: str = "", grace_seconds: int | None = None) -> None:
        """Deletes exactly this object; does nothing if it is gone.

        Args:
            ref: the object.
            uid: precondition: the uid of the object; "" for none, where no other object can have its name.
            resource_version: precondition: its version; "" for none.
            grace_seconds: grace period of a pod; None: its own.

        Raises:
            ConflictError: another object has this name now, or it changed.
        """
        conditions = {"uid": uid, "resourceVersion": resource_version}
        options: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {name: value for name, value in conditions.items() if value},
            "propagationPolicy": "Background",
        }
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        try:
            self._call(_Request("DELETE", self._path(ref), body=options))
        except NotFoundError:
            return

    def log(self, pod: Ref, container: str, *, lines: int, most_bytes: int, previous: bool = False) -> str | None:
        """The end of a container's output.

        Args:
            pod: its pod.
            container: name of the container.
            lines: maximum number of lines.
            most_bytes: maximum size of the result. Kubernetes counts it from the start of the chosen lines.
            previous: of the container that ended last, instead of the current one.

        Returns:
            None if there is no such pod or container, or it has no output yet.

        Raises:
            ClusterError: the API server did not answer, or the permission is missing.
        """
        query = {"container": container, "tailLines": str(lines), "limitBytes": str(most_bytes)}
        if previous:
            query["previous"] = "true"
        try:
            response = self._send(_Request("GET", f"{self._path(pod)}/log", query, accept="*/*"), TIMEOUT)
            return response.data[:most_bytes].decode(errors="replace")
        except (UnavailableError, ForbiddenError):
            raise
        except urllib3.exceptions.HTTPError as error:
            raise UnavailableError(f"the log of {pod}: {error}") from error
        except ClusterError:
            # 404: it is gone; 400: it has not started, or none ended before.
            return None

    def log_request(self, pod: Ref, query: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """URL and header fields, with our credential, of a request for a container's output, for another HTTP client.

        Raises:
            ClusterError: the API server did not answer.
        """
        _, url, headers, *_ = self._client.param_serialize(
            "GET",
            f"{self._path(pod)}/log",
            query_params=list(query.items()),
            header_params={"Accept": "*/*"},
            auth_settings=["BearerToken"],
        )
        return str(url), dict(headers)

    def ssl_context(self) -> ssl.SSLContext:
        """The TLS of the API server, with our certificate, for another HTTP client."""
        configuration = self._client.configuration
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        if not configuration.verify_ssl:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, configuration.key_file)
        return context

    def _path(self, ref: Ref) -> str:
        return f"{self._collection(ref.kind, ref.namespace)}/{ref.name}"

    def _collection(self, kind: Kind, namespace: str) -> str:
        resource = self._resource(kind)
        place = f"namespaces/{namespace}/" if resource.namespaced and namespace else ""
        return f"{resource.prefix}/{place}{resource.plural}"

    def _resource(self, kind: Kind) -> _Resource:
        with self._discovering:
            if kind not in self._resources:
                self._resources.update(self._discover(kind.api_version))
            if kind not in self._resources:
                raise KindMissingError(f"the cluster does not serve the kind {kind.kind} ({kind.api_version})")
            return self._resources[kind]

    def _discover(self, api_version: str) -> Mapping[Kind, _Resource]:
        prefix = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        try:
            found = self._call(_Request("GET", prefix))
        except NotFoundError:
            return {}
        return {
            Kind(api_version, each["kind"]): _Resource(prefix, each["name"], each["namespaced"])
            for each in found["resources"]
            if "/" not in each["name"]
        }

    def _call(self, request: "_Request") -> Manifest:
        response = self._send(request, TIMEOUT)
        try:
            body: Manifest = json.loads(response.data)
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise UnavailableError(f"{request}: {error}") from error
        return body

    def _send(self, request: "_Request", timeout: tuple[float, float]) -> urllib3.BaseHTTPResponse:
        body, content_type = request.body, request.content_type
        try:
            prepared = self._client.param_serialize(
                request.method,
                request.path,
                query_params=list(request.query.items()),
                header_params={"Accept": request.accept, "Content-Type": content_type},
                # The client serialises only some content types as JSON.
                body=json.dumps(body) if content_type.endswith("+yaml") else body,
                auth_settings=["BearerToken"],
            )
            response: urllib3.BaseHTTPResponse = self._client.call_api(*prepared, _request_timeout=timeout).response
            if response.status >= 400:  # noqa: PLR2004 - HTTP's own line between success and failure
                raise _error(response.status, _message(response), str(request))
        except (ApiException, urllib3.exceptions.HTTPError) as error:
            raise UnavailableError(f"{request}: {error}") from error
        return response


def connect(kubeconfig: Path | None = None, *, context: str | None = None) -> Cluster:
    """Connects by a kubeconfig; without one, by $KUBECONFIG, the pod's service account, or ~/.kube/config.

    Raises:
        UnavailableError: no usable configuration.
    """
    return Cluster(kubernetes.client.ApiClient(load_configuration(kubeconfig, context=context)))


def load_configuration(
    kubeconfig: Path | None = None, *, context: str | None = None
) -> kubernetes.client.Configuration:
    """The configuration of `connect`, for the official client.

    Raises:
        UnavailableError: no usable configuration.
    """
    configuration = kubernetes.client.Configuration()
    # Each watch holds one connection.
    configuration.connection_pool_maxsize = 32
    inside = "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ
    load: Any = kubernetes.config.load_incluster_config
    if kubeconfig is not None or not inside:
        file = str(kubeconfig) if kubeconfig else None
        load = functools.partial(kubernetes.config.load_kube_config, file, context=context)
    try:
        load(client_configuration=configuration)
    except (kubernetes.config.ConfigException, OSError) as error:
        raise UnavailableError(f"no usable kubeconfig: {error}") from error
    return configuration


def _error(status: int, message: str, request: str) -> ClusterError:
    if status == _TOO_MANY_REQUESTS or status >= _SERVER_ERROR or not status:
        return UnavailableError(f"{request}: {status} {message}")
    return _ERRORS.get(status, ClusterError)(f"{request}: {status} {message}")


def _message(response: urllib3.BaseHTTPResponse) -> str:
    text = response.data.decode(errors="replace")
    try:
        return str(json.loads(text)["message"])
    except (KeyError, TypeError, ValueError):
        return text[:300]


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    rest = b""
    for piece in response.stream(None, decode_content=True):
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line for line in lines if line.strip())
