"""A head and what follows it are one write, and no head waits for a body."""

import asyncio
from typing import Any

import pytest

from gateway.http.counted_transport import CountedTransport


class Wire:
    """Records the writes of a transport."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.writes.append(data)

    def writelines(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def write_eof(self) -> None:
        self.closed = True

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, _name: str) -> None:
        return None


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def transport(wire: Wire) -> CountedTransport:
    return CountedTransport(wire, lambda: None)  # type: ignore[arg-type]


async def test_head_without_a_body_is_sent_in_the_next_iteration(wire: Wire, transport: CountedTransport) -> None:
    transport.hold_next(asyncio.get_running_loop())
    transport.write(b"head")
    assert wire.writes == []
    await asyncio.sleep(0)
    assert wire.writes == [b"head"]


async def test_head_and_body_are_one_write(wire: Wire, transport: CountedTransport) -> None:
    transport.hold_next(asyncio.get_running_loop())
    transport.write(b"head")
    transport.write(b"body")
    transport.write(b"more")
    await asyncio.sleep(0)
    assert wire.writes == [b"headbody", b"more"]
    assert transport.written == len(b"headbodymore")


@pytest.mark.parametrize("linger", [False, True])
async def test_head_is_sent_before_the_connection_closes(wire: Wire, transport: CountedTransport, linger: bool) -> None:
    transport.linger = linger
    transport.hold_next(asyncio.get_running_loop())
    transport.write(b"head")
    transport.close()
    assert wire.writes == [b"head"]
    assert wire.closed
    await asyncio.sleep(0)
    assert wire.writes == [b"head"]


async def test_head_that_was_announced_and_never_written_holds_nothing(wire: Wire, transport: CountedTransport) -> None:
    transport.hold_next(asyncio.get_running_loop())
    await asyncio.sleep(0)
    transport.write(b"bytes")
    assert wire.writes == [b"bytes"]
