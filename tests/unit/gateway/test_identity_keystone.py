"""What Keystone's answers to a validation mean. On doubt there is never a caller."""

import asyncio
import copy
import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
import respx
from hypothesis import given
from hypothesis import strategies as st

from gateway.circuit import CircuitOpenError, CircuitRules
from gateway.errors import ErrorCode, GatewayError
from gateway.identity.caller import AccessRule, Endpoint
from gateway.identity.keystone import Keystone, caller_from
from gateway.identity.outage import OutageError

AUTH_URL = "http://keystone.test/v3"
TOKEN = "gAAAA-subject"


def token_body() -> dict[str, Any]:
    """The `token` object of Identity API v3 for a project-scoped token."""
    return {
        "methods": ["password"],
        "user": {"id": "u1", "name": "alice", "domain": {"id": "default", "name": "Default"}},
        "project": {"id": "p1", "name": "demo", "domain": {"id": "default", "name": "Default"}},
        "is_domain": False,
        "roles": [{"id": "r1", "name": "member"}, {"id": "r2", "name": "reader"}],
        "issued_at": "2027-01-15T08:00:00.000000Z",
        "expires_at": "2027-01-15T09:00:00.000000Z",
        "audit_ids": ["a"],
        "catalog": [
            {
                "type": "object-store",
                "name": "swift",
                "id": "s1",
                "endpoints": [
                    {
                        "interface": i,
                        "region_id": "R1",
                        "region": "R1",
                        "url": f"http://{i}.swift.test/v1/AUTH_p1",
                        "id": i,
                    }
                    for i in ("public", "internal")
                ],
            },
            {"type": "function", "name": "faas", "id": "s2", "endpoints": []},
        ],
    }


class FakeCredential:
    """Our own credential: a new token for whoever was refused with the latest."""

    def __init__(self) -> None:
        self.renewed = 0

    async def token(self, refused: str | None = None) -> str:
        if refused == f"service-token-{self.renewed}":
            self.renewed += 1
        return f"service-token-{self.renewed}"


class Answered:
    """A Keystone that gives the answers of a list, one after the other.

    Asked about our own token it gives the answers of another list.
    """

    def __init__(self, *answers: httpx.Response | Exception, ours: Sequence[httpx.Response | Exception] = ()) -> None:
        self.credential = FakeCredential()
        self.router = respx.MockRouter(assert_all_called=False)
        asked = f"{AUTH_URL}/auth/tokens"
        self.route = self.router.get(asked, headers={"X-Subject-Token": TOKEN}).mock(side_effect=list(answers))
        self.ours = self.router.get(asked).mock(side_effect=list(ours))

    async def validate(self) -> Any:
        transport = httpx.MockTransport(self.router.async_handler)
        async with httpx.AsyncClient(transport=transport) as client:
            return await Keystone(client, auth_url=AUTH_URL, credential=self.credential).validate(TOKEN)

    async def refusal(self) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            await self.validate()
        return caught.value


def ok(body: Any) -> httpx.Response:
    # In ASCII, where half of a surrogate pair can be written.
    return httpx.Response(200, content=json.dumps({"token": body}).encode())


def not_found() -> httpx.Response:
    """A 404 in Keystone's words."""
    return httpx.Response(404, json={"error": {"code": 404, "message": "Could not find token.", "title": "Not Found"}})


async def test_404_says_that_the_callers_token_is_bad() -> None:
    keystone = Answered(not_found(), ours=[ok(token_body())])
    assert (await keystone.refusal()).kind is ErrorCode.TOKEN_INVALID
    assert keystone.credential.renewed == 0
    assert keystone.ours.calls.last.request.headers["X-Subject-Token"] == "service-token-0"


@pytest.mark.parametrize("refused", [httpx.Response(401), httpx.Response(404)])
async def test_404_that_is_said_of_our_own_token_too_is_an_outage_after_one_renewal(refused: httpx.Response) -> None:
    """As Keystone answers while our own project is disabled: no caller's token is bad for that."""
    keystone = Answered(not_found(), not_found(), ours=[refused, refused])
    assert isinstance(await keystone.refusal(), OutageError)
    assert keystone.credential.renewed == 1


