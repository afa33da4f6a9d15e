"""Boots the node, inside its namespaces, and stays until it is killed. Called by the session, never by hand."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

from tests.cluster.layout import RunLayout
from tests.cluster.node.certificates import issue_all, make_authority
from tests.cluster.node.cilium import Cilium, apply_crds
from tests.cluster.node.containers import Containers
from tests.cluster.node.daemons import Daemons
from tests.cluster.node.facts import API_PORT, NODE_ADDRESS, NODE_NAME
from tests.cluster.node.kubernetes import API, Kubernetes
from tests.cluster.node.mounts import make_mounts
from tests.cluster.node.network import make_network
from tests.cluster.platform.dns import install_dns
from tests.cluster.platform.istio import install_istio
from tests.cluster.platform.knative import install_knative
from tests.cluster.platform.kubectl import Kubectl
from tests.cluster.platform.sandbox import install_sandbox
from tests.cluster.progress import say, step
from tests.cluster.standins.doors import forward


def boot(layout: RunLayout, cgroup: str, door: socket.socket) -> Daemons:
    """Brings everything up, in the order in which things need each other."""
    for folder in (layout.logs, layout.certificates, layout.etc, layout.data):
        folder.mkdir(parents=True)
    with step("mounts, network, certificates"):
        make_mounts(layout, cgroup)
        make_network()
        authority = make_authority(layout.certificates)
        issue_all(authority)
        layout.node_kubeconfig.write_text(authority.kubeconfig("admin", API))
        layout.host_kubeconfig.write_text(authority.kubeconfig("admin", f"https://127.0.0.1:{door.getsockname()[1]}"))
    threading.Thread(target=forward, args=(door, (NODE_ADDRESS, API_PORT)), daemon=True).start()
    daemons = Daemons(layout.logs)
    pool = ThreadPoolExecutor()
    images = pool.submit(_start_containers, layout, daemons)
    kubernetes = Kubernetes(layout, daemons, authority, cgroup)
    with step("etcd and API server"):
        kubernetes.start_control_plane()
    kubernetes.start_controllers()
    _start_node(layout, daemons, kubernetes, cgroup, images)
    _install_platform(layout, daemons, pool, images)
    return daemons


def _start_containers(layout: RunLayout, daemons: Daemons) -> None:
    containers = Containers(layout, daemons)
    containers.start()
    with step("images imported"):
        containers.import_images()


def _start_node(layout: RunLayout, daemons: Daemons, kubernetes: Kubernetes, cgroup: str, images: Future[None]) -> None:
    kubectl = Kubectl(layout.node_kubeconfig)
    with step("node Ready, Cilium"):
        apply_crds(kubectl.words)
        while not Path("/run/containerd/containerd.sock").exists():
            daemons.check()
            if images.done():
                images.result()
            time.sleep(0.1)
        kubernetes.start_node()
        cilium = Cilium(layout, daemons, cgroup)
        daemons.wait("kubelet", lambda: NODE_NAME in kubectl("get", "nodes", "-o", "name"), seconds=60)
        cilium.start()
        cilium.wait()
        kubectl("wait", "--for=condition=Ready", f"node/{NODE_NAME}", "--timeout=90s")


def _install_platform(layout: RunLayout, daemons: Daemons, pool: ThreadPoolExecutor, images: Future[None]) -> None:
    kubectl = Kubectl(layout.node_kubeconfig)
    install_sandbox(kubectl)
    dns = pool.submit(install_dns, kubectl)
    istio = pool.submit(install_istio, kubectl)
    images.result()
    knative = pool.submit(install_knative, kubectl)
    for part in as_completed((dns, istio, knative)):
        part.result()
    standin = [sys.executable, "-m", "tests.cluster.standins.net_istio", str(layout.node_kubeconfig)]
    daemons.start("net-istio-standin", standin)


def main() -> int:
    """Takes one JSON word: where the run's folder is, its cgroup, and the door's file descriptor."""
    told = json.loads(sys.argv[1])
    layout = RunLayout(Path(told["folder"]))
    door = socket.socket(fileno=told["door"])
    try:
        daemons = boot(layout, told["cgroup"], door)
    except Exception as error:  # noqa: BLE001
        say(f"boot failed: {type(error).__name__}: {error}")
        # At once: the threads of the other parts would wait for theirs in vain, for minutes.
        os._exit(1)
    (layout.folder / "ready").touch()
    while True:
        time.sleep(1)
        try:
            daemons.check()
        except Exception as error:  # noqa: BLE001
            say(f"the node ends: {error}")
            return 1


if __name__ == "__main__":
    sys.exit(main())
