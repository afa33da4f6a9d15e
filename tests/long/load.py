"""Callers who ask, try again for a while, and keep a record of every attempt and every answer."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import aiohttp

from tests.machine import scaled

# How long a caller goes on trying; the pause is what a client with `Retry-After: 1` makes of it, and half of that.
BUDGET_SECONDS = 60.0
PAUSE_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request: when it began and ended (monotonic seconds), its status, 0 for none, and what a failure said."""

    kind: str
    began: float
    ended: float
    status: int
    error: str = ""


@dataclass
class Record:
    """What happened.

    Attributes:
        wrong: answers with status 200 that were not the truth.
        given_up: calls that had no answer within their budget.
    """

    attempts: list[Attempt] = field(default_factory=list)
    calls: int = 0
    wrong: list[str] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)

    def first_success(self, kind: str, after: float) -> float | None:
        """Seconds from `after` until a call of a kind, begun after it, had its answer."""
        ends = [
            attempt.ended
            for attempt in self.attempts
            if attempt.kind == kind and attempt.began >= after and attempt.status == 200
        ]
        return min(ends) - after if ends else None

    def failures(self, kind: str, begin: float, end: float) -> list[Attempt]:
        """Attempts of a kind that were begun in a time and did not succeed."""
        return [
            attempt
            for attempt in self.attempts
            if attempt.kind == kind and begin <= attempt.began < end and attempt.status != 200
        ]


@dataclass(frozen=True)
class Question:
    """What a kind of caller asks, with which token each time, and the digests that are the truth."""

    kind: str
    url: str
    tokens: Callable[[], str]
    truth: dict[str, str]


def in_turn(tokens: list[str]) -> Callable[[], str]:
    """The tokens, one after the other and again."""
    endless = itertools.cycle(tokens)
    return lambda: next(endless)


async def ask(session: aiohttp.ClientSession, question: Question, token: str, record: Record) -> int:
    """One attempt; its status."""
    began, status, error = time.monotonic(), 0, ""
    try:
        async with session.get(
            question.url,
            headers={"X-Auth-Token": token, "Accept": "application/json"},
            timeout=aiohttp.ClientTimeout(total=scaled(15)),
        ) as response:
            if response.status == 200:
                digests = (await response.json())["digests"]
                if digests != question.truth:
                    record.wrong.append(f"{question.kind}: {digests}")
            else:
                error = (await response.text())[:500]
            status = response.status
    except (aiohttp.ClientError, TimeoutError, ValueError):
        pass
    record.attempts.append(Attempt(question.kind, began, time.monotonic(), status, error))
    return status


async def go_on_asking(question: Question, record: Record, ended: asyncio.Event, *, pause: float) -> None:
    """Call after call until the end; each is tried again within its budget."""
    async with aiohttp.ClientSession() as session:
        while not ended.is_set():
            token, deadline = question.tokens(), time.monotonic() + BUDGET_SECONDS
            record.calls += 1
            while await ask(session, question, token, record) != 200:
                if time.monotonic() > deadline:
                    record.given_up.append(question.kind)
                    break
                await asyncio.sleep(PAUSE_SECONDS)
            await asyncio.sleep(pause)


async def leave_early(url: str, token: str, ended: asyncio.Event) -> None:
    """A caller who never waits for the answer, and one whose token is none."""
    async with aiohttp.ClientSession() as session:
        for number in itertools.count():
            if ended.is_set():
                return
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                impatient = aiohttp.ClientTimeout(total=0.005 * (number % 10 + 1))
                fields = {"X-Auth-Token": token if number % 2 else f"gAAAAA{number}"}
                async with session.get(url, headers=fields, timeout=impatient) as response:
                    await response.read()
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def under_load(questions: list[Question], *, pause: float = 0.05) -> Iterator[Record]:
    """Callers at work while the block runs; afterwards each finishes the call that it is in."""
    record, ended = Record(), asyncio.Event()
    callers = [asyncio.ensure_future(go_on_asking(each, record, ended, pause=pause)) for each in questions]
    try:
        yield record
    finally:
        ended.set()
        await asyncio.gather(*callers)
