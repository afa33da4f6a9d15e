"""`docs/reference/api.md` is what the OpenAPI documents say; every operation has a summary and an example that holds.

python tests/unit/test_api_page.py > docs/reference/api.md
"""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from control.functions.openapi import openapi_document as functions_document
from control.functions.openapi_texts import EXAMPLES as OF_FUNCTIONS
from gateway.server.openapi import openapi_document as gateway_document
from gateway.server.openapi_examples import success_with_body
from gateway.server.openapi_texts import EXAMPLES as OF_GATEWAY

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "api.md"
URL = "https://faas.example.org"
DOCUMENTS = {"Gateway": gateway_document(URL), "Functions": functions_document(URL)}
HEAD = """\
# API by operation

Each operation of the gateway and of the functions API, with its parameters and an example. The machine-readable forms
are `/v1/openapi.json` and `/v1/functions/openapi.json`. What routes have in common is in [HTTP API](http.md) and
[Functions API](functions-api.md), errors are in [Errors](errors.md). `$OS_TOKEN` is a token, as
`openstack token issue -f value -c id` prints it. This page is generated.
"""


def operations() -> Iterator[tuple[str, str, str, dict[str, Any], list[Any]]]:
    """Title of the document, method, path, the operation, and all of its parameters."""
    for title, document in DOCUMENTS.items():
        for path, item in document["paths"].items():
            for method, operation in item.items():
                if method != "parameters":
                    shared = item.get("parameters", [])
                    yield title, method, path, operation, [*shared, *operation.get("parameters", [])]


EVERY = list(operations())
IDS = [f"{title}-{operation['operationId']}" for title, _, _, operation, _ in EVERY]


def section(method: str, path: str, operation: dict[str, Any], parameters: list[Any]) -> str:
    parts = [f"\n### {operation['summary']}\n\n`{method.upper()} {path}`\n"]
    if "description" in operation:
        parts.append(f"\n{operation['description']}\n")
    if parameters:
        rows = [
            f"| `{each['name']}` | {each['in']} | {'yes' if each.get('required') else 'no'} | "
            f"{each['description'].replace('|', chr(92) + '|')} |\n"
            for each in parameters
        ]
        parts.append("\n| parameter | in | required | |\n|---|---|---|---|\n" + "".join(rows))
    (sample,) = operation["x-codeSamples"]
    parts.append(f"\n```text\n{sample['source']}\n```\n")
    parts.append(answers(operation["responses"]))
    return "".join(parts)


def answers(responses: dict[str, Any]) -> str:
    """The answers of success, and the example of the first with a body."""
    good = {status: each for status, each in responses.items() if not status.isdecimal() or int(status) < 400}
    rows = [
        f"- {status if status != 'default' else 'any status'}: {each['description']}\n" for status, each in good.items()
    ]
    text = "\n" + "".join(rows)
    status = success_with_body(responses)
    for each in responses[status]["content"].values() if status else ():
        if "example" in each:
            example = each["example"]
            shown = example if isinstance(example, str) else json.dumps(example, indent=1)
            text += f"\n```{'text' if isinstance(example, str) else 'json'}\n{shown.rstrip()}\n```\n"
    return text


def page() -> str:
    text, last = HEAD, ""
    for title, method, path, operation, parameters in EVERY:
        text += f"\n## {title}\n" if title != last else ""
        text += section(method, path, operation, parameters)
        last = title
    return text


def test_page_is_what_the_documents_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run this file, and write what it prints into the page"


def test_every_operation_has_an_example_and_every_example_an_operation() -> None:
    for title, examples in (("Gateway", OF_GATEWAY), ("Functions", OF_FUNCTIONS)):
        assert {operation["operationId"] for name, _, _, operation, _ in EVERY if name == title} == set(examples)


@pytest.mark.parametrize("title", DOCUMENTS)
def test_document_with_its_examples_is_valid(title: str) -> None:
    OpenAPIV31SpecValidator(DOCUMENTS[title]).validate()


def test_summaries_are_short_and_differ_in_a_document() -> None:
    found = [(title, operation["summary"]) for title, _, _, operation, _ in EVERY]
    assert all(len(summary) <= 60 and not summary.endswith(".") for _, summary in found)
    assert len(found) == len(set(found))


@pytest.mark.parametrize("entry", EVERY, ids=IDS)
def test_example_request_is_one_of_the_operation(entry: tuple[str, str, str, dict[str, Any], list[Any]]) -> None:
    """A person pastes it: method, path, query parameters and the token must be those of the operation."""
    _, method, path, operation, parameters = entry
    (sample,) = operation["x-codeSamples"]
    words = shlex.split(sample["source"])
    given = words[words.index("--request") + 1] if "--request" in words else "HEAD" if "--head" in words else "GET"
    assert given == method.upper()
    target, _, query = words[-1].removeprefix(URL).partition("?")
    pattern = re.sub(r"\\{(path|object)\\}", ".*", re.escape(path))
    pattern = re.sub(r"\\{\w+\\}", "[^/]+", pattern)
    assert re.fullmatch(pattern, target)
    known = {each["name"] for each in parameters if each["in"] == "query"}
    assert {pair.partition("=")[0] for pair in query.split("&") if pair} <= known
    assert ("X-Auth-Token: $OS_TOKEN" in words) == (operation.get("security") != [])


@pytest.mark.parametrize("entry", EVERY, ids=IDS)
def test_example_of_a_body_is_valid(entry: tuple[str, str, str, dict[str, Any], list[Any]]) -> None:
    title, _, _, operation, _ = entry
    bodies = [operation["requestBody"]["content"]] if "requestBody" in operation else []
    status = success_with_body(operation["responses"])
    contents = [*bodies, *([operation["responses"][status]["content"]] if status else [])]
    for kind, each in ((kind, each) for content in contents for kind, each in content.items() if "example" in each):
        example = json.loads(each["example"]) if kind == "application/x-ndjson" else each["example"]
        schema = {**each["schema"], "components": DOCUMENTS[title]["components"]}
        jsonschema.Draft202012Validator(schema).validate(example)


@pytest.mark.parametrize("entry", EVERY, ids=IDS)
def test_answer_with_a_document_has_an_example(entry: tuple[str, str, str, dict[str, Any], list[Any]]) -> None:
    """Except the descriptions of the API themselves."""
    _, _, _, operation, _ = entry
    status = success_with_body(operation["responses"])
    if status and operation["operationId"] not in {"openapi", "delete_trigger"}:
        assert any("example" in each for each in operation["responses"][status]["content"].values())


if __name__ == "__main__":
    print(page(), end="")
