"""The running cluster as tests see it: its API, namespaces that go away, and curl from three places."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kubernetes import client, config

from tests.cluster.commands import run, wait_until
from tests.cluster.layout import CHECKOUT, LAYOUT
from tests.cluster.node.containers import SOCKET as CONTAINERD
from tests.cluster.platform.kubectl import Kubectl
from tests.cluster.probes import Reply, curl_command, read_curl, serve_command

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.cluster.session import RunningCluster

PROBE_IMAGE = "dev.local/python:3.11"


@dataclass(frozen=True)
class Pod:
    """A running pod of a test."""

    namespace: str
    name: str
    address: str


@dataclass
class Testbed:
    """One running cluster. pytest must not take it for a test class."""

    running: RunningCluster
    __test__ = False

    @cached_property
    def kubectl(self) -> Kubectl:
        """kubectl as the administrator, from this machine."""
        return Kubectl(self.running.layout.host_kubeconfig)

    @cached_property
    def api(self) -> client.ApiClient:
        """The official client as the administrator, from this machine."""
        file = str(self.running.layout.host_kubeconfig)
        made: client.ApiClient = config.new_client_from_config(file)  # type: ignore[no-untyped-call]
        return made

    @contextmanager
    def namespace(self, prefix: str, labels: dict[str, str] | None = None) -> Iterator[str]:
        """A namespace of its own; pods can be made in it at once."""
        name = f"{prefix}-{secrets.token_hex(3)}"
        self.kubectl.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels or {}}}
        )
        try:
            account = ("serviceaccount", "default", "-n", name)
            wait_until("default service account", lambda: bool(self.kubectl("get", *account)), seconds=20)
            yield name
        finally:
            self.kubectl("delete", "namespace", name, "--wait=false")

    def start_pod(self, namespace: str, name: str, *ports: int, labels: dict[str, str] | None = None) -> Pod:
        """A pod with curl in it, serving HTTP on these ports; it answers when this returns."""
        container: dict[str, Any] = {
            "name": "main",
            "image": PROBE_IMAGE,
            "command": list(serve_command(*ports)) if ports else ["sleep", "infinity"],
        }
        if ports:
            container["readinessProbe"] = {"tcpSocket": {"port": ports[0]}, "periodSeconds": 1}
        self.kubectl.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": namespace, "labels": {"app": name, **(labels or {})}},
                "spec": {
                    "containers": [container],
                    "terminationGracePeriodSeconds": 0,
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                },
            }
        )
        self.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "-n", namespace, "--timeout=60s")
        pod = self.kubectl.get("pod", name, "-n", namespace)
        return Pod(namespace, name, pod["status"]["podIP"])

    def curl_from_node(self, url: str, *words: str, seconds: float = 3, data: bytes | None = None) -> Reply:
        """A request from the node itself."""
        return _ask(self.running.on_node(*curl_command(url, *words, seconds=seconds)), data)

    def curl_from_openstack(self, url: str, *words: str, seconds: float = 3) -> Reply:
        """A request from where Keystone and Swift stand: outside the cluster."""
        return _ask(self.running.on_openstack_side(*curl_command(url, *words, seconds=seconds)))

    def curl_from_pod(self, pod: Pod, url: str, *words: str, seconds: float = 3) -> Reply:
        """A request from inside a pod."""
        inside = [*self.kubectl.words, "exec", "-n", pod.namespace, pod.name, "--"]
        return _ask([*inside, *curl_command(url, *words, seconds=seconds)])

    @contextmanager
    def openstack_server(self, argv: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
        """A program on the OpenStack side (Keystone, Swift, or a stand-in), ended with the block."""
        process = subprocess.Popen(self.running.on_openstack_side(*argv))
        try:
            yield process
        finally:
            _end(process)

    @contextmanager
    def door(self, address: str, port: int) -> Iterator[str]:
        """The URL of a loopback port of this machine behind which the OpenStack side reaches an address of its own or
        of the cluster: what a client outside the cluster sees."""
        with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
            listening.set_inheritable(True)
            program = (
                sys.executable,
                "-m",
                "tests.cluster.standins.doors",
                str(listening.fileno()),
                address,
                str(port),
            )
            argv = self.running.on_openstack_side(*program)
            # Entering a mount namespace leaves the folder where one was.
            environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
            process = subprocess.Popen(argv, env=environment, pass_fds=[listening.fileno()])
            try:
                yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            finally:
                _end(process)

    def import_image(self, archive: Path) -> None:
        """Brings one docker-archive onto the node, beside the images that came with its boot."""
        ctr = str(LAYOUT.built_by("containerd") / "ctr")
        words = (ctr, "--address", CONTAINERD, "--namespace", "k8s.io", "images", "import", "--local", str(archive))
        run(self.running.on_node(*words))

    def name_by_digest(self, image: str) -> str:
        """Gives an image on the node a second name, by its digest; returns that."""
        ctr = (str(LAYOUT.built_by("containerd") / "ctr"), "--address", CONTAINERD, "--namespace", "k8s.io", "images")
        listed = run(self.running.on_node(*ctr, "list", f"name=={image}")).splitlines()[1]
        digest = next(word for word in listed.split() if word.startswith("sha256:"))
        name = f"{image.rpartition(':')[0]}@{digest}"
        run(self.running.on_node(*ctr, "tag", "--force", image, name))
        return name

    def service_address(self, namespace: str, name: str) -> str:
        """The ClusterIP of a Service."""
        service: dict[str, Any] = self.kubectl.get("service", name, "-n", namespace)
        return str(service["spec"]["clusterIP"])


def _end(process: subprocess.Popen[bytes]) -> None:
    """nsenter waits for the program, which is in the node's pid namespace: both must go."""
    for signal in ("-TERM", "-KILL"):
        subprocess.run(["pkill", signal, "-P", str(process.pid)], check=False)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            continue
        return
    process.kill()
    process.wait()


def _ask(argv: Sequence[str], data: bytes | None = None) -> Reply:
    done = subprocess.run(list(argv), capture_output=True, input=data, timeout=120, check=False)
    reply = read_curl(done.stdout.decode(errors="replace"), done.returncode)
    if reply.problem.startswith("curl said nothing"):
        said = done.stderr.decode(errors="replace")[-300:]
        return Reply(reply.outcome, 0, reply.body, 0.0, f"{reply.problem}: {said}")
    return reply
