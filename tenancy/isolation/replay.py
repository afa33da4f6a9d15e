"""One replay: create fixtures, discover targets, run every attack and its control, evaluate, clean up."""

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from kubernetes import client

from policies.model import IsolationLevel, Platform, TenantSpec
from tenancy.isolation.attack import Assumed, Attack, BuildProbe, Control, Evidence, Outcome, Request, VictimProbe
from tenancy.isolation.attacks import all_attacks
from tenancy.isolation.discovery import discover_targets
from tenancy.isolation.fixtures import Fixtures, create_fixtures
from tenancy.isolation.runners import TenantUser, run_in_pod
from tenancy.isolation.targets import Context, Victim
from tenancy.isolation.verdict import Finding, Verdict, evaluate
from tenancy.kubernetes.client import Cluster

_MAX_CONCURRENT = 6


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """The parameters of a replay.

    Attributes:
        level: the level to test; the tenant's own, or a lower or higher one.
        image: of the probe pods; needs `python3`. A function's own image is the most realistic one.
        keystone, store: host and port, if known.
    """

    tenant: TenantSpec
    victim: TenantSpec
    platform: Platform
    level: IsolationLevel
    image: str
    keystone: tuple[str, int] | None = None
    store: tuple[str, int] | None = None


def replay(configuration: client.Configuration, request: ReplayRequest) -> tuple[Finding, ...]:
    """Runs every attack from inside the tenant; returns the findings.

    Raises:
        ClusterError: the fixtures could not be created, or a target was not found.
    """
    cluster = Cluster(client.ApiClient(configuration))
    tenant, victim = request.tenant.namespace, request.victim.namespace
    builds = request.platform.builds is not None
    with create_fixtures(cluster, tenant, victim, request.image, builds=builds) as fixtures:
        attacks = all_attacks(build_context(cluster, request, fixtures))
        findings = _run_attacks(configuration, fixtures, attacks, request.level)
        # A webhook may have been slow, or a connection broken: unproven attacks are run once more.
        unproven = [attack for attack in attacks if findings[attack.name].verdict is Verdict.UNPROVEN]
        findings |= _run_attacks(configuration, fixtures, unproven, request.level)
    return tuple(findings[attack.name] for attack in attacks)


def _run_attacks(
    configuration: client.Configuration, fixtures: Fixtures, attacks: Sequence[Attack], level: IsolationLevel
) -> dict[str, Finding]:
    answers = run_probes(
        configuration, fixtures, [*(each.attempt for each in attacks), *(each.control for each in attacks)]
    )
    pairs = zip(attacks, answers, answers[len(attacks) :], strict=False)
    return {attack.name: evaluate(attack, evidence, control, level) for attack, evidence, control in pairs}


def build_context(cluster: Cluster, request: ReplayRequest, fixtures: Fixtures) -> Context:
    """The context of the attacks: attacker, victim and targets.

    Raises:
        ClusterError: the targets cannot be found.
    """
    targets = discover_targets(cluster, request.platform, request.keystone, request.store)
    function = (request.victim.functions or ("checksums",))[0]
    return Context(
        request.tenant,
        request.platform,
        Victim(request.victim.namespace, function, fixtures.address, fixtures.word),
        targets,
    )


def run_probes(configuration: client.Configuration, fixtures: Fixtures, probes: Sequence[Control]) -> list[Evidence]:
    """Runs each probe in one of the pods, or at the Kubernetes API; evidence in the given order."""
    user = TenantUser(configuration, fixtures.user)
    elsewhere = VictimProbe | BuildProbe | Assumed | Request
    in_probe = {n: each for n, each in enumerate(probes) if not isinstance(each, elsewhere)}
    in_build = {n: each.connection for n, each in enumerate(probes) if isinstance(each, BuildProbe)}
    in_decoy = {n: each.connection for n, each in enumerate(probes) if isinstance(each, VictimProbe)}
    requests = {n: each for n, each in enumerate(probes) if isinstance(each, Request)}
    evidence = {n: _assumed(each) for n, each in enumerate(probes) if isinstance(each, Assumed)}
    with ThreadPoolExecutor(_MAX_CONCURRENT) as pool:
        answers: list[tuple[Iterable[int], Future[tuple[Evidence, ...]]]] = [
            (in_probe, pool.submit(run_in_pod, configuration, fixtures.probe, list(in_probe.values()))),
            (in_decoy, pool.submit(run_in_pod, configuration, fixtures.decoy, list(in_decoy.values()))),
        ]
        if in_build:
            assert fixtures.build is not None
            answers.append((in_build, pool.submit(run_in_pod, configuration, fixtures.build, list(in_build.values()))))
        evidence.update(zip(requests, pool.map(user.send, requests.values()), strict=True))
    for numbers, answer in answers:
        evidence.update(zip(numbers, answer.result(), strict=True))
    return [evidence[number] for number in range(len(probes))]


def _assumed(control: Assumed) -> Evidence:
    return Evidence(Outcome.ANSWERED if control.holds else Outcome.BROKEN, control.fact)
