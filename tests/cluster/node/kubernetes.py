"""Kubernetes' own programs on the node, and their flags."""

from __future__ import annotations

import ssl
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from tests.cluster.layout import LAYOUT, RunLayout
from tests.cluster.node.facts import (
    API_PORT,
    DNS_ADDRESS,
    NODE_ADDRESS,
    NODE_NAME,
    POD_CIDR,
    SERVICE_CIDR,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.node.certificates import Authority
    from tests.cluster.node.daemons import Daemons

ETCD = "http://127.0.0.1:2379"
API = f"https://{NODE_ADDRESS}:{API_PORT}"


@dataclass(frozen=True)
class Kubernetes:
    """Starts the control plane and the kubelet of one node."""

    layout: RunLayout
    daemons: Daemons
    authority: Authority
    cgroup: str

    def start_control_plane(self) -> None:
        """etcd and the API server; the API answers when this returns."""
        # On /run, a tmpfs: nothing of it outlives the node.
        etcd: list[str | Path] = [
            LAYOUT.built_by("etcd") / "server",
            "--data-dir=/run/etcd",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]
        self.daemons.start("etcd", [*etcd, f"--listen-client-urls={ETCD}", f"--advertise-client-urls={ETCD}"])
        self.daemons.start("kube-apiserver", [_program("kube-apiserver"), *self._api_flags()])
        self.daemons.wait("kube-apiserver", self._api_is_ready, seconds=90)

    def start_controllers(self) -> None:
        """Controller manager, scheduler and the Services' proxy."""
        self._kubeconfig("controller-manager")
        self._kubeconfig("scheduler")
        secrets = self.layout.certificates
        self.daemons.start(
            "kube-controller-manager",
            [
                _program("kube-controller-manager"),
                f"--kubeconfig={self.layout.etc}/controller-manager.kubeconfig",
                "--allocate-node-cidrs",
                f"--cluster-cidr={POD_CIDR}",
                f"--service-cluster-ip-range={SERVICE_CIDR}",
                f"--service-account-private-key-file={secrets}/service-accounts.key",
                f"--root-ca-file={secrets}/ca.crt",
                f"--cluster-signing-cert-file={secrets}/ca.crt",
                f"--cluster-signing-key-file={secrets}/ca.key",
                "--use-service-account-credentials",
                "--leader-elect=false",
                # A kind that came later (Knative's) counts when all quotas are gone through again: after five minutes.
                "--resource-quota-sync-period=5s",
            ],
        )
        scheduler = f"--kubeconfig={self.layout.etc}/scheduler.kubeconfig"
        self.daemons.start("kube-scheduler", [_program("kube-scheduler"), scheduler, "--leader-elect=false"])

    def start_node(self) -> None:
        """The kubelet and the Services' proxy."""
        self._kubeconfig("kubelet")
        self.daemons.start(
            "kubelet",
            [
                _program("kubelet"),
                f"--config={self._kubelet_configuration()}",
                f"--kubeconfig={self.layout.etc}/kubelet.kubeconfig",
                f"--root-dir={self.layout.data}/kubelet",
                f"--node-ip={NODE_ADDRESS}",
                f"--hostname-override={NODE_NAME}",
            ],
        )
        self.daemons.start(
            "kube-proxy",
            [
                _program("kube-proxy"),
                f"--kubeconfig={self.layout.node_kubeconfig}",
                f"--hostname-override={NODE_NAME}",
                f"--cluster-cidr={POD_CIDR}",
                "--oom-score-adj=0",
                "--conntrack-max-per-core=0",
                "--conntrack-min=0",
            ],
        )

    def _api_flags(self) -> list[str]:
        secrets = self.layout.certificates
        return [
            f"--etcd-servers={ETCD}",
            f"--secure-port={API_PORT}",
            f"--advertise-address={NODE_ADDRESS}",
            f"--service-cluster-ip-range={SERVICE_CIDR}",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged",
            "--anonymous-auth=true",
            "--enable-admission-plugins=NodeRestriction",
            f"--client-ca-file={secrets}/ca.crt",
            f"--tls-cert-file={secrets}/apiserver.crt",
            f"--tls-private-key-file={secrets}/apiserver.key",
            f"--kubelet-client-certificate={secrets}/apiserver-kubelet.crt",
            f"--kubelet-client-key={secrets}/apiserver-kubelet.key",
            # Otherwise exec and logs look the node's name up.
            "--kubelet-preferred-address-types=InternalIP",
            f"--service-account-key-file={secrets}/service-accounts.crt",
            f"--service-account-signing-key-file={secrets}/service-accounts.key",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--requestheader-client-ca-file={secrets}/ca.crt",
            # The same authority signs all clients: only this one may speak for others.
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            f"--proxy-client-cert-file={secrets}/front-proxy.crt",
            f"--proxy-client-key-file={secrets}/front-proxy.key",
        ]

    def _api_is_ready(self) -> bool:
        trust = ssl.create_default_context(cafile=str(self.layout.certificates / "ca.crt"))
        with urllib.request.urlopen(f"{API}/readyz", context=trust, timeout=2) as reply:
            return bool(reply.status == 200)

    def _kubeconfig(self, name: str) -> None:
        (self.layout.etc / f"{name}.kubeconfig").write_text(self.authority.kubeconfig(name, API))

    def _kubelet_configuration(self) -> Path:
        secrets = self.layout.certificates
        configuration = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(secrets / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(secrets / "kubelet.crt"),
            "tlsPrivateKeyFile": str(secrets / "kubelet.key"),
            "clusterDNS": [DNS_ADDRESS],
            "clusterDomain": "cluster.local",
            "resolvConf": str(self.layout.etc / "resolv.conf"),
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.cgroup}",
            "enforceNodeAllocatable": [],
            "oomScoreAdj": 0,
            "failSwapOn": False,
            "maxPods": 200,
            "podPidsLimit": 512,
            "podLogsDir": "/var/log/pods",
            "volumePluginDir": str(self.layout.data / "volume-plugins"),
            # A test should not wait for a poll: these are the kubelet's own intervals, shortened.
            "syncFrequency": "10s",
            "fileCheckFrequency": "1h0m0s",
            "httpCheckFrequency": "1h0m0s",
            # A full disk of this machine must not evict the tests' pods.
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
        }
        file = self.layout.etc / "kubelet.yaml"
        file.write_text(yaml.safe_dump(configuration))
        return file


def _program(name: str) -> Path:
    return LAYOUT.built_by("kubernetes") / name
