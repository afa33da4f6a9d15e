"""Keystone's unified limits in the gateway: read in the background, so no call waits for them or asks for them."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from gateway.http.metrics import Metrics
from gateway.identity.outage import OutageError
from policies.model import Limits
from policies.names import ProjectId
from policies.unified_limits import (
    IncompleteLimitsError,
    LimitsInForce,
    UnifiedLimits,
    limits_in_force,
    read_unified_limits,
    require_complete,
)

log = logging.getLogger(__name__)

AsyncReading = Awaitable[UnifiedLimits]

# After a failed read, the next one is not later than this.
_RETRY_SECONDS = 5.0


class LimitCredential(Protocol):
    """Our own credential in Keystone."""

    async def token(self, refused: str | None = None) -> str: ...
    async def scope(self) -> tuple[frozenset[str], bool]:
        """Its roles, and whether it is scoped to the system."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsReader:
    """Reads all limits of our service, with four requests for all projects together.

    Attributes:
        client: for Keystone.
        auth_url: of Keystone, ending in `/v3`.
        credential: our own.
        service_type: of our service in the catalog.
        region: ours; None: only limits without a region apply.
        timeout_seconds: maximum time for one whole answer.
    """

    client: httpx.AsyncClient
    auth_url: str
    credential: LimitCredential
    service_type: str
    region: str | None
    timeout_seconds: float

    async def read(self) -> UnifiedLimits:
        """The limits.

        Raises:
            IncompleteLimitsError: Keystone answered, but not with all limits.
            OutageError: Keystone did not answer, or not with success.
        """
        roles, system = await self.credential.scope()
        require_complete(roles, system=system)
        requests = read_unified_limits(self.service_type, self.region, system=system)
        path = next(requests)
        while True:
            body = await self._get(path)
            try:
                path = requests.send(body)
            except StopIteration as end:
                found: UnifiedLimits = end.value
                return found

    async def _get(self, path: str) -> Mapping[str, Any]:
        token = await self.credential.token()
        response = await self._ask(path, token)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            response = await self._ask(path, await self.credential.token(refused=token))
        if response.status_code != httpx.codes.OK:
            log.warning("Keystone returned %d to GET %s", response.status_code, path)
            raise OutageError
        try:
            body: Mapping[str, Any] = response.json()
        except (ValueError, RecursionError) as error:
            raise IncompleteLimitsError(f"Keystone's answer to GET {path} is not JSON") from error
        return body

    async def _ask(self, path: str, token: str) -> httpx.Response:
        try:
            # The client's own timeout applies to each read, and there may be many.
            async with asyncio.timeout(self.timeout_seconds):
                return await self.client.get(f"{self.auth_url}{path}", headers={"X-Auth-Token": token})
        except (httpx.HTTPError, TimeoutError) as error:
            raise OutageError from error


class ProjectLimits:
    """The limits in force. Before Keystone has answered they are the records'; later its last complete answer holds."""

    def __init__(self) -> None:
        self._unified = UnifiedLimits()
        self._in_force: dict[ProjectId, tuple[Limits, str, LimitsInForce]] = {}

    def of(self, project_id: ProjectId, domain_id: str, record: Limits) -> LimitsInForce:
        """The limits of a project whose record has these; computed once for each answer of Keystone."""
        found = self._in_force.get(project_id)
        if found is not None and found[0] is record and found[1] == domain_id:
            return found[2]
        made = limits_in_force(record, self._unified, project_id, domain_id)
        self._in_force[project_id] = record, domain_id, made
        return made

    def replace(self, unified: UnifiedLimits) -> None:
        """Puts an answer of Keystone in force."""
        if unified != self._unified:
            self._unified = unified
            self._in_force = {}

    @contextlib.asynccontextmanager
    async def following(
        self, read: Callable[[], AsyncReading], metrics: Metrics, *, seconds: float
    ) -> AsyncIterator[None]:
        """Reads at this interval, for the length of the block; 0: never."""
        task = asyncio.create_task(self._follow(read, metrics, seconds)) if seconds else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _follow(self, read: Callable[[], AsyncReading], metrics: Metrics, seconds: float) -> None:
        while True:
            complete = False
            try:
                self.replace(await read())
                complete = True
            except OutageError:
                log.warning("Keystone's limits could not be read; the last ones stay in force")
            except IncompleteLimitsError as error:
                log.error("Keystone's limits cannot be used; the last ones stay in force: %s", error)  # noqa: TRY400 - the message is enough
            except Exception:
                log.exception("reading Keystone's limits failed unexpectedly; the last ones stay in force")
            metrics.unified_limit_reads.labels("complete" if complete else "unusable").inc()
            await asyncio.sleep(seconds if complete else min(seconds, _RETRY_SECONDS))
