"""The scheduler's process: its loops, and an ASGI application for probes, metrics and reports of gateways.

The gateway may not write records, and the controller holds no authority of users; so this is a process of its own. It
may read tenants and triggers, and write the status of triggers, and nothing else.
"""

import asyncio
import contextlib
import datetime as dt
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from control.scheduler.checks import Projects, TriggerChecks
from control.scheduler.election import Election
from control.scheduler.fire import GatewayFire
from control.scheduler.metrics import SchedulerMetrics
from control.scheduler.reports import OutcomeRoutes
from control.scheduler.scheduler import Scheduler, SchedulerBounds
from control.scheduler.status import StatusWriter
from gateway.http.error_handlers import install_error_handlers
from gateway.http.metrics import Metrics
from gateway.http.middleware import RequestMiddleware
from gateway.http.routes import ServiceRoutes
from gateway.identity.credential import IdentityService
from gateway.identity.trusts import NO_LOGIN, TrustTokens
from gateway.policy.policy import Policy
from gateway.server.clients import USER_AGENT, keystone_client
from gateway.server.wiring import build_authenticator
from gateway.settings import Settings
from gateway.telemetry.recording import recorder_of, recording
from policies.names import NamespaceName
from tenancy.directory.kubernetes_triggers import KubernetesTriggers
from tenancy.kubernetes.informer import Source
from tenancy.trigger_repository import KubernetesTriggerRepository

_RELEASE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class SchedulerParts:
    """What the application works on: the cluster's triggers and tenants, and the election."""

    source: Source
    records: KubernetesTriggerRepository
    tenants: Projects
    election: Election


def build_scheduler_app(settings: Settings, identity: IdentityService, parts: SchedulerParts) -> ASGIApp:
    """Builds the ASGI application.

    Raises:
        ValueError: our credential is none with which Keystone issues tokens of trusts.
    """
    if identity.trustee is None:
        raise ValueError(f"triggers need a credential with a user and a password: {NO_LOGIN}")
    trustee, metrics, recorder = identity.trustee, Metrics(), recorder_of(settings)
    scheduling = SchedulerMetrics(metrics)
    changes: list[Callable[[NamespaceName | None], None]] = []

    def on_change(namespace: NamespaceName | None) -> None:
        for changed in changes:
            changed(namespace)

    triggers = KubernetesTriggers(parts.source, on_change=on_change)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        tokens = TrustTokens(trustee, settings)
        statuses = StatusWriter(parts.records, triggers)
        timeout = httpx.Timeout(settings.function_timeout_seconds + 60, connect=10)
        async with (
            recording(recorder),
            keystone_client(settings, identity) as keystone_http,
            httpx.AsyncClient(timeout=timeout, headers={"User-Agent": USER_AGENT}, trust_env=False) as gateway_http,
        ):
            scheduler = Scheduler(
                triggers=triggers,
                records=parts.records,
                statuses=statuses,
                fire=GatewayFire(gateway_http, tokens, settings.scheduler_gateway_url or settings.public_url),
                leads=parts.election.leads,
                bounds=SchedulerBounds(
                    concurrency=settings.scheduler_concurrency,
                    per_project=settings.scheduler_project_concurrency,
                    max_lateness=dt.timedelta(seconds=settings.scheduler_max_lateness_seconds),
                ),
                metrics=scheduling,
            )
            checks = TriggerChecks(
                triggers=triggers,
                tenants=parts.tenants,
                tokens=tokens,
                statuses=statuses,
                leads=parts.election.leads,
                seconds=settings.trigger_check_seconds,
            )
            app.state.outcomes = OutcomeRoutes(
                # It asks who a caller is, and nothing about rules.
                identity=build_authenticator(settings, identity, metrics, keystone_http, Policy(None)),
                trustee=trustee,
                triggers=triggers,
                statuses=statuses,
            )
            scheduling.leading.set_function(lambda: float(parts.election.leads()))
            scheduling.schedules.set_function(lambda: float(scheduler.known))
            loop = asyncio.get_running_loop()
            # The watch has a thread of its own.
            changes.append(lambda namespace: _later(loop, scheduler.changed, namespace))
            changes.append(lambda namespace: _later(loop, checks.changed, namespace))
            triggers.start()
            parts.election.start()
            tasks = [asyncio.create_task(work) for work in (scheduler.run(), checks.run(), statuses.run())]
            for task in tasks:
                # Without one of the loops the process would be alive, and useless.
                task.add_done_callback(_end_process_on_failure)
            try:
                yield
            finally:
                triggers.close()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await asyncio.to_thread(parts.election.close, _RELEASE_SECONDS)

    app = Starlette(routes=_routes(settings, metrics, lambda: triggers.synced), lifespan=lifespan)
    install_error_handlers(app)
    return RequestMiddleware(app, settings, metrics, recorder)


def _later(
    loop: asyncio.AbstractEventLoop, work: Callable[[NamespaceName | None], None], namespace: NamespaceName | None
) -> None:
    # The loop may have ended before the thread.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(work, namespace)


def _end_process_on_failure(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and task.exception() is not None:
        task.get_loop().call_exception_handler({"message": "a loop of the scheduler failed", "task": task})
        signal.raise_signal(signal.SIGTERM)


def _routes(settings: Settings, metrics: Metrics, prepared: Callable[[], bool]) -> list[Route]:
    service = ServiceRoutes(public_url=settings.public_url, disable_file=settings.disable_file, prepared=prepared)

    async def outcomes(request: Request) -> Response:
        found: OutcomeRoutes = request.app.state.outcomes
        return await found.receive(request)

    return [
        Route("/v1/trigger-outcomes", outcomes, methods=["POST"]),
        Route("/healthcheck", service.healthcheck, methods=["GET"]),
        Route("/readyz", service.readiness, methods=["GET"]),
        Route("/metrics", metrics.exposition, methods=["GET"]),
    ]
