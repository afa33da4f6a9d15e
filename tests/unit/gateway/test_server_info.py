"""`/v1/info`: what it tells, what it must not tell, and that it costs nothing."""

import json
from typing import Any

import httpx
import jsonschema
import pytest

from gateway.digests import ALGORITHMS
from gateway.identity.credential import IdentityService
from gateway.server.app import build_app
from gateway.server.info import _CONTAINER_LIMITS, _LIMITS, _OPERATION_LIMITS, INFO_SCHEMA, info_document
from gateway.settings import Settings
from tenancy.directory.triggers import NoTriggers

SECRETS = {
    "database_url": "postgresql://faas:hunter2@db.internal/faas",
    "callback_keys": "k" * 40,
    "limit_store_url": "redis://:hunter2@valkey.internal",
    "swift_endpoint": "http://swift.internal/v1/AUTH_{project_id}",
    "s3_endpoint": "http://s3.internal",
    "store_allowlist": ("http://swift.internal",),
    "admin_projects": ("0a" * 16,),
    "service_projects": ("0b" * 16,),
    "trigger_report_url": "http://scheduler.internal",
    "gateway_replicas_url": "http://replicas.internal",
    "operation_trustee_id": "0c" * 16,
}


class NoTenants:
    def tenant_of(self, project_id: Any) -> Any:
        raise AssertionError("no tenant is needed")

    def sync_age_seconds(self) -> float | None:
        return 0.0


def client(**settings: Any) -> httpx.AsyncClient:
    identity = IdentityService("http://keystone.test/v3", None, verify=True)  # type: ignore[arg-type]
    app = build_app(Settings(**settings), identity, NoTenants())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://faas.test")


@pytest.mark.parametrize(
    ("settings", "features"),
    [
        ({}, set()),
        ({"database_url": "sqlite:////tmp/x"}, {"asynchronous_calls", "sweeps", "usage"}),
        ({"callback_keys": "k" * 40}, set()),
        (
            {"database_url": "sqlite:////tmp/x", "callback_keys": "k" * 40, "object_store": "s3"},
            {"asynchronous_calls", "callbacks", "usage"},
        ),
        ({"functions_api": True}, {"own_functions"}),
    ],
)
def test_features_are_those_that_the_settings_allow(settings: dict[str, Any], features: set[str]) -> None:
    document = info_document(Settings(**settings), triggers=False)
    assert {name for name, offered in document["features"].items() if offered} == features
    jsonschema.validate(document, dict(INFO_SCHEMA))


def test_triggers_are_offered_if_events_can_fire_them() -> None:
    assert info_document(Settings(), triggers=True)["features"]["triggers"] is True


def test_limits_are_the_settings_of_the_same_name() -> None:
    settings = Settings(
        head_max_bytes=9_999, bulk_max_objects=17, operation_wait_max_seconds=3, database_url="sqlite:////tmp/x"
    )
    limits = info_document(settings, triggers=False)["limits"]
    assert (limits["head_max_bytes"], limits["bulk_max_objects"], limits["operation_wait_max_seconds"]) == (
        9_999,
        17,
        3,
    )
    names = {*_LIMITS, *_OPERATION_LIMITS, *_CONTAINER_LIMITS}
    assert names <= set(Settings.model_fields)
    assert set(limits) == names | {"container_name_max_bytes", "object_name_max_bytes"}


def test_longest_body_of_an_asynchronous_call_is_shown_where_objects_keep_them() -> None:
    """The bound of the database alone would read as the limit of a call."""
    durable = {"database_url": "sqlite:////tmp/x", "operation_object_max_bytes": 5_000_000}
    limits = info_document(Settings(**durable), triggers=False)["limits"]
    assert limits["operation_object_max_bytes"] == 5_000_000
    for settings in ({"object_store": "s3", **durable}, {"operation_object_max_bytes": 5_000_000}):
        assert "operation_object_max_bytes" not in info_document(Settings(**settings), triggers=False)["limits"]


def test_limits_of_what_is_not_offered_are_not_there() -> None:
    limits = info_document(Settings(), triggers=False)["limits"]
    assert not {*_OPERATION_LIMITS, *_CONTAINER_LIMITS} & set(limits)


def test_it_tells_no_address_no_id_and_no_secret() -> None:
    """Anybody reads it. The settings that it is made from have all of these."""
    text = json.dumps(info_document(Settings(**SECRETS), triggers=True))
    for secret in ("hunter2", "internal", "kkk", "0a0a", "0b0b", "0c0c", "://"):
        assert secret not in text
    # Capacities of a process say how much it takes to exhaust one.
    for name in ("process", "concurrency", "connections", "queue", "release"):
        assert name not in text


def test_it_is_small_whatever_the_settings_are() -> None:
    every = tuple(ALGORITHMS)
    document = info_document(Settings(**SECRETS, default_algorithms=every), triggers=True)
    assert len(json.dumps(document)) < 2_048


async def test_it_needs_no_token_and_caches_may_keep_it() -> None:
    async with client() as http:
        answer = await http.get("/v1/info")
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=60")
        assert answer.json() == info_document(Settings(), triggers=False)
        assert "vary" not in answer.headers
        assert "openstack-api-version" not in answer.headers


@pytest.mark.parametrize("path", ["/v1/info", "/v1/openapi.json"])
async def test_caller_that_has_it_gets_304(path: str) -> None:
    async with client() as http:
        first = await http.get(path)
        tag = first.headers["etag"]
        for named in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            again = await http.get(path, headers={"If-None-Match": named})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
            assert again.headers["cache-control"] == first.headers["cache-control"]
        for named in ('"other"', tag.strip('"'), "", f"{tag}x"):
            assert (await http.get(path, headers={"If-None-Match": named})).status_code == 200


async def test_etag_changes_with_the_content_only() -> None:
    tags = []
    for settings in ({}, {}, {"bulk_max_objects": 1}):
        async with client(**settings) as http:
            tags.append((await http.get("/v1/info")).headers["etag"])
    assert tags[0] == tags[1] != tags[2]


async def test_operator_can_switch_it_off() -> None:
    async with client(expose_info=False) as http:
        answer = await http.get("/v1/info")
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "route.not_found")


@pytest.mark.parametrize("trustee", [None, object()])
async def test_triggers_need_a_credential_that_can_use_trusts(trustee: Any) -> None:
    identity = IdentityService("http://keystone.test/v3", None, verify=True, trustee=trustee)  # type: ignore[arg-type]
    app = build_app(Settings(), identity, NoTenants(), NoTriggers())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://faas.test") as http:
        assert (await http.get("/v1/info")).json()["features"]["triggers"] is (trustee is not None)
