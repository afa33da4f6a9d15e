"""The layout is the architecture: imports between packages point down, and nowhere in a circle.

`pytest -s tests/unit/test_layers.py` prints the picture. `make lint` proves the contracts; here it is seen that they
cover every package.
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

import grimp
import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
TOPS = ("builds", "client", "control", "gateway", "tenancy", "policies")
Picture = Mapping[str, set[str]]
Layers = list[set[str]]


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*TOPS, cache_dir=None)


def layers_of(package: str) -> Layers:
    """The layers of a package in its contract, from the top."""
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (found,) = (each for each in settings["contracts"] if each.get("containers") == [package])
    return [{name.strip() for name in layer.split("|")} for layer in found["layers"]]


def picture(graph: grimp.ImportGraph, package: str) -> Picture:
    """The packages and modules right below a package, and which of the others each of them imports."""
    nodes = {child.rpartition(".")[2] for child in graph.find_children(package)}
    found: dict[str, set[str]] = {node: set() for node in nodes}
    for module in graph.find_descendants(package):
        for imported in graph.find_modules_directly_imported_by(module):
            if imported.startswith(f"{package}."):
                source, target = module.split(".")[1], imported.split(".")[1]
                found[source] |= {target} - {source}
    return found


def tops(graph: grimp.ImportGraph) -> Picture:
    """Which top-level packages import which others."""
    found: dict[str, set[str]] = {top: set() for top in TOPS}
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            found[module.split(".")[0]] |= {imported.split(".")[0]} - {module.split(".")[0]}
    return found


def importers(graph: grimp.ImportGraph, package: str, other: str) -> set[str]:
    """The modules of a package that import another package."""
    found = graph.find_descendants(package)
    imported = {module: graph.find_modules_directly_imported_by(module) for module in found}
    return {module for module in found if any(each.partition(".")[0] == other for each in imported[module])}


def circle(imports: Picture) -> list[str]:
    """Packages that import each other in a circle; empty if there is none."""
    left = {node: set(targets) for node, targets in imports.items()}
    while leaves := [node for node, targets in left.items() if not targets & left.keys()]:
        for leaf in leaves:
            del left[leaf]
    return sorted(left)


def upward(imports: Picture, layers: Layers) -> list[str]:
    """Imports of a package in the same layer or in one above."""
    depth = {name: number for number, layer in enumerate(layers) for name in layer}
    return sorted(
        f"{source} -> {target}"
        for source, targets in imports.items()
        for target in targets
        if depth[target] <= depth[source]
    )


def drawn(title: str, imports: Picture, layers: Iterable[Iterable[str]]) -> str:
    lines = [f"\n{title}"]
    for layer in layers:
        lines += (f"  {name:<20} -> {', '.join(sorted(imports.get(name, ()))) or '-'}" for name in sorted(layer))
        lines.append("  " + "-" * 20)
    return "\n".join(lines)


@pytest.mark.parametrize("package", ["gateway", "tenancy"])
def test_no_package_imports_one_above_or_beside_it(package: str, graph: grimp.ImportGraph) -> None:
    imports, layers = picture(graph, package), layers_of(package)
    print(drawn(package, imports, layers))
    assert {name for layer in layers for name in layer} == imports.keys()
    assert upward(imports, layers) == []
    assert circle(imports) == []


def test_top_level_packages_import_each_other_in_one_direction(graph: grimp.ImportGraph) -> None:
    imports = tops(graph)
    print(drawn("top level", imports, [[top] for top in TOPS]))
    assert circle(imports) == []
    assert not imports["policies"]
    assert not imports["builds"]
    assert imports["tenancy"] <= {"client", "policies"}
    # One command of `openstack` is a command like those of the client.
    assert importers(graph, "tenancy", "client") == {"tenancy.commands.openstack_verify"}
    assert "control" not in imports["gateway"]


def test_circle_and_upward_import_would_be_found() -> None:
    """Otherwise the tests above prove nothing."""
    bad = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}
    assert circle(bad) == ["a", "b", "c", "d"]
    assert upward(bad, [{"d"}, {"a"}, {"b"}, {"c"}]) == ["c -> a"]
