"""Reads a tenant's `Function` objects, and writes their status."""

import datetime as dt
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from policies.model import Manifest
from policies.names import NamespaceName
from policies.own_function import OwnFunctions
from tenancy.controller.function_report import OwnFunctionContext, function_status_patch, own_function_status
from tenancy.kubernetes.client import Cluster, Ref
from tenancy.kubernetes.kinds import FUNCTION_SECRETS, FUNCTIONS, POD_AUTOSCALER, REVISION
from tenancy.model.errors import ClusterError, ForbiddenError, KindMissingError, NotFoundError, RecordError
from tenancy.model.function import FunctionConditionType, FunctionRecord, function_listing_of
from tenancy.model.function_secret import secret_record_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ObservedFunctions:
    """The `Function` objects of a namespace.

    Attributes:
        records: the well-formed ones; their objects have the same names.
        manifests: by name.
        autoscalers: Knative's, of the namespace; None: not known.
        own: the values to build from; None: the cluster does not serve this kind, so nothing is known.
    """

    records: tuple[FunctionRecord, ...] = ()
    manifests: Mapping[str, Manifest] = field(default_factory=dict)
    own: OwnFunctions | None = None
    autoscalers: tuple[Manifest, ...] | None = None


def observe_functions(cluster: Cluster, namespace: NamespaceName) -> ObservedFunctions:
    """Reads them, and the names of the revisions if traffic goes to some by name.

    Raises:
        ClusterError: the list is not complete.
    """
    try:
        manifests = cluster.list(FUNCTIONS, namespace=namespace).items
    except KindMissingError:
        return ObservedFunctions()
    listing = function_listing_of(manifests)
    records = listing.records
    for bad in listing.malformed:
        log.error("%s", bad.problem)
    named = any(target.revision for record in records for target in record.spec.traffic)
    own = OwnFunctions(
        functions=tuple(record.spec for record in records),
        malformed=frozenset(bad.name for bad in listing.malformed),
        revisions=_revisions(cluster, namespace) if named else None,
        secrets=_secrets(cluster, namespace) if any(record.spec.secrets for record in records) else {},
    )
    by_name = {each["metadata"]["name"]: each for each in manifests}
    return ObservedFunctions(records, by_name, own, _autoscalers(cluster, namespace) if records else None)


def report_functions(
    cluster: Cluster, observed: ObservedFunctions, context: OwnFunctionContext, now: dt.datetime
) -> tuple[bool, bool]:
    """Writes the status of each `Function` whose status changed.

    Returns:
        Whether any changed, and whether any is between two states. One that is not accepted waits for its writer.
    """
    changed = waits = False
    for record in observed.records:
        status = own_function_status(record, context)
        accepted = status.condition(FunctionConditionType.ACCEPTED)
        built = status.condition(FunctionConditionType.BUILT)
        if accepted and accepted.status and not (built and built.status is False):
            waits = waits or any(condition.status is None for condition in status.conditions)
        patch = function_status_patch(observed.manifests[record.name], status, now)
        if patch is not None:
            changed = _write(cluster, record, patch) or changed
    return changed, waits


def _write(cluster: Cluster, record: FunctionRecord, patch: Mapping[str, Any]) -> bool:
    try:
        cluster.merge(Ref(FUNCTIONS, record.namespace, record.name), patch, subresource="status")
    except NotFoundError:
        # It was deleted meanwhile; the watch announces that.
        return True
    except ClusterError as error:
        # The RoleBinding may be younger than the API server's view of it; the next reconcile tries again.
        log.warning("the status of %s in %s could not be written: %s", record.name, record.namespace, error)
    return True


def _revisions(cluster: Cluster, namespace: NamespaceName) -> frozenset[str] | None:
    try:
        return _names(cluster.list(REVISION, namespace=namespace).items)
    except (ForbiddenError, KindMissingError):
        return None


def _autoscalers(cluster: Cluster, namespace: NamespaceName) -> tuple[Manifest, ...] | None:
    try:
        return cluster.list(POD_AUTOSCALER, namespace=namespace).items
    except (ForbiddenError, KindMissingError):
        return None


def _secrets(cluster: Cluster, namespace: NamespaceName) -> Mapping[str, str]:
    """The current version of each of the project's secrets; one that cannot be read is as good as none."""
    found: dict[str, str] = {}
    try:
        manifests = cluster.list(FUNCTION_SECRETS, namespace=namespace).items
    except KindMissingError:
        return found
    for manifest in manifests:
        try:
            record = secret_record_of(manifest)
        except RecordError as error:
            log.error("%s", error)  # noqa: TRY400 - the traceback adds nothing
        else:
            if record.current:
                found[record.name] = record.current
    return found


def _names(objects: Iterable[Manifest]) -> frozenset[str]:
    return frozenset(each["metadata"]["name"] for each in objects)
