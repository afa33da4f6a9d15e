"""Checks that Kubernetes, Knative and Istio are installed, in tested versions."""

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
        tested = f"tested with {_text(oldest)} to {_text(newest)}"
        if version is None:
            yield Finding(
                Severity.ADVICE, code,
                f"The version of {name} is unknown ({text or 'none reported'}); this product was {tested}.",
                "Look it up in the manifests or charts that you installed.",
            )  # fmt: skip
        elif version < needed:
            yield Finding(
                Severity.MISSING, code, f"{name} is {_text(version)}; at least {_text(needed)} is required ({tested}).",
                f"Upgrade {name}.",
            )  # fmt: skip
        elif not oldest <= version <= newest:
            yield Finding(
                Severity.ADVICE, code, f"{name} is {_text(version)}; this product was {tested}.",
                "Run `osfaas platform verify` and `osfaas tenant verify` before you rely on it.",
            )  # fmt: skip


def check_kinds(facts: ClusterFacts, _platform: Platform) -> Iterator[Finding]:
    """Findings about kinds that the API server does not serve, and about missing policies."""
    if TENANT_KIND not in facts.kinds:
        yield Finding(
            Severity.MISSING, "kind.tenant", "The kind Tenant is not installed: no project can be onboarded.",
            "Run `kubectl apply --server-side -k manifests/crd`.",
        )  # fmt: skip
    for kind in ADMISSION_KINDS:
        if kind not in facts.kinds:
            yield Finding(
                Severity.MISSING, "kind.admission",
                f"The API server does not serve {kind}: isolation levels from L3 on are not available.",
                "Upgrade to Kubernetes 1.36, or enable the API.",
            )  # fmt: skip
    if facts.missing:
        yield Finding(
            Severity.UNSAFE, "policies.missing",
            f"Policies of the platform are missing: {', '.join(facts.missing)}. Tenants can reach shared components.",
            "Run `osfaas platform install` again; without charts and manifests it leaves Istio and Knative unchanged.",
        )  # fmt: skip


def _text(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
