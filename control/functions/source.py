"""`PUT /v1/functions/{name}/source`: an archive of a folder becomes a blob in the project's own repository.

The archive is the body, or an object of the project's account in the version that the body names. That is read with the
caller's token, as everything of an object store.

It is checked here, so that its owner learns at once what is wrong with it, and again by the build, which trusts nobody
with that. The registry is written with a token of the caller, so nobody can store what they could not push. An archive
is named by its digest: the same one again changes nothing, and an interrupted upload leaves nothing that is named.
"""

import asyncio
import contextlib
import hashlib
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.requests import ClientDisconnect, Request

from builds.archive.limits import ArchiveLimits
from builds.archive.unpack import inspect
from builds.errors import BuildError, RegistryError, TemporaryError
from builds.image import EMPTY_DATA, MANIFEST, source_manifest
from builds.layers import Blob, blob_of
from builds.registry import Login, Registry
from builds.runtimes import detect_runtime
from control.functions.fields import malformed
from control.registry.login import TOKEN_USER
from control.registry.login_limit import login_rate, logins_exceeded
from gateway.calls.admission import Admission
from gateway.calls.call import Call
from gateway.errors import ErrorCode, GatewayError
from gateway.http.body import json_of, read_body
from gateway.http.disconnect import CallerGoneError
from gateway.limits.backend import LimitBackend
from gateway.objects.model import ObjectRef, ObjectStore, is_same_etag
from policies.model import Builds
from policies.names import ProjectId
from policies.own_build import has_repositories, repository_of

