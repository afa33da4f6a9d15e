"""Reads manifests from their sources, and prepares them to be applied."""

import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from policies.model import Manifest, Platform
from tenancy.platform.errors import PlatformError

_DOWNLOAD_SECONDS = 60.0
_RENDER_SECONDS = 60.0
_CRD = "CustomResourceDefinition"


@dataclass(frozen=True, slots=True)
class ApplyPhases:
    """Manifests in the order in which a cluster accepts them.

    Attributes:
        kinds: CustomResourceDefinitions; they must be established first.
        objects: namespaces first, then the rest in the given order.
        instances: objects of the kinds above. They may need webhooks that start in `objects`.
    """

    kinds: tuple[Manifest, ...]
    objects: tuple[Manifest, ...]
    instances: tuple[Manifest, ...]

    def __len__(self) -> int:
        return len(self.kinds) + len(self.objects) + len(self.instances)


def apply_phases(manifests: Iterable[Manifest]) -> ApplyPhases:
    """Orders manifests into phases. Duplicates are dropped, because Knative's releases repeat some objects."""
    unique: dict[tuple[str, str, str], Manifest] = {}
    for item in manifests:
        metadata = item["metadata"]
        unique.setdefault((item["kind"], metadata.get("namespace", ""), metadata["name"]), item)
    kinds = tuple(item for item in unique.values() if item["kind"] == _CRD)
    made = {(item["spec"]["group"], item["spec"]["names"]["kind"]) for item in kinds}
    rest = [item for item in unique.values() if item["kind"] != _CRD]
    instances = tuple(item for item in rest if (item["apiVersion"].partition("/")[0], item["kind"]) in made)
    objects = [item for item in rest if item not in instances]
    objects.sort(key=lambda item: item["kind"] != "Namespace")
    return ApplyPhases(kinds, tuple(objects), instances)


def with_settings(manifests: Iterable[Manifest], settings: Iterable[Manifest]) -> list[Manifest]:
    """The manifests with our ConfigMaps merged into theirs; our additional ones are appended.

    Examples (`_example`) are removed: they are comments, and a checksum protects them against edits.
    """
    wanted = {_identity(item): item for item in settings}
    result = [_merged(item, wanted.pop(_identity(item), None)) for item in manifests]
    return result + list(wanted.values())


def _merged(item: Manifest, over: Manifest | None) -> Manifest:
    if item["kind"] != "ConfigMap":
        return item
    data = {key: text for key, text in (item.get("data") or {}).items() if key != "_example"}
    metadata = dict(item["metadata"])
    annotations = metadata.get("annotations", {})
    metadata["annotations"] = {k: v for k, v in annotations.items() if k != "knative.dev/example-checksum"}
    return {**item, "metadata": metadata, "data": {**data, **((over or {}).get("data") or {})}}


def _identity(item: Manifest) -> tuple[str, str, str]:
    return item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]


def queue_proxy_settings(platform: Platform) -> Manifest:
    """The resources of Knative's sidecar, consistent with the tenants' quotas."""
    memory = f"{platform.queue_proxy_memory_mib}Mi"
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "config-deployment", "namespace": platform.knative_namespace},
        "data": {
            "queue-sidecar-cpu-request": f"{platform.queue_proxy_cpu_millis}m",
            "queue-sidecar-cpu-limit": f"{platform.queue_proxy_cpu_limit_millis}m",
            "queue-sidecar-memory-request": memory,
            "queue-sidecar-memory-limit": memory,
        },
    }


def combined(*layers: Iterable[Manifest]) -> list[Manifest]:
    """Merges layers of ConfigMaps; later ones override key by key."""
    result: list[Manifest] = []
    for layer in layers:
        result = with_settings(result, layer)
    return result


def read_manifests(source: str) -> list[Manifest]:
    """All objects of a file, of a folder's `*.yaml` in the order of their names, or of a URL.

    Raises:
        PlatformError: the source cannot be read, or is not YAML; names it.
    """
    if source.startswith("http://"):
        raise PlatformError(f"{source}: http does not protect manifests from changes; use https or a file")
    if source.startswith("https://"):
        return _objects(source, _downloaded(source))
    path = Path(source)
    files = sorted(path.rglob("*.yaml")) if path.is_dir() else [path]
    if not files:
        raise PlatformError(f"{source}: contains no *.yaml file")
    try:
        return [item for file in files for item in _objects(str(file), file.read_text(encoding="utf-8"))]
    except (OSError, UnicodeDecodeError) as error:
        raise PlatformError(f"{source}: {error}") from error


def render(kubectl: str, folder: Path) -> list[Manifest]:
    """The objects of a kustomization.

    Raises:
        PlatformError: kubectl is missing or fails; with its message.
    """
    words = [kubectl, "kustomize", str(folder)]
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own kubectl and folder
            words, capture_output=True, text=True, timeout=_RENDER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PlatformError(f"{' '.join(words)}: {error}") from error
    if done.returncode:
        raise PlatformError(f"{' '.join(words)}: {done.stderr.strip()[-1000:]}")
    return _objects(str(folder), done.stdout)


def read_values(file: Path) -> dict[str, Any]:
    """A file of Helm values.

    Raises:
        PlatformError: it cannot be read, or is not a mapping.
    """
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise PlatformError(f"{file}: {error}") from error
    if not isinstance(values, dict):
        raise PlatformError(f"{file}: expected a mapping of Helm values")
    return values


def merge_values(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merges values as Helm does: mappings key by key, everything else is replaced."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merge_values(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


def _downloaded(url: str) -> str:
    def refuse_http(request: httpx.Request) -> None:
        if request.url.scheme != "https":
            raise PlatformError(f"{url}: redirects to {request.url}, but http does not protect manifests from changes")

    hooks = {"request": [refuse_http]}
    try:
        with httpx.Client(follow_redirects=True, timeout=_DOWNLOAD_SECONDS, event_hooks=hooks) as client:
            answer = client.get(url)
            answer.raise_for_status()
    except httpx.HTTPError as error:
        raise PlatformError(f"{url}: {error}") from error
    return answer.text


def _objects(source: str, text: str) -> list[Manifest]:
    try:
        found = [item for item in yaml.safe_load_all(text) if item]
    except yaml.YAMLError as error:
        raise PlatformError(f"{source}: {error}") from error
    for item in found:
        if not (isinstance(item, dict) and item.get("kind") and item.get("apiVersion") and "metadata" in item):
            raise PlatformError(f"{source}: contains a document that is not a Kubernetes object")
    return found
