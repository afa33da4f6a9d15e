"""A real registry (distribution), a static package index, and base images, all on loopback."""

import contextlib
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import yaml

from builds.image import CONFIG, LAYER, MANIFEST, descriptor, to_json
from builds.layers import blob_of, write_layer
from builds.registry import Registry
from localcloud.ports import free_ports
from localcloud.services import Service
from localcloud.stack import running
from tests.machine import scaled

PROGRAM = Path(__file__).resolve().parents[2] / ".cache" / "registry" / "registry"


@contextlib.contextmanager
def registry(state: Path, name: str = "registry", *, auth: dict[str, object] | None = None) -> Iterator[Service]:
    """A registry with an empty store in the folder; with `auth`, the section of its configuration."""
    assert PROGRAM.exists(), "run: make .cache/registry/.installed"
    (port,) = free_ports(1)
    store = state / name
    store.mkdir(parents=True)
    document = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(store)}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}", "secret": "of the tests"},
        **({"auth": auth} if auth else {}),
    }
    config = state / f"{name}.yaml"
    config.write_text(yaml.safe_dump(document))
    with running(Service(name, [str(PROGRAM), "serve", str(config)], port, state)) as service:
        yield service


@contextlib.contextmanager
def package_index(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """URL of an index whose packages are folders with archives, and the paths that were requested."""
    requested: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def log_request(self, *_: object) -> None:
            requested.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", requested
        finally:
            server.shutdown()
            thread.join()


def push_base(url: str, repository: str, runtime: str, scratch: Path, token: str = "") -> str:
    """Pushes a small base image of a runtime; its reference with the digest. `token`: of the registry."""
    source = scratch / runtime
    source.mkdir(parents=True)
    (source / "runtime").write_text(runtime)
    layer = write_layer(source, "runtime", scratch / f"{runtime}.tar.gz")
    config = to_json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": ["python", "-m", f"{runtime}_runtime"], "Labels": {"dev.osfaas.runtime": runtime}},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
        }
    )
    blob = blob_of(config, scratch / f"{runtime}.json")
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, blob.digest, blob.size),
        "layers": [descriptor(LAYER, layer.blob.digest, layer.blob.size)],
    }
    data = to_json(document)
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    fields = {"Authorization": f"Bearer {token}"} if token else {}
    with httpx.Client(timeout=scaled(60), trust_env=False, headers=fields) as client:
        target = Registry(url, None, client)
        for each in (layer.blob, blob):
            target.push_blob(repository, each)
        target.push_manifest(repository, digest, MANIFEST, data)
    return f"{repository}@{digest}"


def manifest_of(url: str, repository: str, reference: str) -> dict[str, object]:
    """A manifest of a registry without authentication."""
    response = httpx.get(
        f"{url}/v2/{repository}/manifests/{reference}",
        headers={"Accept": "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"},
        timeout=scaled(60),
        trust_env=False,
    )
    assert response.status_code == 200, response.text
    document: dict[str, object] = json.loads(response.content)
    return document
