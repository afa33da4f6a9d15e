"""The token endpoint on its real route, with real signatures: whose logins count for which limit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from starlette.applications import Starlette
from starlette.routing import Route

from control.registry.login import RegistryLogins
from control.registry.login_limit import ClientAddresses, LoginLimiter
from control.registry.routes import PATH, RegistryTokenRoute
from control.registry.tokens import SigningKey
from gateway.http.metrics import Metrics
from gateway.http.middleware import RequestMiddleware
from gateway.settings import Settings
from policies.names import ProjectId, namespace_of
from tenancy.directory.protocol import Tenant
from tenancy.registry_credentials import CredentialSigner, CredentialVerifier

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 3
NOBODY = "0" * 31


class Tenants:
    """Every project is onboarded."""

    def tenant_of(self, project_id: ProjectId) -> Tenant:
        return Tenant(project_id=project_id, namespace=namespace_of(project_id), functions={})


def endpoint() -> tuple[httpx.AsyncClient, Callable[[str], str]]:
    """The endpoint at a time that stands still; and a credential of the controller for a project."""
    key = ed25519.Ed25519PrivateKey.generate()
    public = key.public_key()
    settings = Settings()
    unused: Any = None
    logins = RegistryLogins(
        unused, unused, unused, settings, auth_url="", workloads=CredentialVerifier(public, time.time)
    )
    limiter = LoginLimiter(LIMIT, clock=lambda: 0.0)
    signing = SigningKey(ec.generate_private_key(ec.SECP256R1()))
    route = RegistryTokenRoute(logins, limiter, Tenants(), signing, settings, permissions=unused)  # type: ignore[arg-type]
    routes = Starlette(routes=[Route(PATH, route.token)])
    app = ClientAddresses(RequestMiddleware(routes, settings, Metrics()), trusted_proxies=0)
    signer = CredentialSigner(key)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://faas.test")
    return client, lambda project: signer.credentials_of(ProjectId(project), time.time()).pull


async def test_users_and_the_pulls_of_each_project_do_not_use_up_each_other() -> None:
    """All come from the address of a node. A build's own code can use up what its own project has, and no more."""
    client, credential = endpoint()

    async def answers(user: str, password: str, count: int = LIMIT + 1) -> list[int]:
        found = []
        for _ in range(count):
            response = await client.get(PATH, params={"service": "osfaas-registry"}, auth=(user, password))
            found.append(response.status_code)
        return found

    async with client:
        assert await answers(NOBODY, "guess") == [401] * LIMIT + [429]
        # A credential that nobody signed is a login like any other.
        assert await answers("workload", "a.b.c", 1) == [429]
        assert await answers("workload", credential("p1")) == [200] * LIMIT + [429]
        assert await answers("workload", credential("p2"), 1) == [200]
        assert await answers(NOBODY, "guess", 1) == [429]
