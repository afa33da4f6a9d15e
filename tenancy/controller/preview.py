"""A dry run: the changes that a record would cause, computed by the API server. Nothing is stored."""

from collections.abc import Iterator
from dataclasses import dataclass

from policies.model import Manifest, Platform
from policies.tenant import build_tenant
from tenancy.controller.own_functions import observe_functions
from tenancy.controller.plan import Apply, Delete, plan_tenant
from tenancy.controller.snapshot import take_snapshot
from tenancy.kubernetes.client import Cluster, Ref, ref_of
from tenancy.kubernetes.kinds import NAMESPACE
from tenancy.model.errors import ClusterError
from tenancy.model.record import TenantRecord
from tenancy.model.suspension import spec_in_force


@dataclass(frozen=True, slots=True)
class Preview:
    """One object that the controller would change.

    Attributes:
        before, after: None where there is none.
        refused: why the change would be refused; `after` is then the wanted object.
    """

    ref: Ref
    before: Manifest | None
    after: Manifest | None
    refused: str = ""


def preview(cluster: Cluster, record: TenantRecord, platform: Platform) -> Iterator[Preview]:
    """The objects that the controller would create, change, delete or refuse for this record.

    Raises:
        ClusterError: the objects cannot be read.
    """
    own = observe_functions(cluster, record.spec.namespace).own
    wanted = build_tenant(spec_in_force(record, record.status.project), platform, own)
    snapshot = take_snapshot(cluster, record.spec.namespace, wanted.manifests)
    plan = plan_tenant(record.name, wanted, snapshot, {})
    pods = {ref_of(pod): pod for pod in snapshot.pods or ()}
    for action in plan.actions:
        before = snapshot.namespace if action.ref.kind == NAMESPACE else {**pods, **snapshot.objects}.get(action.ref)
        if isinstance(action, Delete):
            yield Preview(action.ref, before, None)
        elif isinstance(action, Apply):
            yield _of_apply(cluster, action, before, namespace_is_there=snapshot.namespace is not None)
    for problem in wanted.problems:
        yield Preview(Ref(NAMESPACE, "", record.spec.namespace), None, None, problem)
    for refusal in plan.refusals:
        yield Preview(refusal.ref, None, None, refusal.message)


def _of_apply(cluster: Cluster, action: Apply, before: Manifest | None, *, namespace_is_there: bool) -> Preview:
    if not namespace_is_there and action.ref.kind != NAMESPACE:
        # A dry run cannot create anything in a namespace that does not exist.
        return Preview(action.ref, before, action.manifest)
    try:
        after = cluster.apply(action.manifest, force=action.force, dry_run=True)
    except ClusterError as error:
        return Preview(action.ref, before, action.manifest, str(error))
    return Preview(action.ref, before, after)
