"""The API on real routes, admission and middleware, with records in memory and a caller of the test's choice."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import itertools
import struct
import time
from typing import TYPE_CHECKING, Any

import httpx
from starlette.applications import Starlette

from control.functions.app import Callers, FunctionsApi, _routes, add_routes
from control.functions.metrics import GatewayReplicas
from control.functions.source import SourceUploads
from control.functions.trigger_trusts import TriggerTrusts
from gateway.calls.admission import Admission
from gateway.errors import GatewayError
from gateway.http.error_handlers import install_error_handlers
from gateway.http.metrics import Metrics
from gateway.http.middleware import RequestMiddleware
from gateway.identity.authenticate import Authenticator
from gateway.identity.cache import TokenCache
from gateway.identity.caller import Caller
from gateway.identity.credential import IdentityService
from gateway.identity.permissions import Permissions
from gateway.identity.trusts import NotDelegableError, TrustAccess, TrustOrder, TrustRefusedError
from gateway.limits.backend import InMemoryLimitBackend
from gateway.limits.limiter import ProjectLimiter
from gateway.limits.unified import ProjectLimits
from gateway.policy.policy import Policy
from gateway.settings import Settings
from gateway.settings.identity import IdentitySettings
from gateway.settings.limits import LimitSettings
from gateway.settings.server import RequestSettings
from policies.model import CatalogueFunction, Platform, TenantSpec
from policies.names import NamespaceName, ProjectId, namespace_of
from policies.own_function_secrets import secret_object_name
from tenancy.directory.protocol import Tenant
from tenancy.function_repository import ContainerLog, LogContainer, Revision
from tenancy.model.errors import ConflictError, NotOnboardedError
from tenancy.model.function import FunctionListing, MalformedFunction
from tenancy.model.record import TenantRecord

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable

    from tenancy.model.function import FunctionRecord
    from tenancy.model.function_secret import SecretRecord
    from tenancy.model.trigger import TriggerRecord

DIGEST = "@sha256:" + "0a" * 32
IMAGE = f"registry.example.org/atlas/hello{DIGEST}"
PLATFORM = Platform(
    functions={"checksums": CatalogueFunction(name="checksums", image="i")},
    own_function_images=("registry.example.org/atlas",),
)
SPEC = TenantSpec(ProjectId("p1"))
NOW = dt.datetime(2026, 11, 29, 12, tzinfo=dt.UTC)


def token() -> str:
    """A Fernet token as Keystone makes them, of now."""
    raw = struct.pack(">BQ", 0x80, int(time.time())) + bytes(16 + 64 + 32)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Records:
    """`FunctionRepository` in memory, with the API server's optimistic locking."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], FunctionRecord] = {}
        self.before_write: Callable[[], None] = lambda: None
        self.before_count: Callable[[], None] = lambda: None
        self.broken: Exception | None = None
        self.malformed: tuple[MalformedFunction, ...] = ()
        self.counted: list[str] = []
        self.uncountable: dict[str, Exception] = {}
        self._numbers = itertools.count(1)
        self.writes = 0

    def list(self, namespace: NamespaceName) -> FunctionListing:
        if self.broken:
            raise self.broken
        found = [record for (where, _), record in self.kept.items() if where == namespace]
        return FunctionListing(tuple(sorted(found, key=lambda record: record.name)), self.malformed)

    def count(self, namespace: NamespaceName) -> int:
        self.before_count()
        self.counted.append(namespace)
        if namespace in self.uncountable:
            raise self.uncountable[namespace]
        return len([where for where, _ in self.kept if where == namespace])

    def get(self, namespace: NamespaceName, name: str) -> FunctionRecord | None:
        if self.broken:
            raise self.broken
        return self.kept.get((namespace, name))

    def create(self, record: FunctionRecord) -> FunctionRecord:
        self.before_write()
        if (record.namespace, record.name) in self.kept:
            raise ConflictError("exists")
        return self._keep(dataclasses.replace(record, generation=1, uid=f"u{next(self._numbers)}"))

    def update(self, record: FunctionRecord) -> FunctionRecord:
        self.before_write()
        known = self.kept[record.namespace, record.name]
        if known.resource_version != record.resource_version:
            raise ConflictError("changed")
        return self._keep(dataclasses.replace(record, generation=record.generation + 1))

    def delete(self, record: FunctionRecord) -> None:
        self.before_write()
        known = self.kept[record.namespace, record.name]
        if record.resource_version and known.resource_version != record.resource_version:
            raise ConflictError("changed")
        assert known.uid == record.uid
        self.writes += 1
        del self.kept[record.namespace, record.name]

    def revisions(self, namespace: NamespaceName, name: str) -> tuple[Revision, ...]:
        return (Revision(f"{name}-0a0a0a0a", "2026-11-24T12:00:00Z", IMAGE, True),)

    def build_logs(self, namespace: NamespaceName, name: str, *, lines: int) -> tuple[ContainerLog, ...]:
        return (ContainerLog(f"build-{name}-0a0a0a0a-x", "", False, f"{lines} lines\n"),)

    def logs(self, namespace: NamespaceName, name: str, *, lines: int) -> tuple[ContainerLog, ...]:
        return (ContainerLog("pod", f"{name}-0a0a0a0a", True, f"{lines} lines\n"),)

    def containers(self, namespace: NamespaceName, name: str) -> tuple[LogContainer, ...]:
        return ()

    def touch(self, name: str, **changes: Any) -> None:
        """Another writer changes a record."""
        record = dataclasses.replace(self.kept[SPEC.namespace, name], **changes)
        self._keep(dataclasses.replace(record, generation=record.generation + 1))

    def _keep(self, record: FunctionRecord) -> FunctionRecord:
        self.writes += 1
        kept = dataclasses.replace(record, resource_version=str(next(self._numbers)))
        self.kept[record.namespace, record.name] = kept
        return kept


