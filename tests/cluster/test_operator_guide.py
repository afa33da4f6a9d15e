"""Each command of the pages about installation, onboarding and verification is run on the installed product.

The Secrets of the installation's second step were made by its own lines when the product was installed (product.py),
and Istio and Knative by the product's own code when the cluster booted. Here they are installed already, so the line
that names their charts and manifests runs as the dry run that the page puts first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from localcloud.seed import Keystone
from policies.names import ProjectId, namespace_of
from tests.cluster.guide import INSTALLATION, ONBOARDING, VERIFICATION, commands, examples
from tests.cluster.layout import LAYOUT
from tests.cluster.progress import say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.cluster.product import Product

_PROJECTS = ("atlas", "cms")
_KNATIVE = LAYOUT.built_by("knative")
_PLATFORM_PARTS = {"--istio-charts", "--knative-manifests"}

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def names(product: Product) -> Mapping[str, str]:
    """What the pages' placeholders are here."""
    return {
        "manifests/overlays/example": str(product.folder),
        "platform.yaml": str(product.folder / "platform.yaml"),
        "ISTIO_CHARTS": str(LAYOUT.built_by("istio") / "charts"),
        "SERVING_CRDS": str(_KNATIVE / "caching"),
        "SERVING_CORE": str(_KNATIVE / "serving"),
        "NET_ISTIO": str(_KNATIVE / "networking"),
    }


@pytest.fixture(scope="module")
def projects(product: Product) -> Iterator[dict[str, str]]:
    """The pages' two projects, in Keystone; namespace by name."""
    cloud = product.openstack.outside
    keystone = Keystone(cloud.session("admin"), cloud.auth_url)
    made = {name: keystone.create("project", name=name, domain_id="default")["id"] for name in _PROJECTS}
    namespaces = {name: str(namespace_of(ProjectId(project))) for name, project in made.items()}
    yield namespaces
    for namespace in namespaces.values():
        product.remove_tenant(namespace)


def without_parts_of_the_platform(words: list[str]) -> list[str]:
    """The same command for a cluster that has Istio and Knative, as the page says to omit their options."""
    kept, rest = [], iter(words)
    for word in rest:
        if word in _PLATFORM_PARTS:
            next(rest)
        else:
            kept.append(word)
    return kept


def test_the_installation_is_repeatable_and_its_dry_run_names_charts_and_manifests(
    product: Product, names: Mapping[str, str]
) -> None:
    """`install` twice changes nothing; `check --probe` finds nothing missing or unsafe; a function answers `verify`."""
    ran = []
    for words in commands(INSTALLATION, "osfaas", names):
        done = product.osfaas(*(words if "--dry-run" in words else without_parts_of_the_platform(words)))
        ran.append(" ".join(words[:2]))
        assert done.stdout.strip(), words
    platform = ["platform install", "platform install", "platform check", "platform verify"]
    assert ran == ["keystone bootstrap", *platform]


def test_the_onboarding_tutorial_prints_what_the_page_says(product: Product, projects: dict[str, str]) -> None:
    """Its confirmation comes during the grace period, and so removes nothing."""
    steps = examples(ONBOARDING)
    assert len(steps) == 10
    for step in steps:
        early = "--confirm" in step.words
        done = product.osfaas(*step.words, check=not early)
        assert bool(done.returncode) is early, step.words
        printed = done.stdout + done.stderr
        # No id of this project needs a hash in its namespace's name.
        assert step.missing_in(printed, projects["atlas"].removeprefix("faas-")) == [], (step.words, printed)
    assert product.cluster.kubectl.get("namespace", projects["atlas"])["status"]["phase"] == "Active"
    product.remove_tenant(projects["atlas"])


def test_a_tenants_isolation_is_replayed(product: Product, projects: dict[str, str], names: Mapping[str, str]) -> None:
    """Exit code 0: every attack was shown to fail, and would have been heard if it had worked."""
    product.cluster.kubectl("wait", "--for=delete", f"namespace/{projects['atlas']}", "--timeout=180s")
    for project in _PROJECTS:
        product.osfaas("tenant", "onboard", project, "--domain", "Default", "--isolation", "L3")
    (words,) = commands(VERIFICATION, "osfaas", names)
    said = product.osfaas(*words).stdout
    say(said.strip().splitlines()[-1])
