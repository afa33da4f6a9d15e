"""The closed list of errors, and the only module that knows their form on the wire.

Packages raise `GatewayError(ErrorCode.…)`. Adapters convert exceptions of libraries into one, with `from`, so that no
third-party exception travels further. The caller reads the sentence of the error code, filled with values of the
raising package; the cause goes to the log only.

The body carries two shapes at once, because neither alone survives all clients: `error.message` is what
keystoneauth and openstacksdk print, `errors[]` is the API-SIG form. `errors[].code` is frozen once published.
"""

from collections.abc import Mapping
from dataclasses import asdict
from enum import Enum
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, NamedTuple, Self

from starlette.responses import Response

from gateway.json_text import json_bytes
from gateway.limit_use import LimitUse, OverLimit

# Fields that may carry a token; an answer that depends on it must not be shared by caches.
CREDENTIAL_FIELDS = "X-Auth-Token, Authorization"
# Headers of every answer of our own that depends on the token, errors included.
UNCACHEABLE = {"Cache-Control": "no-store", "Vary": CREDENTIAL_FIELDS}


# Says that an answer is an error of ours, and which: functions cannot send it.
ERROR_FIELD = "Osfaas-Error"


class ErrorSpec(NamedTuple):
    """HTTP status and sentence (`str.format` template) of an error."""

    status: int
    sentence: str
    retry_after_seconds: int | None = None


