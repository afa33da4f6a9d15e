"""Model of the inputs and outputs of an invocation: objects that a function reads and writes, a capability for each."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.objects.model import ObjectRef, ObjectStat, SignedUrl


@dataclass(frozen=True, slots=True)
class Binding:
    """An object that a caller names for a function; `name` distinguishes the inputs, or the outputs, of a call."""

    name: str
    ref: ObjectRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Bindings:
    """All objects that one call names.

    Attributes:
        overwrite: whether outputs may replace objects that exist.
    """

    inputs: tuple[Binding, ...] = ()
    outputs: tuple[Binding, ...] = ()
    overwrite: bool = False

    def __len__(self) -> int:
        return len(self.inputs) + len(self.outputs)


@dataclass(frozen=True, slots=True)
class Input:
    """An object that the function may read: its stat before the call, and the capability."""

    binding: Binding
    stat: ObjectStat
    url: SignedUrl


@dataclass(frozen=True, slots=True)
class Output:
    """An object that the function may write; `before`: its stat before the call, None if it did not exist."""

    binding: Binding
    before: ObjectStat | None
    url: SignedUrl


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundObjects:
    """The objects of one call, with their capabilities.

    Attributes:
        expires_at: when the first capability ends, in seconds since the epoch.
    """

    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    expires_at: int

    @property
    def size(self) -> int:
        """Bytes of all inputs."""
        return sum(each.stat.size for each in self.inputs)


class InputState(StrEnum):
    """What the second stat of an input found, in comparison with the first."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    MISSING = "missing"
    UNKNOWN = "unknown"


class OutputState(StrEnum):
    """What the second stat of an output found, in comparison with the first."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ObjectResult:
    """The state of an object after the call; `stat` is the second one, None if the store returned none."""

    name: str
    state: InputState | OutputState
    stat: ObjectStat | None = None


@dataclass(frozen=True, slots=True)
class ObjectResults:
    """The states of the objects of one call after it."""

    inputs: tuple[ObjectResult, ...]
    outputs: tuple[ObjectResult, ...]
