"""Runs all checks of a cluster. Pure: the same facts give the same findings."""

from collections.abc import Callable, Iterator

from policies.model import Platform
from tenancy.platform.checks.images import check_images
from tenancy.platform.checks.isolation import check_isolation
from tenancy.platform.checks.knative import check_knative
from tenancy.platform.checks.network import check_network
from tenancy.platform.checks.rbac import check_rbac
from tenancy.platform.checks.versions import check_kinds, check_versions
from tenancy.platform.cluster_facts import ClusterFacts, Finding, Severity

CHECKS: tuple[Callable[[ClusterFacts, Platform], Iterator[Finding]], ...] = (
    check_versions,
    check_kinds,
    check_network,
    check_knative,
    check_rbac,
    check_isolation,
    check_images,
)


def run_checks(facts: ClusterFacts, platform: Platform) -> tuple[Finding, ...]:
    """All findings, the unsafe ones first."""
    findings = [finding for check in CHECKS for finding in check(facts, platform)]
    order = list(Severity)
    return tuple(sorted(findings, key=lambda finding: order.index(finding.severity)))
