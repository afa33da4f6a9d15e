"""Manifests and configurations of OCI images as values. Pure: the same input gives the same bytes."""

import json
import urllib.parse
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from builds.dependencies import Package
from builds.errors import BuildError
from builds.layers import Layer

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
EMPTY = "application/vnd.oci.empty.v1+json"
CYCLONEDX = "application/vnd.cyclonedx+json"
SOURCE = "application/vnd.osfaas.source.v1"
EMPTY_DATA = b"{}"
RUNTIME_LABEL = "dev.osfaas.runtime"
_NO_TIME = "1970-01-01T00:00:00Z"
_DOCKER_TO_OCI = {
    "application/vnd.docker.image.rootfs.diff.tar.gzip": LAYER,
    "application/vnd.docker.image.rootfs.diff.tar": "application/vnd.oci.image.layer.v1.tar",
}


@dataclass(frozen=True, slots=True)
class Base:
    """A base image: its digest, manifest and configuration."""

    digest: str
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]


def to_json(document: Mapping[str, Any]) -> bytes:
    """The one form of a document."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def check_base(base: Base, runtime: str) -> None:
    """Refuses a base image for another runtime.

    Raises:
        BuildError: the image's label says so, or it has none.
    """
    labels = base.config.get("config", {}).get("Labels") or {}
    if labels.get(RUNTIME_LABEL) != runtime:
        found = labels.get(RUNTIME_LABEL)
        raise BuildError(
            f"The base image {base.digest} is for the runtime {found!r} and not for '{runtime}'. The operator has "
            "to name another base image."
        )


def config_of(base: Base, layers: Sequence[Layer]) -> bytes:
    """The configuration of an image: that of its base, with more layers.

    It says nothing of the archive: the same files in another archive are the same image.
    """
    document = {
        **base.config,
        "created": _NO_TIME,
        "rootfs": {
            "type": "layers",
            "diff_ids": [*base.config["rootfs"]["diff_ids"], *(each.diff_id for each in layers)],
        },
        "history": [
            *base.config.get("history", []),
            *({"created": _NO_TIME, "created_by": "osfaas-build"} for _ in layers),
        ],
    }
    return to_json(document)


def manifest_of(base: Base, config: Mapping[str, Any], layers: Sequence[Layer]) -> bytes:
    """The manifest of an image. `config` is the descriptor of its configuration."""
    below = [
        {**each, "mediaType": _DOCKER_TO_OCI.get(each["mediaType"], each["mediaType"])}
        for each in base.manifest["layers"]
    ]
    added = [descriptor(LAYER, each.blob.digest, each.blob.size) for each in layers]
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config,
        "layers": [*below, *added],
        "annotations": {"org.opencontainers.image.base.digest": base.digest},
    }
    return to_json(document)


def descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    """A descriptor of OCI."""
    return {"mediaType": media_type, "digest": digest, "size": size}


def sbom_of(image_digest: str, base_digest: str, packages: Sequence[Package]) -> bytes:
    """The bill of materials of an image, CycloneDX 1.6. It has no time, so it is the same for the same image."""
    components = [
        {
            "type": "library",
            "bom-ref": _purl(package),
            "name": package.name,
            "version": package.version,
            "purl": _purl(package),
            **({"hashes": [{"alg": "SHA-256", "content": package.sha256}]} if package.sha256 else {}),
        }
        for package in packages
    ]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, image_digest)}",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": image_digest, "bom-ref": image_digest}},
        "components": [
            {"type": "container", "name": base_digest, "bom-ref": base_digest},
            *components,
        ],
        "dependencies": [
            {"ref": image_digest, "dependsOn": [base_digest, *(str(each["bom-ref"]) for each in components)]}
        ],
    }
    return to_json(document)


def referrer_of(subject: Mapping[str, Any], sbom_digest: str, sbom_size: int, empty_digest: str) -> bytes:
    """The manifest that attaches a bill of materials to an image, whose descriptor is `subject`."""
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": CYCLONEDX,
        "config": descriptor(EMPTY, empty_digest, len(EMPTY_DATA)),
        "layers": [descriptor(CYCLONEDX, sbom_digest, sbom_size)],
        "subject": subject,
    }
    return to_json(document)


def source_manifest(archive_digest: str, archive_size: int, empty_digest: str) -> bytes:
    """The manifest that keeps the archive of a function in a registry. It is the same for the same archive."""
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": SOURCE,
        "config": descriptor(EMPTY, empty_digest, len(EMPTY_DATA)),
        "layers": [descriptor("application/octet-stream", archive_digest, archive_size)],
    }
    return to_json(document)


def _purl(package: Package) -> str:
    """The package URL, written as its specification says."""
    return f"pkg:pypi/{package.name.lower().replace('_', '-')}@{urllib.parse.quote(package.version)}"
