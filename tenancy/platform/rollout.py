"""Applies manifests in phases, and waits until their Deployments are available."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from policies.model import Manifest
from tenancy.kubernetes.client import Cluster, Kind, Ref, ref_of
from tenancy.model.errors import ClusterError, ConflictError, KindMissingError, NotFoundError, UnavailableError
from tenancy.platform.errors import PlatformError
from tenancy.platform.readiness import is_available, is_everywhere, why_not
from tenancy.platform.sources import ApplyPhases

# Not the controller's: installed objects belong to the operator, and the controller must not treat them as its own.
FIELD_MANAGER = "osfaas-install"
CRD = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")
DEPLOYMENT, REPLICA_SET, POD = Kind("apps/v1", "Deployment"), Kind("apps/v1", "ReplicaSet"), Kind("v1", "Pod")
DAEMON_SET = Kind("apps/v1", "DaemonSet")
_PAUSE_SECONDS = 0.5

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Rollout:
    """Applies manifests to a cluster and reports progress.

    Attributes:
        say: called with each line of the report.
        wait_seconds: timeout for each object to become ready.
        dry_run: store nothing, and report what would change.
    """

    cluster: Cluster
    say: Say
    wait_seconds: float = 300.0
    dry_run: bool = False

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Reports the duration of the block, also on failure."""
        started = time.monotonic()
        try:
            yield
        except BaseException:
            self.say(f"{what}: FAILED after {time.monotonic() - started:.1f} s")
            raise
        self.say(f"{what}: {time.monotonic() - started:.1f} s")

    def apply(self, phases: ApplyPhases) -> None:
        """Applies kinds, then objects, then instances, each as soon as the cluster accepts it.

        Raises:
            PlatformError: an object is refused, or not accepted in time; names the object.
        """
        if self.dry_run:
            for item in (*phases.kinds, *phases.objects, *phases.instances):
                self._preview(item)
            return
        for item in phases.kinds:
            self._apply(item)
        self.wait_for_kinds(item["metadata"]["name"] for item in phases.kinds)
        for item in (*phases.objects, *phases.instances):
            self._apply(item)

    def wait_for_kinds(self, names: Iterable[str]) -> None:
        """Waits until the API server serves these CustomResourceDefinitions."""
        awaited = set(names)

        def problem() -> str:
            for item in self.cluster.list(CRD).items if awaited else ():
                # A kind that was just stored has null conditions.
                conditions = item.get("status", {}).get("conditions") or ()
                if any(each["type"] == "Established" and each["status"] == "True" for each in conditions):
                    awaited.discard(item["metadata"]["name"])
            return f"not established: {', '.join(sorted(awaited))}" if awaited else ""

        self.wait("custom resource definitions", problem)

    def wait_for_deployments(self, namespace: str, names: Iterable[str] = ()) -> None:
        """Waits until these Deployments, or all of the namespace, are available.

        Raises:
            PlatformError: they are not available in time; says why.
        """
        wanted = set(names)

        def problem() -> str:
            found = self.cluster.list(DEPLOYMENT, namespace=namespace).items
            chosen = [item for item in found if not wanted or item["metadata"]["name"] in wanted]
            missing = wanted - {item["metadata"]["name"] for item in chosen}
            late = [item for item in chosen if not is_available(item)]
            if missing:
                return f"no Deployment {', '.join(sorted(missing))}"
            return ", ".join(item["metadata"]["name"] for item in late)

        def reasons() -> str:
            items = self.cluster.list(DEPLOYMENT, namespace=namespace).items
            late = [item for item in items if not is_available(item)]
            pods = self.cluster.list(POD, namespace=namespace).items
            sets = self.cluster.list(REPLICA_SET, namespace=namespace).items
            return "; ".join(why_not(item, pods, sets) for item in late)

        if not self.dry_run:
            self.wait(f"Deployments of {namespace}", problem, reasons)

    def wait_for_daemon_set(self, namespace: str, name: str) -> None:
        """Waits until the DaemonSet is ready on all of its nodes.

        Raises:
            PlatformError: it is not in time; says on how many.
        """

        def problem() -> str:
            found = self.cluster.get(Ref(DAEMON_SET, namespace, name))
            if found is None:
                return f"no DaemonSet {name}"
            return "" if is_everywhere(found) else f"{name} is ready on {found['status'].get('numberReady', 0)} nodes"

        if not self.dry_run:
            self.wait(f"DaemonSets of {namespace}", problem)

    def wait(self, what: str, problem: Callable[[], str], reasons: Callable[[], str] = lambda: "") -> None:
        """Polls until there is no problem.

        Raises:
            PlatformError: a problem remains at the timeout; with the reasons.
        """
        deadline = time.monotonic() + self.wait_seconds
        while True:
            try:
                current = problem()
            except UnavailableError as error:
                current = str(error)
            if not current:
                return
            if time.monotonic() > deadline:
                raise PlatformError(f"{what}: not ready after {self.wait_seconds:.0f} s: {reasons() or current}")
            time.sleep(_PAUSE_SECONDS)

    def _apply(self, item: Manifest) -> None:
        """Applies one object; retries while a webhook starts or a kind is not served yet, but not after a refusal."""
        deadline = time.monotonic() + self.wait_seconds
        while True:
            try:
                self.cluster.apply(item, force=True, manager=FIELD_MANAGER)
            except (UnavailableError, KindMissingError, NotFoundError, ConflictError) as error:
                if time.monotonic() > deadline:
                    raise PlatformError(f"{ref_of(item)}: {error}") from error
                time.sleep(_PAUSE_SECONDS)
            except ClusterError as error:
                raise PlatformError(f"{ref_of(item)}: {error}") from error
            else:
                return

    def _preview(self, item: Manifest) -> None:
        try:
            before = self.cluster.get(ref_of(item))
            after = self.cluster.apply(item, force=True, manager=FIELD_MANAGER, dry_run=True) if before else None
        except KindMissingError:
            before = after = None
        except UnavailableError:
            raise
        except ClusterError as error:
            self.say(f"  would be refused: {error}")
            return
        if before is None:
            self.say(f"  would create {ref_of(item)}")
        elif after is None or _content(before) != _content(after):
            self.say(f"  would change {ref_of(item)}")


def _content(item: Manifest) -> Manifest:
    metadata = {key: value for key, value in item["metadata"].items() if key in {"labels", "annotations"}}
    return {**{key: value for key, value in item.items() if key not in {"metadata", "status"}}, "metadata": metadata}
