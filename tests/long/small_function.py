"""A function in a process of its own: `python small_function.py answer|read` prints its port and serves until it ends.

`answer` answers at once and closes the connection; `read` only reads.
"""

import asyncio
import contextlib
import sys

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request and its answer."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        await writer.drain()


async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes, as long as they come."""
    with contextlib.suppress(OSError), contextlib.closing(writer):
        while await reader.read(65_536):
            pass


async def main(what: str) -> None:
    server = await asyncio.start_server({"answer": answer, "read": read}[what], "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
