"""Where everything lies: one value object, so that no other module joins paths of its own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Layout:
    """The folders below `.cache/cluster/`, which git ignores."""

    cache: Path = CHECKOUT / ".cache" / "cluster"

    @property
    def built(self) -> Path:
        """What the recipes made, one folder per recipe, each with its content key."""
        return self.cache / "built"

    @property
    def work(self) -> Path:
        """Scratch space of recipes; worth nothing after the build."""
        return self.cache / "work"

    @property
    def runs(self) -> Path:
        """One folder per running cluster. Tests of starting and ending have one of their own."""
        elsewhere = os.environ.get("TEST_CLUSTER_RUNS")
        return Path(elsewhere) if elsewhere else self.cache / "run"

    @property
    def last_logs(self) -> Path:
        """The logs of the cluster that ended last."""
        return self.cache / "last-logs"

    def built_by(self, recipe: str) -> Path:
        """The folder of one recipe's results."""
        return self.built / recipe


@dataclass(frozen=True)
class RunLayout:
    """The folder of one running cluster. It goes away with the cluster."""

    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "state.json"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def certificates(self) -> Path:
        return self.folder / "certificates"

    @property
    def node_kubeconfig(self) -> Path:
        """For programs inside the node's namespaces."""
        return self.folder / "node.kubeconfig"

    @property
    def host_kubeconfig(self) -> Path:
        """For programs on this machine: the API server through a loopback port."""
        return self.folder / "host.kubeconfig"

    @property
    def cni(self) -> Path:
        return self.folder / "cni"

    @property
    def etc(self) -> Path:
        """Configuration files of the node's programs."""
        return self.folder / "etc"

    @property
    def registries(self) -> Path:
        """A folder for each registry that containerd reaches in another way than by HTTPS with public authorities."""
        return self.folder / "registries"

    @property
    def data(self) -> Path:
        """What the node's programs store: images, pods."""
        return self.folder / "data"


LAYOUT = Layout()
