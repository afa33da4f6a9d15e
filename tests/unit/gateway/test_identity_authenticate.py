"""Token, scope, role, access rules: in this order, each with its own answer."""

import asyncio
import base64
import dataclasses
import struct

import pytest

from gateway.errors import ErrorCode, GatewayError
from gateway.http.head import RequestHead
from gateway.identity.authenticate import Authenticator
from gateway.identity.cache import TokenCache
from gateway.identity.caller import AccessRule, Caller
from gateway.identity.permissions import Permissions
from gateway.policy.names import Rule
from gateway.policy.policy import Policy
from gateway.settings.identity import IdentitySettings
from policies.names import ProjectId

NOW = 1_800_000_000
TOKEN = base64.urlsafe_b64encode(struct.pack(">BQ", 0x80, NOW) + bytes(16 + 64 + 32)).rstrip(b"=").decode()
RULES = IdentitySettings(
    service_type="function",
    www_authenticate_uri="https://keystone.test/v3",
    token_max_age_seconds=3_600,
    clock_skew_seconds=60,
)
CALLER = Caller(
    token=TOKEN,
    user_id="u",
    user_name="alice",
    project_id=ProjectId("p"),
    project_name="demo",
    roles=frozenset(["member"]),
    expires_at=NOW + 3_600,
    service_types=frozenset(["function"]),
)


class Harness:
    def __init__(self, verdict: Caller | GatewayError = CALLER, rules: IdentitySettings = RULES) -> None:
        self.verdict = verdict
        self.asked = 0
        cache = TokenCache(
            self.validate,
            IdentitySettings(token_cache_entries=10, token_cache_seconds=30, token_rejection_cache_seconds=10),
            clock=lambda: NOW,
        )
        self.authenticator = Authenticator(
            cache, rules, Permissions(Policy(None), rules), auth_url="https://keystone.test/v3", clock=lambda: NOW
        )

    async def validate(self, _token: str) -> Caller:
        self.asked += 1
        if isinstance(self.verdict, GatewayError):
            raise self.verdict
        return self.verdict

    async def admit(self, request: RequestHead) -> Caller:
        caller = await self.authenticator.identify(request)
        self.authenticator.authorise(caller, request, Rule.CHECKSUMS_GET)
        return caller

    async def refusal(self, request: RequestHead) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            await self.admit(request)
        return caught.value


def head(*tokens: str, method: str = "GET", path: bytes = b"/v1/checksums/c/o") -> RequestHead:
    return RequestHead(method, path, b"", tuple((b"x-auth-token", token.encode()) for token in tokens))


@pytest.mark.parametrize(
    ("request_head", "kind"),
    [
        pytest.param(head(), ErrorCode.TOKEN_MISSING, id="missing"),
        pytest.param(head("garbage"), ErrorCode.TOKEN_INVALID, id="hopeless"),
    ],
)
async def test_401_carries_the_challenge_and_keystone_is_not_asked(request_head: RequestHead, kind: ErrorCode) -> None:
    harness = Harness()
    error = await harness.refusal(request_head)
    assert (error.kind, error.kind.status) == (kind, 401)
    assert error.headers["WWW-Authenticate"] == 'Keystone uri="https://keystone.test/v3"'
    assert harness.asked == 0


async def test_401_of_keystones_verdict_carries_the_challenge_each_time() -> None:
    harness = Harness(GatewayError(ErrorCode.TOKEN_INVALID))
    for _ in range(2):
        error = await harness.refusal(head(TOKEN))
        assert error.kind is ErrorCode.TOKEN_INVALID
        assert error.headers["WWW-Authenticate"] == 'Keystone uri="https://keystone.test/v3"'


async def test_callers_who_wait_for_one_verdict_get_an_error_each() -> None:
    """What is put on the answer of one of them must not be on the others'."""
    verdict = GatewayError(ErrorCode.TOKEN_INVALID)
    harness = Harness(verdict)
    errors = await asyncio.gather(*(harness.refusal(head(TOKEN)) for _ in range(3)))
    assert harness.asked == 1
    assert len({id(error) for error in errors} | {id(verdict)}) == 4
    assert "WWW-Authenticate" not in verdict.headers


@pytest.mark.parametrize(
    "verdict",
    [
        GatewayError(ErrorCode.TOKEN_WRONG_SCOPE, scope="unscoped"),
        GatewayError(ErrorCode.KEYSTONE_UNAVAILABLE),
        dataclasses.replace(CALLER, roles=frozenset(["reader"])),
        dataclasses.replace(CALLER, access_rules=()),
    ],
)
async def test_other_refusals_carry_no_challenge(verdict: Caller | GatewayError) -> None:
    error = await Harness(verdict).refusal(head(TOKEN))
    assert error.kind.status != 401
    assert "WWW-Authenticate" not in error.headers