class ErrorCode(Enum):
    """All errors of the gateway. The published code is the name: `TOKEN_INVALID` is `token.invalid`."""

    REQUEST_MALFORMED = ErrorSpec(400, "The request is malformed: {why}.")
    REQUEST_HEAD_TOO_LARGE = ErrorSpec(431, "The request head is too large: {why}.")
    REQUEST_BODY_TOO_LARGE = ErrorSpec(413, "The body of the request is longer than {limit} bytes.")
    REQUEST_TARGET_TOO_LONG = ErrorSpec(414, "The path and query of the request are longer than {limit} bytes.")
    REQUEST_TIMEOUT = ErrorSpec(408, "The request did not arrive in time: its {part} was too slow.")
    REQUEST_MEDIA_TYPE = ErrorSpec(415, "The body must be {wanted}; its Content-Type is {media_type}.")
    EXPECTATION_FAILED = ErrorSpec(417, "Only 'Expect: 100-continue' is supported.")
    REQUEST_TRANSFER_CODING = ErrorSpec(501, "Only the transfer coding 'chunked' is supported.")
    ROUTE_NOT_FOUND = ErrorSpec(404, "There is no such route. The API starts at /v1/.")
    VERSION_NOT_ACCEPTABLE = ErrorSpec(
        406, "The version {version} of the API is not offered. Offered: {least} to {most}."
    )
    METHOD_NOT_ALLOWED = ErrorSpec(405, "The method {method} is not allowed for this path.")

    TOKEN_MISSING = ErrorSpec(
        401,
        "A Keystone token is required: send X-Auth-Token, or Authorization: Bearer.",
    )
    TOKEN_AMBIGUOUS = ErrorSpec(
        400,
        "Exactly one token may be sent, but this request carries more than one.",
    )
    TOKEN_INVALID = ErrorSpec(
        401,
        "The token is not valid: it is malformed, expired or revoked. Ask Keystone for a new one.",
    )
    TOKEN_WRONG_SCOPE = ErrorSpec(
        403,
        "The token is {scope}, but a token scoped to a project is required.",
    )
    ROLE_MISSING = ErrorSpec(
        403,
        "The policy rule '{rule}' does not allow this with the roles of the token on project {project_id}; an operator "
        "can assign a role that it allows.",
    )
    SERVICE_NOT_LISTED = ErrorSpec(
        403,
        "A service may request checksums only in the projects that the operator has listed, and project {project_id} "
        "is not one of them.",
    )
    ACCESS_DENIED_BY_RULE = ErrorSpec(
        403,
        "The access rules of this application credential do not allow {method} on this path of the service "
        "'{service}'.",
    )

    TENANT_NOT_ONBOARDED = ErrorSpec(
        403,
        "Project {project_id} is not onboarded to this service. An administrator can onboard it with "
        "'osfaas tenant onboard {project_id}'.",
    )
    DIRECTORY_UNAVAILABLE = ErrorSpec(
        503,
        "The gateway has not read its tenants yet, because Kubernetes has not responded. Try again shortly.",
        retry_after_seconds=5,
    )
    TENANT_SUSPENDED = ErrorSpec(403, "Project {project_id} is suspended: {reason}.")

    ADMIN_REQUIRED = ErrorSpec(
        403,
        "The policy rule '{rule}' requires an administrator's token: by default with the role 'admin', and scoped to "
        "the system ('openstack --os-system-scope all token issue') or to a project that the operator has listed. "
        "Tokens of trusts, OAuth consumers and EC2 credentials are rejected.",
    )
    REGISTRY_LOGIN_FAILED = ErrorSpec(
        401,
        "The registry needs HTTP Basic with the id and secret of an application credential, or with the user 'token' "
        "and a Keystone token as the password.",
    )
    REGISTRY_LOGINS_EXCEEDED = ErrorSpec(
        429,
        "More than {limit} logins a minute came from this address, or from one project at it. Try again later.",
        retry_after_seconds=1,
    )
    REGISTRY_UNAVAILABLE = ErrorSpec(
        503, "The registry did not take the archive: {why}. Try again shortly.", retry_after_seconds=5
    )
    PROJECT_NOT_FOUND = ErrorSpec(404, "There is no such project: {why}.")
    PROJECT_CONFLICT = ErrorSpec(409, "The state of the project does not allow this: {why}.")
    TENANT_REJECTED = ErrorSpec(422, "Kubernetes rejected the Tenant: {why}.")
    KUBERNETES_UNAVAILABLE = ErrorSpec(
        503,
        "The Kubernetes API did not respond. Try again shortly.",
        retry_after_seconds=5,
    )

    OBJECT_NOT_FOUND = ErrorSpec(404, "There is no such container or object in the project's account.")
    OBJECT_FORBIDDEN = ErrorSpec(
        403,
        "The object store does not allow this token to read the object ('openstack object show' fails as well). Ask an "
        "owner of the container for a read ACL ('swift post --read-acl'), or an operator for a role that the store "
        "accepts.",
    )
    OBJECT_DENIED_BY_RULE = ErrorSpec(
        403,
        "The object store does not accept this application credential. Its access rules must allow HEAD and GET "
        "on /v1/** of the service 'object-store' too, because the object is read with the same token; for the output "
        "of a function also PUT.",
    )
    OBJECT_CHANGED = ErrorSpec(
        409,
        "The object changed while it was read, so there is no digest. Try again.",
        retry_after_seconds=1,
    )
    OBJECT_UNSUPPORTED = ErrorSpec(422, "The object is not supported: {why}.")
    OBJECT_NO_EC2_CREDENTIAL = ErrorSpec(
        403,
        "Objects in S3 are read with your EC2 credential for this project. Create one with "
        "'openstack ec2 credentials create'. A token of an application credential cannot use one.",
    )
    OBJECT_EXISTS = ErrorSpec(
        409,
        "There is already an object with the name of an output, so the function was not called. Name another output, "
        "or send 'overwrite=true'.",
    )
    OBJECT_NO_CAPABILITY = ErrorSpec(
        403,
        "No URL with which the function could {verb} the object can be signed for this token: it has no EC2 credential "
        "for this project ('openstack ec2 credentials create'), or may not use one, and it sees no TempURL key of the "
        "container or the account.",
    )
    OBJECT_QUOTA_EXCEEDED = ErrorSpec(
        413, "The object store did not take the object, because the quota of the account or the container is exhausted."
    )
    DIGEST_MISMATCH = ErrorSpec(412, "The object has another digest than Repr-Digest says ({wrong}). It has {right}.")
    ALGORITHM_UNKNOWN = ErrorSpec(400, "The algorithm '{algorithm}' is not supported. Supported: {known}.")

    CONCURRENCY_EXCEEDED = ErrorSpec(
        429,
        "The limit of {limit} concurrent calls of {whose} is reached. Try again shortly.",
        retry_after_seconds=1,
    )

    RATE_EXCEEDED = ErrorSpec(
        429,
        "The limit of {limit} calls per second of {whose} is exceeded. Try again shortly.",
        retry_after_seconds=1,
    )
    BYTES_EXCEEDED = ErrorSpec(
        429,
        "More was read from the object store for {whose} than the limit of {limit} bytes per second allows. Try again "
        "later.",
        retry_after_seconds=1,
    )

    BULK_EXCEEDED = ErrorSpec(
        429,
        "The running bulk and event requests of {whose} reach the limit of {limit} bytes. Try again shortly.",
        retry_after_seconds=5,
    )

    OBJECT_TRUNCATED = ErrorSpec(
        502,
        "The object could not be read completely, so there is no digest. Try again.",
        retry_after_seconds=1,
    )
    OBJECT_CORRUPT = ErrorSpec(
        502,
        "The bytes that the function '{function}' has read have another MD5 than the store's ETag says: the stored "
        "object is damaged, or the function is wrong.",
    )
    FUNCTION_NOT_ENABLED = ErrorSpec(403, "The function '{function}' is not enabled for project {project_id}.")
    FUNCTION_NOT_FOUND = ErrorSpec(
        404,
        "Project {project_id} has no function '{function}' that can be called. A Knative Service in its namespace is "
        "called through the gateway if it has the label osfaas.dev/callable=true.",
    )
    # Of /v1/functions: the project's own functions.
    FUNCTION_NOT_DEPLOYED = ErrorSpec(404, "Project {project_id} has no function '{function}' of its own.")
    FUNCTION_CONFLICT = ErrorSpec(409, "The function '{function}' was not changed: {why}.")
    FUNCTION_PRECONDITION = ErrorSpec(412, "The function '{function}' was not changed: {why}.")
    FUNCTION_REJECTED = ErrorSpec(422, "The function '{function}' cannot be deployed: {why}.")
    FUNCTION_SOURCE_REJECTED = ErrorSpec(422, "The archive of the function '{function}' is refused: {why}.")
    FUNCTION_TOO_LARGE = ErrorSpec(403, "The function '{function}' does not fit into the project's limits: {why}.")
    FUNCTION_COUNT_EXCEEDED = ErrorSpec(
        403,
        "{owner} has {usage} functions of its own, and its limit is {limit}. Delete one, or ask an administrator for a "
        "higher limit.",
    )
    LOGS_EXCEEDED = ErrorSpec(
        429,
        "The logs that {whose} may follow at once are at their limit of {limit}. End one, or try again later.",
        retry_after_seconds=15,
    )
    # Of /v1/secrets. No sentence has a value.
    SECRET_NOT_FOUND = ErrorSpec(404, "Project {project_id} has no secret '{secret}'.")
    SECRET_PRECONDITION = ErrorSpec(412, "The secret '{secret}' was not changed: {why}.")
    SECRET_IN_USE = ErrorSpec(409, "The secret '{secret}' was not changed: {why}.")
    SECRET_REJECTED = ErrorSpec(422, "The secret '{secret}' was not stored: {why}.")
    SECRET_COUNT_EXCEEDED = ErrorSpec(
        403,
        "Project {project_id} has {usage} secrets, and its limit is {limit}. Delete one that no function uses.",
    )
    TRIGGER_NOT_FOUND = ErrorSpec(404, "The function '{function}' has no trigger '{trigger}'.")
    TRIGGER_REJECTED = ErrorSpec(422, "The trigger '{trigger}' was not stored: {why}.")
    TRIGGER_COUNT_EXCEEDED = ErrorSpec(403, "The trigger was not stored: {why}. Delete one first.")
    TRIGGER_TRUST_REFUSED = ErrorSpec(
        403,
        "A trigger acts for the user who makes it, by a Keystone trust, and this token may make none: {why}. Nothing "
        "was stored. Use a token of your own login; a token of an application credential, a trust or an EC2 credential "
        "cannot be delegated.",
    )
    TRIGGERS_NOT_CONFIGURED = ErrorSpec(501, "This service offers no triggers: {why}. An operator can change that.")
    FUNCTION_QUOTA_EXCEEDED = ErrorSpec(
        429,
        "The function '{function}' cannot start, because the quota does not allow it: {why}.",
        retry_after_seconds=15,
    )
    FUNCTION_NOT_RUNNING = ErrorSpec(
        503,
        "The function '{function}' is not running: {why}.",
        retry_after_seconds=15,
    )
    FUNCTION_FAILED = ErrorSpec(502, "The function '{function}' failed: {why}.")
    FUNCTION_UNREACHABLE = ErrorSpec(
        503,
        "The function '{function}' could not be reached. Try again shortly.",
        retry_after_seconds=5,
    )
    FUNCTION_BUSY = ErrorSpec(
        503,
        "The function '{function}' is at its capacity. Try again shortly.",
        retry_after_seconds=2,
    )
    COMPUTATION_RUNNING = ErrorSpec(
        504,
        "The result was not ready within {seconds:g} seconds. The computation continues: repeat the request to wait "
        "for it.",
        retry_after_seconds=1,
    )
    FUNCTION_TIMEOUT = ErrorSpec(504, "The function '{function}' did not finish: {why}.")
    KEYSTONE_UNAVAILABLE = ErrorSpec(
        503,
        "Keystone did not respond, so the token could not be validated. It may be valid; try again shortly.",
        retry_after_seconds=5,
    )
    STORE_UNAVAILABLE = ErrorSpec(
        503,
        "The object store did not respond. Try again shortly.",
        retry_after_seconds=5,
    )
    USAGE_NOT_CONFIGURED = ErrorSpec(
        501, "Usage is not recorded here, because the operator has set no database for it (OSFAAS_DATABASE_URL)."
    )
    USAGE_STORE_UNAVAILABLE = ErrorSpec(
        503, "The database of usage did not respond. Try again shortly.", retry_after_seconds=5
    )
    OPERATION_NOT_CONFIGURED = ErrorSpec(
        501,
        "Asynchronous calls are not available here, because the operator has set no database for them "
        "(OSFAAS_DATABASE_URL). Call without 'Prefer: respond-async'.",
    )
    OPERATION_STORE_UNAVAILABLE = ErrorSpec(
        503,
        "The database of asynchronous calls did not respond, so it is not known whether the call was accepted. Repeat "
        "it with the same Idempotency-Key.",
        retry_after_seconds=5,
    )
    OPERATION_NOT_FOUND = ErrorSpec(404, "Project {project_id} has no operation '{operation}', or not any more.")
    OPERATION_UNFINISHED = ErrorSpec(
        409, "The operation has not ended: its state is '{state}'. Try again later.", retry_after_seconds=1
    )
    OPERATION_WITHOUT_RESULT = ErrorSpec(409, "The operation ended without an answer: its state is '{state}'. {why}")
    OPERATION_CONFLICT = ErrorSpec(409, "The operation cannot be {verb}, because its state is '{state}'.")
    OPERATION_QUEUE_FULL = ErrorSpec(
        429,
        "Project {project_id} has {what} in the store of asynchronous calls, and its limit is {limit}. Wait until some "
        "have ended.",
        retry_after_seconds=10,
    )
    OPERATION_BODY_TOO_LARGE = ErrorSpec(
        413,
        "The body of an asynchronous call may have {limit} bytes. Put a longer one into an object, and name it as an "
        "input ('input=CONTAINER/OBJECT').",
    )
    OPERATION_RESULT_TOO_LARGE = ErrorSpec(
        502,
        "The answer is longer than the {limit} bytes that are kept. Let the function write it into an object "
        "('output=CONTAINER/OBJECT').",
    )
    OPERATION_STORAGE_REFUSED = ErrorSpec(
        403,
        "The body of this call is too long for the database, so it is kept in the container '{container}' of your "
        "project, and the object store refused that: {why}. Send a shorter body, or put it into an object, and name "
        "that as an input ('input=CONTAINER/OBJECT').",
    )
    OPERATION_BODY_CHANGED = ErrorSpec(
        409,
        "The object '{object}' with the body of this call was changed or deleted after the call was accepted, so the "
        "function was not called. Make the call again.",
    )
    OPERATION_RESULT_NOT_STORED = ErrorSpec(
        502,
        "The function has answered, and its answer is too long for the database. It was to be kept in the container "
        "'{container}' of your project, and that failed: {why}.",
    )
    OPERATION_RESULT_CHANGED = ErrorSpec(
        410, "The object '{object}' with the answer of this operation was changed or deleted, so it is not shown."
    )
    OPERATION_NO_DELEGATION = ErrorSpec(
        403,
        "This call cannot outlive its request, because no Keystone trust can be made with this token: {why}. Call "
        "without 'Prefer: respond-async', or with a token of a user.",
    )
    OPERATION_AUTHORITY_LOST = ErrorSpec(
        403,
        "Keystone does not accept the trust of this operation any more: it was deleted, its user was disabled, or a "
        "role was withdrawn. Start it again with a valid token.",
    )
    OPERATION_OUTCOME_UNKNOWN = ErrorSpec(
        502,
        "The connection ended after the request was sent, so the function may have executed it. The method {method} is "
        "not repeatable, so it was not sent again.",
    )
    OPERATION_WORKER_LOST = ErrorSpec(502, "Workers ended during this operation as often as it may be attempted.")
    OPERATION_UNREACHABLE = ErrorSpec(502, "The gateway could not be reached by the worker: {why}.")
    SWEEP_DUMP_REJECTED = ErrorSpec(422, "The dump cannot be compared with: {why}.")
    SWEEP_RESULTS_CHANGED = ErrorSpec(
        409, "The part '{name}' of the results was changed or deleted while the sweep ran. Begin a new sweep."
    )
    IDEMPOTENCY_RUNNING = ErrorSpec(
        409, "The operation of this Idempotency-Key has not ended: {operation}.", retry_after_seconds=1
    )
    IDEMPOTENCY_CONFLICT = ErrorSpec(422, "This Idempotency-Key was sent with another request.")
    CALLBACK_REJECTED = ErrorSpec(400, "The callback URL is rejected: {why}.")
    # Said by the Envoy in front (gateway.envoy).
    SERVICE_UNAVAILABLE = ErrorSpec(
        503,
        "The gateway did not respond. Try again shortly.",
        retry_after_seconds=5,
    )
    INTERNAL = ErrorSpec(500, "An internal error occurred. Please report the request id.")

    @property
    def code(self) -> str:
        return self.name.lower().replace("_", ".", 1)

    @property
    def status(self) -> int:
        return self.value.status


