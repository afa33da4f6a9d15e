"""The process of the token endpoint. It reads tenants and writes nothing."""

import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from control.registry.login import RegistryLogins
from control.registry.login_limit import ClientAddresses, LoginLimiter
from control.registry.routes import PATH, RegistryTokenRoute
from control.registry.tokens import SigningKey
from gateway.http.error_handlers import install_error_handlers
from gateway.http.metrics import Metrics
from gateway.http.middleware import RequestMiddleware
from gateway.http.routes import ServiceRoutes
from gateway.identity.credential import IdentityService
from gateway.identity.permissions import Permissions
from gateway.identity.validation_limiter import ValidationLimiter
from gateway.policy.policy import Policy
from gateway.server.clients import keystone_client
from gateway.server.keystone import build_keystone
from gateway.server.serve import open_directory, run
from gateway.settings import Settings
from gateway.telemetry.recording import recorder_of, recording
from tenancy.directory.protocol import TenantDirectory
from tenancy.registry_credentials import CredentialVerifier


def serve() -> int:
    """Runs until SIGTERM; the exit status, as of `gateway.server.serve.run`."""
    return run(lambda settings, identity: build_registry_app(settings, identity, open_directory(settings)))


def public_keys(path: Path) -> str:
    """The JWKS of a private key's file, for the registry.

    Raises:
        ValueError: the file has none.
    """
    return json.dumps(SigningKey.from_file(path).jwks(), indent=2) + "\n"


def build_registry_app(settings: Settings, identity: IdentityService, directory: TenantDirectory) -> ASGIApp:
    """Builds the ASGI application.

    Raises:
        ValueError: OSFAAS_REGISTRY_TOKEN_KEY_FILE is not set, or a file of a key has none, or the policy file cannot be
            used.
    """
    if settings.registry_token_key_file is None:
        raise ValueError("OSFAAS_REGISTRY_TOKEN_KEY_FILE is not set: it names the private key of the registry's tokens")
    key = SigningKey.from_file(settings.registry_token_key_file)
    path = settings.registry_credential_key_file
    workloads = CredentialVerifier.from_file(path, time.time) if path else None
    permissions = Permissions(Policy(settings.policy_file), settings)
    metrics, recorder = Metrics(), recorder_of(settings)
    service = ServiceRoutes(public_url=settings.public_url, disable_file=settings.disable_file)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with recording(recorder), keystone_client(settings, identity) as http:
            limiter = ValidationLimiter(
                settings.token_validation_concurrency, wait_seconds=settings.keystone_timeout_seconds
            )
            keystone = build_keystone(settings, identity, http)
            logins = RegistryLogins(keystone, http, limiter, settings, auth_url=identity.auth_url, workloads=workloads)
            app.state.registry = RegistryTokenRoute(
                logins,
                LoginLimiter(settings.registry_logins_per_minute),
                directory,
                key,
                settings,
                permissions=permissions,
            )
            yield

    async def token(request: Request) -> Response:
        answer: Response = await request.app.state.registry.token(request)
        return answer

    routes = [
        Route(PATH, token, methods=["GET"]),
        Route("/healthcheck", service.healthcheck, methods=["GET"]),
        Route("/readyz", service.readiness, methods=["GET"]),
        Route("/metrics", metrics.exposition, methods=["GET"]),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    install_error_handlers(app)
    measured = RequestMiddleware(app, settings, metrics, recorder)
    return ClientAddresses(measured, trusted_proxies=settings.registry_trusted_proxies)
