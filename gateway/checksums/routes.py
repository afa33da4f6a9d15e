"""HTTP routes of checksums: by object path, and by query with `bucket` and `file`."""

from collections.abc import Callable, Mapping
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from gateway.calls.admission import Admission
from gateway.checksums.assertion import FIELD as ASSERTED
from gateway.checksums.assertion import check_assertions, parse_assertions
from gateway.checksums.audit import record_service_call
from gateway.checksums.negotiation import NegotiatedDigests, digest_fields, names_json, negotiate, prefers_text
from gateway.checksums.service import Answer, ChecksumRequest, Checksums
from gateway.digests import ALGORITHMS
from gateway.errors import CREDENTIAL_FIELDS, UNCACHEABLE, ErrorCode, GatewayError
from gateway.http.context import RequestContext, context_of
from gateway.http.disconnect import unless_gone
from gateway.http.head import RequestHead
from gateway.http.query import one_value, parse_query
from gateway.http.respond import answer_or_error
from gateway.json_text import json_bytes
from gateway.objects.model import ObjectRef
from gateway.operations.acceptance import CHECKSUMS, AsyncCalls
from gateway.policy.names import Rule
from gateway.upstream.timing import server_timing

PREFIX = b"/v1/checksums/"
# `versionId` is S3's word for Swift's, and `cks.type` XRootD's for `algorithm`. XRootD also sends each server the time
# that it waits for the head of the response, which changes no answer.
PARAMETERS = ("algorithm", "cks.type", "xrdclhttp.timeout", "version-id", "versionId", "force", "store")
NAMING_PARAMETERS = ("bucket", "container", "file", "object")
_DIGEST_FIELDS = frozenset(("want-digest", "want-repr-digest", "repr-digest"))
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


# Finds the requested object, and the parameters.
Locate = Callable[[RequestHead], tuple[ObjectRef, Mapping[str, list[str]]]]


class ChecksumRoutes:
    """Endpoints for digests of one object."""

    def __init__(
        self,
        admission: Admission,
        checksums: Checksums,
        *,
        default_algorithms: tuple[str, ...],
        asynchronous: AsyncCalls,
    ) -> None:
        self._admission = admission
        self._checksums = checksums
        self._default_algorithms = default_algorithms
        self._asynchronous = asynchronous

    async def by_path(self, request: Request) -> Response:
        """`GET|HEAD /v1/checksums/{container}/{object}`; 204 or 412 if the request asserts a digest.

        Storage clients, which send a field of digests, print an error's body unchanged: they get plain text.
        """
        context = context_of(request.scope)
        context.route = "checksums.object"
        assert context.head is not None
        accept = context.head.joined(b"accept")
        preferences = not _DIGEST_FIELDS.isdisjoint(request.headers.keys())
        text = prefers_text(accept)
        plain = text or (preferences and not names_json(accept))
        return await self._respond(request, context, ref_from_path, text=text, plain_errors=plain)

    async def by_query(self, request: Request) -> Response:
        """`GET|HEAD /checksums/?bucket=…&file=…`."""
        context = context_of(request.scope)
        context.route = "checksums.query"
        assert context.head is not None
        text = prefers_text(context.head.joined(b"accept"))
        return await self._respond(request, context, ref_from_query, text=text, plain_errors=False)

    async def _respond(
        self,
        request: Request,
        context: RequestContext,
        locate: Locate,
        *,
        text: bool,
        plain_errors: bool,
    ) -> Response:
        assert context.head is not None
        work = unless_gone(request.receive, self._answer(context.head, context, locate, text=text))
        response = await answer_or_error(context, work, plain_errors=plain_errors)
        if context.service_caller is not None:
            record_service_call(context, _named(locate, context.head), response.status_code)
        return response

    async def _answer(
        self,
        head: RequestHead,
        context: RequestContext,
        locate: Locate,
        *,
        text: bool,
    ) -> Response:
        call = await self._admission.admit(context, Rule.CHECKSUMS_GET, services=True)
        ref, parameters = locate(head)
        want_digest, want_repr_digest = head.joined(b"want-digest"), head.joined(b"want-repr-digest")
        assertions = parse_assertions(head.joined(b"repr-digest"))
        wanted = negotiate(
            ordered=algorithms_in(parameters),
            want_digest=want_digest,
            want_repr_digest=want_repr_digest,
            default=() if assertions else self._default_algorithms,
        )
        names = tuple(dict.fromkeys((*wanted.algorithms, *(each.algorithm for each in assertions))))
        checksum_request = ChecksumRequest(
            ref,
            names,
            force=_flag(parameters, "force"),
            store=_flag(parameters, "store"),
            # Storage clients have a time limit of their own, and then send the same HEAD again.
            returning=head.method == "HEAD",
        )
        preference = self._asynchronous.preference(head)
        if preference is not None:
            self._checksums.check_enabled(call)
            subject = f"{ref.container}/{ref.name}"
            operation = await self._asynchronous.accept(call, preference, kind=CHECKSUMS, subject=subject)
            return await self._asynchronous.answer(call, operation, preference)
        answer = await self._checksums.answer(call, checksum_request)
        values = {name: digest.value for name, digest in answer.digests.items()}
        check_assertions(assertions, values)
        fields = _common(context)
        if head.method == "HEAD" or want_digest is not None or want_repr_digest is not None:
            # The body of a GET is another representation, with another digest (RFC 9530, 2). So the field is sent only
            # to clients that request it by name, and read the object's digest from it.
            fields |= digest_fields(wanted, values)
        if assertions:
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=fields)
        if head.method == "HEAD":
            return _as_object(answer, fields)
        return _as_body(answer, wanted, fields, text=text)