class Secrets:
    """`SecretRepository` in memory. `values`: what is stored, by the names of the Kubernetes Secrets."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], SecretRecord] = {}
        self.values: dict[str, bytes] = {}
        self.mounted: dict[str, frozenset[str]] = {}
        self.refusal: Exception | None = None
        self._numbers = itertools.count(1)

    def list(self, namespace: NamespaceName) -> tuple[SecretRecord, ...]:
        found = [record for (where, _), record in self.kept.items() if where == namespace]
        return tuple(sorted(found, key=lambda record: record.name))

    def create(self, record: SecretRecord) -> SecretRecord:
        if (record.namespace, record.name) in self.kept:
            raise ConflictError("exists")
        return self._keep(dataclasses.replace(record, uid=f"u{next(self._numbers)}"))

    def update(self, record: SecretRecord) -> SecretRecord:
        self._check(record)
        return self._keep(record)

    def delete(self, record: SecretRecord) -> None:
        self._check(record)
        del self.kept[record.namespace, record.name]

    def store(self, namespace: NamespaceName, name: str, version: str, value: bytes) -> None:
        assert version in self.kept[namespace, name].versions, "what is stored is on the list first"
        if self.refusal:
            raise self.refusal
        self.values[secret_object_name(name, version)] = value

    def discard(self, namespace: NamespaceName, name: str, version: str) -> None:
        assert version in self.kept[namespace, name].versions, "what is deleted is on the list until then"
        self.values.pop(secret_object_name(name, version), None)

    def mounts(self, namespace: NamespaceName) -> dict[str, frozenset[str]]:
        return self.mounted

    def _check(self, record: SecretRecord) -> None:
        if self.kept[record.namespace, record.name].resource_version != record.resource_version:
            raise ConflictError("changed")

    def _keep(self, record: SecretRecord) -> SecretRecord:
        kept = dataclasses.replace(record, resource_version=str(next(self._numbers)))
        self.kept[record.namespace, record.name] = kept
        return kept


class Logs:
    """`LogSource`: containers come and go as a test says, and write what it says."""

    def __init__(self) -> None:
        self.found: tuple[LogContainer, ...] | Exception = ()
        self.said: dict[str, list[bytes | asyncio.Event]] = {}
        self.reading = 0

    def containers(self, namespace: NamespaceName, name: str) -> tuple[LogContainer, ...]:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    async def output(self, namespace: NamespaceName, container: LogContainer, *, lines: int) -> AsyncIterator[bytes]:
        self.reading += 1
        try:
            for piece in self.said[container.key]:
                if isinstance(piece, bytes):
                    yield piece
                else:
                    await piece.wait()
        finally:
            self.reading -= 1


class Triggers:
    """`TriggerRepository` in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], TriggerRecord] = {}
        self.broken: Exception | None = None
        self._numbers = itertools.count(1)

    def list(self, namespace: NamespaceName) -> tuple[TriggerRecord, ...]:
        return tuple(record for (where, _), record in sorted(self.kept.items()) if where == namespace)

    def create(self, record: TriggerRecord) -> TriggerRecord:
        if self.broken:
            raise self.broken
        if (record.namespace, record.object_name) in self.kept:
            raise ConflictError("exists")
        return self.keep(dataclasses.replace(record, generation=1, uid=f"t{next(self._numbers)}"))

    def update(self, record: TriggerRecord) -> TriggerRecord:
        if self.broken:
            raise self.broken
        return self.keep(dataclasses.replace(record, generation=record.generation + 1))

    def delete(self, record: TriggerRecord) -> None:
        self.kept.pop((record.namespace, record.object_name), None)

    def keep(self, record: TriggerRecord) -> TriggerRecord:
        kept = dataclasses.replace(record, resource_version=str(next(self._numbers)))
        self.kept[record.namespace, record.object_name] = kept
        return kept


