"""containerd and the images."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.commands import run
from tests.cluster.layout import LAYOUT, RunLayout
from tests.cluster.recipes.archives import ARCHIVE

if TYPE_CHECKING:
    from tests.cluster.node.daemons import Daemons

SOCKET = "/run/containerd/containerd.sock"
_CNI_PROGRAMS = "/usr/lib/cni"  # Debian's containernetworking-plugins: loopback

_CONFIGURATION = """\
version = 3
root = "{data}/containerd"
state = "/run/containerd"
[grpc]
address = "{socket}"
[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".registry]
config_path = "{registries}"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "dev.local/pause:test"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{cni}/bin", "{cni_programs}"]
conf_dir = "{cni}/conf"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "{runc}"
SystemdCgroup = false
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.gvisor]
runtime_type = "io.containerd.runsc.v1"
runtime_path = "{gvisor}/shim"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.gvisor.options]
TypeUrl = "io.containerd.runsc.v1.options"
ConfigPath = "{runsc}"
"""
_GVISOR = """\
binary_name = "{gvisor}/runsc"
[runsc_config]
platform = "systrap"
"""


@dataclass(frozen=True)
class Containers:
    """The container runtime of one node."""

    layout: RunLayout
    daemons: Daemons

    def start(self) -> None:
        """containerd answers when this returns."""
        self.layout.registries.mkdir()
        for folder in ("bin", "conf"):
            (self.layout.cni / folder).mkdir(parents=True)
        programs = LAYOUT.built_by("containerd")
        gvisor, runsc = LAYOUT.built_by("gvisor"), self.layout.etc / "runsc.toml"
        runsc.write_text(_GVISOR.format(gvisor=gvisor))
        configuration = self.layout.etc / "containerd.toml"
        configuration.write_text(
            _CONFIGURATION.format(
                data=self.layout.data,
                registries=self.layout.registries,
                socket=SOCKET,
                cni=self.layout.cni,
                cni_programs=_CNI_PROGRAMS,
                runc=LAYOUT.built_by("runc") / "runc",
                gvisor=gvisor,
                runsc=runsc,
            )
        )
        path = {"PATH": f"{programs}:{os.environ['PATH']}"}  # the shim lies beside containerd
        self.daemons.start("containerd", [programs / "containerd", "--config", configuration], path)
        self.daemons.wait("containerd", Path(SOCKET).exists, seconds=30)
        self.daemons.wait("containerd", lambda: bool(self._ctr("version")), seconds=30)

    def import_images(self) -> None:
        """Every image that the recipes made."""
        for archive in sorted(LAYOUT.built.glob(f"image-*/{ARCHIVE}")):
            self.import_image(archive)

    def import_image(self, archive: Path) -> None:
        """One docker-archive."""
        self._ctr("images", "import", "--local", str(archive))

    def _ctr(self, *words: str) -> str:
        return run([LAYOUT.built_by("containerd") / "ctr", "--address", SOCKET, "--namespace", "k8s.io", *words])
