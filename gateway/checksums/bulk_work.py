"""The work of a bulk request: portions of the list, and one line for each object."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from gateway.calls.admission import Admission
from gateway.calls.call import Call
from gateway.checksums.audit import record_service_call
from gateway.checksums.bulk import BulkChecksumRequest, InvalidEntry, retry_when_limited
from gateway.checksums.known import Source
from gateway.checksums.routes import answer_document
from gateway.checksums.service import Answer, ChecksumRequest, Checksums
from gateway.checksums.small_objects import Outcome, SmallObjects
from gateway.compute.batch import MAX_OBJECTS
from gateway.errors import ErrorCode, GatewayError, error_body
from gateway.json_text import json_bytes
from gateway.objects.model import ObjectRef
from gateway.telemetry.outcome import CALLER_GONE

log = logging.getLogger(__name__)

_OK = 200
# Memory for a line with long names.
_LINE_BYTES = 2_048
# A count that takes longer has waited for the limit.
_WAITED_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Portion:
    """Objects that one worker processes at a time, by their positions in the list.

    Attributes:
        counted: whether they were counted against the rate limit before.
        small: whether they are expected to be small, and their digests to be unknown.
    """

    numbers: Sequence[int]
    counted: bool
    small: bool


class Portions(Iterator[Portion]):
    """The portions of a list, for several workers. An object that is left for later is a portion of its own.

    What is expected of the next objects is what the last ones were. While they are small, portions grow; a list of
    large objects costs few needless requests.
    """

    def __init__(self, count: int, *, workers: int, max_size: int = MAX_OBJECTS) -> None:
        """`max_size`: of a portion."""
        self._count = count
        self._max_size = max_size
        self._workers = workers
        self._next = 0
        self._later: deque[Portion] = deque()
        self._small = True
        self._size = 1

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Portion:
        if self._later:
            return self._later.popleft()
        left = self._count - self._next
        if not left:
            raise StopIteration
        # Smaller towards the end, so that all workers end together.
        size = min(self._size, max(1, left // (2 * self._workers)))
        first, self._next = self._next, self._next + size
        return Portion(range(first, first + size), counted=False, small=self._small)

    def later(self, numbers: Sequence[int], *, counted: bool) -> None:
        """Leaves objects for later, one by one if they are counted already.

        The worker that leaves them goes on with them, if no other one does.
        """
        if counted:
            self._later.extend(Portion([number], counted=True, small=False) for number in numbers)
        elif numbers:
            self._later.append(Portion(numbers, counted=False, small=self._small))

    def learn(self, portion: Portion, *, small: bool) -> None:
        """`small`: all objects of a portion were small, and had to be read."""
        self._small = small
        self._size = min(self._max_size, max(self._size, 2 * len(portion.numbers))) if small else 1


@dataclass(frozen=True, slots=True)
class _Part:
    """One object of the list, with a context of its own; `request` is None for an invalid entry."""

    number: int
    call: Call
    ref: ObjectRef | None
    request: ChecksumRequest | None


class BulkWork:
    """One call about many objects.

    Attributes:
        call: the request.
        count: number of objects.
        failed: number of lines with an error so far.
    """

    def __init__(
        self,
        call: Call,
        request: BulkChecksumRequest,
        paid: int,
        *,
        admission: Admission,
        checksums: Checksums,
        small: SmallObjects,
    ) -> None:
        """`paid`: number of entries that are already counted with the call itself."""
        self.call = call
        self.count = len(request.objects)
        self.failed = 0
        self._request = request
        self._paid = paid
        self._admission = admission
        self._checksums = checksums
        self._small = small

    @contextlib.contextmanager
    def portions(self, workers: int) -> Iterator[Portions]:
        """The list in portions, which are of one object if there is no memory for the lines of more.

        Lines are in memory until the caller reads them, which may take as long as the caller likes.
        """
        lines = min(self.count, workers * MAX_OBJECTS)
        with self._small.lines.hold(self.call.caller.project_id) as hold:
            fits = hold.grow(lines * _LINE_BYTES)
            yield Portions(self.count, workers=workers, max_size=MAX_OBJECTS if fits else 1)

    async def lines(self, portion: Portion, portions: Portions) -> bytes:
        """The lines of a portion; objects without one are left for later."""
        if not portion.small or not self._small.may_read(self.call):
            return b"".join([await self._line(number, portion, portions) for number in portion.numbers])
        parts = [self._part(number) for number in portion.numbers]
        try:
            return await self._short_way(parts, portion, portions)
        except asyncio.CancelledError:
            for part in parts:
                record_service_call(part.call.context, part.ref, CALLER_GONE)
            raise

    async def _short_way(self, parts: list[_Part], portion: Portion, portions: Portions) -> bytes:
        failures: list[tuple[_Part, GatewayError]] = []
        admitted: list[_Part] = []
        for position, part in enumerate(parts):
            started = time.monotonic()
            failure = None if portion.counted else await self._count_failure(part)
            if failure is None:
                admitted.append(part)
            else:
                failures.append((part, failure))
            if time.monotonic() - started > _WAITED_SECONDS:
                # Objects that can be read now do not wait for the others.
                portions.later(portion.numbers[position + 1 :], counted=False)
                del parts[position + 1 :]
                break
        outcomes = await self._outcomes(admitted)
        lines = [self._written(part, failure) for part, failure in failures]
        suited = True
        for part, outcome in zip(admitted, outcomes, strict=True):
            if outcome is None:
                portions.later([part.number], counted=True)
            else:
                lines.append(self._written(part, outcome))
            suited &= isinstance(outcome, GatewayError) or (outcome is not None and _was_read(outcome))
        portions.learn(portion, small=suited)
        return b"".join(lines)

    async def _outcomes(self, parts: Sequence[_Part]) -> list[Outcome]:
        outcomes: list[Outcome] = [_malformed(self._request, part.number) for part in parts]
        valid = [(position, part.call, part.request) for position, part in enumerate(parts) if part.request is not None]
        try:
            found = await self._small.answers([(call, request) for _, call, request in valid])
        except Exception:
            # A defect that one object triggers must not fail the others.
            log.exception("unexpected error request_id=%s", self.call.context.request_id)
            return outcomes
        for (position, _, _), outcome in zip(valid, found, strict=True):
            outcomes[position] = outcome
        return outcomes

    async def _line(self, number: int, portion: Portion, portions: Portions) -> bytes:
        """One line: the digests, or the error with the same code as everywhere."""
        part = self._part(number)
        outcome: Answer | GatewayError
        try:
            failure = None if portion.counted else await self._count_failure(part)
            outcome = failure or await self._answer(part)
        except GatewayError as error:
            outcome = error
        except asyncio.CancelledError:
            record_service_call(part.call.context, part.ref, CALLER_GONE)
            raise
        except Exception:
            # A defect that one object triggers must not fail the others.
            log.exception("unexpected error request_id=%s", part.call.context.request_id)
            outcome = GatewayError(ErrorCode.INTERNAL)
        if isinstance(outcome, Answer):
            portions.learn(portion, small=_was_read(outcome) and self._small.is_small(outcome.stat))
        return self._written(part, outcome)

    async def _answer(self, part: _Part) -> Answer:
        request = self._request.request_for(part.number)
        return await retry_when_limited(lambda: self._checksums.answer(part.call, request))

    async def _count_failure(self, part: _Part) -> GatewayError | None:
        """Counts an object against the rate limit; the error if there is no capacity for too long."""
        if part.number < self._paid:
            return None
        count: Awaitable[None] = retry_when_limited(lambda: self._admission.count(part.call))
        try:
            await count
        except GatewayError as error:
            return error
        return None

    def _part(self, number: int) -> _Part:
        entry = self._request.objects[number]
        if isinstance(entry, InvalidEntry):
            return _Part(number, self.call.part(), None, None)
        return _Part(number, self.call.part(), entry, self._request.request_for(number))

    def _written(self, part: _Part, outcome: Answer | GatewayError) -> bytes:
        """The line of an object; its audit record is written too."""
        if isinstance(outcome, Answer):
            record_service_call(part.call.context, part.ref, _OK)
            document = answer_document(outcome)
        else:
            record_service_call(part.call.context, part.ref, outcome.kind.status)
            document = named(self._request, part.number) | error_body(outcome, part.call.context.request_id)
            self.failed += 1
        return json_bytes({"index": part.number, **document}) + b"\n"


def named(bulk: BulkChecksumRequest, number: int) -> dict[str, object]:
    """The names as the caller sent them; null for a name that is too long."""
    entry = bulk.objects[number]
    names = entry.names if isinstance(entry, InvalidEntry) else (entry.container, entry.name, entry.version)
    return dict(zip(("container", "object", "version_id"), names, strict=True))


def _was_read(answer: Answer) -> bool:
    return any(digest.source is Source.COMPUTED for digest in answer.digests.values())


def _malformed(bulk: BulkChecksumRequest, number: int) -> GatewayError | None:
    entry = bulk.objects[number]
    return entry.failure if isinstance(entry, InvalidEntry) else None
