"""Presigned URLs: the same as botocore's own, and none for a token that is less than its user."""

import contextlib
import dataclasses
import datetime as dt
from typing import Any
from unittest import mock
from urllib.parse import parse_qsl

import botocore.session
import httpx
import pytest
import respx
from botocore.config import Config
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.identity.caller import Caller, Endpoint
from gateway.objects.model import ObjectRef
from gateway.objects.s3 import Presigner, presign
from gateway.settings.upstream import StoreSettings
from policies.names import ProjectId

ENDPOINT = "http://s3.test:8080"
AUTH_URL = "http://keystone.test/v3"
KEYS = Credentials("access", "secret")
NOW = dt.datetime(2027, 1, 15, 8, 0, 0, tzinfo=dt.UTC)
RULES = StoreSettings(
    interface="public",
    region_name=None,
    s3_endpoint=None,
    s3_region="us-east-1",
    capability_seconds=300,
    token_cache_entries=10,
    token_cache_seconds=30,
)
CALLER = Caller(
    token="secret-token",
    user_id="u1",
    user_name="alice",
    project_id=ProjectId("p1"),
    project_name="demo",
    roles=frozenset(["member"]),
    expires_at=0,
    endpoints=(Endpoint("s3", "public", "R1", ENDPOINT),),
)
REF = ObjectRef("bucket", "a/o")
MINE = {"access": "access", "secret": "secret", "tenant_id": "p1", "user_id": "u1", "trust_id": None}

botocores = botocore.session.Session().create_client(
    "s3",
    region_name="us-east-1",
    endpoint_url=ENDPOINT,
    aws_access_key_id="access",
    aws_secret_access_key="secret",
    config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
)


def now(remove_tzinfo: bool = True) -> dt.datetime:
    """botocore's clock, which gives UTC with or without saying so."""
    return NOW.replace(tzinfo=None) if remove_tzinfo else NOW


def both(ref: ObjectRef) -> list[tuple[str, list[tuple[str, str]]]]:
    """Our URL and that of botocore's client, each as its path and sorted query; its two signers differ in the order."""
    params = {"Bucket": ref.container, "Key": ref.name, **({"VersionId": ref.version} if ref.version else {})}
    with contextlib.ExitStack() as patches:
        patches.enter_context(mock.patch("botocore.auth.get_current_datetime", now))
        with contextlib.suppress(ImportError):
            patches.enter_context(mock.patch("botocore.crt.auth.get_current_datetime", now))
        ours = presign(ENDPOINT, ref, KEYS, region="us-east-1", seconds=300)
        theirs = botocores.generate_presigned_url("get_object", Params=params, ExpiresIn=300)
    return [
        (url.partition("?")[0], sorted(parse_qsl(url.partition("?")[2], strict_parsing=True))) for url in (ours, theirs)
    ]


@pytest.mark.parametrize(
    "ref",
    [
        REF,
        ObjectRef("bucket", "o", "v1"),
        ObjectRef("bucket", "ä €/+ &=?#%2F~"),
        ObjectRef("bucket.with-dots", "a//b/"),
        ObjectRef("bucket", "/leading"),
        ObjectRef("bucket", "o", "a/b+c d"),
    ],
)
def test_url_is_botocores_own(ref: ObjectRef) -> None:
    ours, theirs = both(ref)
    assert ours == theirs


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30))
def test_url_is_botocores_own_for_any_name(name: str) -> None:
    ours, theirs = both(ObjectRef("bucket", name))
    assert ours == theirs


class Keystone:
    def __init__(self, answer: httpx.Response | Exception) -> None:
        self.router = respx.MockRouter(assert_all_called=False)
        self.route = self.router.get(f"{AUTH_URL}/users/u1/credentials/OS-EC2").mock(side_effect=[answer])

    async def url(self, caller: Caller = CALLER, ref: ObjectRef = REF, **rules: Any) -> str | None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(self.router.async_handler)) as client:
            presigner = Presigner(client, auth_url=AUTH_URL, settings=RULES.model_copy(update=rules))
            return await presigner.presigned(caller, ref)


def listed(*credentials: dict[str, Any]) -> httpx.Response:
    return httpx.Response(200, json={"credentials": list(credentials)})


async def test_application_credential_gets_none_because_an_ec2_credential_can_do_more() -> None:
    keystone = Keystone(listed(MINE))
    assert await keystone.url(dataclasses.replace(CALLER, application_credential_id="ac")) is None
    assert keystone.route.call_count == 0