def ref_from_path(head: RequestHead) -> tuple[ObjectRef, Mapping[str, list[str]]]:
    """The object in the path.

    Raises:
        GatewayError: REQUEST_MALFORMED.
    """
    parameters = parse_query(head.query, PARAMETERS)
    return ObjectRef.in_path(head.path.removeprefix(PREFIX), _version(parameters)), parameters


def ref_from_query(head: RequestHead) -> tuple[ObjectRef, Mapping[str, list[str]]]:
    """The object in `bucket` and `file` (or `container` and `object`).

    Raises:
        GatewayError: REQUEST_MALFORMED.
    """
    parameters = parse_query(head.query, PARAMETERS + NAMING_PARAMETERS)
    if {"bucket", "container"} <= parameters.keys() or {"file", "object"} <= parameters.keys():
        raise GatewayError(ErrorCode.REQUEST_MALFORMED, why="the object is named twice")
    container = one_value(parameters, "bucket") or one_value(parameters, "container")
    name = one_value(parameters, "file") or one_value(parameters, "object")
    if container is None or name is None:
        raise GatewayError(ErrorCode.REQUEST_MALFORMED, why="the parameters 'bucket' and 'file' are required")
    return ObjectRef(container, name, _version(parameters)), parameters


def _named(locate: Locate, head: RequestHead) -> ObjectRef | None:
    """The requested object; None if the request is invalid."""
    try:
        return locate(head)[0]
    except GatewayError:
        return None


def _as_object(answer: Answer, fields: dict[str, str]) -> Response:
    """The answer to HEAD: the object's own header fields, and its digests (dCache reads the length)."""
    stat = answer.stat
    fields |= {"Content-Length": str(stat.size), "Content-Type": _sendable(stat.content_type)}
    if stat.last_modified:
        fields["Last-Modified"] = stat.last_modified
    if stat.native.get("md5") == stat.etag:
        # davix takes any ETag of 32 hex digits for an MD5, so only a real MD5 is sent.
        fields["ETag"] = f'"{stat.etag}"'
    return Response(headers=fields)


def _sendable(content_type: str) -> str:
    """The owner's media type, if it is printable ASCII; else a default."""
    return content_type if content_type.isascii() and content_type.isprintable() else "application/octet-stream"


def _as_body(answer: Answer, wanted: NegotiatedDigests, fields: dict[str, str], *, text: bool) -> Response:
    values = {name: answer.digests[name].value for name in wanted.algorithms}
    if text:
        lines = values.values() if len(values) == 1 else (f"{name}={value}" for name, value in values.items())
        return Response("".join(f"{line}\n" for line in lines), headers=fields, media_type="text/plain")
    return Response(json_bytes(answer_document(answer)), headers=fields, media_type="application/json")


def answer_document(answer: Answer) -> dict[str, object]:
    """The JSON document of an answer (`Digests` in the OpenAPI document)."""
    stat = answer.stat
    document: dict[str, object] = {
        "container": stat.ref.container,
        "object": stat.ref.name,
        "version_id": stat.ref.version,
        "etag": stat.etag,
        "size": stat.size,
        "digests": {name: digest.value for name, digest in answer.digests.items()},
        "sources": {name: digest.source for name, digest in answer.digests.items()},
    }
    if answer.stored is not None:
        document["stored"] = answer.stored
    return document


def _common(context: RequestContext) -> dict[str, str]:
    return {
        **UNCACHEABLE,
        "Vary": f"Accept, Want-Digest, Want-Repr-Digest, {ASSERTED}, {CREDENTIAL_FIELDS}",
        "Server-Timing": server_timing(context.timings),
    }


def _version(parameters: Mapping[str, list[str]]) -> str | None:
    return one_value(parameters, "version-id") or one_value(parameters, "versionId")


def algorithms_in(parameters: Mapping[str, list[str]]) -> list[str]:
    """Values that name algorithms, each a comma list; those that name none are left out."""
    return [value for name in ("algorithm", "cks.type") for value in parameters.get(name, []) if value]


def _flag(parameters: Mapping[str, list[str]], name: str) -> bool:
    value = one_value(parameters, name)
    if value is None:
        return False
    if value.lower() not in _BOOLEANS:
        raise GatewayError(ErrorCode.REQUEST_MALFORMED, why=f"the parameter '{name}' must be true or false")
    return _BOOLEANS[value.lower()]


def check_default_algorithms(names: tuple[str, ...]) -> None:
    """Rejects settings with an unknown algorithm.

    Raises:
        ValueError: the message names it.
    """
    unknown = [name for name in names if name not in ALGORITHMS]
    if unknown:
        raise ValueError(f"unknown algorithms: {', '.join(unknown)}; known: {', '.join(ALGORITHMS)}")
