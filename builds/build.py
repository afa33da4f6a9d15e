"""A build: an archive becomes an image in a registry. Each stage is reported with its seconds."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from builds.archive.limits import ArchiveLimits
from builds.archive.unpack import Unpacked, unpack
from builds.dependencies import Index, Package, install
from builds.errors import BuildError, RegistryError, TemporaryError
from builds.image import (
    CONFIG,
    CYCLONEDX,
    DOCKER_INDEX,
    EMPTY_DATA,
    INDEX,
    MANIFEST,
    Base,
    check_base,
    config_of,
    descriptor,
    manifest_of,
    referrer_of,
    sbom_of,
)
from builds.layers import Layer, blob_of, write_layer
from builds.registry import Registry
from builds.requirements import Requirements, parse_requirements
from builds.runtimes import CONSTRAINTS, Runtime, detect_runtime, package_of, pins_of

CODE = "function"
PACKAGES = "function-packages"
_REQUIREMENTS = "requirements.txt"
_PLATFORM = {"os": "linux", "architecture": "amd64"}
_CHUNK = 65_536
Report = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOrder:
    """What to build.

    Attributes:
        source: path of the archive, an http(s) URL of it, or its digest in the repository.
        source_etag: with a URL, the only version that is wanted; "" for any.
        repository: gets the image.
        bases: base image of each runtime by its name, as repository@digest in the same registry.
        index: of packages.
        limits: of the archive.
    """

    source: str
    source_etag: str
    repository: str
    bases: Mapping[str, str]
    index: Index
    limits: ArchiveLimits


def build(order: BuildOrder, registry: Registry, http: httpx.Client, scratch: Path, report: Report) -> str:
    """Builds and pushes an image.

    Args:
        order: what to build.
        registry: with access to the repository and the base images.
        http: fetches the source.
        scratch: an empty folder; it has to hold the archive, its files and the packages, twice.
        report: gets a line for each stage when it ends.

    Returns:
        The digest of the image.

    Raises:
        BuildError: something that was given cannot be built; its subclass says what.
        TemporaryError: a server did not answer; building again may succeed.
    """
    archive, code, packages = scratch / "archive", scratch / "code", scratch / "packages"
    for folder in (code, packages, scratch / "pip"):
        folder.mkdir()
    with _stage("fetch", report) as facts:
        chunks = _blob(order, registry) if order.source.startswith("sha256:") else _source(order, http)
        facts["bytes"], facts["source"] = fetch(order, chunks, archive)
    with _stage("check", report) as facts:
        unpacked = unpack(archive, code, order.limits)
        runtime, requirements = _read(code, unpacked)
        facts |= {"files": len(unpacked.files), "bytes": unpacked.size, "runtime": runtime.name}
    with _stage("resolve", report) as facts:
        pins = pins_of((package_of(runtime) / CONSTRAINTS).read_text(encoding="utf-8"))
        installed = install(requirements, pins, packages, scratch / "pip", order.index)
        facts["packages"] = len(installed)
    with _stage("assemble", report) as facts:
        base_repository, base = fetch_base(registry, _base_of(order, runtime))
        check_base(base, runtime.name)
        layers = [write_layer(packages, PACKAGES, scratch / "packages.tar.gz")] if installed else []
        layers.append(write_layer(code, CODE, scratch / "code.tar.gz"))
        facts["bytes"] = sum(layer.blob.size for layer in layers)
    with _stage("push", report) as facts:
        image = _Image(base, layers, installed)
        facts["digest"], facts["pushed"] = _push(registry, order.repository, base_repository, image, scratch)
    return str(facts["digest"])


@contextmanager
def _stage(name: str, report: Report) -> Iterator[dict[str, Any]]:
    """Reports the facts that are put into the dictionary, with the seconds that the stage took."""
    begun = time.monotonic()
    facts: dict[str, Any] = {}
    try:
        yield facts
    except BuildError as error:
        report({"stage": name, "seconds": round(time.monotonic() - begun, 3), "error": str(error)})
        raise
    report({"stage": name, "seconds": round(time.monotonic() - begun, 3), **facts})


def fetch(order: BuildOrder, chunks: Iterator[bytes], path: Path) -> tuple[int, str]:
    """Copies the source to a file; its size and digest.

    Raises:
        BuildError: it is not there, too large, or another version.
        TemporaryError: its server did not answer.
    """
    sha256, size = hashlib.sha256(), 0
    with path.open("xb") as output:
        for chunk in chunks:
            size += len(chunk)
            if size > order.limits.archive_bytes:
                raise BuildError(
                    f"The archive has more than {order.limits.archive_bytes:,} bytes. Keep data in object storage."
                )
            sha256.update(chunk)
            output.write(chunk)
    digest = f"sha256:{sha256.hexdigest()}"
    if order.source.startswith("sha256:") and digest != order.source:
        raise BuildError("The archive in the registry has another content. Deploy it again.")
    return size, digest


def _blob(order: BuildOrder, registry: Registry) -> Iterator[bytes]:
    try:
        yield from registry.chunks(order.repository, order.source)
    except RegistryError as error:
        raise BuildError(f"The archive is not in the registry. Deploy it again. {error}") from error


def _source(order: BuildOrder, http: httpx.Client) -> Iterator[bytes]:
    if not order.source.startswith(("http://", "https://")):
        try:
            with Path(order.source).open("rb") as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
        except OSError as error:
            raise BuildError(f"The archive cannot be read: {error.strerror}.") from error
        return
    fields = {"If-Match": f'"{order.source_etag}"'} if order.source_etag else {}
    try:
        # As it is stored: an archive that a server has compressed once more would be another one.
        with http.stream("GET", order.source, headers={"Accept-Encoding": "identity", **fields}) as response:
            if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
                raise TemporaryError(f"The archive's store answers {response.status_code}. Build again later.")
            if response.status_code == httpx.codes.PRECONDITION_FAILED:
                raise BuildError("The archive has changed since it was named. Deploy it again.")
            if response.status_code != httpx.codes.OK:
                raise BuildError(f"The archive cannot be read: its store answers {response.status_code}.")
            etag = response.headers.get("etag", "").strip('"')
            if order.source_etag and etag != order.source_etag:
                raise BuildError("The archive has changed since it was named. Deploy it again.")
            yield from response.iter_raw(_CHUNK)
    except httpx.TransportError as error:
        raise TemporaryError(f"The archive cannot be read ({type(error).__name__}). Build again later.") from error


def _read(code: Path, unpacked: Unpacked) -> tuple[Runtime, Requirements]:
    runtime = detect_runtime(unpacked.files)
    text = (code / _REQUIREMENTS).read_bytes() if _REQUIREMENTS in unpacked.files else b""
    return runtime, parse_requirements(text)


def _base_of(order: BuildOrder, runtime: Runtime) -> str:
    if runtime.name not in order.bases:
        raise BuildError(f"There is no base image for the runtime '{runtime.name}'. The operator has to name one.")
    return order.bases[runtime.name]


def fetch_base(registry: Registry, reference: str) -> tuple[str, Base]:
    """Repository and base image of a reference `repository@digest`; of an index, the image for this platform.

    Raises:
        BuildError: the reference has no digest, or the index no image for this platform.
    """
    repository, at, digest = reference.partition("@")
    if not at or not digest.startswith("sha256:"):
        raise BuildError(
            f"The base image {reference} has no digest. The operator has to name one (repository@sha256:…)."
        )
    found, media_type, document = registry.manifest(repository, digest)
    if media_type in {INDEX, DOCKER_INDEX}:
        fitting = [
            each["digest"]
            for each in document["manifests"]
            if _PLATFORM.items() <= (each.get("platform") or {}).items()
        ]
        if not fitting:
            raise BuildError(
                f"The base image {reference} has no image for linux/amd64. The operator has to name another."
            )
        found, _, document = registry.manifest(repository, fitting[0])
    config = json.loads(registry.blob(repository, document["config"]["digest"]))
    return repository, Base(found, document, config)


@dataclass(frozen=True, slots=True)
class _Image:
    base: Base
    layers: Sequence[Layer]
    packages: Sequence[Package]


def _push(registry: Registry, repository: str, base_repository: str, image: _Image, scratch: Path) -> tuple[str, bool]:
    """Pushes blobs first and manifests last, so that nothing half-made has a name. Digest, and whether it was new."""
    config = blob_of(config_of(image.base, image.layers), scratch / "config.json")
    described = descriptor(CONFIG, config.digest, config.size)
    data = manifest_of(image.base, described, image.layers)
    manifest = blob_of(data, scratch / "manifest.json")
    new = not registry.has_manifest(repository, manifest.digest)
    if new:
        for each in image.base.manifest["layers"]:
            registry.mount(repository, each["digest"], base_repository, scratch)
        for layer in image.layers:
            registry.push_blob(repository, layer.blob)
        registry.push_blob(repository, config)
        registry.push_manifest(repository, manifest.digest, MANIFEST, data)
    # After the image, because a build may have ended between the two.
    sbom = blob_of(sbom_of(manifest.digest, image.base.digest, image.packages), scratch / "sbom.json")
    empty = blob_of(EMPTY_DATA, scratch / "empty.json")
    for blob in (sbom, empty):
        registry.push_blob(repository, blob)
    subject = descriptor(MANIFEST, manifest.digest, manifest.size)
    registry.attach(repository, manifest.digest, CYCLONEDX, referrer_of(subject, sbom.digest, sbom.size, empty.digest))
    return manifest.digest, new
