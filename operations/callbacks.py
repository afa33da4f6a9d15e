"""Delivers callbacks as Standard Webhooks say: signed, repeated with jitter, and never to a private address (SSRF).

The address that was checked is the one that is connected to, so a DNS answer that changes in between has no effect. No
redirect is followed, and of the answer only the status is read.
"""

import json
import logging
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
import yarl
from aiohttp.resolver import ThreadedResolver
from standardwebhooks.webhooks import Webhook

from gateway.errors import GatewayError
from gateway.objects.resolver import AllowlistResolver
from gateway.operations.callback_url import CallbackAllowlist, is_private_address, signing_keys
from gateway.operations.document import operation_document
from gateway.settings import Settings
from operations.store import callbacks
from operations.store.callbacks import Delivery
from operations.store.database import Database

log = logging.getLogger(__name__)

_FIRST_SUCCESS, _FIRST_FAILURE = 200, 300
_GONE = 410
_FIRST_DELAY_SECONDS, _LONGEST_DELAY_SECONDS = 5.0, 3_600.0
_AT_ONCE = 16


class Callbacks:
    """Delivers what is due."""

    def __init__(self, database: Database, session: aiohttp.ClientSession, settings: Settings) -> None:
        self._database = database
        self._session = session
        self._allowlist = CallbackAllowlist(settings.callback_allowlist)
        self._secrets = settings.callback_keys.get_secret_value() if settings.callback_keys else None
        self._timeout_seconds = settings.callback_timeout_seconds
        self._max_age_ms = settings.callback_max_age_seconds * 1000

    async def claim(self) -> list[Delivery]:
        """Callbacks that this worker is to deliver now.

        Raises:
            DatabaseUnavailableError: no answer.
        """
        # Twice the timeout: an attempt has ended before another worker begins one.
        lease_ms = int(2_000 * self._timeout_seconds) + 5_000
        return await self._database.run(
            callbacks.claim, limit=_AT_ONCE, lease_ms=lease_ms, lifetime_ms=self._max_age_ms
        )

    async def deliver(self, delivery: Delivery) -> bool:
        """Makes one attempt; returns whether the receiver has accepted it.

        Raises:
            DatabaseUnavailableError: it is attempted again, with the same id.
        """
        why = await self._attempt(delivery)
        if why is None:
            await self._database.run(callbacks.delivered, delivery)
            return True
        delay_ms = next_delay_ms(delivery, self._max_age_ms, gone=why == str(_GONE))
        log.warning(
            "callback of operation %s failed: %s%s", delivery.operation.id, why, "" if delay_ms else "; given up"
        )
        await self._database.run(callbacks.failed, delivery, why, delay_ms=delay_ms)
        return False

    async def _attempt(self, delivery: Delivery) -> str | None:
        """Why the receiver has not accepted it; None if it has."""
        try:
            self._allowlist.check(delivery.url)
            fields, body = signed(delivery, self._secrets, datetime.now(UTC))
            async with self._session.post(
                yarl.URL(delivery.url, encoded=True),
                data=body,
                headers=fields,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self._timeout_seconds),
            ) as response:
                status = response.status
                response.close()  # the rest is not read, however long it is
        except GatewayError as error:
            return error.message
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return type(error).__name__
        return None if _FIRST_SUCCESS <= status < _FIRST_FAILURE else str(status)


def signed(delivery: Delivery, secrets: str | None, now: datetime) -> tuple[dict[str, str], bytes]:
    """Header fields and body of a callback. The id is the operation's, so a receiver knows what it has seen.

    Raises:
        ValueError: there is no key.
    """
    operation = delivery.operation
    data = operation_document(operation)
    body = json.dumps({"type": f"operation.{operation.state.value}", "timestamp": data["finished_at"], "data": data})
    keys = signing_keys(secrets, operation.project_id)
    if not keys:
        raise ValueError("OSFAAS_CALLBACK_KEYS is not set")
    return {
        "Content-Type": "application/json",
        "User-Agent": "osfaas-worker",
        "webhook-id": operation.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(key).sign(operation.id, now, body) for key in keys),
    }, body.encode("ascii")


def next_delay_ms(delivery: Delivery, max_age_ms: int, *, gone: bool) -> int | None:
    """Time until the next attempt, with jitter; None if it is given up: too old, or the receiver says 410."""
    whole = min(_LONGEST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2.0 ** min(delivery.attempts - 1, 20))
    delay_ms = int(1000 * random.uniform(whole / 2, whole))  # noqa: S311 - no secret
    return None if gone or delivery.elapsed_ms + delay_ms > max_age_ms else delay_ms


@asynccontextmanager
async def callback_session(settings: Settings) -> AsyncIterator[aiohttp.ClientSession]:
    """The client of receivers: checked addresses, no cookies, no proxies, a connection for each delivery."""
    context = ssl.create_default_context()
    if settings.callback_cafile is not None:
        context.load_verify_locations(settings.callback_cafile)
    resolver = AllowlistResolver(ThreadedResolver(), CallbackAllowlist(settings.callback_allowlist), is_private_address)
    connector = aiohttp.TCPConnector(
        limit=_AT_ONCE, ssl=context, resolver=resolver, use_dns_cache=False, force_close=True
    )
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session
