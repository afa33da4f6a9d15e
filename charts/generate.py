"""Makes the files of the chart, and the archive that Helm installs from."""

import gzip
import io
import json
import re
import shutil
import string
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from charts.bindings import COMPONENTS, Binding, Manifest, bindings_of
from charts.errors import ChartError
from charts.templates import conditional, settings_template, template_of
from releases.version import checkout_version, semantic
from tenancy.platform.sources import render

NAME = "osfaas"
SOURCE = Path(__file__).parent / "source"
# Copied as they are; templates read them with .Files, because Prometheus and Grafana have braces of their own.
_MONITORING = ("alerts.yaml", "dashboard.json")
_HASH = re.compile(r"-[0-9a-z]{10}$")
# Conditions of objects whose part is not their base alone.
_CONDITIONS = {"osfaas-platform": "or .Values.controller.enabled .Values.functionsApi.enabled"}


class _Defaults(string.Template):
    """`${gateway.resources}` in values.yaml: the default that the manifests give."""

    idpattern = r"[A-Za-z]+(?:\.[A-Za-z]+)+"


def chart_files(checkout: Path, kubectl: str) -> dict[str, bytes]:
    """The content of each file of the chart, by its path.

    Raises:
        ChartError: the manifests have something that the chart does not provide for.
        PlatformError: kubectl does not render them.
        ReleaseError: the tag names another version than the projects.
    """
    manifests = checkout / "manifests"
    defaults: dict[str, Any] = {}
    files: dict[str, bytes] = {}
    for base in ("system", *COMPONENTS):
        items = _with_plain_names(render(kubectl, manifests / base))
        files[f"templates/{base}.yaml"] = _templates(base, items, defaults).encode()
        if base == "gateway":
            (data,) = (item["data"] for item in items if item["kind"] == "ConfigMap")
            files["templates/_settings.tpl"] = settings_template(data).encode()
    for file in sorted((manifests / "crd").glob("*.yaml")):
        if file.name != "kustomization.yaml":
            files[f"crds/{file.name}"] = file.read_bytes()
    for name in _MONITORING:
        files[f"monitoring/{name}"] = (manifests / "monitoring" / name).read_bytes()
    version = checkout_version(checkout)
    for file in sorted(path for path in SOURCE.rglob("*") if path.is_file()):
        files[str(file.relative_to(SOURCE))] = file.read_bytes()
    files["LICENSE"] = (checkout / "LICENSE").read_bytes()
    chart = string.Template(files["Chart.yaml"].decode())
    files["Chart.yaml"] = chart.substitute(version=semantic(version), appVersion=version).encode()
    files["values.yaml"] = _values(files["values.yaml"].decode(), defaults).encode()
    return files


def _templates(base: str, items: Iterable[Manifest], defaults: dict[str, Any]) -> str:
    parts = []
    for item in items:
        bindings = list(bindings_of(base, item))
        _collect(defaults, bindings)
        key = COMPONENTS.get(base, "")
        condition = f".Values.{key}.enabled" if key not in ("", "gateway") else ""
        if item["kind"] == "Namespace":
            condition = ".Values.namespace.create"
            item["metadata"]["annotations"] = {"helm.sh/resource-policy": "keep"}
        name = item["metadata"]["name"]
        parts.append(conditional(_CONDITIONS.get(name, condition), f"---\n{template_of(item, bindings)}"))
    return "".join(parts)


def _collect(defaults: dict[str, Any], bindings: Iterable[Binding]) -> None:
    for binding in bindings:
        if binding.value and defaults.setdefault(binding.value, binding.default) != binding.default:
            raise ChartError(f"{binding.value}: the manifests have {defaults[binding.value]} and {binding.default}")


def _with_plain_names(items: list[Manifest]) -> list[Manifest]:
    """Without the hash that kustomize appends to the names of ConfigMaps."""
    text = json.dumps(items)
    for item in items:
        if item["kind"] == "ConfigMap":
            name = item["metadata"]["name"]
            text = text.replace(json.dumps(name), json.dumps(_HASH.sub("", name)))
    plain: list[Manifest] = json.loads(text)
    return plain


def _values(text: str, defaults: Mapping[str, Any]) -> str:
    template = _Defaults(text)
    if unknown := set(template.get_identifiers()) - set(defaults):
        raise ChartError(f"values.yaml names defaults that the manifests do not have: {sorted(unknown)}")
    return template.substitute({name: json.dumps(value) for name, value in defaults.items()})


def write_chart(files: Mapping[str, bytes], folder: Path) -> tuple[Path, Path]:
    """Writes folder `osfaas` and archive `osfaas-VERSION.tgz`; what was there before is removed.

    The same files give the same archive, byte for byte.
    """
    chart = folder / NAME
    shutil.rmtree(chart, ignore_errors=True)
    for name, content in files.items():
        path = chart / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (version,) = re.findall(rb"^version: (\S+)$", files["Chart.yaml"], re.MULTILINE)
    for old in folder.glob(f"{NAME}-*.tgz"):
        old.unlink()
    archive = folder / f"{NAME}-{version.decode()}.tgz"
    with (
        archive.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        # Helm wants Chart.yaml first.
        for name in sorted(files, key=lambda name: (name != "Chart.yaml", name)):
            entry = tarfile.TarInfo(f"{NAME}/{name}")
            entry.size = len(files[name])
            tar.addfile(entry, io.BytesIO(files[name]))
    return chart, archive
