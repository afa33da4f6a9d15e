"""Sidecars on a running cluster: the product installed again, with istio-cni and Knative in the mesh."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from tenancy.platform.sources import with_settings
from tests.cluster.layout import LAYOUT
from tests.cluster.platform.istio import CHARTS, GATEWAY_VALUES, PILOT_VALUES, SMALL
from tests.cluster.platform.knative import configmaps, knative_objects
from tests.cluster.progress import step
from tests.cluster.recipes.archives import ARCHIVE
from tests.cluster.recipes.recipe import make_recipe
from tests.cluster.recipes.sidecars import IMAGE, sidecar_recipes
from tests.cluster.standins.gateways import knative_gateways

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.product import Product
    from tests.cluster.testbed import Testbed


def install_with_sidecars(product: Product) -> None:
    """One command of the product, with this cluster's values: istio-cni, Istio, Knative, policies, gateway."""
    for recipe in sidecar_recipes():
        make_recipe(recipe)
        archive = recipe.folder / ARCHIVE
        if archive.is_file():
            product.cluster.import_image(archive)
    folder = product.folder / "mesh"
    folder.mkdir()
    files = {
        "istiod-values": PILOT_VALUES,
        "ingress-values": GATEWAY_VALUES,
        "cni-values": _cni_values(product.cluster),
    }
    words = ["--overlay", str(product.folder), "--istio-charts", str(CHARTS), "--helm", str(_helm(folder))]
    for option, values in files.items():
        file = folder / f"{option}.yaml"
        file.write_text(yaml.safe_dump(values))
        words += [f"--{option}", str(file)]
    knative = folder / "knative.yaml"
    manifests = [*with_settings(knative_objects(), configmaps()), *knative_gateways()]
    knative.write_text(yaml.safe_dump_all(manifests))
    with step("osfaas platform install, with sidecars"):
        product.osfaas("platform", "install", *words, "--knative-manifests", str(knative))


def _cni_values(cluster: Testbed) -> dict[str, Any]:
    """Where this node has its CNI plugins; the image of the installer has no iptables to repair pods with."""
    cni = cluster.running.layout.cni
    return {
        "global": {"hub": "dev.local", "tag": "test", "imagePullPolicy": "IfNotPresent"},
        "image": IMAGE,
        "cniBinDir": f"{cni}/bin",
        "cniConfDir": f"{cni}/conf",
        "repair": {"enabled": False},
        "resources": SMALL,
    }


def _helm(folder: Path) -> Path:
    """Helm, with its files in the folder."""
    homes = " ".join(f"HELM_{kind}_HOME={folder}/helm/{kind.lower()}" for kind in ("CACHE", "CONFIG", "DATA"))
    program = folder / "helm.sh"
    program.write_text(f'#!/bin/sh\nexec env {homes} {LAYOUT.built_by("helm") / "helm"} "$@"\n')
    program.chmod(0o755)
    return program
