"""How a pod gets secrets, which functions are refused for them, and what the functions API may do with Secrets."""

import json
from dataclasses import replace

from policies.own_function import OwnFunction, OwnFunctions
from policies.own_function_secrets import build_secret, mounted_secrets, secret_object_name
from policies.own_function_service import build_own_function
from policies.platform import platform_manifests
from policies.quota import build_quota
from policies.tenant import build_tenant
from tests.unit.policies.test_own_function import HELLO, PLATFORM, SPEC

WITH = replace(HELLO, secrets=("api-key", "db"))
VERSIONS = {"db": "0" * 12, "api-key": "1" * 12, "other": "2" * 12}


def template(function: OwnFunction = WITH, **versions: str) -> dict:
    service = build_own_function(SPEC, PLATFORM, function, secrets={**VERSIONS, **versions})
    return service["spec"]["template"]


def test_secrets_are_files_and_no_variables() -> None:
    pod = template()["spec"]
    (container,) = pod["containers"]
    assert "env" not in container
    assert {"name": "secrets", "mountPath": "/run/secrets", "readOnly": True} in container["volumeMounts"]
    (volume,) = [each for each in pod["volumes"] if each["name"] == "secrets"]
    sources = [source["secret"] for source in volume["projected"]["sources"]]
    assert [(source["name"], source["items"]) for source in sources] == [
        (f"osfaas-secret-api-key-{'1' * 12}", [{"key": "value", "path": "api-key"}]),
        (f"osfaas-secret-db-{'0' * 12}", [{"key": "value", "path": "db"}]),
    ]
    assert mounted_secrets(pod) == {source["name"] for source in sources}


def test_another_value_is_another_revision_and_another_secret_is_not() -> None:
    assert template()["metadata"]["name"] != template(db="f" * 12)["metadata"]["name"]
    assert template()["metadata"]["name"] == template(other="f" * 12)["metadata"]["name"]


def test_a_function_without_secrets_is_the_revision_that_it_was() -> None:
    assert (
        template(HELLO)["metadata"]["name"]
        == build_own_function(SPEC, PLATFORM, HELLO)["spec"]["template"]["metadata"]["name"]
    )


def test_a_function_whose_secret_is_missing_stays_as_it_is() -> None:
    built = build_tenant(SPEC, PLATFORM, OwnFunctions((WITH, replace(HELLO, name="plain")), secrets={"db": "0" * 12}))
    rejection = built.rejected["hello"]
    assert (rejection.reason, rejection.stops) == ("SecretMissing", False)
    assert "no secret api-key" in rejection.message
    assert built.kept == {"hello"}


def test_a_stored_value_can_not_be_changed() -> None:
    secret = build_secret(SPEC.namespace, "db", "0" * 12, "dmFsdWU=")
    assert secret["immutable"] is True
    assert secret["metadata"]["name"] == secret_object_name("db", "0" * 12)


def test_the_quota_has_room_for_all_versions_and_no_more() -> None:
    hard = build_quota(SPEC, PLATFORM)["spec"]["hard"]
    assert (hard["secrets"], hard["count/functionsecrets.osfaas.dev"]) == ("276", "32")


def test_the_functions_api_touches_no_other_secret() -> None:
    """The cluster's tests try it; here, that the policy is part of every platform and fails closed."""
    (policy, binding) = [
        item for item in platform_manifests(PLATFORM) if item["metadata"]["name"] == "osfaas-function-secrets"
    ]
    spec = policy["spec"]
    assert spec["failurePolicy"] == "Fail"
    (rule,) = spec["matchConstraints"]["resourceRules"]
    assert (rule["resources"], rule["operations"]) == (["secrets"], ["CREATE", "UPDATE", "DELETE"])
    assert "osfaas-functions-api" in json.dumps(spec["matchConditions"])
    assert binding["spec"]["validationActions"] == ["Deny"]
