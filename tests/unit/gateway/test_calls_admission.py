"""A call whose reply takes long is checked again: what has changed ends it, what is not known does not."""

import base64
import dataclasses
import struct

import pytest

from gateway.calls.admission import Admission
from gateway.calls.call import Call
from gateway.errors import ErrorCode, GatewayError
from gateway.http.context import RequestContext
from gateway.http.head import RequestHead
from gateway.http.metrics import Metrics
from gateway.identity.authenticate import Authenticator
from gateway.identity.cache import TokenCache
from gateway.identity.caller import AccessRule, Caller
from gateway.identity.outage import OutageError
from gateway.identity.permissions import Permissions
from gateway.identity.trusts import WorkerUser
from gateway.limits.backend import InMemoryLimitBackend
from gateway.limits.limiter import ProjectLimiter
from gateway.policy.names import Rule
from gateway.policy.policy import Policy
from gateway.settings.identity import IdentitySettings
from gateway.settings.limits import LimitSettings
from policies.names import NamespaceName, ProjectId
from tenancy.directory.protocol import Tenant
from tenancy.model.errors import DirectoryError, NotOnboardedError

NOW = 1_800_000_000
TOKEN = base64.urlsafe_b64encode(struct.pack(">BQ", 0x80, NOW) + bytes(16 + 64 + 32)).rstrip(b"=").decode()
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
HEAD = RequestHead("GET", b"/v1/invoke/f/", b"", ((b"x-auth-token", TOKEN.encode()),))
TENANT = Tenant(ProjectId("p"), NamespaceName("n"), {})


class Cloud:
    """Keystone and the tenant directory, each with a verdict that a test changes; a clock that it moves."""

    def __init__(self) -> None:
        self.verdict: Caller | GatewayError = CALLER
        self.tenant: Tenant | Exception = TENANT
        self.now = float(NOW)
        self.asked = 0
        settings = IdentitySettings(token_cache_seconds=30, token_stale_seconds=60)
        cache = TokenCache(self._validate, settings, clock=self._clock, stopwatch=self._clock)
        authenticator = Authenticator(
            cache,
            settings,
            Permissions(Policy(None), settings),
            auth_url="https://keystone.test/v3",
            clock=self._clock,
        )
        limiter = ProjectLimiter(InMemoryLimitBackend(), LimitSettings(), Metrics())
        self.admission = Admission(authenticator, self, limiter, self._clock, WorkerUser(self, None))

    async def user_id(self) -> str:
        return "our-user"

    def _clock(self) -> float:
        return self.now

    async def _validate(self, _token: str) -> Caller:
        self.asked += 1
        if isinstance(self.verdict, GatewayError):
            raise self.verdict
        return self.verdict

    def tenant_of(self, _project_id: ProjectId) -> Tenant:
        if isinstance(self.tenant, Exception):
            raise self.tenant
        return self.tenant

    def sync_age_seconds(self) -> float | None:
        return 0.0


async def admitted(cloud: Cloud) -> Call:
    return await cloud.admission.admit(RequestContext(head=HEAD), Rule.FUNCTIONS_INVOKE)


async def test_call_that_is_still_allowed_goes_on_and_costs_a_look_into_the_cache() -> None:
    cloud = Cloud()
    call = await admitted(cloud)
    assert [await cloud.admission.recheck(call) for _ in range(3)] == [None] * 3
    assert cloud.asked == 1
    cloud.now += 31
    assert await cloud.admission.recheck(call) is None
    assert cloud.asked == 2


LOST = {
    "the token is revoked": ({"verdict": GatewayError(ErrorCode.TOKEN_INVALID)}, ErrorCode.TOKEN_INVALID),
    "the role is gone": ({"verdict": dataclasses.replace(CALLER, roles=frozenset())}, ErrorCode.ROLE_MISSING),
    "access rules came": (
        {"verdict": dataclasses.replace(CALLER, access_rules=(AccessRule("function", "GET", "/v1/limits"),))},
        ErrorCode.ACCESS_DENIED_BY_RULE,
    ),
    "the tenant is gone": ({"tenant": NotOnboardedError("p")}, ErrorCode.TENANT_NOT_ONBOARDED),
    "the tenant is suspended": ({"tenant": dataclasses.replace(TENANT, suspended="x")}, ErrorCode.TENANT_SUSPENDED),
}


@pytest.mark.parametrize(("change", "kind"), LOST.values(), ids=LOST)
async def test_call_that_is_not_allowed_any_more_is_known_as_such(change: dict[str, object], kind: ErrorCode) -> None:
    cloud = Cloud()
    call = await admitted(cloud)
    for name, value in change.items():
        setattr(cloud, name, value)
    cloud.now += 31
    error = await cloud.admission.recheck(call)
    assert error is not None
    assert error.kind is kind


@pytest.mark.parametrize("away", [{"verdict": OutageError()}, {"tenant": DirectoryError("no list yet")}])
async def test_outage_rejects_nothing_until_the_token_expires(away: dict[str, object]) -> None:
    cloud = Cloud()
    call = await admitted(cloud)
    for name, value in away.items():
        setattr(cloud, name, value)
    # Beyond the token cache, and beyond the time that it tolerates an outage.
    cloud.now += 600
    assert await cloud.admission.recheck(call) is None
    cloud.now = CALLER.expires_at
    error = await cloud.admission.recheck(call)
    assert error is not None
    assert error.kind is ErrorCode.TOKEN_INVALID


OPERATION = "req-01234567-0123-7123-8123-0123456789ab"


@pytest.mark.parametrize(
    ("trustee_id", "attempt_at"), [("our-user", OPERATION), ("another", None), (None, None)], ids=str
)
async def test_only_the_token_of_a_worker_makes_a_request_an_attempt(
    trustee_id: str | None, attempt_at: str | None
) -> None:
    """Otherwise a caller could have many calls counted as one."""
    cloud = Cloud()
    cloud.verdict = dataclasses.replace(CALLER, delegated=trustee_id is not None, trustee_id=trustee_id)
    call = await cloud.admission.admit(RequestContext(head=HEAD, global_request_id=OPERATION), Rule.FUNCTIONS_INVOKE)
    assert call.context.attempt_at == attempt_at
