"""The closed list of errors, and the only place that knows how one looks on the wire.

Packages raise `GatewayError(ErrorCode.…)`. Adapters convert exceptions of libraries into one, with `from`, so that no
third-party exception travels further. The caller reads the sentence of the error code, filled with values of the
raising package; the cause goes to the log only.

The body carries two shapes at once, because neither alone survives all clients: `error.message` is what
keystoneauth and openstacksdk print, `errors[]` is the API-SIG form. `errors[].code` is frozen once published.
"""

from collections.abc import Mapping
from enum import Enum
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, NamedTuple, Self

from starlette.responses import Response

from gateway.json_text import json_bytes
from gateway.limit_use import LimitUse

# Fields that may carry a token; an answer that depends on it must not be shared by caches.
CREDENTIAL_FIELDS = "X-Auth-Token, Authorization"
# Headers of every answer of our own that depends on the token, errors included.
UNCACHEABLE = {"Cache-Control": "no-store", "Vary": CREDENTIAL_FIELDS}


class ErrorSpec(NamedTuple):
    """Published code, HTTP status and sentence (`str.format` template) of an error."""

    code: str
    status: int
    sentence: str
    retry_after_seconds: int | None = None


class ErrorCode(Enum):
    """All errors of the gateway."""

    REQUEST_MALFORMED = ErrorSpec("function.request.malformed", 400, "The request is not acceptable: {why}.")
    REQUEST_HEAD_TOO_LARGE = ErrorSpec("function.request.head_too_large", 431, "The request head is too large: {why}.")
    REQUEST_BODY_TOO_LARGE = ErrorSpec(
        "function.request.body_too_large", 413, "The body of the request is longer than {limit} bytes."
    )
    REQUEST_TARGET_TOO_LONG = ErrorSpec(
        "function.request.target_too_long", 414, "The path and query of the request are longer than {limit} bytes."
    )
    REQUEST_TIMEOUT = ErrorSpec(
        "function.request.timeout", 408, "The request did not arrive in time: its {part} was too slow."
    )
    MEDIA_TYPE = ErrorSpec(
        "function.request.media_type", 415, "The body has to be {wanted}; its Content-Type is {media_type}."
    )
    EXPECTATION_FAILED = ErrorSpec("function.request.expectation", 417, "Only 'Expect: 100-continue' is understood.")
    TRANSFER_CODING = ErrorSpec(
        "function.request.transfer_coding", 501, "Only the transfer coding 'chunked' is understood."
    )
    NO_SUCH_ROUTE = ErrorSpec("function.route.not_found", 404, "There is nothing at this path. The API starts at /v1/.")
    METHOD_NOT_ALLOWED = ErrorSpec("function.method.not_allowed", 405, "This path does not take the method {method}.")

    TOKEN_MISSING = ErrorSpec(
        "function.token.missing",
        401,
        "A Keystone token is needed: send X-Auth-Token, or Authorization: Bearer.",
    )
    TOKEN_AMBIGUOUS = ErrorSpec(
        "function.token.ambiguous",
        400,
        "Exactly one token may be sent, but this request carries more than one.",
    )
    TOKEN_INVALID = ErrorSpec(
        "function.token.invalid",
        401,
        "The token is not valid: it is malformed, expired or revoked. Ask Keystone for a new one.",
    )
    TOKEN_SCOPE = ErrorSpec(
        "function.token.scope",
        403,
        "The token is {scope}, but this service needs one that is scoped to a project.",
    )
    ROLE_MISSING = ErrorSpec(
        "function.role.missing",
        403,
        "The role '{role}' on project {project_id} is needed; an operator can assign it.",
    )
    SERVICE_NOT_LISTED = ErrorSpec(
        "function.service.not_listed",
        403,
        "The role '{role}' may ask for checksums only in projects that the operator has listed for it, and project "
        "{project_id} is not one of them.",
    )
    ACCESS_RULE = ErrorSpec(
        "function.access_rule.denied",
        403,
        "The access rules of this application credential do not allow {method} on this path of the service "
        "'{service}'.",
    )

    NOT_ONBOARDED = ErrorSpec(
        "function.tenant.not_onboarded",
        403,
        "Project {project_id} is not onboarded to this service. An administrator can do it with "
        "'osfaas tenant onboard {project_id}'.",
    )
    DIRECTORY_UNAVAILABLE = ErrorSpec(
        "function.tenant.unavailable",
        503,
        "The tenants are not known to this gateway yet, because it has not reached its cluster. Try again shortly.",
        retry_after_seconds=5,
    )
    SUSPENDED = ErrorSpec("function.tenant.suspended", 403, "Project {project_id} is suspended: {reason}.")

    ADMIN_MISSING = ErrorSpec(
        "function.admin.missing",
        403,
        "An administrator's token is needed here, with the role '{role}' and scoped to the system "
        "('openstack --os-system-scope all token issue') or to a project that the operator has listed. Tokens of "
        "trusts, OAuth consumers and EC2 credentials are refused.",
    )
    PROJECT_NOT_FOUND = ErrorSpec("function.project.not_found", 404, "There is no such project here: {why}.")
    PROJECT_CONFLICT = ErrorSpec("function.project.conflict", 409, "The project is not in a state for that: {why}.")
    PROJECT_REFUSED = ErrorSpec("function.project.refused", 422, "The cluster does not take the record: {why}.")
    CLUSTER_UNAVAILABLE = ErrorSpec(
        "function.cluster.unavailable",
        503,
        "The Kubernetes API did not answer. Try again shortly.",
        retry_after_seconds=5,
    )

    OBJECT_NOT_FOUND = ErrorSpec(
        "function.object.not_found", 404, "There is no such container or object in the project's account."
    )
    OBJECT_FORBIDDEN = ErrorSpec(
        "function.object.forbidden",
        403,
        "The object store does not let this token read the object ('openstack object show' is refused too). Ask an "
        "owner of the container for a read ACL ('swift post --read-acl'), or an operator for a role that the store "
        "accepts.",
    )
    OBJECT_ACCESS_RULE = ErrorSpec(
        "function.object.access_rule",
        403,
        "The object store does not accept this application credential. Its access rules have to allow HEAD and GET "
        "on /v1/** of the service 'object-store' too, because the object is read with the same token.",
    )
    OBJECT_CHANGED = ErrorSpec(
        "function.object.changed",
        409,
        "The object changed while it was read, so there is no digest to give. Ask again.",
        retry_after_seconds=1,
    )
    OBJECT_UNSUPPORTED = ErrorSpec("function.object.unsupported", 422, "This object has no digest to give: {why}.")
    S3_CREDENTIAL = ErrorSpec(
        "function.object.no_ec2_credential",
        403,
        "Objects in S3 are read with an EC2 credential of yours for this project: make one with "
        "'openstack ec2 credentials create'. A token of an application credential cannot use one.",
    )
    ALGORITHM_UNKNOWN = ErrorSpec(
        "function.algorithm.unknown", 400, "The algorithm '{algorithm}' is not known. Known are: {known}."
    )

    TOO_MANY_AT_ONCE = ErrorSpec(
        "function.quota.exceeded",
        429,
        "Project {project_id} already has {limit} computations running, which is its limit. Try again shortly.",
        retry_after_seconds=1,
    )

    RATE_EXCEEDED = ErrorSpec(
        "function.rate.exceeded",
        429,
        "Project {project_id} makes more calls than its limit of {limit} per second. Try again in a moment.",
        retry_after_seconds=1,
    )
    BYTES_EXCEEDED = ErrorSpec(
        "function.bytes.exceeded",
        429,
        "More was read from the object store for {whose} than the limit of {limit} bytes per second allows. Try again "
        "later.",
        retry_after_seconds=1,
    )

    LISTS_EXCEEDED = ErrorSpec(
        "function.lists.exceeded",
        429,
        "The lists of objects and events of {whose} that are in work reach the limit of {limit} bytes at once. Try "
        "again shortly.",
        retry_after_seconds=5,
    )

    SHORT_READ = ErrorSpec(
        "function.read.short",
        502,
        "The object could not be read to its end, so there is no digest to give. Ask again.",
        retry_after_seconds=1,
    )
    FUNCTION_NOT_ENABLED = ErrorSpec(
        "function.function.not_enabled", 403, "The function '{function}' is not enabled for project {project_id}."
    )
    FUNCTION_NOT_FOUND = ErrorSpec(
        "function.function.not_found",
        404,
        "Project {project_id} has no function '{function}' that can be called. A Knative Service in its namespace is "
        "called through the gateway if it has the label osfaas.dev/callable=true.",
    )
    FUNCTION_QUOTA = ErrorSpec(
        "function.function.quota",
        429,
        "The function '{function}' cannot start, because the quota does not allow it: {why}.",
        retry_after_seconds=15,
    )
    FUNCTION_NOT_RUNNING = ErrorSpec(
        "function.function.not_running",
        503,
        "The function '{function}' does not run: {why}.",
        retry_after_seconds=15,
    )
    FUNCTION_FAILED = ErrorSpec("function.function.failed", 502, "The function '{function}' failed: {why}.")
    FUNCTION_UNREACHABLE = ErrorSpec(
        "function.function.unreachable",
        503,
        "The function '{function}' could not be reached. Try again shortly.",
        retry_after_seconds=5,
    )
    FUNCTION_BUSY = ErrorSpec(
        "function.function.busy",
        503,
        "The function '{function}' has as much work as it takes. Try again shortly.",
        retry_after_seconds=2,
    )
    STILL_COMPUTING = ErrorSpec(
        "function.checksum.computing",
        504,
        "The digest was not ready within {seconds:g} seconds. The computation goes on; ask again to wait for it.",
        retry_after_seconds=1,
    )
    FUNCTION_TIMEOUT = ErrorSpec("function.function.timeout", 504, "The function '{function}' did not finish: {why}.")
    KEYSTONE_UNAVAILABLE = ErrorSpec(
        "function.keystone.unavailable",
        503,
        "Keystone could not be asked about the token. This is not the token's fault; try again shortly.",
        retry_after_seconds=5,
    )
    STORE_UNAVAILABLE = ErrorSpec(
        "function.store.unavailable",
        503,
        "The object store did not answer. Try again shortly.",
        retry_after_seconds=5,
    )
    INTERNAL = ErrorSpec(
        "function.internal", 500, "Something went wrong inside the gateway. Please report the request id."
    )

    @property
    def code(self) -> str:
        return self.value.code

    @property
    def status(self) -> int:
        return self.value.status


class GatewayError(Exception):
    """A request failed with one of the error codes.

    Several callers who waited for the same work may get the same instance, so it is immutable.

    Attributes:
        kind: the error code.
        words: values for the sentence.
        message: the sentence for the caller.
        headers: additional headers of the answer.
        retry_after_seconds: when to retry, if a retry can help.
        reached: the exceeded limit, if there is one.
    """

    def __init__(
        self,
        kind: ErrorCode,
        *,
        headers: Mapping[str, str] | None = None,
        retry_after_seconds: int | None = None,
        reached: LimitUse | None = None,
        **words: object,
    ) -> None:
        self.kind: Final = kind
        self.words: Final[Mapping[str, object]] = MappingProxyType(words)
        self.message: Final = kind.value.sentence.format_map(words)
        self.headers: Final[Mapping[str, str]] = MappingProxyType(dict(headers or {}))
        self.retry_after_seconds: Final = retry_after_seconds or kind.value.retry_after_seconds
        self.reached: Final = reached
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
    headers = {**UNCACHEABLE, **error.headers}
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
            }
        ],
    }


def _exceeded(use: LimitUse) -> dict[str, object]:
    return {"name": use.name, "value": use.value, "usage": use.usage}
