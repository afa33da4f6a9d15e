"""What people read of an API: a summary and an example of each operation, added to its OpenAPI document. Pure."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_JSON = "application/json"
_FIRST_ERROR = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An operation by an example.

    Attributes:
        summary: what it does, in a few words.
        target: path and query of the request.
        body: of the request, as JSON; a string is the name of a file.
        media_type: of that body.
        fields: further header fields of the request.
        answer: of the first success that has a body: JSON, or text.
    """

    summary: str
    target: str
    body: Any = None
    media_type: str = _JSON
    fields: Mapping[str, str] | None = None
    answer: Any = None


def with_examples(document: Mapping[str, Any], examples: Mapping[str, Example]) -> dict[str, Any]:
    """The document with what people read.

    Args:
        document: its operations have ids.
        examples: by id of their operation.

    Raises:
        KeyError: an operation has no example.
    """
    url: str = document["servers"][0]["url"]
    paths = {
        path: {
            name: _described(name, item, examples[item["operationId"]], url) if name != "parameters" else item
            for name, item in items.items()
        }
        for path, items in document["paths"].items()
    }
    return {**document, "paths": paths}


def _described(method: str, operation: Mapping[str, Any], example: Example, url: str) -> dict[str, Any]:
    secured = operation.get("security") != []
    described = {
        "summary": example.summary,
        **operation,
        "responses": _answered(operation["responses"], example.answer),
        # Read by Redoc and its like.
        "x-codeSamples": [{"lang": "Shell", "source": curl(method, example, url, token=secured)}],
    }
    if example.body is not None and not isinstance(example.body, str):
        content = dict(operation["requestBody"]["content"])
        content[example.media_type] = {**content[example.media_type], "example": example.body}
        described["requestBody"] = {**operation["requestBody"], "content": content}
    return described


def _answered(responses: Mapping[str, Any], answer: Any) -> dict[str, Any]:
    """The responses, of which the first success with a body has the answer."""
    status = success_with_body(responses)
    if answer is None or status is None:
        return dict(responses)
    content = dict(responses[status]["content"])
    kind = next((name for name in content if (name == _JSON) != isinstance(answer, str)), next(iter(content)))
    content[kind] = {**content[kind], "example": answer}
    return {**responses, status: {**responses[status], "content": content}}


def success_with_body(responses: Mapping[str, Any]) -> str | None:
    """The lowest status of success that has a body, if there is one."""
    found = [status for status, each in responses.items() if status.isdecimal() and each.get("content")]
    return min((status for status in found if int(status) < _FIRST_ERROR), default=None)


def curl(method: str, example: Example, url: str, *, token: bool) -> str:
    """The request as a command."""
    words = ["curl", *{"get": [], "head": ["--head"]}.get(method, ["--request", method.upper()])]
    fields = [f"{name}: {value}" for name, value in (example.fields or {}).items()]
    if example.body is not None:
        fields.append(f"Content-Type: {example.media_type}")
    # The shell fills the variable in, so this word is in double quotes.
    line = shlex.join(words) + (' --header "X-Auth-Token: $OS_TOKEN"' if token else "")
    line += "".join(f" --header {shlex.quote(field)}" for field in fields)
    if isinstance(example.body, str):
        line += f" --data-binary {shlex.quote(f'@{example.body}')}"
    elif example.body is not None:
        line += f" --data {shlex.quote(json.dumps(example.body))}"
    return f"{line} {shlex.quote(url + example.target)}"
