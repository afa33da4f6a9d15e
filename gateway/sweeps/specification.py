"""What a sweep is to do: the body of `POST /v1/sweeps`, and its form in the store, which nothing changes later."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.checksums.negotiation import parse_algorithm
from gateway.errors import ErrorCode, GatewayError
from gateway.objects.model import MAX_OBJECT_BYTES, ObjectRef
from gateway.typed_json import decode

MAX_BODY_BYTES = 16_384
DEFAULT_OUTPUT = "sweeps"
# The rest is for the id and the name of a part.
_MAX_OUTPUT_PREFIX_BYTES = MAX_OBJECT_BYTES - 128
_ANY_NAME = "x"

Format = Literal["ndjson", "md5sum", "csv"]
Rate = Annotated[int, Meta(ge=1, le=1 << 50)]


class Place(Struct, frozen=True, forbid_unknown_fields=True):
    """Where results are written: names below `prefix` in a container."""

    container: str = DEFAULT_OUTPUT
    prefix: str = ""


class Dump(Struct, frozen=True, forbid_unknown_fields=True):
    """An object with a list of objects. `path_prefix` is removed from each of its paths."""

    container: str
    object: str
    path_prefix: str = ""


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """How fast a sweep may read; None: as fast as the project may."""

    bytes_per_second: Rate | None = None
    requests_per_second: Rate | None = None


class SweepSpecification(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A sweep.

    Attributes:
        algorithms: canonical names; empty: those of the operator.
        against: the dump with which the container is compared.
        store: whether digests are stored with the objects.
        force: whether known digests are computed again, and the bytes are compared with the ETag.
        formats: of the results; NDJSON is always among them.
        part_objects, part_bytes: of one part; set by the gateway.
    """

    container: str
    prefix: Annotated[str, Meta(max_length=MAX_OBJECT_BYTES)] = ""
    algorithms: Annotated[tuple[str, ...], Meta(max_length=64)] = ()
    against: Dump | None = None
    store: bool = False
    force: bool = False
    formats: Annotated[tuple[Format, ...], Meta(max_length=3)] = ("ndjson",)
    output: Place = Place()
    limits: Limits = Limits()
    part_objects: int = 0
    part_bytes: int = 0

    @property
    def subject(self) -> str:
        """What it is about, for people."""
        return f"{self.container}/{self.prefix}" if self.prefix else self.container


_DECODER = msgspec.json.Decoder(SweepSpecification)
_TYPES = {
    "$": SweepSpecification,
    "$.output": Place,
    "$.against": Dump,
    "$.limits": Limits,
}
# Of the operator.
_OWN_FIELDS = frozenset(["part_objects", "part_bytes"])


def parse_sweep(
    body: bytes, *, default_algorithms: tuple[str, ...], part_objects: int, part_bytes: int
) -> SweepSpecification:
    """The sweep that a caller asks for, complete.

    Raises:
        GatewayError: REQUEST_MALFORMED, ALGORITHM_UNKNOWN.
    """
    asked = decode(_DECODER, body, fields_at=_fields_at)
    if asked.part_objects or asked.part_bytes:
        raise _malformed("the size of a part is the operator's")
    algorithms = tuple(dict.fromkeys(parse_algorithm(name) for name in asked.algorithms or default_algorithms))
    _check_names(asked)
    return msgspec.structs.replace(
        asked,
        algorithms=algorithms,
        formats=tuple(dict.fromkeys(("ndjson", *asked.formats))),
        part_objects=part_objects,
        part_bytes=part_bytes,
    )


def stored_sweep(specification: SweepSpecification) -> bytes:
    """The form in the store."""
    return msgspec.json.encode(specification)


def sweep_of(stored: bytes) -> SweepSpecification:
    """The inverse of `stored_sweep`."""
    return _DECODER.decode(stored)


def _check_names(asked: SweepSpecification) -> None:
    """Rejects names that no store accepts, and results that the sweep would find in its own container."""
    ObjectRef(asked.container, asked.prefix or _ANY_NAME)
    ObjectRef(asked.output.container, asked.output.prefix or _ANY_NAME)
    if asked.against is not None:
        ObjectRef(asked.against.container, asked.against.object)
    if len(asked.output.prefix.encode()) > _MAX_OUTPUT_PREFIX_BYTES:
        raise _malformed("the prefix of the output is too long")
    if asked.output.container == asked.container:
        raise _malformed("the output must be in another container than the one that is swept")


def _fields_at(path: str) -> tuple[str, ...]:
    return tuple(name for name in _TYPES.get(path, Place).__struct_fields__ if name not in _OWN_FIELDS)


def _malformed(why: str) -> GatewayError:
    return GatewayError(ErrorCode.REQUEST_MALFORMED, why=why)
