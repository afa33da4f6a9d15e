"""Operations and sweeps of `conn.function`."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from openstack import exceptions
from requests import Response

from client.errors import CommandError
from client.operations.api import ERROR_FIELD, Wait, is_refusal, path_of, progress_line, wait_for_end
from client.sdk.base import ServiceProxy
from client.sdk.operation import Operation
from client.sdk.sweep import Sweep
from client.sweeps import SweepOrder, sweep_line

Ended = TypeVar("Ended", Operation, Sweep)
Progress = Callable[[str], object]
_A_DAY = 86_400.0
_A_MONTH = 30 * _A_DAY


class OperationsProxy(ServiceProxy):
    """Work that goes on without its caller."""

    # --- operations ---

    def operations(self, *, states: Sequence[str] = (), **query: Any) -> Iterator[Operation]:
        """The operations of the project, the youngest first, page by page as they are consumed.

        Args:
            states: only in one of these; none: in any.
            query: `kind`, `subject` and `user_id` choose; `limit` is the size of a page, `marker` the id after which to
                begin.
        """
        chosen: dict[str, Any] = {"state": ",".join(states)} if states else {}
        found: Iterator[Operation] = self._list(Operation, **chosen, **query)
        return found

    def get_operation(self, operation: str | Operation) -> Operation:
        """An operation by id."""
        return self._operation("GET", operation)

    def cancel_operation(self, operation: str | Operation) -> Operation:
        """Cancels an operation that has not ended; as it is then. A running one is still `running` at first."""
        return self._operation("DELETE", operation)

    def retry_operation(self, operation: str | Operation) -> Operation:
        """Starts an operation again that has failed or expired; as it is then."""
        return self._operation("POST", operation, "/retry")

    def operation_result(self, operation: str | Operation, *, stream: bool = False) -> Response:
        """The answer of the call that an operation was, whatever its status is.

        Args:
            operation: or its id.
            stream: whether the body is left unread.

        Raises:
            HttpException: there is none; or none yet.
        """
        answer = self.reply(f"{_path(operation)}/result", "GET", stream=stream)
        if is_refusal(answer.headers.get(ERROR_FIELD, "")):
            exceptions.raise_from_response(answer)
        return answer

    def wait_for_operation(
        self,
        operation: str | Operation,
        *,
        seconds: float = _A_DAY,
        progress: Progress = lambda _line: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Operation:
        """Waits until an operation has succeeded.

        Args:
            operation: or its id.
            seconds: maximum wait.
            progress: gets a line whenever something changed.
            sleep: waits between two requests.

        Raises:
            ResourceTimeout: it has not ended within the time, and goes on.
            ResourceFailure: it has ended without success; with the reason.
        """
        return _ended(lambda: self.get_operation(_id(operation)), progress_line, seconds, progress, sleep)

    # --- sweeps ---

    def sweeps(self, **query: Any) -> Iterator[Sweep]:
        """The integrity sweeps of the project, the youngest first.

        Args:
            query: `subject` is the container of the sweeps; `limit` the size of a page.
        """
        found: Iterator[Sweep] = self._list(Sweep, **query)
        return found

    def get_sweep(self, sweep: str | Sweep) -> Sweep:
        """A sweep, with its progress."""
        return self._get(Sweep, sweep)

    def create_sweep(self, container: str, **options: Any) -> Sweep:
        """Begins a sweep.

        Args:
            container: whose objects are read.
            options: the others of `client.sweeps.SweepOrder`.
        """
        try:
            body = SweepOrder(container, **options).document()
        except CommandError as error:
            raise exceptions.InvalidRequest(str(error)) from error
        answer = self.asked(Sweep.base_path, "POST", json=body, headers={"Idempotency-Key": str(uuid.uuid4())})
        return Sweep.existing(connection=self._get_connection(), **answer.json())

    def cancel_sweep(self, sweep: str | Sweep) -> None:
        """Cancels a sweep; what it has written remains."""
        self.cancel_operation(_id(sweep))

    def sweep_summary(self, sweep: str | Sweep) -> dict[str, Any]:
        """What a sweep that has succeeded has found."""
        found: dict[str, Any] = self.operation_result(_id(sweep)).json()
        return found

    def wait_for_sweep(
        self,
        sweep: str | Sweep,
        *,
        seconds: float = _A_MONTH,
        progress: Progress = lambda _line: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Sweep:
        """Waits until a sweep has succeeded; see `wait_for_operation`."""
        return _ended(lambda: self.get_sweep(_id(sweep)), sweep_line, seconds, progress, sleep)

    def _operation(self, method: str, operation: str | Operation, more: str = "") -> Operation:
        answer = self.asked(f"{_path(operation)}{more}", method)
        return Operation.existing(connection=self._get_connection(), **answer.json())


def _ended(
    read: Callable[[], Ended],
    line_of: Callable[[Mapping[str, Any]], str],
    seconds: float,
    progress: Progress,
    sleep: Callable[[float], None],
) -> Ended:
    """What was waited for."""
    said = ""

    def say(found: Mapping[str, Any]) -> None:
        nonlocal said
        line = line_of(found)
        if line != said:
            progress(line)
            said = line

    try:
        # A resource has its fields as a mapping too.
        ended = cast("Ended", wait_for_end(Wait(seconds, cast("Any", read), say, sleep=sleep)))
    except CommandError as error:
        raise exceptions.ResourceTimeout(str(error)) from error
    if ended.state != "succeeded":
        raise exceptions.ResourceFailure((ended.error or {}).get("message") or f"It is {ended.state}.")
    return ended


def _id(operation: str | Operation | Sweep) -> str:
    return operation if isinstance(operation, str) else str(operation.id)


def _path(operation: str | Operation) -> str:
    try:
        return f"{Operation.base_path}{path_of(_id(operation))}"
    except CommandError as error:
        raise exceptions.InvalidRequest(str(error)) from error