# What a check and a push may cost, in calls of the rate limit; and each further part of the archive.
_CALLS, _BYTES_PER_CALL = 10, 5_000_000
_TOGETHER, _PER_PROJECT = 4, 1
MAX_REFERENCE_BYTES = 8_192
_RECEIVE_SECONDS, _REGISTRY_SECONDS = 300.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An archive in the registry.

    Attributes:
        digest: of the archive.
        size: of it in bytes.
        files: number of files in it.
        runtime: which a build detects.
    """

    digest: str
    size: int
    files: int
    runtime: str


class SourceUploads:
    """Receives archives: few at once, one for each project, on disk and never in memory."""

    def __init__(
        self,
        admission: Admission,
        builds: Builds | None,
        store: ObjectStore,
        limits: LimitBackend,
        *,
        logins_per_minute: int,
        verify: bool | str = True,
    ) -> None:
        """Receives nothing without `builds`.

        Args:
            admission: counts what an archive costs.
            builds: of the platform.
            store: where objects are read.
            limits: counts logins at the registry.
            logins_per_minute: maximum of a project at the registry's token endpoint, for which all have one address.
            verify: file with the authorities that the registry is verified against, or True for the system's.
        """
        self._admission = admission
        self._store_of_objects = store
        self._limits = limits
        self._logins_per_minute = logins_per_minute
        self._builds = builds
        self._verify = verify
        self._running: Counter[ProjectId] = Counter()

    async def receive(self, call: Call, name: str, request: Request) -> Source:
        """Stores the archive that a request has or names.

        Raises:
            GatewayError: FUNCTION_REJECTED, FUNCTION_SOURCE_REJECTED, REQUEST_BODY_TOO_LARGE, REQUEST_TIMEOUT,
                CONCURRENCY_EXCEEDED, RATE_EXCEEDED, REGISTRY_LOGINS_EXCEEDED, REGISTRY_UNAVAILABLE; with an object,
                OBJECT_CHANGED and those of reading it.
            CallerGoneError: the caller disconnected before the end of the body.
        """
        builds = self._available(call.caller.project_id, name)
        length = request.headers.get("content-length")
        if length is not None and int(length) > builds.archive_max_bytes:
            raise _too_large(builds)
        with self._slot(call.caller.project_id):
            await self._admission.count(call, _CALLS)
            await self._count_login(call.caller.project_id)
            with tempfile.TemporaryDirectory(prefix="osfaas-source-") as folder:
                archive = Path(folder) / "archive"
                async with self._content(call, request, builds) as pieces:
                    blob = await self._write(call, pieces, archive, builds)
                storing = asyncio.ensure_future(asyncio.to_thread(self._store, call, name, blob, builds))
                try:
                    return await asyncio.shield(storing)
                finally:
                    # The thread goes on when the caller disconnects, and needs its slot and the file until it ends.
                    await asyncio.wait([storing])

    def _available(self, project_id: ProjectId, name: str) -> Builds:
        if self._builds is None:
            why = "the operator has not set up builds of functions; deploy an image instead"
            raise GatewayError(ErrorCode.FUNCTION_REJECTED, function=name, why=why)
        if not has_repositories(project_id):
            why = f"no repository of a registry can be named after the project {project_id}"
            raise GatewayError(ErrorCode.FUNCTION_REJECTED, function=name, why=why)
        return self._builds

    async def _count_login(self, project_id: ProjectId) -> None:
        rate = login_rate(self._logins_per_minute)
        result = await self._limits.consume(f"{{{project_id}}}:registry", "logins", rate, 1)
        if not result.granted:
            raise logins_exceeded(self._logins_per_minute, result.wait_seconds)

    @contextlib.contextmanager
    def _slot(self, project_id: ProjectId) -> Iterator[None]:
        if self._running[project_id] >= _PER_PROJECT:
            raise GatewayError(ErrorCode.CONCURRENCY_EXCEEDED, whose=f"project {project_id}", limit=_PER_PROJECT)
        if self._running.total() >= _TOGETHER:
            raise GatewayError(ErrorCode.REGISTRY_UNAVAILABLE, why="it is taking those of other projects")
        self._running[project_id] += 1
        try:
            yield
        finally:
            self._running[project_id] -= 1
            if not self._running[project_id]:
                del self._running[project_id]

    @contextlib.asynccontextmanager
    async def _content(self, call: Call, request: Request, builds: Builds) -> AsyncIterator[AsyncIterator[bytes]]:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            yield _pieces(request)
            return
        ref, etag = reference_of(json_of(await read_body(request, max_bytes=MAX_REFERENCE_BYTES)))
        stat = await self._store_of_objects.stat(call.caller, ref)
        if not is_same_etag(stat.etag, etag):
            raise GatewayError(ErrorCode.OBJECT_CHANGED)
        if stat.size > builds.archive_max_bytes:
            raise GatewayError(ErrorCode.REQUEST_BODY_TOO_LARGE, limit=builds.archive_max_bytes)
        # The ETag is a condition of the read as well.
        async with self._store_of_objects.reading(call.caller, stat) as pieces:
            yield pieces

    async def _write(self, call: Call, pieces: AsyncIterator[bytes], path: Path, builds: Builds) -> Blob:
        sha256, size, charged = hashlib.sha256(), 0, 0
        try:
            with path.open("xb") as file:
                async with asyncio.timeout(_RECEIVE_SECONDS):
                    async for piece in pieces:
                        size += len(piece)
                        if size > builds.archive_max_bytes:
                            raise _too_large(builds)
                        if size // _BYTES_PER_CALL > charged:
                            charged += 1
                            await self._admission.count(call)
                        sha256.update(piece)
                        # Into the page cache: pieces are small.
                        file.write(piece)
        except TimeoutError as error:
            close = {"Connection": "close"}
            raise GatewayError(ErrorCode.REQUEST_TIMEOUT, part="body", headers=close) from error
        if not size:
            raise malformed("the body must be the archive: a zip or a tar.gz of the function's folder")
        return Blob(f"sha256:{sha256.hexdigest()}", size, path)

    def _store(self, call: Call, name: str, blob: Blob, builds: Builds) -> Source:
        try:
            unpacked = inspect(blob.path, ArchiveLimits(archive_bytes=builds.archive_max_bytes))
            runtime = detect_runtime(unpacked.files)
        except BuildError as error:
            raise GatewayError(ErrorCode.FUNCTION_SOURCE_REJECTED, function=name, why=_clause(error)) from error
        repository = repository_of(call.caller.project_id, name)
        login = Login(user=TOKEN_USER, password=call.caller.token, token_url=builds.token_url)
        scopes = (f"repository:{repository}:pull,push",)
        try:
            with httpx.Client(timeout=_REGISTRY_SECONDS, verify=self._verify, trust_env=False) as http:
                _push(Registry(builds.registry_url, login, http, scopes=scopes), repository, blob)
        except (RegistryError, TemporaryError, httpx.HTTPError) as error:
            raise GatewayError(ErrorCode.REGISTRY_UNAVAILABLE, why=_clause(error)) from error
        return Source(digest=blob.digest, size=blob.size, files=len(unpacked.files), runtime=runtime.name)


def reference_of(body: Any) -> tuple[ObjectRef, str]:
    """The object and the ETag in `{"source": {"container": …, "object": …, "etag": …}}`.

    Raises:
        GatewayError: REQUEST_MALFORMED.
    """
    fields = body.get("source") if isinstance(body, dict) and set(body) == {"source"} else None
    if not isinstance(fields, dict) or set(fields) != {"container", "object", "etag"}:
        raise malformed("the body must be an archive, or 'source' with the fields 'container', 'object' and 'etag'")
    if not all(isinstance(value, str) for value in fields.values()) or not fields["etag"]:
        raise malformed("'container', 'object' and 'etag' must be strings, and the ETag not empty")
    return ObjectRef(fields["container"], fields["object"]), fields["etag"].strip('"')


def _push(registry: Registry, repository: str, blob: Blob) -> None:
    """The archive, and a manifest that names it: the registry's garbage collection removes blobs that none names."""
    empty = blob_of(EMPTY_DATA, blob.path.with_name("empty.json"))
    manifest = source_manifest(blob.digest, blob.size, empty.digest)
    digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    if registry.has_manifest(repository, digest):
        return
    for each in (blob, empty):
        registry.push_blob(repository, each)
    registry.push_manifest(repository, digest, MANIFEST, manifest)


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    try:
        async for piece in request.stream():
            yield piece
    except ClientDisconnect as error:
        raise CallerGoneError from error


def _too_large(builds: Builds) -> GatewayError:
    # The rest of the body is not read, so the connection cannot carry another request.
    close = {"Connection": "close"}
    return GatewayError(ErrorCode.REQUEST_BODY_TOO_LARGE, limit=builds.archive_max_bytes, headers=close)


def _clause(error: Exception) -> str:
    return str(error)[:600].rstrip(".") or type(error).__name__