class TrustsInMemory:
    """Keystone's trusts, and the service user to whom they are given."""

    def __init__(self) -> None:
        self.made: dict[str, TrustOrder] = {}
        self.refusal = ""
        self.unusable = False
        self._numbers = itertools.count(1)

    async def user_id(self) -> str:
        return "osfaas"

    async def log_in(self, trust_id: str) -> TrustAccess:
        if self.unusable or trust_id not in self.made:
            raise TrustRefusedError
        return TrustAccess(f"token-of-{trust_id}", self.made[trust_id].trustor_id, ProjectId("p1"))

    async def create(self, token: str, order: TrustOrder) -> str:
        if self.refusal:
            raise NotDelegableError(self.refusal)
        self.made[f"trust-{next(self._numbers)}"] = order
        return list(self.made)[-1]

    async def delete(self, token: str, trust_id: str) -> bool:
        """With the trust's own token, or one of its user; a token of the tests says neither whose it is."""
        own = self.made.get(trust_id)
        if own is None or not (token == f"token-of-{trust_id}" or self.of_user == own.trustor_id):
            return own is None
        del self.made[trust_id]
        return True

    of_user = "u"


class Api:
    """The application, Keystone's verdict, the tenant and the records: each changed by a test."""

    def __init__(self, platform: Platform = PLATFORM, *, logins_per_minute: int = 120) -> None:
        self.token = token()
        self._tokens = itertools.count()
        self.caller: Caller | GatewayError = Caller(
            token=self.token,
            user_id="u",
            user_name="alice",
            project_id=SPEC.project_id,
            project_name="atlas",
            roles=frozenset(["member"]),
            expires_at=time.time() + 3_600,
            service_types=frozenset(["function"]),
        )
        self.spec = SPEC
        self.suspended: str | None = None
        self.onboarded = True
        # Of projects, as their records have it.
        self.domains: dict[str, str] = {}
        self.records = Records()
        self.secrets = Secrets()
        self.logs = Logs()
        identities = IdentitySettings()
        permissions = Permissions(Policy(None), identities)
        cache = TokenCache(self._validate, identities)
        self.authenticator = authenticator = Authenticator(cache, identities, permissions, auth_url="https://k.test/v3")
        metrics = Metrics()
        self.limits = ProjectLimits()
        backend = InMemoryLimitBackend()
        limiter = ProjectLimiter(backend, LimitSettings(limit_wait_seconds=0), metrics, self.limits)
        self.triggers = Triggers()
        parts = FunctionsApi(
            directory=self,
            domains=self,
            tenants=self,  # type: ignore[arg-type]
            functions=self.records,
            secrets=self.secrets,
            logs=self.logs,
            triggers=self.triggers,
            platform=platform,
        )
        self.trusts = TrustsInMemory()
        identity = IdentityService("https://k.test/v3", None, True, self.trusts)  # type: ignore[arg-type]
        settings = Settings(
            public_url="https://faas.test",
            stream_recheck_seconds=0.05,
            function_triggers=3,
            project_triggers=4,
            trigger_roles=("member", "swiftoperator"),
        )
        app = Starlette(routes=_routes(settings, metrics, parts.directory))
        trusts = TriggerTrusts(identity, self.trusts, settings)  # type: ignore[arg-type]
        admission = Admission(authenticator, self, limiter)
        store: Any = None
        uploads = SourceUploads(admission, platform.builds, store, backend, logins_per_minute=logins_per_minute)
        add_routes(app, parts, Callers(admission, trusts, uploads, self.limits), settings)
        app.state.triggers._clock = lambda: NOW
        self.routes = app.state.functions
        install_error_handlers(app)
        limits = RequestSettings(head_max_bytes=9_999, head_max_fields=99)
        self.app = RequestMiddleware(app, limits, metrics)

    async def _validate(self, _token: str) -> Caller:
        if isinstance(self.caller, GatewayError):
            raise self.caller
        return self.caller

    def gateways(self, url: str) -> None:
        """The replicas of the gateway."""
        self.routes._gateways = GatewayReplicas(url)

    def tenant_of(self, project_id: ProjectId) -> Tenant:
        if not self.onboarded:
            raise NotOnboardedError(project_id)
        spec = dataclasses.replace(self.spec, project_id=project_id)
        return Tenant(project_id, spec.namespace, {}, self.suspended, spec.limits)

    def sync_age_seconds(self) -> float | None:
        return 0.0

    def namespaces_in(self, domain_id: str) -> frozenset[NamespaceName]:
        return frozenset(namespace_of(ProjectId(each)) for each, domain in self.domains.items() if domain == domain_id)

    def get(self, project_id: ProjectId) -> TenantRecord:
        return TenantRecord(dataclasses.replace(self.spec, project_id=project_id))

    def become(self, **changes: Any) -> None:
        """The caller changes; Keystone is asked anew for another token."""
        assert isinstance(self.caller, Caller)
        self.token = token()[:-4] + f"{next(self._tokens):04d}"
        self.caller = dataclasses.replace(self.caller, token=self.token, **changes)

    async def call(
        self, method: str, path: str, json: Any = None, content: bytes | None = None, **headers: str
    ) -> httpx.Response:
        """A request with the caller's token; underscores in names of fields stand for dashes. GET has no body."""
        fields = {"X-Auth-Token": self.token, **{key.replace("_", "-"): value for key, value in headers.items()}}
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://faas.test") as client:
            if (json is None and content is None) or method in {"GET", "DELETE"}:
                return await client.request(method, path, headers=fields)
            return await client.request(method, path, headers=fields, json=json, content=content)

    async def put(self, name: str = "hello", **fields: Any) -> httpx.Response:
        return await self.call("PUT", f"/v1/functions/{name}", {"function": {"image": IMAGE, **fields}})


def code(response: httpx.Response) -> str:
    found: str = response.json()["errors"][0]["code"]
    return found
