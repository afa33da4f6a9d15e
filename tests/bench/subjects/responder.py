"""`python responder.py PORT`: the cheapest function there is; stands behind the gateway and behind Envoy alike.

`/` answers `hello world`, `/bytes/N` sends N zero bytes. A request's body is not looked at, and so has to be absent.
"""

import asyncio
import sys

import uvloop

HELLO = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\nhello world"
PIECE = bytes(1 << 20)


class Responder(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._received = b""
        self._writable = asyncio.Event()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            path = self._received.split(b" ", 2)[1]
            self._received = self._received[end + 4 :]
            if path.startswith(b"/bytes/"):
                self._task = asyncio.ensure_future(self._send(int(path.removeprefix(b"/bytes/"))))
            else:
                self._transport.write(HELLO)

    async def _send(self, size: int) -> None:
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while size:
            await self._writable.wait()
            piece = PIECE[: min(size, len(PIECE))]
            self._transport.write(piece)
            size -= len(piece)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Responder, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