async def test_404_to_a_token_of_ours_that_has_died_is_asked_again_with_a_new_one() -> None:
    keystone = Answered(not_found(), ok(token_body()), ours=[httpx.Response(404)])
    assert (await keystone.validate()).user_id == "u1"


@pytest.mark.parametrize("doubt", [httpx.Response(500), httpx.Response(503), httpx.ConnectError("gone")])
async def test_404_without_a_word_about_our_own_token_says_nothing_of_the_callers(
    doubt: httpx.Response | Exception,
) -> None:
    keystone = Answered(not_found(), ours=[doubt])
    assert isinstance(await keystone.refusal(), OutageError)
    assert keystone.credential.renewed == 0


@pytest.mark.parametrize(
    "content", [b"", b"<h1>Not Found</h1>", b"[]", b'{"error": {"code": 502}}', b'{"error": "no"}']
)
async def test_404_of_a_proxy_says_nothing_of_the_token(content: bytes) -> None:
    """It would be remembered as a refusal, and put out everybody who is known, while Keystone is moved."""
    keystone = Answered(httpx.Response(404, content=content))
    assert isinstance(await keystone.refusal(), OutageError)
    assert keystone.ours.call_count == 0


def forbidden(message: str) -> httpx.Response:
    return httpx.Response(403, json={"error": {"code": 403, "message": message, "title": "Forbidden"}})


async def test_403_says_that_the_user_or_role_of_a_trust_is_gone() -> None:
    """Not an outage: then a token that was accepted before would stay valid."""
    keystone = Answered(forbidden("You are not authorized to perform the requested action."))
    assert (await keystone.refusal()).kind is ErrorCode.TOKEN_INVALID


@pytest.mark.parametrize(
    "answer",
    [
        forbidden("You are not authorized to perform the requested action: identity:validate_token."),
        httpx.Response(403, content=b"<h1>Forbidden</h1>"),
    ],
)
async def test_403_about_our_own_right_or_of_a_proxy_says_nothing_of_the_token(answer: httpx.Response) -> None:
    assert isinstance(await Answered(answer).refusal(), OutageError)


async def test_answer_about_another_token_is_nobodys() -> None:
    """A cache before Keystone that mixes up tokens must not give one caller the identity of another."""
    answer = httpx.Response(200, json={"token": token_body()}, headers={"X-Subject-Token": "gAAAA-somebody-else"})
    error = await Answered(answer).refusal()
    assert error.kind is ErrorCode.KEYSTONE_UNAVAILABLE
    assert not isinstance(error, OutageError)


async def test_401_is_about_our_own_credential_which_is_renewed_exactly_once() -> None:
    keystone = Answered(httpx.Response(401), httpx.Response(401))
    assert (await keystone.refusal()).kind is ErrorCode.KEYSTONE_UNAVAILABLE
    assert keystone.route.call_count == 2
    assert keystone.credential.renewed == 1


async def test_second_question_goes_out_with_the_renewed_credential() -> None:
    keystone = Answered(httpx.Response(401), ok(token_body()))
    assert (await keystone.validate()).user_id == "u1"
    sent = [call.request.headers["X-Auth-Token"] for call in keystone.route.calls]
    assert sent == ["service-token-0", "service-token-1"]


async def test_token_that_is_bad_after_the_renewal_is_bad() -> None:
    assert (
        await Answered(httpx.Response(401), not_found(), ours=[ok(token_body())]).refusal()
    ).kind is ErrorCode.TOKEN_INVALID


