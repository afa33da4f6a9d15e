"""A Service that records the events that it receives: what a project would run as its dead-letter sink."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.cluster.testbed import PROBE_IMAGE

if TYPE_CHECKING:
    from tests.cluster.platform.kubectl import Kubectl

_PROGRAM = """
import http.server, json
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fields = {name.lower(): value for name, value in self.headers.items()}
        print(json.dumps({"attributes": fields, "body": body.decode()}), flush=True)
        self.send_response(202)
        self.end_headers()
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""


@dataclass(frozen=True)
class DeadLetter:
    """One event, with the header fields of its delivery, whose names are in lower case."""

    attributes: dict[str, str]
    body: str

    @property
    def id(self) -> str:
        return self.attributes["ce-id"]

    @property
    def status(self) -> int:
        """The answer to the last delivery."""
        return int(self.attributes["ce-knativeerrorcode"])

    @property
    def error(self) -> str:
        """The body of that answer, as much of it as there is."""
        return base64.b64decode(self.attributes["ce-knativeerrordata"]).decode()


@dataclass(frozen=True)
class DeadLetterSink:
    """A pod and its Service of the same name."""

    kubectl: Kubectl
    namespace: str
    name: str = "dead-letters"

    def objects(self) -> list[dict[str, Any]]:
        """What is applied."""
        labels = {"app": self.name}
        container = {
            "name": "main",
            "image": PROBE_IMAGE,
            "command": ["python", "-c", _PROGRAM],
            "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        }
        place = {"name": self.name, "namespace": self.namespace}
        spec = {"containers": [container], "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False}
        ports = [{"port": 80, "targetPort": 8080}]
        return [
            {"apiVersion": "v1", "kind": "Pod", "metadata": {**place, "labels": labels}, "spec": spec},
            {"apiVersion": "v1", "kind": "Service", "metadata": place, "spec": {"selector": labels, "ports": ports}},
        ]

    def start(self) -> None:
        """It answers when this returns."""
        self.kubectl.apply(*self.objects())
        self.kubectl("wait", "--for=condition=Ready", f"pod/{self.name}", "-n", self.namespace, "--timeout=60s")

    def letters(self) -> list[DeadLetter]:
        """All that came so far."""
        lines = self.kubectl("logs", self.name, "-n", self.namespace).splitlines()
        return [DeadLetter(**json.loads(line)) for line in lines]
