"""Calls, errors, durations and cold starts of a function's revisions: the counts of all replicas of the gateway."""

import asyncio
import datetime as dt
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any
from urllib.parse import urlsplit

import httpx

from policies.names import NamespaceName
from tenancy.model.function import FunctionRecord
from tenancy.model.times import timestamp

_SECONDS = 3.0
_MAX_REPLICAS = 64
_MAX_BYTES = 262_144


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Counts of one revision over all replicas.

    Attributes:
        buckets: calls by duration; one more than there are bounds.
    """

    calls: int
    errors: int
    buckets: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayCounts:
    """What the replicas of the gateway have counted.

    Attributes:
        replicas: how many there are; `answered`: how many of them said what they counted.
        since: when the last one of those began to count (seconds since the epoch); None if there is none.
        bounds: upper bounds of the buckets in seconds.
        revisions: counts by the name of the revision.
    """

    replicas: int = 0
    answered: int = 0
    since: float | None = None
    bounds: tuple[float, ...] = ()
    revisions: Mapping[str, Counts]


class GatewayReplicas:
    """Asks each replica of the gateway. Their addresses are those of one name in DNS (a headless Service)."""

    def __init__(self, url: str | None) -> None:
        """`url`: `http://NAME:PORT`; None: nobody is asked."""
        self._url = None if url is None else urlsplit(url)
        self._http = httpx.AsyncClient(timeout=_SECONDS, trust_env=False)

    async def counts(self, namespace: NamespaceName) -> GatewayCounts:
        """The counts of a namespace. A replica that does not answer is missing, and the result says so."""
        addresses = await self._addresses()
        answers = await asyncio.gather(*(self._ask(address, namespace) for address in addresses))
        return summed(len(addresses), [answer for answer in answers if answer is not None])

    async def _addresses(self) -> list[str]:
        if self._url is None or self._url.hostname is None:
            return []
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self._url.hostname, self._url.port or 80, type=socket.SOCK_STREAM)
        except OSError:
            return []
        return sorted({str(each[4][0]) for each in found})[:_MAX_REPLICAS]

    async def _ask(self, address: str, namespace: NamespaceName) -> Mapping[str, Any] | None:
        assert self._url is not None
        host = f"[{address}]" if ":" in address else address
        url = f"{self._url.scheme}://{host}:{self._url.port or 80}/metrics/functions/{namespace}"
        try:
            response = await self._http.get(url)
            if response.status_code != httpx.codes.OK or len(response.content) > _MAX_BYTES:
                return None
            found = response.json()
        except (httpx.HTTPError, ValueError):
            return None
        return found if isinstance(found, dict) else None


def summed(replicas: int, answers: Sequence[Mapping[str, Any]]) -> GatewayCounts:
    """The counts of all answers together. Pure.

    During an update of the gateway its replicas may have other buckets; those of the first answer count.
    """
    if not answers:
        return GatewayCounts(replicas=replicas, revisions={})
    bounds = tuple(map(float, answers[0]["bounds"]))
    alike = [answer for answer in answers if tuple(map(float, answer["bounds"])) == bounds]
    names = {name for answer in alike for name in answer["revisions"]}
    revisions = {}
    for name in names:
        found = [answer["revisions"][name] for answer in alike if name in answer["revisions"]]
        revisions[name] = Counts(
            calls=sum(each["calls"] for each in found),
            errors=sum(each["errors"] for each in found),
            buckets=tuple(map(sum, zip(*(each["buckets"] for each in found), strict=True))),
        )
    since = max(float(answer["since"]) for answer in alike)
    return GatewayCounts(replicas=replicas, answered=len(alike), since=since, bounds=bounds, revisions=revisions)


def quantile(share: float, bounds: Sequence[float], buckets: Sequence[int]) -> float | None:
    """The duration below which this share of calls lies, interpolated in its bucket as Prometheus does. Pure.

    None: there are no calls. In the last bucket, which has no bound, its lower one.
    """
    total = sum(buckets)
    if not total:
        return None
    rank = share * total
    for index, reached in enumerate(accumulate(buckets)):
        if reached >= rank and buckets[index]:
            lower = bounds[index - 1] if index else 0.0
            if index == len(bounds):
                return lower
            within = (rank - (reached - buckets[index])) / buckets[index]
            return round(lower + (bounds[index] - lower) * within, 6)
    return bounds[-1]


def metrics_document(record: FunctionRecord, counts: GatewayCounts) -> dict[str, Any]:
    """The JSON of a function's metrics. Pure."""
    starts = {each.name: each.cold_starts for each in record.status.starts}
    shares = {each.name: each.percent for each in record.status.active}
    own = {name for name in counts.revisions if name.rpartition("-")[0] == record.name}
    names = sorted(own | set(starts) | set(shares))
    return {
        "since": None if counts.since is None else timestamp(dt.datetime.fromtimestamp(counts.since, dt.UTC)),
        "replicas": counts.replicas,
        "replicas_answered": counts.answered,
        "revisions": [_revision(name, counts, starts, shares) for name in names],
    }


def _revision(name: str, counts: GatewayCounts, starts: Mapping[str, int], shares: Mapping[str, int]) -> dict[str, Any]:
    found = counts.revisions.get(name)
    buckets: Iterable[int] = found.buckets if found else ()
    p50, p95 = (quantile(share, counts.bounds, tuple(buckets)) for share in (0.5, 0.95))
    return {
        "name": name,
        "percent": shares.get(name, 0),
        "calls": found.calls if found else 0,
        "errors": found.errors if found else 0,
        "p50_seconds": p50,
        "p95_seconds": p95,
        "cold_starts": starts.get(name),
    }