@pytest.mark.parametrize("status", [201, 204, 300, 302, 400, 403, 405, 410, 429, 500, 502, 503, 504])
async def test_answer_that_says_nothing_about_the_token_is_unavailable(status: int) -> None:
    keystone = Answered(httpx.Response(status, json={"token": token_body()}))
    assert (await keystone.refusal()).kind is ErrorCode.KEYSTONE_UNAVAILABLE
    assert keystone.route.call_count == 1


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.ReadTimeout("slow"),
        httpx.PoolTimeout("full"),
        httpx.RemoteProtocolError("broke off"),
        httpx.ReadError("reset"),
        httpx.TooManyRedirects("round and round"),
        httpx.DecodingError("not gzip"),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_no_answer_is_unavailable(failure: Exception) -> None:
    error = await Answered(failure).refusal()
    assert error.kind is ErrorCode.KEYSTONE_UNAVAILABLE
    assert error.kind.status == 503
    assert error.retry_after_seconds


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b'"token"',
        b"{}",
        b'{"token": null}',
        b'{"token": 1}',
        b'{"token": []}',
        b'{"token": {}}',
        b'{"token": "abc"}',
        b"[" * 100_000,
        b"<html>",
        b'{"token": {"project": {"id": "p1"}',
        b"\xff\xfe\x00",
    ],
)
async def test_malformed_answer_is_unavailable(content: bytes) -> None:
    assert (await Answered(httpx.Response(200, content=content)).refusal()).kind is ErrorCode.KEYSTONE_UNAVAILABLE


MUTILATIONS = {
    "no-user": lambda b: b.pop("user"),
    "no-user-id": lambda b: b["user"].pop("id"),
    "user-id-empty": lambda b: b["user"].update(id=""),
    "user-id-number": lambda b: b["user"].update(id=7),
    "project-null": lambda b: b.update(project=None),
    "project-id-null": lambda b: b["project"].update(id=None),
    "project-id-empty": lambda b: b["project"].update(id=""),
    "project-id-list": lambda b: b["project"].update(id=["p1"]),
    "no-roles": lambda b: b.pop("roles"),
    "roles-null": lambda b: b.update(roles=None),
    "role-without-name": lambda b: b["roles"].append({"id": "r"}),
    "role-name-number": lambda b: b["roles"].append({"name": 1}),
    "no-expiry": lambda b: b.pop("expires_at"),
    "expiry-null": lambda b: b.update(expires_at=None),
    "expiry-words": lambda b: b.update(expires_at="tomorrow"),
    "expiry-number": lambda b: b.update(expires_at=1),
    "catalog-null": lambda b: b.update(catalog=None),
    "service-without-type": lambda b: b["catalog"].append({"endpoints": []}),
    "endpoint-without-url": lambda b: b["catalog"][0]["endpoints"][0].pop("url"),
    "credential-word": lambda b: b.update(application_credential="ac"),
    "rule-without-path": lambda b: b.update(
        application_credential={"id": "ac", "access_rules": [{"service": "function", "method": "GET"}]}
    ),
    "rule-word": lambda b: b.update(application_credential={"id": "ac", "access_rules": ["GET"]}),
    "rules-number": lambda b: b.update(application_credential={"id": "ac", "access_rules": 1}),
}


@pytest.mark.parametrize("mutilate", MUTILATIONS.values(), ids=MUTILATIONS)
async def test_token_object_with_something_missing_or_odd_is_unavailable(mutilate: Any) -> None:
    body = token_body()
    mutilate(body)
    assert (await Answered(ok(body)).refusal()).kind is ErrorCode.KEYSTONE_UNAVAILABLE


@pytest.mark.parametrize(
    ("scope", "word"),
    [
        ({}, "unscoped"),
        ({"domain": {"id": "default", "name": "Default"}}, "scoped to a domain"),
        ({"system": {"all": True}}, "scoped to the system"),
    ],
)
async def test_token_that_is_not_scoped_to_a_project_is_refused_with_the_reason(
    scope: dict[str, Any], word: str
) -> None:
    body = token_body()
    del body["project"]
    error = await Answered(ok({**body, **scope})).refusal()
    assert error.kind is ErrorCode.TOKEN_WRONG_SCOPE
    assert f"The token is {word}," in error.message


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("field", "seconds"), [("7", 7), ("100000", 300), ("soon", 5), ("-1", 5), ("1.5", 5), ("", 5), (None, 5)]
)
async def test_retry_after_of_keystone_is_passed_on_if_it_is_reasonable(
    status: int, field: str | None, seconds: int
) -> None:
    error = await Answered(httpx.Response(status, headers={} if field is None else {"Retry-After": field})).refusal()
    assert error.retry_after_seconds == seconds


