"""A Kubernetes API server that has one `Tenant` and nothing else: enough to find tenants, too little for a replay."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from policies.labels import API_GROUP, API_VERSION, TENANT_KIND, TENANT_PLURAL
from policies.model import TenantSpec
from policies.names import ProjectId
from tenancy.model.record import TenantRecord, manifest_of


@contextlib.contextmanager
def tenants_api(kubeconfig: Path, project_id: str) -> Iterator[list[str]]:
    """Writes a kubeconfig for a server with the tenant of a project; yields the paths that it was asked for."""
    asked: list[str] = []
    prefix = f"/apis/{API_GROUP}/{API_VERSION}"
    record = TenantRecord(TenantSpec(ProjectId(project_id)))
    tenant = manifest_of(record)
    pages = {
        prefix: {"resources": [{"kind": TENANT_KIND, "name": TENANT_PLURAL, "namespaced": False}]},
        f"{prefix}/{TENANT_PLURAL}": {"metadata": {"resourceVersion": "1"}, "items": [tenant]},
        f"{prefix}/{TENANT_PLURAL}/{record.name}": tenant,
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            asked.append(path)
            content = json.dumps(pages.get(path, {"kind": "Status", "code": 404})).encode()
            self.send_response_only(200 if path in pages else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_words: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    users = [{"name": "u", "user": {}}]
    kubeconfig.write_text(
        yaml.safe_dump({"clusters": [cluster], "contexts": [context], "users": users, "current-context": "c"})
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