async def test_two_tokens_are_no_matter_of_authentication() -> None:
    error = await Harness().refusal(head(TOKEN, TOKEN))
    assert error.kind is ErrorCode.TOKEN_AMBIGUOUS
    assert "WWW-Authenticate" not in error.headers


@pytest.mark.parametrize("roles", [[], ["reader"], ["members"], ["service"], ["_member_"]])
async def test_role_is_needed_by_its_name(roles: list[str]) -> None:
    error = await Harness(dataclasses.replace(CALLER, roles=frozenset(roles))).refusal(head(TOKEN))
    assert error.kind is ErrorCode.ROLE_MISSING
    assert "'checksums:get'" in error.message
    # OpenStack's services compare roles so.
    await Harness(dataclasses.replace(CALLER, roles=frozenset([*roles, "Member"]))).admit(head(TOKEN))


async def test_missing_role_is_said_before_an_access_rule() -> None:
    caller = dataclasses.replace(CALLER, roles=frozenset(["reader"]), access_rules=())
    assert (await Harness(caller).refusal(head(TOKEN))).kind is ErrorCode.ROLE_MISSING


@pytest.mark.parametrize(
    "request_head",
    [head(TOKEN, method="HEAD"), head(TOKEN, path=b"/v1/checksums/d/o"), head(TOKEN, path=b"/v1/%63hecksums/c/o")],
)
async def test_access_rules_are_held_against_the_method_and_the_path_as_sent(request_head: RequestHead) -> None:
    rules = (AccessRule("function", "GET", "/v1/checksums/c/**"),)
    harness = Harness(dataclasses.replace(CALLER, access_rules=rules))
    error = await harness.refusal(request_head)
    assert error.kind is ErrorCode.ACCESS_DENIED_BY_RULE
    assert (await harness.admit(head(TOKEN))).user_id == "u"


async def test_service_token_does_not_switch_access_rules_off() -> None:
    request_head = RequestHead("GET", b"/v1/", b"", ((b"x-auth-token", TOKEN.encode()), (b"x-service-token", b"x")))
    assert (
        await Harness(dataclasses.replace(CALLER, access_rules=())).refusal(request_head)
    ).kind is ErrorCode.ACCESS_DENIED_BY_RULE


async def test_tokens_of_another_format_are_asked_about_if_the_site_says_so() -> None:
    harness = Harness(rules=RULES.model_copy(update={"token_format": "any"}))
    await harness.admit(head("eyJhbGciOiJFUzI1NiJ9.e30.c2ln"))
    assert harness.asked == 1


async def test_known_caller_is_asked_about_again_once_distrusted() -> None:
    harness = Harness()
    caller = await harness.admit(head(TOKEN))
    await harness.admit(head(TOKEN))
    assert harness.asked == 1
    harness.authenticator.invalidate(caller)
    harness.verdict = GatewayError(ErrorCode.TOKEN_INVALID)
    assert (await harness.refusal(head(TOKEN))).kind is ErrorCode.TOKEN_INVALID


LISTED = RULES.model_copy(update={"service_projects": ("p",)})
SERVICE = dataclasses.replace(CALLER, roles=frozenset(["service", "reader"]))


@pytest.mark.parametrize(
    ("caller", "rules", "rule", "services", "kind"),
    [
        pytest.param(SERVICE, RULES, Rule.CHECKSUMS_GET, True, ErrorCode.SERVICE_NOT_LISTED, id="no-project-is-listed"),
        pytest.param(SERVICE, LISTED, Rule.FUNCTIONS_INVOKE, False, ErrorCode.ROLE_MISSING, id="a-route-for-users"),
        pytest.param(
            dataclasses.replace(SERVICE, project_id=ProjectId("q")),
            LISTED,
            Rule.CHECKSUMS_GET,
            True,
            ErrorCode.SERVICE_NOT_LISTED,
            id="another",
        ),
        pytest.param(
            dataclasses.replace(SERVICE, roles=frozenset(["reader"])),
            LISTED,
            Rule.CHECKSUMS_GET,
            True,
            ErrorCode.ROLE_MISSING,
            id="no-service",
        ),
        pytest.param(
            dataclasses.replace(SERVICE, access_rules=()),
            LISTED,
            Rule.CHECKSUMS_GET,
            True,
            ErrorCode.ACCESS_DENIED_BY_RULE,
            id="access-rules",
        ),
    ],
)
def test_service_role_counts_only_in_listed_projects_on_routes_for_services(
    caller: Caller, rules: IdentitySettings, rule: Rule, services: bool, kind: ErrorCode
) -> None:
    with pytest.raises(GatewayError) as caught:
        Harness(rules=rules).authenticator.authorise(caller, head(TOKEN), rule, services=services)
    assert caught.value.kind is kind


