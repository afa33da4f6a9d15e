"""Installs Istio's official charts with the helm binary."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tenancy.platform.errors import PlatformError

_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Charts:
    """The source of charts: Istio's release archive or source tree, a Helm repository, or an OCI registry.

    Attributes:
        place: a folder, `https://…` of a repository, or `oci://…`.
        version: of the charts; None: the newest of a repository, the only one of a folder.
    """

    place: str
    version: str | None = None

    def words(self, chart: str) -> list[str]:
        """Helm's arguments for one chart.

        Raises:
            PlatformError: the folder has no such chart.
        """
        version = ["--version", self.version] if self.version else []
        if self.place.startswith("oci://"):
            return [f"{self.place.rstrip('/')}/{chart}", *version]
        if self.place.startswith("http://"):
            raise PlatformError(f"{self.place}: http does not protect charts from changes; use https")
        if self.place.startswith("https://"):
            return [chart, "--repo", self.place, *version]
        # In Istio's source tree and in the archive of a release, two charts have other names than in the repository.
        for name in (chart, *{"istiod": ("istio-control/istio-discovery",), "cni": ("istio-cni",)}.get(chart, ())):
            if (Path(self.place) / name / "Chart.yaml").is_file():
                return [str(Path(self.place) / name)]
        raise PlatformError(f"{self.place}: contains no chart {chart}")


@dataclass(frozen=True, slots=True)
class Helm:
    """The helm binary for one cluster."""

    program: str = "helm"
    kubeconfig: Path | None = None
    context: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    def install(self, release: str, chart: list[str], namespace: str, values: Mapping[str, Any]) -> None:
        """Installs the release, or upgrades it to these values.

        Raises:
            PlatformError: helm is missing or fails; with its message.
        """
        target = [f"--kubeconfig={self.kubeconfig}"] if self.kubeconfig else []
        target += [f"--kube-context={self.context}"] if self.context else []
        words = [self.program, *target, "upgrade", "--install", release, *chart, "--namespace", namespace]
        words += ["--create-namespace", "--values", "-"]
        try:
            done = subprocess.run(  # noqa: S603 - the operator's own helm and charts
                words,
                input=yaml.safe_dump(dict(values)),
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
                env={**os.environ, **self.environment},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PlatformError(f"helm: {error}") from error
        if done.returncode:
            raise PlatformError(f"helm, release {release}: {done.stderr.strip()[-1500:]}")