# The function did not start, so the call is charged no work of it.
NOT_STARTED = frozenset(
    [
        ErrorCode.FUNCTION_UNREACHABLE,
        ErrorCode.FUNCTION_BUSY,
        ErrorCode.FUNCTION_QUOTA_EXCEEDED,
        ErrorCode.FUNCTION_NOT_RUNNING,
    ]
)


class GatewayError(Exception):
    """A request failed with one of the error codes.

    Several callers who waited for the same work may get the same instance, so it is immutable.

    Attributes:
        kind: the error code.
        words: values for the sentence.
        message: the sentence for the caller.
        headers: additional headers of the answer.
        retry_after_seconds: when to retry, if a retry can help.
        reached: the exceeded limit of calls, if there is one.
        over_limit: the exceeded limits of the project or of its domain, in oslo.limit's form.
    """

    def __init__(
        self,
        kind: ErrorCode,
        *,
        headers: Mapping[str, str] | None = None,
        retry_after_seconds: int | None = None,
        reached: LimitUse | None = None,
        over_limit: tuple[OverLimit, ...] = (),
        **words: object,
    ) -> None:
        self.kind: Final = kind
        self.words: Final[Mapping[str, object]] = MappingProxyType(words)
        self.message: Final = kind.value.sentence.format_map(words)
        self.headers: Final[Mapping[str, str]] = MappingProxyType(dict(headers or {}))
        self.retry_after_seconds: Final = retry_after_seconds or kind.value.retry_after_seconds
        self.reached: Final = reached
        self.over_limit: Final = over_limit
        super().__init__(self.message)

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """A copy with additional headers of the answer."""
        made = type(self).__new__(type(self), *self.args)
        made.__dict__.update(self.__dict__, headers=MappingProxyType({**self.headers, **headers}))
        made.__cause__ = self.__cause__
        return made

    @classmethod
    def of(cls, kind: ErrorCode, words: Mapping[str, object]) -> "GatewayError":
        """A new instance of a cached error."""
        return cls(kind, **words)  # type: ignore[arg-type]  # words are never headers or a delay


