"""Checks, again and again, whether each trigger may still act: its trust, its project, its function.

A trigger of events would otherwise learn of a revoked trust with the next event only, and a schedule with its next
time. A check logs in under the trust, and reads nothing else.
"""

import asyncio
import datetime as dt
import logging
from collections.abc import Callable
from typing import Protocol

from control.scheduler.status import StatusWriter
from gateway.errors import GatewayError
from gateway.identity.trusts import TrustRefusedError, TrustTokens
from gateway.triggers.outcomes import IS_LOOPING, TRUST_IS_FOREIGN, TRUST_IS_REFUSED
from policies.names import NamespaceName, ProjectId, namespace_of
from tenancy.directory.kubernetes_triggers import KubernetesTriggers
from tenancy.directory.protocol import FunctionAddress, Tenant, TenantDirectory
from tenancy.directory.triggers import ProjectTriggers
from tenancy.model.errors import TenancyError
from tenancy.model.trigger import (
    FUNCTION_NOT_READY,
    LOOP,
    NO_OBJECTS,
    READY,
    SUSPENDED,
    TRUST_FOREIGN,
    TRUST_REFUSED,
    ObjectCreated,
    Readiness,
    TriggerRecord,
)

log = logging.getLogger(__name__)

# So a round of all triggers costs Keystone no more than that, however many there are.
_MIN_PAUSE_SECONDS = 0.1
_IDLE_SECONDS = 1.0


class Projects(TenantDirectory, Protocol):
    """A directory that knows whose namespace it is."""

    def project_in(self, namespace: NamespaceName) -> ProjectId | None:
        """The project of a tenant's namespace."""
        ...


class TriggerChecks:
    """Checks triggers."""

    def __init__(
        self,
        *,
        triggers: KubernetesTriggers,
        tenants: Projects,
        tokens: TrustTokens,
        statuses: StatusWriter,
        leads: Callable[[], bool],
        seconds: float,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        """`seconds`: for a round of all triggers."""
        self._triggers = triggers
        self._tenants = tenants
        self._tokens = tokens
        self._statuses = statuses
        self._leads = leads
        self._seconds = seconds
        self._clock = clock
        # Defined or changed since they were checked: they come first.
        self._new: dict[tuple[NamespaceName, str], None] = {}

    def changed(self, namespace: NamespaceName | None) -> None:
        """The triggers of a tenant changed; None: perhaps all. Called in the event loop."""
        for each in self._triggers.namespaces() if namespace is None else (namespace,):
            for name, record in self._triggers.triggers_of(each).records.items():
                if record.status.readiness is None or record.status.observed_generation != record.generation:
                    self._new[each, name] = None

    async def run(self) -> None:
        """Checks until it is cancelled."""
        while True:
            keys = [(each, name) for each in self._triggers.namespaces() for name in self._records(each)]
            pause = max(_MIN_PAUSE_SECONDS, self._seconds / len(keys)) if keys else _IDLE_SECONDS
            for key in keys:
                await self._one(*key)
                await self._new_ones(pause)
            if not keys:
                await self._new_ones(pause)

    async def _new_ones(self, seconds: float) -> None:
        """In the pause between two checks, new triggers get their turn."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (left := until - loop.time()) > 0:
            if self._new and self._leads():
                new = next(iter(self._new))
                del self._new[new]
                await self._one(*new)
            else:
                await asyncio.sleep(min(left, _IDLE_SECONDS))

    async def _one(self, namespace: NamespaceName, name: str) -> None:
        triggers = self._triggers.triggers_of(namespace)
        record = triggers.records.get(name)
        if record is None or not self._leads():
            return
        readiness = await self.readiness_of(record, triggers)
        if readiness is not None:
            self._statuses.set_readiness(record, readiness, self._clock())

    async def readiness_of(self, record: TriggerRecord, triggers: ProjectTriggers) -> Readiness | None:
        """Whether a trigger may fire; None: Keystone does not answer, so nothing may be concluded."""
        problem = self._problem(record, triggers)
        if problem is not None:
            return problem
        self._tokens.forget(record.spec.trust_id)
        try:
            access = await self._tokens.access(record.spec.trust_id)
        except TrustRefusedError:
            return _not(TRUST_REFUSED, TRUST_IS_REFUSED)
        except GatewayError:
            return None
        if access.user_id != record.spec.user_id or namespace_of(access.project_id) != record.namespace:
            return _not(TRUST_FOREIGN, TRUST_IS_FOREIGN)
        return Readiness(status=True, reason=READY)

    def _problem(self, record: TriggerRecord, triggers: ProjectTriggers) -> Readiness | None:
        tenant = self._tenant(NamespaceName(record.namespace))
        if tenant is None:
            return _not(SUSPENDED, "the project is not onboarded")
        if tenant.suspended is not None:
            return _not(SUSPENDED, f"the project is suspended: {tenant.suspended}")
        if triggers.is_looping(record):
            return _not(LOOP, IS_LOOPING)
        return _function_problem(record, tenant.functions.get(record.spec.function))

    def _tenant(self, namespace: NamespaceName) -> Tenant | None:
        project_id = self._tenants.project_in(namespace)
        try:
            return self._tenants.tenant_of(project_id) if project_id is not None else None
        except TenancyError:
            return None

    def _records(self, namespace: NamespaceName) -> list[str]:
        return list(self._triggers.triggers_of(namespace).records)


def _function_problem(record: TriggerRecord, function: FunctionAddress | None) -> Readiness | None:
    if function is None or not function.callable:
        return _not(FUNCTION_NOT_READY, "the function does not exist, or cannot be called yet")
    if function.problem is not None:
        return _not(FUNCTION_NOT_READY, function.problem.message or function.problem.reason)
    if isinstance(record.spec.source, ObjectCreated) and not function.objects:
        return _not(NO_OBJECTS, "the function takes no objects; set 'objects' of the function to true")
    return None


def _not(reason: str, message: str) -> Readiness:
    return Readiness(status=False, reason=reason, message=message[:1_000])
