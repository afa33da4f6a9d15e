"""The OpenAPI document of `/v1/functions` is valid, and says what the definition of the resource says."""

from pathlib import Path

import pytest
import yaml
from openapi_spec_validator import validate

from control.functions.fields import INTEGERS, WORDS
from control.functions.openapi import openapi_document
from tests.unit.control.functions_api import Api

CRD = Path(__file__).parents[3] / "manifests" / "crd" / "functions.yaml"


def properties() -> dict[str, dict[str, object]]:
    definition = yaml.safe_load(CRD.read_text(encoding="utf-8"))
    (version,) = definition["spec"]["versions"]
    found: dict[str, dict[str, object]] = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    return found


def test_the_document_is_valid() -> None:
    validate(openapi_document("https://faas.test"))


async def test_it_needs_no_token() -> None:
    response = await Api().call("GET", "/v1/functions/openapi.json", X_Auth_Token="")
    assert (response.status_code, response.json()["openapi"]) == (200, "3.1.0")


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join("MiB" if word == "mib" else word.capitalize() for word in rest)


@pytest.mark.parametrize("name", INTEGERS)
def test_bounds_of_the_api_are_those_of_the_resource(name: str) -> None:
    """Otherwise a writer by Git may do what one over HTTP may not, or gets another sentence."""
    found = properties()[camel(name)]
    assert found["minimum"] == INTEGERS[name].smallest
    if name != "attempt":
        assert found["maximum"] == INTEGERS[name].largest


def test_lists_have_the_same_lengths() -> None:
    assert {name: properties()[name]["maxItems"] for name in WORDS} == dict(WORDS)
