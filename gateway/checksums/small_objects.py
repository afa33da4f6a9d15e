"""Small objects of a bulk request: one request to the store for each, and one call of the function for many.

The gateway reads a small object itself, with the caller's token. This one response of the store proves that the
caller may read the object now, and has its ETag, its size, its stored digests and its bytes. So nothing can change
between them, and no other stat is needed. (A listing would prove none of this: it may be outdated, and in S3 it needs
another permission.)

This is only the short way. Where anything is in its way, it gives no answer, and `Checksums.answer`, which waits,
retries and reports errors, is called for that object.
"""

import hashlib
import logging
from collections.abc import Collection, Container, Hashable, Sequence
from dataclasses import dataclass

from gateway.calls.call import Call
from gateway.checksums.content_budget import ContentBudget, ContentHold
from gateway.checksums.contract import FUNCTION
from gateway.checksums.known import Digest
from gateway.checksums.service import Answer, ChecksumRequest, Checksums, as_computed
from gateway.compute.batch import MAX_CONTENT_BYTES, MAX_OBJECTS, LoadedJob
from gateway.compute.runner import Runner
from gateway.errors import ErrorCode, GatewayError
from gateway.limits.limiter import ProjectLimiter
from gateway.objects.model import ObjectKind, ObjectStat, ObjectStore, OpenedObject, is_weak

log = logging.getLogger(__name__)

# Statuses of the store that `Checksums.answer` would get as well.
_FINAL = frozenset(
    [
        ErrorCode.OBJECT_NOT_FOUND,
        ErrorCode.OBJECT_FORBIDDEN,
        ErrorCode.OBJECT_NO_EC2_CREDENTIAL,
        ErrorCode.REQUEST_MALFORMED,
        ErrorCode.TOKEN_INVALID,
    ]
)

Part = tuple[Call, ChecksumRequest]
Outcome = Answer | GatewayError | None


@dataclass(frozen=True, slots=True)
class _Loaded:
    """An object in memory. `number`: its position among the parts; `known`: the digests that need no computation."""

    number: int
    part: Part
    known: dict[str, Digest]
    missing: tuple[str, ...]
    loaded: LoadedJob[dict[str, str]]


class SmallObjects:
    """Answers requests for digests of small objects.

    Attributes:
        lines: memory for the lines of lists that are answered in portions.
    """

    def __init__(
        self,
        *,
        checksums: Checksums,
        store: ObjectStore,
        runner: Runner,
        limiter: ProjectLimiter,
        max_bytes: int,
        budget: ContentBudget,
        lines: ContentBudget,
    ) -> None:
        """Reads nothing.

        Args:
            checksums: what is known of objects, and what is done with their digests.
            store: where they are read.
            runner: sends them to functions.
            limiter: is charged for their bytes.
            max_bytes: of one object; 0: none is read.
            budget: memory for them.
            lines: memory for the lines about them.
        """
        self._checksums = checksums
        self._store = store
        self._runner = runner
        self._limiter = limiter
        self._max_bytes = min(max_bytes, MAX_CONTENT_BYTES)
        self._budget = budget
        self.lines = lines

    def may_read(self, call: Call) -> bool:
        """Whether the short way is open to a call."""
        return self._max_bytes > 0 and self._runner.takes_batches(call, FUNCTION)

    def is_small(self, stat: ObjectStat) -> bool:
        """Whether an object can be read this way."""
        return 0 < stat.size <= self._max_bytes and stat.kind is ObjectKind.PLAIN and not is_weak(stat.etag)

    async def answers(self, parts: Sequence[Part]) -> list[Outcome]:
        """The outcomes for parts of one call, in their order; None: call `Checksums.answer` for it."""
        if not parts:
            return []
        outcomes: list[Outcome] = [None] * len(parts)
        call = parts[0][0]
        with self._runner.interactive(call), self._budget.hold(call.caller.project_id) as hold:
            waiting: dict[Hashable, _Loaded] = {}
            size = 0
            for number, part in enumerate(parts):
                found = await self._load(number, part, hold, waiting)
                if not isinstance(found, _Loaded):
                    outcomes[number] = found
                    continue
                waiting[found.loaded.job.identity] = found
                size += len(found.loaded.content)
                if len(waiting) == MAX_OBJECTS or size + self._max_bytes > MAX_CONTENT_BYTES:
                    await self._compute(waiting.values(), outcomes)
                    waiting.clear()
                    hold.clear()
                    size = 0
            await self._compute(waiting.values(), outcomes)
        return outcomes

    async def _load(
        self, number: int, part: Part, hold: ContentHold, waiting: Container[Hashable]
    ) -> _Loaded | Outcome:
        """The object in memory, or the answer without it; `waiting`: identities of the jobs that are in memory."""
        call, request = part
        if not hold.grow(self._max_bytes):
            return None
        found: _Loaded | Outcome = None
        try:
            async with self._store.opening(call.caller, request.ref, self._max_bytes) as opened:
                if opened is not None:
                    found = await self._content_or_answer(number, part, opened, waiting)
        except GatewayError as error:
            found = self._checksums.explained(call, error) if error.kind in _FINAL else None
        finally:
            kept = len(found.loaded.content) if isinstance(found, _Loaded) else 0
            hold.shrink(self._max_bytes - kept)
        return found

    async def _content_or_answer(
        self, number: int, part: Part, opened: OpenedObject, waiting: Container[Hashable]
    ) -> _Loaded | Outcome:
        call, request = part
        known, missing = self._checksums.known(request, opened.stat)
        if not missing:
            return await self._checksums.finished(call, request, opened.stat, known)
        job = self._checksums.job(call, opened.stat, missing)
        if job.identity in waiting or self._runner.is_running(job):
            return None  # later it is known, or can be joined
        content = await self._charged_content(call, opened)
        return None if content is None else _Loaded(number, part, known, missing, LoadedJob(job, content))

    async def _charged_content(self, call: Call, opened: OpenedObject) -> bytes | None:
        """The bytes of an object, charged to the caller; None if it would have to wait, or they are not of its ETag."""
        size = opened.stat.size
        if not await self._limiter.charge_bytes_now(call.subject, size):
            return None
        complete = False
        try:
            content = await opened.read()
            complete = True
        finally:
            if not complete:
                await self._limiter.refund_bytes(call.subject, size, 0)
        return content if _has_etag(content, opened.stat) else None

    async def _compute(self, waiting: Collection[_Loaded], outcomes: list[Outcome]) -> None:
        """Computes what is missing: one batch for each set of algorithms."""
        for missing in dict.fromkeys(each.missing for each in waiting):
            batch = [
                each for each in waiting if each.missing == missing and not self._runner.is_running(each.loaded.job)
            ]
            results = await self._runner.run_batch([each.loaded for each in batch]) if batch else None
            for each, result in zip(batch, results or (), strict=bool(results)):
                call, request = each.part
                digests = each.known | as_computed(result)
                try:
                    stat = each.loaded.job.stat
                    outcomes[each.number] = await self._checksums.finished(call, request, stat, digests)
                except GatewayError as error:
                    outcomes[each.number] = error


def _has_etag(content: bytes, stat: ObjectStat) -> bool:
    """Whether the bytes are those of an ETag that is their MD5: stores do not check what they send as a range."""
    md5 = stat.native.get("md5")
    return md5 is None or hashlib.md5(content, usedforsecurity=False).hexdigest() == md5
