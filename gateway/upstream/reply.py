"""The reply of an upstream: its head, and its body as it arrives."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from gateway.http.tunnel import End
from gateway.upstream.errors import TruncatedReplyError

Fields = list[tuple[bytes, bytes]]
Consumer = Callable[[bytes], None]

# Reading from the upstream pauses above the first mark and goes on below the second one (bytes).
HIGH_WATER, LOW_WATER = 262_144, 65_536
# What a piece takes in memory beside its bytes: without it, tiny chunks would take a multiple of the mark.
_PIECE_OVERHEAD = 48
# Pieces below this many bytes are joined with their neighbours: a piece costs a send, a joined byte a copy.
_SMALL = 4_096


class Reply:
    """A reply whose head has arrived. One consumer reads the body; the rest of it waits in the network.

    Attributes:
        status: 200 to 599 or higher; 101 if the request asked for it; never an interim one.
        fields: header fields in their order, names in lower case; trailers are dropped.
        complete: the whole body has arrived.
    """

    __slots__ = (
        "_abort", "_buffered", "_failure", "_flow", "_pieces", "_switch", "_waiter", "complete", "fields", "status",
    )  # fmt: skip

    def __init__(
        self,
        status: int,
        fields: Fields,
        flow: Callable[[bool], None],
        abort: Callable[[], None],
        switch: Callable[[End], None] | None = None,
    ) -> None:
        """Reads nothing.

        Args:
            status: of the head.
            fields: of the head.
            flow: pauses (False) or resumes (True) reading from the upstream.
            abort: ends the connection.
            switch: makes the connection an end of a tunnel.
        """
        self.status = status
        self.fields = fields
        self.complete = False
        self._flow: Callable[[bool], None] | None = flow
        self._abort: Callable[[], None] | None = abort
        self._switch = switch
        self._pieces: deque[bytes] = deque()
        self._buffered = 0
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def field(self, name: bytes) -> bytes | None:
        """The first value of a field (name in lower case), or None."""
        for key, value in self.fields:
            if key == name:
                return value
        return None

    def read_nowait(self) -> bytes:
        """All of the body that has arrived and has not been read."""
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._took(len(data) + _PIECE_OVERHEAD * len(pieces))
        pieces.clear()
        return data

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body: small pieces that have arrived come as one, large ones as they are.

        Raises:
            UpstreamError: it ended too early, or too late.
        """
        while True:
            while self._pieces:
                yield self._next_piece()
            if self._failure is not None:
                failure, self._failure = self._failure, TruncatedReplyError("the reply failed before")
                try:
                    raise failure
                finally:
                    del failure  # its traceback refers to this frame, and the frame to this object
            if self.complete:
                return
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    async def read(self) -> bytes:
        """The whole body; see `pieces`."""
        return b"".join([piece async for piece in self.pieces()])

    def close(self) -> None:
        """Ends the connection unless the whole reply has arrived."""
        if self._abort is not None and not self.complete:
            self._abort()

    def switch(self, end: End) -> bytes:
        """After a 101: the connection is an end of a tunnel from now on, and is not read until the tunnel wants it.

        Returns:
            What came behind the head.

        Raises:
            UpstreamError: the connection is closed.
        """
        switch = self._switch
        if switch is None:
            raise self._failure or TruncatedReplyError("the connection was closed before the switch")
        self._flow = self._abort = self._switch = None
        switch(end)
        return self.read_nowait()

    def feed(self, piece: bytes) -> None:
        """A part of the body arrived."""
        self._pieces.append(piece)
        self._buffered += len(piece) + _PIECE_OVERHEAD
        if self._buffered > HIGH_WATER and self._flow is not None:
            self._flow(False)
        self._wake()

    def end(self, failure: Exception | None = None) -> None:
        """The body is complete, or never will be. Releases the connection, which other requests may use now."""
        if not self.complete and self._failure is None:
            self.complete, self._failure = failure is None, failure
        self._flow = self._abort = self._switch = None
        self._wake()

    def _next_piece(self) -> bytes:
        pieces = self._pieces
        piece, count = pieces.popleft(), 1
        if len(piece) < _SMALL and pieces and len(pieces[0]) < _SMALL:
            parts = [piece]
            while pieces and len(pieces[0]) < _SMALL:
                parts.append(pieces.popleft())
            piece, count = b"".join(parts), len(parts)
        self._took(len(piece) + _PIECE_OVERHEAD * count)
        return piece

    def _took(self, size: int) -> None:
        before, self._buffered = self._buffered, self._buffered - size
        if self._flow is not None and before > LOW_WATER >= self._buffered:
            self._flow(True)

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
