"""Fires a schedule: calls the gateway's `/v1/invoke` with a token of the trigger's trust, as any client would.

There is no special way in: the gateway authenticates, admits, limits and logs the call as that of the trust's user.
"""

import asyncio
import datetime as dt
import json
from typing import Protocol

import httpx

from gateway.errors import ErrorCode, GatewayError
from gateway.identity.trusts import TrustRefusedError, TrustTokens
from gateway.triggers.invocation import event_fields
from gateway.triggers.outcomes import FOREIGN_TRUST, REFUSED_TRUST, FiringResult, of_error, of_status
from policies.names import namespace_of
from tenancy.model.times import timestamp
from tenancy.model.trigger import TriggerRecord, firing_id

SCHEDULED = "dev.osfaas.schedule"
_MAX_REPLY = 65_536
_ATTEMPTS = 5
_MAX_WAIT_SECONDS = 30
# The gateway says that the function was not called.
_LIMITS = frozenset({ErrorCode.RATE_EXCEEDED, ErrorCode.CONCURRENCY_EXCEEDED})
_CODES = {kind.code: kind for kind in ErrorCode}


class Fire(Protocol):
    """How a time of a schedule becomes a call."""

    async def __call__(self, record: TriggerRecord, at: dt.datetime) -> FiringResult:
        """Fires a trigger; `at` is the time of its schedule. Never raises `GatewayError`."""
        ...


class GatewayFire:
    """`Fire` over HTTP."""

    def __init__(self, http: httpx.AsyncClient, tokens: TrustTokens, gateway_url: str) -> None:
        """`gateway_url`: without /v1."""
        self._http = http
        self._tokens = tokens
        self._url = gateway_url

    async def __call__(self, record: TriggerRecord, at: dt.datetime) -> FiringResult:
        """See `Fire`."""
        event_id = firing_id(record.uid, timestamp(at))
        try:
            access = await self._tokens.access(record.spec.trust_id)
        except TrustRefusedError:
            return REFUSED_TRUST
        except GatewayError as error:
            return of_error(error, event_id)
        if access.user_id != record.spec.user_id or namespace_of(access.project_id) != record.namespace:
            return FOREIGN_TRUST
        for attempt in range(1, _ATTEMPTS + 1):
            result, wait = await self._call(record, at, event_id, access.token)
            if wait is None or attempt == _ATTEMPTS:
                break
            await asyncio.sleep(min(wait * attempt, _MAX_WAIT_SECONDS))
        if result.reason and result.reason == REFUSED_TRUST.reason:
            self._tokens.forget(record.spec.trust_id)
        return result

    async def _call(
        self, record: TriggerRecord, at: dt.datetime, event_id: str, token: str
    ) -> tuple[FiringResult, int | None]:
        """The result, and after how many seconds to try again, if the call did not reach the function."""
        function = record.spec.function
        headers = {"X-Auth-Token": token, "Content-Type": "application/json"}
        headers |= event_fields(record, SCHEDULED, event_id)
        body = json.dumps({"scheduled_at": timestamp(at)})
        try:
            url = f"{self._url}/v1/invoke/{function}/"
            async with self._http.stream("POST", url, headers=headers, content=body) as response:
                text = await _beginning(response)
        except httpx.HTTPError as error:
            # It may have been called: a schedule is not repeated.
            why = f"the gateway did not answer: {error!r}"
            failed = GatewayError(ErrorCode.FUNCTION_FAILED, function=function, why=why[:200])
            return of_error(failed, event_id), None
        told = _error_in(text) if response.is_error else None
        if told is None:
            return of_status(response.status_code, text[:200], function, event_id), None
        kind, message = told
        answered = _AnsweredError(kind, message)
        return of_error(answered, event_id), answered.retry_after_seconds if kind in _LIMITS else None


class _AnsweredError(GatewayError):
    """An error that the gateway answered, with its sentence as it is."""

    def __init__(self, kind: ErrorCode, message: str) -> None:
        Exception.__init__(self, message)
        retry_after_seconds = kind.value.retry_after_seconds
        self.__dict__.update(
            kind=kind, words={}, message=message, headers={}, retry_after_seconds=retry_after_seconds, reached=None
        )


async def _beginning(response: httpx.Response) -> str:
    """The beginning of the reply; the rest is not read."""
    found = b""
    async for piece in response.aiter_bytes():
        found += piece
        if len(found) >= _MAX_REPLY:
            break
    text = found[:_MAX_REPLY].decode("utf-8", "replace")
    return "".join(each if each.isprintable() else " " for each in text).strip()


def _error_in(text: str) -> tuple[ErrorCode, str] | None:
    """The gateway's own error in a reply. A function may pretend one, which concerns its own trigger's status only."""
    try:
        (error,) = json.loads(text)["errors"]
        return _CODES[error["code"]], str(error["detail"])[:400]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
