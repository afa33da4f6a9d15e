"""Checks that Kubernetes, Knative and Istio are there, in versions that the product was tried with."""

import re
from collections.abc import Iterator

from policies.model import Platform
from tenancy.platform.cluster_facts import ClusterFacts, Finding, Severity

Version = tuple[int, int]

# Minimum, oldest and newest tested version. Below the minimum, a feature that the product needs is missing.
KUBERNETES: tuple[Version, Version, Version] = (1, 34), (1, 35), (1, 36)
KNATIVE: tuple[Version, Version, Version] = (1, 15), (1, 15), (1, 23)
ISTIO: tuple[Version, Version, Version] = (1, 29), (1, 30), (1, 31)
ADMISSION_KINDS = (
    "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy",
    "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy",
)
TENANT_KIND = "tenants.osfaas.dev"


def version_of(text: str) -> Version | None:
    """Major and minor of `v1.36.3`, `1.30-alpha`, `knative-v1.15.2`; None if the text contains none."""
    found = re.search(r"(?<!\d)v?(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def check_versions(facts: ClusterFacts, _platform: Platform) -> Iterator[Finding]:
    """Findings about the versions of the components."""
    parts = [("Kubernetes", facts.kubernetes, KUBERNETES, True)]
    parts += [("Knative Serving", facts.knative, KNATIVE, facts.has_knative)]
    parts += [("Istio", facts.istio, ISTIO, facts.has_istio)]
    for name, text, (needed, oldest, newest), there in parts:
        code = f"version.{name.split()[0].lower()}"
        if not there:
            yield Finding(
                Severity.MISSING, code, f"{name} is not installed: no function runs.",
                "Run `osfaas platform install`.",
            )  # fmt: skip
            continue
        version = version_of(text)
        tried = f"tried with {_text(oldest)} to {_text(newest)}"
        if version is None:
            yield Finding(
                Severity.ADVICE, code, f"{name} does not say its version ({text or 'nothing'}); it was {tried}.",
                "Look it up in what you installed it from.",
            )  # fmt: skip
        elif version < needed:
            yield Finding(
                Severity.MISSING, code, f"{name} is {_text(version)}; at least {_text(needed)} is needed, {tried}.",
                f"Upgrade {name}.",
            )  # fmt: skip
        elif not oldest <= version <= newest:
            yield Finding(
                Severity.ADVICE, code, f"{name} is {_text(version)}; it was {tried}.",
                "Run `osfaas platform verify` and `osfaas tenant verify` before you trust it.",
            )  # fmt: skip


def check_kinds(facts: ClusterFacts, _platform: Platform) -> Iterator[Finding]:
    """Findings about kinds that the API server does not serve, and about missing policies."""
    if TENANT_KIND not in facts.kinds:
        yield Finding(
            Severity.MISSING, "kind.tenant", "The kind Tenant is not there: nobody can be onboarded.",
            "Run `kubectl apply --server-side -k manifests/crd`.",
        )  # fmt: skip
    for kind in ADMISSION_KINDS:
        if kind not in facts.kinds:
            yield Finding(
                Severity.MISSING, "kind.admission",
                f"The API server does not serve {kind}: levels from L3 on cannot be given.",
                "Upgrade to Kubernetes 1.36, or turn the API on.",
            )  # fmt: skip
    if facts.missing:
        yield Finding(
            Severity.UNSAFE, "policies.missing",
            f"Policies of the platform are missing: {', '.join(facts.missing)}. Tenants can reach what all share.",
            "Run `osfaas platform install` again; without charts and manifests it only applies policies and ourselves.",
        )  # fmt: skip


def _text(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