async def test_delegated_token_gets_none_because_an_ec2_credential_can_do_more() -> None:
    keystone = Keystone(listed(MINE))
    assert await keystone.url(dataclasses.replace(CALLER, delegated=True)) is None
    assert keystone.route.call_count == 0


async def test_no_s3_in_the_catalog_is_none() -> None:
    keystone = Keystone(listed(MINE))
    assert await keystone.url(dataclasses.replace(CALLER, endpoints=())) is None
    assert keystone.route.call_count == 0


@pytest.mark.parametrize("container", ["ab", "UPPER", "a_b", "-ab", "ab-", "a" * 64, "ä-bucket", "a b c", "abc\n"])
async def test_container_that_is_no_bucket_name_is_none(container: str) -> None:
    keystone = Keystone(listed(MINE))
    assert await keystone.url(ref=ObjectRef(container, "o")) is None
    assert keystone.route.call_count == 0


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(listed(), id="none"),
        pytest.param(listed({**MINE, "tenant_id": "p2"}), id="of-another-project"),
        pytest.param(listed({**MINE, "user_id": "u2"}), id="of-another-user"),
        pytest.param(listed({"tenant_id": "p1", "user_id": "u1"}), id="without-keys"),
        pytest.param(httpx.Response(200, json={"credentials": None}), id="null"),
        pytest.param(httpx.Response(200, json={"credentials": ["x"]}), id="words"),
        pytest.param(httpx.Response(200, json=[]), id="list"),
        pytest.param(httpx.Response(200, content=b"<html>"), id="html"),
        pytest.param(httpx.Response(401, json={"credentials": [MINE]}), id="401"),
        pytest.param(httpx.Response(403), id="403"),
        pytest.param(httpx.Response(500), id="500"),
        pytest.param(httpx.ConnectError("refused"), id="unreachable"),
        pytest.param(httpx.ReadTimeout("slow"), id="timeout"),
    ],
)
async def test_without_a_credential_of_the_caller_for_this_project_there_is_none(answer: Any) -> None:
    assert await Keystone(answer).url() is None


async def test_credential_of_the_caller_for_this_project_signs_asked_for_with_the_callers_own_token() -> None:
    keystone = Keystone(listed({**MINE, "tenant_id": "p2", "access": "wrong"}, MINE))
    url = await keystone.url()
    assert url is not None
    assert url.startswith(f"{ENDPOINT}/bucket/a/o?")
    assert "X-Amz-Credential=access%2F" in url
    assert "X-Amz-Expires=300" in url
    assert "secret" not in url
    assert keystone.route.calls.last.request.headers["X-Auth-Token"] == "secret-token"


async def test_a_credential_is_kept_as_long_as_a_token_is_and_its_absence_is_not() -> None:
    clock = [0.0]
    router = respx.MockRouter()
    answers = [listed(), listed(MINE), listed(MINE)]
    route = router.get(f"{AUTH_URL}/users/u1/credentials/OS-EC2").mock(side_effect=answers)
    async with httpx.AsyncClient(transport=httpx.MockTransport(router.async_handler)) as client:
        presigner = Presigner(client, auth_url=AUTH_URL, settings=RULES, stopwatch=lambda: clock[0])
        assert await presigner.presigned(CALLER, REF) is None
        assert await presigner.presigned(CALLER, REF) is not None
        clock[0] = 20
        assert await presigner.presigned(CALLER, REF) is not None
        assert route.call_count == 2
        # Its use does not lengthen its life.
        clock[0] = 31
        assert await presigner.presigned(CALLER, REF) is not None
        assert route.call_count == 3


def test_signature_covers_method_and_condition() -> None:
    """Without the field, or with another method, the URL is another one."""
    with mock.patch("botocore.auth.get_current_datetime", now):
        urls = [
            presign(ENDPOINT, REF, KEYS, region="us-east-1", seconds=300, method=method, headers=headers)
            for method, headers in (
                ("PUT", {"If-None-Match": "*"}),
                ("PUT", {}),
                ("GET", {"If-Match": '"e"'}),
                ("GET", {}),
            )
        ]
    queries = [dict(parse_qsl(url.partition("?")[2])) for url in urls]
    assert [query["X-Amz-SignedHeaders"] for query in queries] == [
        "host;if-none-match",
        "host",
        "host;if-match",
        "host",
    ]
    assert len({query["X-Amz-Signature"] for query in queries}) == 4