async def test_retry_after_that_is_a_digit_but_no_number_is_passed_over() -> None:
    error = await Answered(httpx.Response(503, headers=[(b"Retry-After", "²".encode("latin-1"))])).refusal()
    assert error.kind is ErrorCode.KEYSTONE_UNAVAILABLE
    assert error.retry_after_seconds == 5


async def test_our_credential_that_cannot_be_had_is_passed_on() -> None:
    keystone = Answered(ok(token_body()))

    async def refuse(refused: str | None = None) -> str:
        raise GatewayError(ErrorCode.KEYSTONE_UNAVAILABLE)

    keystone.credential.token = refuse  # type: ignore[method-assign]
    assert (await keystone.refusal()).kind is ErrorCode.KEYSTONE_UNAVAILABLE
    assert keystone.route.call_count == 0


async def test_question_names_the_token_and_says_that_we_know_access_rules() -> None:
    keystone = Answered(ok(token_body()))
    await keystone.validate()
    sent = keystone.route.calls.last.request
    assert sent.headers["X-Subject-Token"] == TOKEN
    assert sent.headers["X-Auth-Token"] == "service-token-0"
    assert sent.headers["OpenStack-Identity-Access-Rules"] == "1"
    assert TOKEN not in str(sent.url)


async def test_caller_is_what_keystone_says() -> None:
    caller = await Answered(ok(token_body())).validate()
    assert (caller.user_id, caller.user_name) == ("u1", "alice")
    assert (caller.project_id, caller.project_name) == ("p1", "demo")
    assert caller.roles == {"member", "reader"}
    assert caller.expires_at == 1_800_003_600
    assert caller.service_types == {"object-store", "function"}
    assert caller.endpoints == tuple(
        Endpoint("object-store", i, "R1", f"http://{i}.swift.test/v1/AUTH_p1") for i in ("public", "internal")
    )
    assert caller.application_credential_id is None
    assert caller.access_rules is None
    assert caller.token == TOKEN
    assert TOKEN not in repr(caller)


async def test_access_rules_are_kept_and_none_at_all_is_another_thing_than_no_restriction() -> None:
    body = token_body()
    rule = {"id": "x", "service": "function", "method": "GET", "path": "/v1/**"}
    body["application_credential"] = {"id": "ac", "name": "n", "restricted": True, "access_rules": [rule]}
    caller = await Answered(ok(body)).validate()
    assert caller.application_credential_id == "ac"
    assert caller.access_rules == (AccessRule("function", "GET", "/v1/**"),)
    body["application_credential"]["access_rules"] = []
    assert (await Answered(ok(body)).validate()).access_rules == ()
    del body["application_credential"]["access_rules"]
    assert (await Answered(ok(body)).validate()).access_rules is None


@pytest.mark.parametrize(
    "marks",
    [
        {"OS-TRUST:trust": {"id": "t", "impersonation": True, "trustee_user": {"id": "w"}}},
        {"OS-OAUTH1": {"access_token_id": "a", "consumer_id": "c"}},
        {"application_credential": {"id": "ac", "name": "n", "restricted": True}},
    ],
    ids=lambda marks: next(iter(marks)),
)
async def test_token_that_may_have_fewer_rights_than_its_user_is_delegated(marks: dict[str, Any]) -> None:
    assert (await Answered(ok({**token_body(), **marks})).validate()).delegated


