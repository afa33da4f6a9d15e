"""Family 11: what is remembered is of that caller, that token and that object, and no longer true than it may be."""

import asyncio
import contextlib
import time

import aiohttp
import edge_proxy
import httpx
import pytest
import yaml
from echo import echo, plainly
from faulty import VALIDATION, code
from fronts import only, status

from gateway.errors import ErrorCode, GatewayError
from gateway.identity.cache import TokenCache
from gateway.identity.caller import Caller, Endpoint
from gateway.objects.endpoints import endpoint_of
from gateway.objects.model import ObjectKind, ObjectRef, ObjectStat
from gateway.settings.identity import IdentitySettings
from tests.machine import scaled

NO_OBJECT = "/v1/checksums/"


async def thousand(url: str, token: str) -> list[int]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call() -> int:
            async with session.get(url, headers={"X-Auth-Token": token}) as response:
                await response.read()
                return response.status

        return await asyncio.gather(*(call() for _ in range(1_000)))


async def test_a_thousand_misses_at_once_are_one_question(faulty):
    token, before = faulty.fresh(), faulty.keystone.count(VALIDATION)
    slow = lambda *_: time.sleep(scaled(1))  # noqa: E731 - so that all of them come while the question is open
    faulty.keystone.fault = only(VALIDATION, slow)
    statuses = await thousand(faulty.gateway.url + NO_OBJECT, token)
    assert set(statuses) <= {400, 503}
    assert faulty.keystone.count(VALIDATION) - before <= 3


async def test_a_thousand_uses_of_a_token_that_is_none_are_one_question(faulty):
    token = faulty.fresh()
    forged = token[:-6] + ("AAAAAA" if token[-6:] != "AAAAAA" else "BBBBBB")
    before = faulty.keystone.count(VALIDATION)
    # On a busy machine a thousand connections take longer than Keystone is waited for here.
    assert set(await thousand(faulty.gateway.url + NO_OBJECT, forged)) <= {401, 503}
    assert faulty.keystone.count(VALIDATION) - before <= 2


async def test_without_one_flight_for_all_each_asks():
    """The positive control: the same cache, where each miss asks for itself."""
    asked = []

    async def validate(token: str) -> Caller:
        asked.append(token)
        await asyncio.sleep(0.05)
        raise GatewayError(ErrorCode.TOKEN_INVALID)

    cache = TokenCache(
        validate, IdentitySettings(token_cache_entries=10, token_cache_seconds=1, token_rejection_cache_seconds=1)
    )
    cache._flights.run = lambda _, start: start()
    await asyncio.gather(*(cache.caller_of("t") for _ in range(100)), return_exceptions=True)
    assert len(asked) == 100


@pytest.mark.parametrize("number", [401, 403, 404, 429, 500, 503])
def test_trouble_of_keystones_is_not_remembered_as_a_refusal(faulty, number):
    """Negative-cache poisoning: a minute of a broken proxy must not lock anybody out for longer."""
    token = faulty.fresh()
    faulty.keystone.fault = only(VALIDATION, status(number, b"<html>no</html>"))
    assert faulty.get(NO_OBJECT, token).status_code == 503
    faulty.calm()
    time.sleep(0.15)
    assert faulty.get(NO_OBJECT, token).status_code == 400


def test_refusal_of_one_token_is_no_refusal_of_another(faulty):
    token = faulty.fresh()
    forged = [token[:-4] + f"{number:04d}" for number in range(20)]
    assert {faulty.get(NO_OBJECT, each).status_code for each in forged} == {401}
    assert faulty.get(NO_OBJECT, token).status_code == 400


def test_remembered_digest_is_not_given_to_whom_the_store_refuses(faulty):
    """Alice's digest is known; bob, carol and a token that the store refuses do not get it."""
    path = faulty.path + "?algorithm=sha256"
    assert faulty.get(path, faulty.fresh()).status_code == 200
    for user in ("bob", "carol"):
        response = faulty.get(path, faulty.fresh(user))
        assert (response.status_code, code(response)) == (404, "object.not_found")
    token = faulty.fresh()
    faulty.store.fault = only(b"HEAD ", status(403))
    assert faulty.get(path, token).status_code == 403


def test_token_that_the_store_refuses_is_asked_about_again(faulty):
    """A yes that is cached does not survive the store's no."""
    token = faulty.fresh()
    assert faulty.get(faulty.path, token).status_code == 200
    before = faulty.keystone.count(VALIDATION)
    faulty.store.fault = only(b"HEAD ", status(401))
    assert faulty.get(faulty.path, token).status_code == 401
    faulty.calm()
    assert faulty.get(faulty.path, token).status_code == 200
    assert faulty.keystone.count(VALIDATION) == before + 1


def test_keys_of_two_regions_two_projects_and_two_names_differ():
    """One object store for each region: the account's URL is part of what a digest is remembered under."""
    endpoints = tuple(Endpoint("object-store", "public", region, f"https://{region}.test/v1/AUTH_p") for region in "ab")
    caller = Caller("t", "u", "u", "p", "p", frozenset(), 0, endpoints=endpoints)
    accounts = {
        region: endpoint_of(caller, service_type="object-store", interface="public", region=region, configured=None)
        for region in "ab"
    }

    def key(project: str, account: str, container: str, name: str):
        return ObjectStat(project, account, ObjectRef(container, name), "e", 1, ObjectKind.PLAIN, "x").identity

    # A store may give all projects one URL and tell their accounts apart by token.
    keys = [
        key(project, account, *names)
        for project in "pq"
        for account in accounts.values()
        for names in (("a", "b/c"), ("a", "b%2Fc"), ("ab", "c"))
    ]
    assert len(set(keys)) == len(keys)