def error_response(error: GatewayError, *, request_id: str, plain: bool = False) -> Response:
    """The response to a failed request.

    Args:
        error: the failure.
        request_id: ours, `req-<uuid4>`.
        plain: one sentence as text/plain, for storage clients, which print bodies unchanged.
    """
    headers = {**UNCACHEABLE, ERROR_FIELD: error.kind.code, **error.headers}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    status = error.kind.status
    if plain:
        return Response(error.message + "\n", status, headers, media_type="text/plain")
    return Response(json_bytes(error_body(error, request_id)), status, headers, media_type="application/json")


def error_body(error: GatewayError, request_id: str) -> dict[str, object]:
    """Both shapes of the JSON body (see the module docstring)."""
    status = error.kind.status
    title = HTTPStatus(status).phrase
    return {
        "error": {"code": status, "title": title, "message": error.message},
        "errors": [
            {
                "request_id": request_id,
                "code": error.kind.code,
                "status": status,
                "title": title,
                "detail": error.message,
                **({} if error.reached is None else {"limit": _exceeded(error.reached)}),
                **({"over_limit": [asdict(each) for each in error.over_limit]} if error.over_limit else {}),
            }
        ],
    }


def _exceeded(use: LimitUse) -> dict[str, object]:
    return {"name": use.name, "value": max(0, use.value), "usage": use.usage}
