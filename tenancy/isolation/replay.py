"""The story of one replay: set the stage, find the targets, ask every attack and its twin, judge, clean up."""

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from kubernetes import client

from policies.model import IsolationLevel, Platform, TenantSpec
from tenancy.isolation.attack import Attack, ByTheVictim, Evidence, Known, Outcome, Request, Twin
from tenancy.isolation.attacks import all_attacks
from tenancy.isolation.discovery import survey
from tenancy.isolation.fixtures import Stage, set_up
from tenancy.isolation.runners import TenantUser, ask_in_pod
from tenancy.isolation.targets import Scene, Victim
from tenancy.isolation.verdict import Finding, Verdict, judge
from tenancy.kubernetes.client import Cluster

_AT_ONCE = 6


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be replayed.

    Attributes:
        level: the promise that is tested; the tenant's own, or a lower or higher one.
        image: of the probe; needs `python3`. A function's own image is the most honest one.
        keystone, store: host and port, if known.
    """

    tenant: TenantSpec
    victim: TenantSpec
    platform: Platform
    level: IsolationLevel
    image: str
    keystone: tuple[str, int] | None = None
    store: tuple[str, int] | None = None


def replay(configuration: client.Configuration, order: Order) -> tuple[Finding, ...]:
    """Every attack from inside the tenant, with what came of it.

    Raises:
        ClusterError: the probe could not be set up, or the targets not be found.
    """
    cluster = Cluster(client.ApiClient(configuration))
    with set_up(cluster, order.tenant.namespace, order.victim.namespace, order.image) as stage:
        attacks = all_attacks(see(cluster, order, stage))
        findings = _try_all(configuration, stage, attacks, order.level)
        # A webhook that was slow, a connection that broke: what proves nothing is asked once more.
        unproven = [attack for attack in attacks if findings[attack.name].verdict is Verdict.UNPROVEN]
        findings |= _try_all(configuration, stage, unproven, order.level)
    return tuple(findings[attack.name] for attack in attacks)


def _try_all(
    configuration: client.Configuration, stage: Stage, attacks: Sequence[Attack], level: IsolationLevel
) -> dict[str, Finding]:
    answers = ask(configuration, stage, [*(each.question for each in attacks), *(each.twin for each in attacks)])
    pairs = zip(attacks, answers, answers[len(attacks) :], strict=False)
    return {attack.name: judge(attack, evidence, twin, level) for attack, evidence, twin in pairs}


def see(cluster: Cluster, order: Order, stage: Stage) -> Scene:
    """What there is to attack from this stage.

    Raises:
        ClusterError: the targets cannot be found.
    """
    targets = survey(cluster, order.platform, order.keystone, order.store)
    function = (order.victim.functions or ("checksums",))[0]
    return Scene(
        order.tenant, order.platform, Victim(order.victim.namespace, function, stage.address, stage.word), targets
    )


def ask(configuration: client.Configuration, stage: Stage, errands: Sequence[Twin]) -> list[Evidence]:
    """Each errand where it belongs: in the probe, in the decoy, or at the Kubernetes API; in the order given."""
    user = TenantUser(configuration, stage.user)
    in_probe = {n: each for n, each in enumerate(errands) if not isinstance(each, ByTheVictim | Known | Request)}
    in_decoy = {n: each.question for n, each in enumerate(errands) if isinstance(each, ByTheVictim)}
    requests = {n: each for n, each in enumerate(errands) if isinstance(each, Request)}
    told = {n: _vouched(each) for n, each in enumerate(errands) if isinstance(each, Known)}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers: list[tuple[Iterable[int], Future[tuple[Evidence, ...]]]] = [
            (in_probe, pool.submit(ask_in_pod, configuration, stage.probe, list(in_probe.values()))),
            (in_decoy, pool.submit(ask_in_pod, configuration, stage.decoy, list(in_decoy.values()))),
        ]
        told.update(zip(requests, pool.map(user.ask, requests.values()), strict=True))
    for asked, answer in answers:
        told.update(zip(asked, answer.result(), strict=True))
    return [told[number] for number in range(len(errands))]


def _vouched(known: Known) -> Evidence:
    return Evidence(Outcome.ANSWERED if known.holds else Outcome.BROKEN, known.fact)