def test_service_calls_where_it_is_listed_and_a_user_with_its_role_calls_elsewhere_as_a_user() -> None:
    Harness(rules=LISTED).authenticator.authorise(SERVICE, head(TOKEN), Rule.CHECKSUMS_GET, services=True)
    both = dataclasses.replace(CALLER, roles=frozenset(["service", "member"]))
    plain, listed = Harness().authenticator, Harness(rules=LISTED).authenticator
    plain.authorise(both, head(TOKEN), Rule.CHECKSUMS_GET, services=True)
    assert (plain.is_service(both), listed.is_service(both)) == (False, True)


def test_role_for_reading_is_enough_only_on_routes_for_readers() -> None:
    reader = dataclasses.replace(CALLER, roles=frozenset(["reader"]))
    authenticator = Harness().authenticator
    with pytest.raises(GatewayError) as caught:
        authenticator.authorise(reader, head(TOKEN), Rule.FUNCTIONS_PUT)
    assert caught.value.kind is ErrorCode.ROLE_MISSING
    authenticator.authorise(reader, head(TOKEN), Rule.FUNCTIONS_GET)
    other = dataclasses.replace(CALLER, roles=frozenset(["other"]))
    with pytest.raises(GatewayError):
        authenticator.authorise(other, head(TOKEN), Rule.FUNCTIONS_GET)


@pytest.mark.parametrize(
    ("caller", "services", "message"),
    [
        (
            dataclasses.replace(CALLER, roles=frozenset()),
            True,
            (
                "The policy rule 'checksums:get' does not allow this with the roles of the token on project p; an "
                "operator can assign a role that it allows."
            ),
        ),
        (
            SERVICE,
            True,
            (
                "A service may request checksums only in the projects that the operator has listed, and project p is "
                "not one of them."
            ),
        ),
        (
            dataclasses.replace(CALLER, access_rules=()),
            False,
            "The access rules of this application credential do not allow GET on this path of the service 'function'.",
        ),
    ],
)
def test_caller_is_told_what_is_missing(caller: Caller, services: bool, message: str) -> None:
    with pytest.raises(GatewayError) as caught:
        Harness().authenticator.authorise(caller, head(TOKEN), Rule.CHECKSUMS_GET, services=services)
    assert caught.value.message == message


def test_a_service_is_not_made_by_its_project_alone() -> None:
    authenticator = Harness(rules=LISTED).authenticator
    assert not authenticator.is_service(CALLER)
    assert authenticator.is_service(SERVICE)
    assert (authenticator.has_service_role(CALLER), authenticator.has_service_role(SERVICE)) == (False, True)


def test_rules_of_a_service_hold_for_its_own_service_type() -> None:
    rule = AccessRule("object-store", "GET", "/v1/**")
    caller = dataclasses.replace(CALLER, access_rules=(rule,), service_types=frozenset(["function", "object-store"]))
    with pytest.raises(GatewayError) as caught:
        Harness().authenticator.authorise(caller, head(TOKEN), Rule.CHECKSUMS_GET)
    assert caught.value.kind is ErrorCode.ACCESS_DENIED_BY_RULE


def aged(seconds: int) -> str:
    raw = struct.pack(">BQ", 0x80, NOW - seconds) + bytes(16 + 64 + 32)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.parametrize(("age", "hopeless"), [(3_600, False), (3_601, True), (-60, False), (-61, True)])
async def test_age_of_a_token_is_held_against_the_rules_before_keystone_is_asked(age: int, hopeless: bool) -> None:
    harness = Harness()
    if hopeless:
        assert (await harness.refusal(head(aged(age)))).kind is ErrorCode.TOKEN_INVALID
    else:
        await harness.admit(head(aged(age)))
    assert harness.asked == (0 if hopeless else 1)


async def test_cause_of_a_refusal_goes_along_to_the_log() -> None:
    cause = ValueError("the reason")
    outage = GatewayError(ErrorCode.KEYSTONE_UNAVAILABLE)
    outage.__cause__ = cause
    assert (await Harness(outage).refusal(head(TOKEN))).__cause__ is cause


async def test_known_token_is_not_looked_at_again() -> None:
    """Its form was looked at when it was new; its age counts by Keystone's own expiry."""
    harness = Harness()
    await harness.admit(head(TOKEN))
    harness.authenticator._clock = lambda: NOW + 100_000
    assert (await harness.authenticator.identify(head(TOKEN))).user_id == "u"