# --- a shared cache in front: the real Envoy with its cache filter

_CACHE = "type.googleapis.com/envoy.extensions.filters.http.cache.v3.CacheConfig"
_MEMORY = "type.googleapis.com/envoy.extensions.http.cache.simple_http_cache.v3.SimpleHttpCacheConfig"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
CACHING = {
    "http_filters": [
        {
            "name": "envoy.filters.http.cache",
            "typed_config": {
                "@type": _CACHE,
                "typed_config": {"@type": _MEMORY},
                # Without these, Envoy keeps nothing that varies.
                "allowed_vary_headers": [{"exact": "x-auth-token"}, {"exact": "authorization"}, {"exact": "accept"}],
            },
        },
        {"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}},
    ]
}
REPORT = "/v1/invoke/report/today"
PUBLIC = [
    "Cache-Control: public, s-maxage=86400",
    "Cache-Control: max-age=86400",
    'Cache-Control: private="x-own", public, max-age=86400',
    "Cache-Control: max-age=86400\r\nVary: Accept",
    "Cache-Control: max-age=86400\r\nConnection: Vary, Cache-Control",
    "Cache-Control: max-age=86400\r\nAge: 0\r\nCDN-Cache-Control: public\r\nSurrogate-Control: max-age=86400",
    "Expires: Fri, 01 Jan 2100 00:00:00 GMT",
]


def report(text: str, caching: str) -> bytes:
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
    return f"HTTP/1.1 200 OK\r\nDate: {date}\r\n{caching}\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


@pytest.fixture(scope="module")
def two_projects(start_gateway, cloud):
    """Alice and bob with a function `report` each, and a caching Envoy before the gateway."""
    with contextlib.ExitStack() as stack:
        functions = {user: stack.enter_context(echo()) for user in ("alice", "bob")}
        gateway = stack.enter_context(start_gateway())
        tenants = [
            {
                "project_id": cloud.users[user].project_id,
                "functions": {"report": {"url": function.url, "callable": True}},
            }
            for user, function in functions.items()
        ]
        gateway.tenants.write_text(yaml.safe_dump({"tenants": tenants}))
        time.sleep(1.1)
        port = gateway.port
        front = stack.enter_context(edge_proxy.edge(port, cloud.state, manager=CACHING))
        yield functions, f"http://127.0.0.1:{front.port}"


@pytest.mark.parametrize("caching", PUBLIC)
def test_shared_cache_does_not_answer_one_project_with_anothers_reply(two_projects, cloud, caching):
    """Both projects' calls have one URL, and a function chooses its own fields."""
    functions, url = two_projects
    for user, function in functions.items():
        function.answer = plainly(report(f"of {user}", caching))
    # A URL of its own, so that nothing is left of another case.
    path = f"{REPORT}?{PUBLIC.index(caching)}"
    with httpx.Client(trust_env=False, timeout=scaled(60)) as client:
        for user in ("alice", "bob", "alice"):
            answer = client.get(url + path, headers={"X-Auth-Token": cloud.token(user)})
            assert (answer.status_code, answer.text) == (200, f"of {user}")
        assert client.get(url + path).status_code == 401


@pytest.mark.parametrize("caching", [each for each in PUBLIC if "private" not in each and "\nVary" not in each])
def test_the_same_cache_before_the_function_itself_answers_out_of_its_memory(cloud, caching):
    """The positive control: without the gateway, the second caller gets what the first one was given."""
    with echo() as function, edge_proxy.edge(function.port, cloud.state, manager=CACHING) as front:
        for text in ("of alice", "of bob"):
            function.answer = plainly(report(text, caching))
            url, fields = f"http://127.0.0.1:{front.port}/", {"X-Auth-Token": text}
            answer = httpx.get(url, headers=fields, trust_env=False, timeout=scaled(60))
            assert answer.text == "of alice"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/limits", None),
        ("GET", "{object}", None),
        ("HEAD", "{object}", None),
        ("GET", "{object}?algorithm=none", None),
        ("GET", "/v1/checksums/nowhere/none", None),
        ("GET", "/v1/checksums/?bucket=faulty", None),
        ("POST", "/v1/checksums", {"objects": []}),
        ("POST", "/v1/checksums", {"objects": {}}),
        ("POST", "/v1/events", {"Records": []}),
        ("POST", "/v1/events", {"Records": 1}),
        ("GET", "/v1/invoke/none/x", None),
        ("GET", "/v1/invoke/echo/x", None),
        ("OPTIONS", "/v1/invoke/echo/x", None),
    ],
)
def test_no_answer_that_depends_on_the_token_may_be_given_to_another(faulty, method, path, body):
    """With a token, with one that is none, and without."""
    for token in (faulty.fresh(), "gAAAAAnone", None):
        answer = faulty.gateway.call(method, path.format(object=faulty.path), token, json=body)
        vary = {name.strip() for name in answer.headers["Vary"].lower().split(",")}
        assert {"x-auth-token", "authorization"} <= vary, answer
        assert {"no-store", "private"} & {word.strip() for word in answer.headers["Cache-Control"].split(",")}, answer
