"""Every operation of `/v1/openapi.json` called with whatever the document allows, each answer held against it.

Schemathesis makes the requests and judges the answers. Made-up names lead to nothing but 404, so every other request
names what is there. A run with the same seed is the same run.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import requests
import schemathesis
from conftest import Gateway
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.machine import scaled

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
Document = dict[str, Any]
# What a request may hold that names what is there, by operation; `as_strategy` takes the keys.
Known = Mapping[str, Mapping[str, object]]


@dataclass
class Tally:
    """What was called.

    Attributes:
        statuses: of the answers, by operation.
        open_operations: those that the document says need no token.
    """

    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    open_operations: set[str] = field(default_factory=set)

    @property
    def calls(self) -> int:
        return sum(sum(counted.values()) for counted in self.statuses.values())

    def reached(self) -> set[str]:
        """Operations that have answered 2xx at least once."""
        return {name for name, counted in self.statuses.items() if any(200 <= status < 300 for status in counted)}


def operations_of(document: Document) -> set[str]:
    """Ids of the operations in an OpenAPI document."""
    return {
        str(operation["operationId"])
        for item in document["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    }


def call_everything(
    gateway: Gateway,
    document: Document,
    token: str | None,
    known: Known,
    *,
    examples: int,
    seed: int,
    modes: Iterable[GenerationMode] = (GenerationMode.POSITIVE,),
) -> Tally:
    """Calls each operation `examples` times in each mode; an answer that is not as documented raises."""
    # Not by its URL: Schemathesis would leave out the operation that it took the document from.
    schema = schemathesis.openapi.from_dict(document)
    # Schemathesis does not look into a media type that it does not know.
    line = Draft202012Validator(
        {"$ref": "#/components/schemas/BulkLine", "components": schema.raw_schema["components"]}
    )
    tally = Tally()
    rules = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    failures: list[BaseException] = []
    with requests.Session() as session:
        session.trust_env = False

        def call(case: schemathesis.Case) -> None:
            if token is not None:
                case.headers["X-Auth-Token"] = token
            response = case.call(base_url=gateway.url, session=session, timeout=scaled(60))
            tally.statuses[case.operation.definition.raw["operationId"]][response.status_code] += 1
            case.validate_response(response, checks=CHECKS)
            if response.headers.get("content-type", [""])[0] == "application/x-ndjson":
                _check_lines(response.content, line)

        for found in schema.get_all_operations():
            operation = found.ok()
            name = operation.definition.raw["operationId"]
            tally.statuses[name] = Counter()
            if operation.definition.raw.get("security") == []:
                tally.open_operations.add(name)
            real = operation.as_strategy(GenerationMode.POSITIVE, **known.get(name, {})).map(_of_the_current_version)
            for mode in modes:
                try:
                    hypothesis.seed(seed)(rules(given(operation.as_strategy(mode) | real)(call)))()
                except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - Schemathesis raises the latter; the other operations are called all the same
                    failures.append(error)
    if failures:
        raise BaseExceptionGroup(f"seed {seed}", failures)
    return tally


def _of_the_current_version(case: schemathesis.Case) -> schemathesis.Case:
    """There is no other one of what is there."""
    case.query.pop("version-id", None)
    return case


def _check_lines(content: bytes, validator: Draft202012Validator) -> None:
    """Each line of a bulk answer is JSON by the letter, and no failure of ours."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    for line in content.splitlines():
        if line:
            document = json.loads(line, parse_constant=refuse)
            validator.validate(document)
            assert document.get("error", {}).get("code", 0) < 500, document
