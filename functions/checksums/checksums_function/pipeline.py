"""A ring of buffers between one reader and the digests, independent of HTTP.

The reader fills a buffer and submits it. Cheap digests (`heavy=False`) run on the reader's thread, each heavy one on a
separate thread; a buffer returns to the ring when the last of them is done. Memory is therefore bounded by the ring,
for any size of the object and any speed of the digests. Buffers have 1 MiB: with 64 KiB, the hand-over between threads
costs more than some of the digests.
"""

from __future__ import annotations

import mmap
import threading
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING

from .errors import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from .algorithms import Algorithm, Hasher

BUFFER_BYTES = 1 << 20
RING_BUFFERS = 8


class Stop:
    """A stop signal for a computation whose caller has disconnected. Any thread may set or check it."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []

    def stop(self) -> None:
        """Stops the computation and calls all callbacks. May be called more than once."""
        with self._lock:
            self._stopped.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def watch(self, callback: Callable[[], None]) -> None:
        """Registers a callback for the stop; calls it at once if already stopped."""
        with self._lock:
            if not self._stopped.is_set():
                self._callbacks.append(callback)
                return
        callback()

    def unwatch(self, callback: Callable[[], None]) -> None:
        """Removes `callback`."""
        with self._lock:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

    def check(self) -> None:
        """Raises Stopped if stopped."""
        if self._stopped.is_set():
            raise Stopped

    def sleep(self, seconds: float) -> None:
        """Sleeps; raises Stopped as soon as stopped."""
        if self._stopped.wait(seconds):
            raise Stopped


class Buffer:
    """One buffer of the ring. `users` is the number of digests that have not read it yet."""

    __slots__ = ("users", "view")

    def __init__(self, size: int) -> None:
        # Private pages instead of malloc: they are returned to the system when the computation ends.
        self.view = memoryview(mmap.mmap(-1, size) if size >= mmap.PAGESIZE else bytearray(size))
        self.users = 0


class Ring:
    """At most `buffers` buffers, created on demand and reused."""

    def __init__(self, *, buffers: int, buffer_bytes: int, stop: Stop) -> None:
        self._condition = threading.Condition()
        self._free: deque[Buffer] = deque()
        self._to_make = buffers
        self._buffer_bytes = buffer_bytes
        self._stop = stop
        self._closed = False
        self.on_free: Callable[[], None] | None = None

    def try_acquire(self) -> Buffer | None:
        """A free buffer or None, without waiting. Raises Stopped."""
        self._stop.check()
        with self._condition:
            return self._take()

    def acquire(self) -> Buffer:
        """Waits for a free buffer. Raises Stopped."""
        with self._condition:
            while (buffer := self._take()) is None:
                self._stop.check()
                self._condition.wait()
        self._stop.check()
        return buffer

    def release(self, buffer: Buffer) -> None:
        """Called by each user of the buffer when it is done."""
        with self._condition:
            buffer.users -= 1
            if buffer.users > 0:
                return
            if not self._closed:
                self._free.append(buffer)
            self._condition.notify()
            on_free = self.on_free
        if on_free is not None:
            on_free()

    def wake(self) -> None:
        """Wakes all waiters, so that they check the stop signal."""
        with self._condition:
            self._condition.notify_all()
            on_free = self.on_free
        if on_free is not None:
            on_free()

    def close(self) -> None:
        """Frees the memory of free buffers now, and of the others when they are released.

        Reference counts do not suffice, because callbacks and tracebacks form reference cycles: the buffers of many
        calls would accumulate until the garbage collector runs.
        """
        with self._condition:
            self._closed = True
            self._free.clear()
            self.on_free = None

    def _take(self) -> Buffer | None:
        if self._free:
            return self._free.popleft()
        if self._to_make:
            self._to_make -= 1
            return Buffer(self._buffer_bytes)
        return None


class Worker:
    """A thread that feeds some digests from a queue."""

    def __init__(self, hashers: Sequence[Hasher], ring: Ring, stop: Stop, name: str) -> None:
        self._hashers = hashers
        self._ring = ring
        self._stop = stop
        self._queue: SimpleQueue[tuple[Buffer, int] | None] = SimpleQueue()
        self.failure: BaseException | None = None
        # A daemon: an exiting process must not wait for an abandoned digest.
        self._thread = threading.Thread(target=self._run, name=f"digest-{name}", daemon=True)
        self._thread.start()

    def put(self, buffer: Buffer, length: int) -> None:
        self._queue.put((buffer, length))

    def close(self) -> None:
        """Ends the thread after the queued buffers."""
        self._queue.put(None)

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            self._digest(*item)

    def _digest(self, buffer: Buffer, length: int) -> None:
        try:
            self._stop.check()
            for hasher in self._hashers:
                hasher.update(buffer.view[:length])
        except BaseException as failure:  # noqa: BLE001 - raised by finish(): an incomplete digest must not be returned
            self.failure = self.failure or failure
        finally:
            self._ring.release(buffer)  # also after a failure, or the reader would wait forever
            del buffer  # the failure's traceback keeps this frame alive; it must not keep the memory


class Pipeline:
    """All digests of one object in one pass.

    Args:
        algorithms: digests to compute.
        size: bytes of the object; an object that fits into a single buffer needs no threads.
        stop: ends the computation from any thread.
        inline: False runs even the cheap digests on a separate thread, because the submitter is an event loop.
    """

    def __init__(
        self,
        algorithms: Sequence[Algorithm],
        *,
        size: int,
        stop: Stop,
        inline: bool = True,
        buffers: int = RING_BUFFERS,
    ) -> None:
        self._hashers = {algorithm.name: algorithm.new() for algorithm in algorithms}
        self._stop = stop
        small = size <= BUFFER_BYTES
        self.ring = Ring(buffers=buffers, buffer_bytes=max(1, min(size, BUFFER_BYTES)), stop=stop)
        light = [self._hashers[algorithm.name] for algorithm in algorithms if small or not algorithm.heavy]
        self._inline = light if inline or small else []
        self._workers = [
            Worker([self._hashers[algorithm.name]], self.ring, stop, algorithm.name)
            for algorithm in algorithms
            if algorithm.heavy and not small
        ]
        if light and not self._inline:
            self._workers.append(Worker(light, self.ring, stop, "light"))
        stop.watch(self._give_up)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def submit(self, buffer: Buffer, length: int) -> None:
        """Passes the first `length` bytes of a buffer to every digest; the caller must not use it afterwards."""
        buffer.users = len(self._workers) + 1
        for worker in self._workers:
            worker.put(buffer, length)
        for hasher in self._inline:
            hasher.update(buffer.view[:length])
        self.ring.release(buffer)

    def finish(self) -> dict[str, str]:
        """Waits for the digests (blocking; milliseconds) and returns them in hexadecimal by name.

        Raises:
            Stopped: the computation was stopped, so there is no digest.
        """
        self.close()
        for worker in self._workers:
            worker.join()
            if worker.failure is not None:
                raise worker.failure
        self._stop.check()
        return {name: hasher.hexdigest() for name, hasher in self._hashers.items()}

    def close(self) -> None:
        """Ends the threads. Called on every exit; idempotent."""
        self._stop.unwatch(self._give_up)
        for worker in self._workers:
            worker.close()
        self.ring.close()

    def _give_up(self) -> None:
        # Also ends the threads: nobody closes a pipeline that was created for a caller who has just disconnected.
        self.ring.wake()
        for worker in self._workers:
            worker.close()
