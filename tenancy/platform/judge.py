"""What is missing or unsafe on a cluster. Pure: the same facts give the same findings."""

import re
from collections.abc import Callable, Iterator

from policies.model import Platform
from tenancy.platform.facts import Facts, Finding, Severity
from tenancy.platform.judge_knative import judge_knative
from tenancy.platform.judge_network import judge_network
from tenancy.platform.judge_rights import judge_rights

Version = tuple[int, int]

# Below the first, something that the product needs is not there; the second and third are what it was tried with.
KUBERNETES: tuple[Version, Version, Version] = (1, 34), (1, 35), (1, 36)
KNATIVE: tuple[Version, Version, Version] = (1, 15), (1, 15), (1, 23)
ISTIO: tuple[Version, Version, Version] = (1, 29), (1, 30), (1, 31)
ADMISSION_KINDS = (
    "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy",
    "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy",
)
TENANT_KIND = "tenants.osfaas.dev"
_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")


def judge(facts: Facts, platform: Platform) -> tuple[Finding, ...]:
    """All findings, the unsafe ones first."""
    parts: tuple[Callable[[Facts, Platform], Iterator[Finding]], ...] = (
        _versions,
        _kinds,
        judge_network,
        judge_knative,
        judge_rights,
        _isolation,
        _images,
    )
    findings = [finding for part in parts for finding in part(facts, platform)]
    order = list(Severity)
    return tuple(sorted(findings, key=lambda finding: order.index(finding.severity)))


def version_of(text: str) -> Version | None:
    """Major and minor of `v1.36.3`, `1.30-alpha`, `knative-v1.15.2`; None where there is none."""
    found = re.search(r"(?<!\d)v?(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def _versions(facts: Facts, _platform: Platform) -> Iterator[Finding]:
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


def _kinds(facts: Facts, _platform: Platform) -> Iterator[Finding]:
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


def _isolation(facts: Facts, platform: Platform) -> Iterator[Finding]:
    has_cni = any(name.startswith("istio-cni") for name in facts.daemonsets)
    if platform.sidecars and not has_cni:
        yield Finding(
            Severity.UNSAFE, "sidecars.no_cni",
            "The platform file says `sidecars: true`, and there is no istio-cni: with Pod Security `restricted` no"
            " pod of a tenant gets a sidecar, so AuthorizationPolicies and mutual TLS on them are not in force.",
            "Install Istio's chart `cni`, or say `sidecars: false`.",
        )  # fmt: skip
    elif not platform.sidecars:
        yield Finding(
            Severity.ADVICE, "sidecars.off",
            "Tenants' pods have no sidecars: between them NetworkPolicies decide, and no mutual TLS.",
            "For L3 as a whole install Istio's chart `cni` and say `sidecars: true`.",
        )  # fmt: skip
    ambient = [name for name in facts.daemonsets if name.startswith("ztunnel")]
    if ambient or facts.ambient_namespaces:
        where = ", ".join([*ambient, *facts.ambient_namespaces])
        yield Finding(
            Severity.UNSAFE, "mesh.ambient",
            f"Istio's ambient mesh is in use ({where}): Knative does not support it, and its tunnel goes around"
            " policies that name ports.",
            "Take ztunnel away, and the label istio.io/dataplane-mode from namespaces.",
        )  # fmt: skip
    runtime = platform.sandbox_runtime_class
    if runtime and runtime not in facts.runtime_classes:
        yield Finding(
            Severity.MISSING, "runtime.missing",
            f"The platform file names the RuntimeClass {runtime}, which is not there: no pod of L4 or L5 starts.",
            "Install the sandboxed runtime on the nodes, with its RuntimeClass.",
        )  # fmt: skip


def _images(facts: Facts, platform: Platform) -> Iterator[Finding]:
    images = {
        **facts.images,
        **{f"function {name}": function.image for name, function in platform.functions.items()},
    }
    moving = [f"{name} ({image})" for name, image in sorted(images.items()) if not _DIGEST.fullmatch(image)]
    if moving:
        yield Finding(
            Severity.ADVICE, "image.no_digest",
            f"Images without a digest: {', '.join(moving)}. Whoever may push to their registry decides what runs.",
            "Write NAME@sha256:… in the overlay's `images` (`digest`) and in the platform file.",
        )  # fmt: skip


def _text(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
