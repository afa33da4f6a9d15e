"""The image of the gateway holds every package of the product, and its build gets all that it copies."""

import re
import tomllib
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def copied() -> set[str]:
    """What the Dockerfile takes out of the checkout."""
    lines = re.findall(
        r"^COPY (?!--from)(.+) \S+$", (CHECKOUT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE
    )
    return {name for line in lines for name in line.split()}


def test_build_context_has_what_is_copied_and_nothing_else() -> None:
    lines = (CHECKOUT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert sorted(line.removeprefix("!") for line in lines if line.startswith("!")) == sorted(copied())


def packages(project: str) -> set[str]:
    """The packages of a distribution."""
    settings = tomllib.loads((CHECKOUT / project / "pyproject.toml").read_text(encoding="utf-8"))
    return {pattern.removesuffix("*") for pattern in settings["tool"]["setuptools"]["packages"]["find"]["include"]}


def test_each_package_of_the_product_is_copied() -> None:
    """The local cloud is for demo and tests, on a checkout; the runtimes are in one folder."""
    names = packages(".") | packages("distributions/builder") | packages("distributions/client")
    assert {"builds", "client", "gateway"} <= names
    places = {name: "functions/runtimes" for name in names if name.endswith("_runtime")}
    assert {places.get(name, name) for name in names - {"localcloud"}} <= copied()
