"""`/v1/secrets`: the secrets of the caller's project, for its functions. Values go in, and never come out.

    GET    /v1/secrets          names, when they changed, and which functions use them (`limit`, `marker`)
    GET    /v1/secrets/{name}   the same of one
    PUT    /v1/secrets/{name}   set a value
    DELETE /v1/secrets/{name}   delete, unless a function uses it

By default members write and readers list. The form of a value is Barbican's: `payload`, and
`payload_content_encoding` if it is base64.
"""

import base64
import binascii
import datetime as dt
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from control.functions.fields import malformed
from control.functions.preconditions import expectation_of
from control.functions.responder import FunctionsRequest, Responder, number
from gateway.errors import UNCACHEABLE
from gateway.http.body import json_of, read_body
from gateway.http.query import one_value
from gateway.policy.names import Rule
from gateway.suggestions import unknown_name
from policies.own_function_secrets import MAX_BYTES
from tenancy import secret_use_cases as use_cases
from tenancy.function_repository import FunctionRepository
from tenancy.model.function import FunctionListing
from tenancy.model.function_secret import SecretRecord
from tenancy.model.times import timestamp
from tenancy.secret_repository import SecretRepository

# A value of MAX_BYTES in base64, and more than that; longer text, with escapes, is sent in base64.
MAX_BODY_BYTES = 131_072
DEFAULT_LIMIT, MAX_LIMIT = 100, 1_000
_FIELDS = ("payload", "payload_content_encoding")


def now_utc() -> dt.datetime:
    """The time of day."""
    return dt.datetime.now(dt.UTC)


class SecretRoutes:
    """The endpoints."""

    def __init__(
        self,
        responder: Responder,
        secrets: SecretRepository,
        functions: FunctionRepository,
        *,
        public_url: str,
        clock: Callable[[], dt.datetime] = now_utc,
    ) -> None:
        self._responder = responder
        self._secrets = secrets
        self._functions = functions
        self._public_url = public_url
        self._clock = clock

    async def collection(self, request: Request) -> Response:
        """`GET /v1/secrets`."""
        return await self._responder.respond(
            request, Rule.SECRETS_LIST, self._list, ("limit", "marker"), target="secret"
        )

    async def item(self, request: Request) -> Response:
        """`GET|PUT|DELETE /v1/secrets/{name}`."""
        rule, work = {
            "PUT": (Rule.SECRETS_PUT, self._put),
            "DELETE": (Rule.SECRETS_DELETE, self._delete),
        }.get(request.method, (Rule.SECRETS_GET, self._show))
        return await self._responder.respond(request, rule, work, target="secret")

    async def _list(self, asked: FunctionsRequest) -> Response:
        limit = number(asked.parameters, "limit", DEFAULT_LIMIT, MAX_LIMIT)
        marker = one_value(asked.parameters, "marker") or ""
        records, functions = await self._responder.run(asked, lambda: self._read(asked))
        after = [record for record in records if record.name > marker and record.current]
        document: dict[str, Any] = {"secrets": [secret_document(record, functions) for record in after[:limit]]}
        if len(after) > limit:
            href = f"{self._public_url}/v1/secrets?limit={limit}&marker={after[limit - 1].name}"
            document["secrets_links"] = [{"rel": "next", "href": href}]
        return JSONResponse(document, headers=UNCACHEABLE)

    async def _show(self, asked: FunctionsRequest) -> Response:
        namespace = asked.call.tenant.namespace

        def work() -> Response:
            record = use_cases.get_secret(self._secrets, namespace, asked.name)
            return _answer(record, self._functions.list(namespace))

        return await self._responder.run(asked, work)

    async def _put(self, asked: FunctionsRequest) -> Response:
        expected, namespace = expectation_of(asked.head), asked.call.tenant.namespace
        value = payload_of(json_of(await read_body(asked.request, max_bytes=MAX_BODY_BYTES)))
        now = timestamp(self._clock())

        def work() -> Response:
            outcome = use_cases.set_secret(self._secrets, namespace, asked.name, value, now=now, expected=expected)
            return _answer(outcome.record, self._functions.list(namespace), 201 if outcome.created else 200)

        return await self._responder.run(asked, work)

    async def _delete(self, asked: FunctionsRequest) -> Response:
        expected, namespace = expectation_of(asked.head), asked.call.tenant.namespace

        def work() -> SecretRecord:
            return use_cases.delete_secret(self._secrets, self._functions, namespace, asked.name, expected)

        await self._responder.run(asked, work)
        return Response(status_code=204, headers=UNCACHEABLE)

    def _read(self, asked: FunctionsRequest) -> tuple[tuple[SecretRecord, ...], FunctionListing]:
        namespace = asked.call.tenant.namespace
        return self._secrets.list(namespace), self._functions.list(namespace)


def payload_of(body: Any) -> bytes:
    """The value in `{"secret": {"payload": …}}`. No message quotes it.

    Raises:
        GatewayError: REQUEST_MALFORMED.
    """
    fields = body.get("secret") if isinstance(body, dict) and set(body) == {"secret"} else None
    if not isinstance(fields, dict):
        raise malformed("the body must be an object with the single field 'secret'")
    for field in fields:
        if field not in _FIELDS:
            raise malformed(unknown_name("field", field, _FIELDS))
    payload, encoding = fields.get("payload"), fields.get("payload_content_encoding")
    if encoding not in {None, "base64"}:
        raise malformed("'payload_content_encoding' must be 'base64', or absent for text")
    if not isinstance(payload, str) or not payload:
        raise malformed("'payload' must be a string that is not empty")
    try:
        value = payload.encode() if encoding is None else base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        # Without the cause, which has what was sent.
        raise malformed("'payload' is not valid UTF-8, or not the base64 that it claims to be") from None
    if not 1 <= len(value) <= MAX_BYTES:
        raise malformed(f"'payload' must have from 1 to {MAX_BYTES} bytes")
    return value


def secret_document(record: SecretRecord, functions: FunctionListing) -> dict[str, Any]:
    """The JSON of one secret."""
    used = [each.name for each in functions.records if record.name in each.spec.secrets]
    return {"name": record.name, "changed_at": record.changed_at, "used_by": used}


def _answer(record: SecretRecord, functions: FunctionListing, status: int = 200) -> Response:
    headers = {**UNCACHEABLE, "ETag": f'"{record.current}"'}
    return JSONResponse({"secret": secret_document(record, functions)}, status, headers=headers)
