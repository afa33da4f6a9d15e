"""Cilium's agent as a program of the node: the network of the pods and the judge of NetworkPolicies."""

from __future__ import annotations

import os
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.commands import run
from tests.cluster.layout import LAYOUT, RunLayout
from tests.cluster.node.facts import NODE_INTERFACE, NODE_NAME, POD_CIDR
from tests.cluster.node.mounts import unified_hierarchy

if TYPE_CHECKING:
    from tests.cluster.node.daemons import Daemons

_HEALTH_PORT = 9879
_LLVM = Path("/usr/lib/llvm-19/bin")
CRDS = LAYOUT.built_by("cilium") / "crds"


@dataclass(frozen=True)
class Cilium:
    """The agent of one node. Its custom resources are applied by hand: there is no operator."""

    layout: RunLayout
    daemons: Daemons
    cgroup: str

    def start(self) -> None:
        """Starts the agent; it answers once it has compiled its programs and seen the node."""
        built = LAYOUT.built_by("cilium")
        # The CNI folder is watched: the file must appear by a rename, which the agent's own write is.
        (self.layout.cni / "bin" / "cilium-cni").symlink_to(built / "cilium-cni")
        cgroup = unified_hierarchy() / self.cgroup / "cilium"
        cgroup.mkdir(exist_ok=True)
        scratch = Path("/run/cilium-tmp")  # not on the file system of the CNI folder
        scratch.mkdir()
        environment = {
            "PATH": f"{_LLVM}:{os.environ['PATH']}",
            "TMPDIR": str(scratch),
            "K8S_NODE_NAME": NODE_NAME,
            "CILIUM_K8S_NAMESPACE": "kube-system",
        }
        self.daemons.start("cilium-agent", [built / "daemon", *self._flags(cgroup)], environment)

    def wait(self) -> None:
        """Until it reports itself healthy."""
        self.daemons.wait("cilium-agent", _is_healthy, seconds=120)

    def _flags(self, cgroup: Path) -> list[str]:
        return [
            f"--k8s-kubeconfig-path={self.layout.node_kubeconfig}",
            f"--lib-dir={LAYOUT.built_by('cilium')}",
            "--state-dir=/run/cilium",
            f"--cgroup-root={cgroup}",
            "--ipam=kubernetes",
            "--enable-ipv6=false",
            "--routing-mode=native",
            f"--ipv4-native-routing-cidr={POD_CIDR}",
            "--enable-ipv4-masquerade=false",
            f"--devices={NODE_INTERFACE}",
            "--kube-proxy-replacement=false",
            "--identity-allocation-mode=crd",
            "--enable-l7-proxy=false",
            "--enable-hubble=false",
            "--enable-health-checking=false",
            "--enable-endpoint-health-checking=false",
            "--enable-l2-neigh-discovery=false",
            f"--agent-health-port={_HEALTH_PORT}",
            # A label that is taken away counts within seconds; the default jitter is half a minute.
            "--identity-max-jitter=0s",
            "--identity-change-grace-period=100ms",
            # An ipBlock matches pods, and nodes too: the API server listens on the node, as on most clusters.
            "--policy-cidr-match-mode=pods,nodes",
            # Small maps: this is one node with some dozens of pods.
            "--bpf-ct-global-tcp-max=32768",
            "--bpf-ct-global-any-max=16384",
            "--bpf-nat-global-max=32768",
            "--bpf-neigh-global-max=32768",
            f"--write-cni-conf-when-ready={self.layout.cni}/conf/05-cilium.conflist",
        ]


def apply_crds(kubectl: list[str]) -> None:
    """The agent waits for its custom resources; in production its operator brings them."""
    folders = [word for folder in sorted(CRDS.iterdir()) if folder.is_dir() for word in ("-f", str(folder))]
    run([*kubectl, "apply", "--server-side", *folders])


def _is_healthy() -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{_HEALTH_PORT}/healthz", timeout=3) as reply:
        return bool(reply.status == 200)
