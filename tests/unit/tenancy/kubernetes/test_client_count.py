"""Objects are counted by pages, without their content."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import kubernetes.client
import pytest

from tenancy.kubernetes.client import PAGE, Cluster
from tenancy.kubernetes.kinds import FUNCTIONS
from tenancy.model.errors import ForbiddenError

GROUP = f"/apis/{FUNCTIONS.api_version}"


class Server(ThreadingHTTPServer):
    """An API server with functions in one namespace, and no permission in any other."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.number = PAGE + 3
        self.asked: list[tuple[str, str]] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        self.server.asked.append((address.path, self.headers["Accept"]))
        if address.path == GROUP:
            return self._answer(200, {"resources": [{"kind": "Function", "name": "functions", "namespaced": True}]})
        if address.path != f"{GROUP}/namespaces/faas-a/functions":
            return self._answer(403, {"message": "forbidden"})
        query = parse_qs(address.query)
        first, page = int(query.get("continue", ["0"])[0]), int(query["limit"][0])
        last = min(first + page, self.server.number)
        items = [{"metadata": {"name": f"f{each}"}} for each in range(first, last)]
        rest = {"continue": str(last)} if last < self.server.number else {}
        return self._answer(200, {"items": items, "metadata": {"resourceVersion": "7", **rest}})

    def _answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield made
        made.shutdown()


def test_all_pages_count_and_only_metadata_is_asked_for(server: Server) -> None:
    """The list has as many."""
    cluster = Cluster(kubernetes.client.ApiClient(kubernetes.client.Configuration(_url(server))))
    assert cluster.count(FUNCTIONS, namespace="faas-a") == PAGE + 3
    pages = [accept for path, accept in server.asked if path != GROUP]
    assert len(pages) == 2
    assert all(accept.startswith("application/json;as=PartialObjectMetadataList;") for accept in pages)
    listing = cluster.list(FUNCTIONS, namespace="faas-a")
    assert (len(listing.items), listing.resource_version) == (PAGE + 3, "7")
    assert listing.items[-1]["kind"] == "Function"
    assert server.asked[-1][1] == "application/json"


def test_number_that_may_not_be_read_is_no_number(server: Server) -> None:
    cluster = Cluster(kubernetes.client.ApiClient(kubernetes.client.Configuration(_url(server))))
    with pytest.raises(ForbiddenError):
        cluster.count(FUNCTIONS, namespace="faas-b")


def _url(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"
