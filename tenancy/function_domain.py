"""The limit of functions that the projects of a domain share: `Function` objects are counted when one is created.

Objects are counted, not reports about them, so nothing lags. Several creates at the same moment, in any projects and
processes, may all pass the check: therefore each counts again after it has created, and withdraws its function if there
are too many. The last of them sees all others, so no more than the limit remain; several may be refused where one
would fit.
"""

import logging
from dataclasses import dataclass, replace

from policies.names import NamespaceName
from tenancy.function_repository import FunctionRepository
from tenancy.model.errors import ForbiddenError, TooManyError
from tenancy.model.function import FunctionRecord

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainLimit:
    """What the projects of a domain share.

    Attributes:
        domain_id: the domain.
        limit: the number of functions that all of them may have together.
        others: namespaces of its other projects.
    """

    domain_id: str
    limit: int
    others: frozenset[NamespaceName]


def check_domain_limit(functions: FunctionRepository, domain: DomainLimit, own: int) -> None:
    """Checks that the domain may have one function more; `own`: how many the project has.

    Raises:
        TooManyError: it may not.
        ClusterError: the functions could not be counted.
    """
    usage = own + _of_others(functions, domain)
    if usage >= domain.limit:
        raise TooManyError(usage, domain.limit, domain_id=domain.domain_id)


def withdraw_excess(functions: FunctionRepository, domain: DomainLimit, created: FunctionRecord) -> None:
    """Deletes a function that was just created if the domain has too many with it.

    Raises:
        TooManyError: it was deleted.
        ClusterError: the functions could not be counted, or this one not deleted.
    """
    usage = functions.count(NamespaceName(created.namespace)) + _of_others(functions, domain)
    if usage > domain.limit:
        # Whatever its project or the controller has changed of it meanwhile.
        functions.delete(replace(created, resource_version=""))
        raise TooManyError(usage - 1, domain.limit, domain_id=domain.domain_id)


def _of_others(functions: FunctionRepository, domain: DomainLimit) -> int:
    return sum(_counted(functions, namespace) for namespace in sorted(domain.others))


def _counted(functions: FunctionRepository, namespace: NamespaceName) -> int:
    try:
        return functions.count(namespace)
    except ForbiddenError as error:
        # The permission is created and deleted with the namespace: no other project must wait for it.
        log.warning("the functions in %s do not count for its domain: %s", namespace, error)
        return 0