async def test_token_of_the_user_itself_is_not_delegated() -> None:
    assert not (await Answered(ok(token_body())).validate()).delegated


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "name", "type"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(field=st.sampled_from(["user", "project", "roles", "application_credential"]), value=json_values)
def test_no_value_of_a_field_makes_a_caller_without_ids(field: str, value: Any) -> None:
    body = copy.deepcopy(token_body())
    body[field] = value
    try:
        caller = caller_from(TOKEN, body)
    except (AttributeError, KeyError, TypeError, ValueError):
        return  # what `validate` turns into 503
    assert caller.user_id
    assert caller.project_id
    assert all(isinstance(word, str) for word in (caller.user_id, caller.project_id, *caller.roles))


# --- what the operator reads, and what the words of an answer may be


@pytest.mark.parametrize(
    ("answers", "messages"),
    [
        ([httpx.Response(500)], ["Keystone returned 500 to a token validation"]),
        ([httpx.Response(401), httpx.Response(401)], ["Keystone rejects the gateway's own credential"]),
        ([httpx.ConnectError("refused")], ["Keystone cannot be reached: ConnectError('refused')"]),
        ([httpx.Response(200, json={})], ["Keystone's response to a token validation is malformed"]),
        (
            [httpx.Response(200, json={"token": token_body()}, headers={"X-Subject-Token": "other"})],
            ["Keystone, or a proxy in front of it, validated another token"],
        ),
    ],
)
async def test_operator_finds_in_the_log_why_keystone_could_not_say(
    answers: list[httpx.Response | Exception], messages: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    await Answered(*answers).refusal()
    assert [record.getMessage() for record in caplog.records if record.name == "gateway.identity.keystone"] == messages


async def test_500_about_one_token_is_no_outage_of_keystone() -> None:
    """Whoever has such a token could close Keystone to everybody else."""
    error = await Answered(httpx.Response(500)).refusal()
    assert isinstance(error, OutageError)
    keystone = Answered(*(httpx.Response(500) for _ in range(9)), ok(token_body()))
    transport = httpx.MockTransport(keystone.router.async_handler)
    async with httpx.AsyncClient(transport=transport) as client:
        asked = Keystone(client, auth_url=AUTH_URL, credential=keystone.credential)
        for _ in range(9):
            with pytest.raises(GatewayError):
                await asked.validate(TOKEN)
        assert (await asked.validate(TOKEN)).user_id == "u1"


async def test_after_five_silences_keystone_is_left_alone_for_a_second_and_the_caller_is_told_when() -> None:
    keystone = Answered(httpx.ConnectError("refused"))
    keystone.route.mock(side_effect=httpx.ConnectError("refused"))
    transport = httpx.MockTransport(keystone.router.async_handler)
    async with httpx.AsyncClient(transport=transport) as client:
        asked = Keystone(client, auth_url=AUTH_URL, credential=keystone.credential)
        for _ in range(7):
            with pytest.raises(OutageError) as caught:
                await asked.validate(TOKEN)
    assert keystone.route.call_count == 5
    assert caught.value.retry_after_seconds == 1
    assert isinstance(caught.value.__cause__, CircuitOpenError)


@pytest.mark.parametrize("about", ["the caller's token", "our own token"])
async def test_questions_that_are_one_too_many_do_not_close_keystone_to_all(about: str) -> None:
    """A rate limiter's 429 says when to come back. All gateways' questions come from few addresses."""
    many = httpx.Response(429, headers={"Retry-After": "7"})
    answers = [many if about == "the caller's token" else not_found()] * 20
    keystone = Answered(*answers, ok(token_body()), ours=[many] * 20)
    transport = httpx.MockTransport(keystone.router.async_handler)
    async with httpx.AsyncClient(transport=transport) as client:
        asked = Keystone(client, auth_url=AUTH_URL, credential=keystone.credential)
        for _ in range(20):
            with pytest.raises(OutageError) as caught:
                await asked.validate(TOKEN)
            assert caught.value.retry_after_seconds == 7
        assert (await asked.validate(TOKEN)).user_id == "u1"
    assert keystone.route.call_count == 21


async def test_delay_of_an_open_circuit_is_rounded_up() -> None:
    keystone = Answered(httpx.ConnectError("refused"))
    transport = httpx.MockTransport(keystone.router.async_handler)
    async with httpx.AsyncClient(transport=transport) as client:
        asked = Keystone(
            client, auth_url=AUTH_URL, credential=keystone.credential, circuit=CircuitRules(failures=1, seconds=7.5)
        )
        for _ in range(2):
            with pytest.raises(OutageError) as caught:
                await asked.validate(TOKEN)
    assert caught.value.retry_after_seconds == 8


async def test_whole_answer_has_to_come_in_time() -> None:
    async def slow(_request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(5)
        return ok(token_body())

    async with httpx.AsyncClient(transport=httpx.MockTransport(slow)) as client:
        asked = Keystone(client, auth_url=AUTH_URL, credential=FakeCredential(), timeout_seconds=0.05)
        with pytest.raises(OutageError) as caught:
            await asked.validate(TOKEN)
    assert isinstance(caught.value.__cause__, TimeoutError)


def test_an_answer_is_waited_for_five_seconds() -> None:
    asked = Keystone(httpx.AsyncClient(), auth_url=AUTH_URL, credential=FakeCredential())
    assert asked._timeout_seconds == 5


async def test_causes_are_kept() -> None:
    failure = httpx.ReadError("reset")
    assert (await Answered(failure).refusal()).__cause__ is failure
    assert isinstance((await Answered(httpx.Response(200, json={})).refusal()).__cause__, KeyError)


@pytest.mark.parametrize(
    "mutilate",
    [
        lambda b: b["user"].update(id="\ud800"),
        lambda b: b["project"].update(id="p\udfff"),
        lambda b: b["roles"].append({"name": "\ud800"}),
        lambda b: b["catalog"][0]["endpoints"][0].update(url=None),
        lambda b: b["catalog"][0]["endpoints"][0].update(url=["http://swift.test"]),
        lambda b: b["catalog"][0]["endpoints"][0].update(url="http://\ud800/"),
        lambda b: b["catalog"][0]["endpoints"][0].update(region_id=["R1"]),
        lambda b: b["catalog"][0]["endpoints"][0].update(interface={}),
        lambda b: b["catalog"].append({"type": ["object-store"], "endpoints": []}),
        *(
            lambda b, field=field: b.update(
                application_credential={
                    "id": "ac",
                    "access_rules": [{"service": "function", "method": "GET", "path": "/", field: 1}],
                }
            )
            for field in ("service", "method", "path")
        ),
    ],
)
async def test_word_that_is_none_or_that_nothing_can_carry_is_not_understood(mutilate: Any) -> None:
    """It would bring down the call later, where nobody expects it."""
    body = token_body()
    mutilate(body)
    error = await Answered(ok(body)).refusal()
    assert (error.kind, isinstance(error, OutageError)) == (ErrorCode.KEYSTONE_UNAVAILABLE, False)


async def test_endpoint_without_a_region_is_one() -> None:
    body = token_body()
    body["catalog"][0]["endpoints"][0]["region_id"] = None
    assert (await Answered(ok(body)).validate()).endpoints[0].region == ""


async def test_catalog_may_be_left_out() -> None:
    body = token_body()
    del body["catalog"]
    caller = await Answered(ok(body)).validate()
    assert (caller.service_types, caller.endpoints) == (frozenset(), ())


@pytest.mark.parametrize(("methods", "delegated"), [(["ec2credential"], True), (["password", "totp"], False)])
async def test_token_of_an_ec2_credential_is_delegated(methods: list[str], delegated: bool) -> None:
    assert (await Answered(ok({**token_body(), "methods": methods})).validate()).delegated is delegated
    body = token_body()
    del body["methods"]
    assert (await Answered(ok(body)).validate()).delegated is False
