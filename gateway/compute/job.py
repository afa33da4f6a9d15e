"""A job: one function of the tenant computes one result over one object.

A built-in function is a `Contract` and a renderer of its result; everything else is shared by all of them.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from gateway.calls.call import Call
from gateway.objects.model import ObjectStat

Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class CapabilityRefusedError(Exception):
    """The store rejected the capability that the function used."""


class Contract(Protocol[Result_co]):
    """The order to a function, in addition to the object, and the checks of its reply. Pure."""

    @property
    def function(self) -> str:
        """Name of the function."""

    @property
    def key(self) -> Hashable:
        """Two jobs over the same object with the same key have the same result."""

    def order(self) -> Mapping[str, object]:
        """Members of the order's JSON object in addition to `source`."""

    def fields(self) -> Mapping[str, str]:
        """The same as header fields, for an order whose body is the object itself."""

    def result(self, reply: Mapping[str, Any], stat: ObjectStat) -> Result_co:
        """The result in a reply about this object. Every part is checked: the tenant's function is not trusted.

        Raises:
            GatewayError: FUNCTION_FAILED.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Generic[Result]):
    """One computation.

    Attributes:
        call: the caller reads the object with their own token, and their project is charged.
        stat: the object; its content is bound to the ETag and size.
        contract: the computation.
        remember: called once with the result, however many callers wait for it, and even if none does any more.
        returning: the caller repeats the request if it disconnects before the result.
    """

    call: Call
    stat: ObjectStat
    contract: Contract[Result]
    remember: Callable[[Result], None] = lambda _: None
    returning: bool = False

    @property
    def identity(self) -> Hashable:
        """Jobs with the same identity are one computation. It is never shared by two projects."""
        return self.contract.function, self.contract.key, self.stat.identity
