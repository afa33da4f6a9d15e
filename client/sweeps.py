"""`sweep`: an integrity sweep of a container, as an operation of the gateway."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from client.errors import CommandError
from client.exchange import RetryPolicy, ask
from client.login import Login
from client.operations.api import OperationsClient, Wait, progress_line, wait_for_end

Sweep = dict[str, Any]

_MAX_BODY = 1 << 20
FINDINGS = ("lost", "dark", "corrupt", "changed", "unread")


@dataclass(frozen=True)
class SweepOrder:
    """A sweep to begin.

    Attributes:
        algorithms: empty: those of the gateway's operator.
        against: the dump, as `container/object`.
        dump_prefix: is removed from each path of the dump.
        force: whether known digests are computed again, and the bytes compared with the ETag.
        formats: of the results, besides NDJSON.
        output: where they are written, as `container` or `container/prefix`.
        max_bytes, max_requests: per second; None: no cap.
    """

    container: str
    prefix: str = ""
    algorithms: tuple[str, ...] = ()
    against: str | None = None
    dump_prefix: str = ""
    store: bool = False
    force: bool = False
    formats: tuple[str, ...] = ()
    output: str | None = None
    max_bytes: int | None = None
    max_requests: int | None = None

    def document(self) -> dict[str, Any]:
        """The body of the request.

        Raises:
            CommandError: the dump is not named as `container/object`.
        """
        found: dict[str, Any] = {
            "container": self.container,
            "prefix": self.prefix,
            "store": self.store,
            "force": self.force,
            "limits": {"bytes_per_second": self.max_bytes, "requests_per_second": self.max_requests},
        }
        if self.algorithms:
            found["algorithms"] = list(self.algorithms)
        if self.formats:
            found["formats"] = list(self.formats)
        if self.output:
            container, _, prefix = self.output.partition("/")
            found["output"] = {"container": container, "prefix": prefix}
        if self.against is not None:
            container, _, name = self.against.partition("/")
            if not container or not name:
                raise CommandError(f"'{self.against}' does not name an object: give container/object.")
            found["against"] = {"container": container, "object": name, "path_prefix": self.dump_prefix}
        return found


class SweepsClient:
    """The sweeps of the project of a login."""

    def __init__(self, login: Login, retry: RetryPolicy) -> None:
        self._login = login
        self._retry = retry
        self._operations = OperationsClient(login, retry)

    def begin(self, order: SweepOrder) -> Sweep:
        """Begins a sweep.

        Raises:
            CommandError: the service refuses, or cannot be reached; so do all methods.
        """
        # A request whose answer was lost is repeated, and must not begin two.
        headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
        return self._json("", method="POST", headers=headers, body=json.dumps(order.document()).encode())

    def show(self, sweep_id: str) -> Sweep:
        """A sweep, with its progress."""
        return self._json(f"/{sweep_id}")

    def summary(self, sweep_id: str) -> dict[str, Any]:
        """What a sweep that has succeeded has found."""
        body = bytearray()
        self._operations.result(sweep_id, body.extend)
        found: dict[str, Any] = json.loads(body)
        return found

    def wait(self, sweep_id: str, seconds: float, say: Callable[[Sweep], None]) -> Sweep:
        """Waits for the end of a sweep.

        Raises:
            NotEndedInTimeError: it goes on.
        """
        return wait_for_end(Wait(seconds, lambda: self.show(sweep_id), say))

    def _json(self, path: str, **request: Any) -> Sweep:
        response = ask(self._login, f"{self._login.gateway}/v1/sweeps{path}", retry=self._retry, **request)
        try:
            found: Sweep = json.loads(response.read(_MAX_BODY))
        except ValueError as error:
            raise CommandError("The gateway's answer is not JSON; is this the URL of the gateway?") from error
        return found


def sweep_line(sweep: Mapping[str, Any]) -> str:
    """One line about what a sweep has done."""
    line, total = progress_line(sweep), sweep["total"]["objects"]
    if total:
        line += f" of {total:,}"
    if sweep["estimated_end"]:
        line += f", until about {sweep['estimated_end'][:16]}Z"
    return line


def summary_lines(summary: Mapping[str, Any]) -> list[str]:
    """What a sweep has found, for people."""
    output = summary["output"]
    found = ", ".join(f"{summary['findings'][name]} {name}" for name in FINDINGS)
    return [
        f"{summary['objects']} objects, {summary['bytes']} bytes: {found}",
        f"written to {output['container']}/{output['prefix']}",
    ]
