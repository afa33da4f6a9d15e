"""Reports of outcomes to the scheduler, which writes them into the status of triggers: the gateway writes no records.

Of each trigger the last outcome counts, so what waits is bounded by the triggers, and by `_MOST`. A report that cannot
be sent is tried again with the next one; outcomes are for people, and none depends on them.
"""

import asyncio
import contextlib
import datetime as dt
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx

from gateway.errors import GatewayError
from gateway.identity.credential import ServiceCredential
from gateway.triggers.outcomes import FiringResult
from tenancy.model.times import timestamp
from tenancy.model.trigger import TriggerRecord

log = logging.getLogger(__name__)

PATH = "/v1/trigger-outcomes"
_MOST, _PER_REPORT = 10_000, 500
_SECONDS = 1.0


class TriggerReports:
    """Outcomes that wait to be sent."""

    def __init__(self, http: httpx.AsyncClient, credential: ServiceCredential, url: str | None) -> None:
        """`url`: of the scheduler; None: nothing is sent."""
        self._http = http
        self._credential = credential
        self._url = url
        self._waiting: dict[tuple[str, str], dict[str, Any]] = {}
        self._any = asyncio.Event()

    def add(self, record: TriggerRecord, result: FiringResult) -> None:
        """Notes an outcome; one that changed nothing, as of a duplicate, is none."""
        key = record.namespace, record.object_name
        if result.outcome is None or self._url is None:
            return
        if len(self._waiting) >= _MOST and key not in self._waiting:
            return
        self._waiting.pop(key, None)
        self._waiting[key] = {
            "namespace": record.namespace,
            "name": record.object_name,
            "uid": record.uid,
            "generation": record.generation,
            "outcome": result.outcome.value,
            "reason": result.reason,
            "message": result.message,
            "id": result.id,
            "at": timestamp(dt.datetime.now(dt.UTC)),
        }
        self._any.set()

    @contextlib.asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Sends reports for the duration of the block."""
        task = asyncio.create_task(self._run()) if self._url is not None else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _run(self) -> None:
        while True:
            await self._any.wait()
            self._any.clear()
            while self._waiting:
                # Outcomes that come together are one report.
                await asyncio.sleep(_SECONDS)
                keys = list(self._waiting)[:_PER_REPORT]
                if not await self._send([self._waiting[key] for key in keys]):
                    break
                for key in keys:
                    self._waiting.pop(key, None)

    async def _send(self, outcomes: list[dict[str, Any]]) -> bool:
        assert self._url is not None
        try:
            token = await self._credential.token()
            response = await self._http.post(
                self._url + PATH, json={"outcomes": outcomes}, headers={"X-Auth-Token": token}
            )
        except (httpx.HTTPError, GatewayError) as error:
            log.warning("the scheduler cannot be told of outcomes of triggers: %r", error)
            return False
        if response.is_success:
            return True
        log.warning("the scheduler answered %d to outcomes of triggers", response.status_code)
        # Another try would be answered alike, unless the failure is the scheduler's.
        return not response.is_server_error
