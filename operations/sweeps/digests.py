"""Digests of many objects: bulk requests to the gateway."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import httpx
import msgspec
from msgspec import Struct

from gateway.errors import ERROR_FIELD, ErrorCode
from gateway.objects.containers import Entry
from gateway.sweeps.specification import SweepSpecification
from operations.sweeps.errors import SweepError, TokenRejectedError, is_passing
from operations.sweeps.results import ObjectResult, Problem, listed_of

# A bulk request may have twice as much.
_MAX_BODY_BYTES = 1 << 20
_ROUNDS = 3
_PAUSE_SECONDS = 1.0
_CONNECT_SECONDS = 10
# The gateway says something every 15 seconds.
_SILENCE_SECONDS = 120
_OK = 200
# They are about the caller, not about one object.
_AUTHORITY = frozenset(
    kind.code
    for kind in (
        ErrorCode.OBJECT_FORBIDDEN,
        ErrorCode.OBJECT_DENIED_BY_RULE,
        ErrorCode.TENANT_SUSPENDED,
        ErrorCode.TENANT_NOT_ONBOARDED,
        ErrorCode.ROLE_MISSING,
        ErrorCode.TOKEN_WRONG_SCOPE,
        ErrorCode.FUNCTION_NOT_ENABLED,
    )
)
_TOKEN, _CORRUPT = ErrorCode.TOKEN_INVALID.code, ErrorCode.OBJECT_CORRUPT.code
_MD5 = "md5"

Read = Callable[[int], None]


class _Error(Struct, kw_only=True):
    code: str
    status: int
    detail: str


class _Line(Struct, kw_only=True):
    index: int = -1
    etag: str | None = None
    size: int | None = None
    digests: dict[str, str] = {}
    errors: list[_Error] = []


_LINE = msgspec.json.Decoder(_Line)


class DigestClient:
    """Asks the gateway for digests of listed objects."""

    def __init__(self, url: str, *, cafile: str | None) -> None:
        self._url = url
        verify = ssl.create_default_context(cafile=cafile) if url.startswith("https:") else True
        self._client = httpx.AsyncClient(
            verify=verify, trust_env=False, timeout=httpx.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def check(self, token: str) -> None:
        """Asks whether the caller may still call.

        Raises:
            SweepError, TokenRejectedError: no.
        """
        try:
            response = await self._client.get(f"{self._url}/v1/limits", headers={"x-auth-token": token})
        except httpx.HTTPError as error:
            raise _unreachable(error) from error
        if response.status_code != _OK:
            raise _refusal(response)

    async def results(
        self, token: Callable[[], str], wanted: SweepSpecification, entries: Sequence[Entry], read: Read
    ) -> list[ObjectResult]:
        """The results for objects, in their order. What may pass is asked again.

        Args:
            token: that is valid now.
            wanted: the sweep.
            entries: as listed.
            read: called with the size of each object that is done.

        Raises:
            SweepError, TokenRejectedError: the sweep cannot go on.
        """
        found: dict[int, ObjectResult] = {}
        missing = list(range(len(entries)))
        named = [msgspec.json.encode({"container": wanted.container, "object": entry.name}) for entry in entries]
        for number in range(_ROUNDS):
            if number:
                await asyncio.sleep(_PAUSE_SECONDS * number)
            later: list[int] = []
            for chunk in _chunks(named, missing):
                body = _order(wanted, [named[each] for each in chunk])
                lines = self._lines(token(), body)
                async with contextlib.aclosing(lines):
                    later += await _collect(lines, chunk, _Part(wanted, entries, found, read))
            missing = later
            if not missing:
                break
        return [found.get(number) or _unanswered(entry) for number, entry in enumerate(entries)]

    async def _lines(self, token: str, body: bytes) -> AsyncGenerator[_Line, None]:
        """The lines of one answer; a truncated answer has fewer."""
        headers = {"x-auth-token": token, "content-type": "application/json", "accept-encoding": "identity"}
        request = self._client.build_request("POST", f"{self._url}/v1/checksums", headers=headers, content=body)
        try:
            response = await self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            raise _unreachable(error) from error
        try:
            if response.status_code != _OK:
                await _read_error(response)
                raise _refusal(response)
            rest = b""
            async for piece in response.aiter_raw():
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    if line.strip():
                        yield _LINE.decode(line)
        except (httpx.HTTPError, msgspec.DecodeError):
            return
        finally:
            await response.aclose()


@dataclass(frozen=True, slots=True)
class _Part:
    """Objects, and what is known of them by their positions."""

    wanted: SweepSpecification
    entries: Sequence[Entry]
    found: dict[int, ObjectResult]
    read: Read


async def _collect(lines: AsyncIterator[_Line], chunk: Sequence[int], part: _Part) -> list[int]:
    """Takes the lines about a chunk; returns the positions that are to be asked for again."""
    left = dict.fromkeys(chunk)
    async for line in lines:
        if not 0 <= line.index < len(chunk):
            continue
        number = chunk[line.index]
        entry, error = part.entries[number], line.errors[0] if line.errors else None
        if error is not None and error.code == _TOKEN:
            raise TokenRejectedError
        if error is not None and error.code in _AUTHORITY:
            raise SweepError(error.code, error.detail)
        part.found[number] = _result(entry, line, error, part.wanted.algorithms)
        if error is None or not is_passing(error.status) or error.code == _CORRUPT:
            left.pop(number, None)
            part.read(entry.size)
    return list(left)


async def _read_error(response: httpx.Response) -> None:
    try:
        await response.aread()
    except httpx.HTTPError as error:
        raise _unreachable(error) from error


def _refusal(response: httpx.Response) -> SweepError | TokenRejectedError:
    code = response.headers.get(ERROR_FIELD, "")
    if code == _TOKEN:
        return TokenRejectedError()
    try:
        message = str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = f"The gateway answered with the status {response.status_code}."
    after = response.headers.get("retry-after", "")
    return SweepError(
        code or ErrorCode.OPERATION_UNREACHABLE.code,
        message,
        passing=is_passing(response.status_code),
        retry_after_seconds=float(after[:6]) if after.isdigit() else 0,
    )


def _unreachable(error: httpx.HTTPError) -> SweepError:
    kind = ErrorCode.OPERATION_UNREACHABLE
    return SweepError(kind.code, kind.value.sentence.format(why=repr(error)), passing=True)


def _chunks(named: Sequence[bytes], numbers: Sequence[int]) -> Iterator[list[int]]:
    """Positions in lists that fit into a body."""
    chunk: list[int] = []
    size = 0
    for number in numbers:
        if chunk and size + len(named[number]) > _MAX_BODY_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(number)
        size += len(named[number])
    if chunk:
        yield chunk


def _order(wanted: SweepSpecification, objects: Sequence[bytes]) -> bytes:
    algorithms = wanted.algorithms
    if wanted.force and _MD5 not in algorithms:
        # The function's MD5 is compared with the ETag.
        algorithms = (*algorithms, _MD5)
    return msgspec.json.encode(
        {
            "objects": [msgspec.Raw(each) for each in objects],
            "algorithms": algorithms,
            "store": wanted.store,
            "force": wanted.force,
        }
    )


def _result(entry: Entry, line: _Line, error: _Error | None, algorithms: Sequence[str]) -> ObjectResult:
    if error is not None:
        return ObjectResult(path=entry.name, error=Problem(error.code, error.detail), listed=listed_of(entry))
    digests = {name: line.digests[name] for name in algorithms}
    return ObjectResult(path=entry.name, size=line.size, etag=line.etag, digests=digests, listed=listed_of(entry))


def _unanswered(entry: Entry) -> ObjectResult:
    kind = ErrorCode.OPERATION_UNREACHABLE
    problem = Problem(kind.code, kind.value.sentence.format(why="its answer ended before this object"))
    return ObjectResult(path=entry.name, error=problem, listed=listed_of(entry))
