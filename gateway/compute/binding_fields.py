"""Header fields about inputs and outputs: one JSON object for each, to a function and to a caller. Pure.

Several values of a field, joined by commas as HTTP joins them, are the members of a JSON array.
"""

import json

from gateway.compute.bindings import Binding, BoundObjects, Input, ObjectResult, ObjectResults, Output
from gateway.objects.model import SignedUrl

MAX_CONTENT_TYPE = 255
INPUT, OUTPUT = "Osfaas-Input", "Osfaas-Output"


def function_fields(bound: BoundObjects) -> list[tuple[bytes, bytes]]:
    """The fields for a function, one for each object: its names, and the request that reads or writes it."""
    fields = [(INPUT, _input(each, bound.expires_at)) for each in bound.inputs]
    fields += [(OUTPUT, _output(each, bound.expires_at)) for each in bound.outputs]
    return [(name.lower().encode("ascii"), _text(document).encode("ascii")) for name, document in fields]


def caller_fields(results: ObjectResults) -> dict[str, str]:
    """The fields for a caller: the state of each object after the call."""
    fields = {INPUT: results.inputs, OUTPUT: results.outputs}
    return {name: ", ".join(_text(_result(each)) for each in found) for name, found in fields.items() if found}


def refusal_fields(binding: Binding, *, of_input: bool) -> dict[str, str]:
    """The field for a caller that names the object of an error before the call."""
    return {INPUT if of_input else OUTPUT: _text({"name": binding.name, "state": "refused"})}


def _input(bound: Input, expires_at: int) -> dict[str, object]:
    stat = bound.stat
    # An owner may store any text as a media type; a real one is no longer (RFC 6838, 4.2).
    content_type = stat.content_type if len(stat.content_type) <= MAX_CONTENT_TYPE else "application/octet-stream"
    about = {"etag": stat.etag, "size": stat.size, "content_type": content_type}
    return {**_names(bound), **about, **_request("GET", bound.url, expires_at)}


def _output(bound: Output, expires_at: int) -> dict[str, object]:
    return {**_names(bound), **_request("PUT", bound.url, expires_at)}


def _names(bound: Input | Output) -> dict[str, object]:
    binding = bound.binding
    return {"name": binding.name, "container": binding.ref.container, "object": binding.ref.name}


def _request(method: str, url: SignedUrl, expires_at: int) -> dict[str, object]:
    return {"method": method, "url": url.url, "headers": dict(url.headers), "expires_at": expires_at}


def _result(result: ObjectResult) -> dict[str, object]:
    stat = result.stat
    about = {} if stat is None else {"etag": stat.etag, "size": stat.size}
    return {"name": result.name, "state": result.state, **about}


def _text(document: object) -> str:
    """ASCII, without line breaks: JSON escapes all others."""
    return json.dumps(document, separators=(",", ":"))
