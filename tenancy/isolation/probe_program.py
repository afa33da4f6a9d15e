"""Runs inside a probe pod; it is sent there as text, so it uses only the standard library.

`serve WORD PORT...` answers every connection on these ports with the word. `ask` reads probes as a JSON list from one
line of its input, runs all concurrently and prints a JSON list of `[outcome, detail]` in the same order:

    {"kind": "connect", "host": ..., "port": ..., "sends": ..., "refused_with": ..., "seconds": ...}
    {"kind": "resolve", "name": ...}
    {"kind": "read", "path": ..., "telling": <regular expression>, "kernels": [...]}
    {"kind": "systemcall", "name": ..., "kernels": [...]}
    {"kind": "tasks", "count": ..., "kernels": [...]}
    {"kind": "flood", "host": ..., "port": ..., "count": ..., "seconds": ...}

The last two run after the others, one at a time: what they use up, the others need.
"""

import ctypes
import errno
import json
import os
import re
import resource
import selectors
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# Errors from a firewall that rejects instead of dropping, or from a CNI that filters at the socket.
_REJECTED = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EPERM, errno.EACCES)
# The kernel lacks the call, forbids it, or has no resources for it. After any other error it has run the call.
_NOT_CARRIED_OUT = (errno.ENOSYS, errno.EPERM, errno.EACCES, errno.ENOSPC, errno.EUSERS)
_NEW_USER_NAMESPACE, _USER_MODE_ONLY, _PROCESS_KEYRING = 0x10000000, 1, -2
# An array of one element: type, key size, value size, maximum of entries.
_BPF_ARRAY = b"".join(number.to_bytes(4, "little") for number in (2, 4, 4, 1)).ljust(128, b"\0")
# By name: the numbers on x86-64 and on arm64, and the arguments.
_SYSTEM_CALLS: dict[str, tuple[int, int, tuple[Any, ...]]] = {
    "getpid": (39, 172, ()),
    "io_uring_setup": (425, 425, (1, bytes(120))),
    "bpf": (321, 280, (0, _BPF_ARRAY, 72)),
    "keyctl": (250, 219, (0, _PROCESS_KEYRING, 1)),
    "unshare": (272, 97, (_NEW_USER_NAMESPACE,)),
    "userfaultfd": (323, 282, (_USER_MODE_ONLY,)),
}
_MAX_DETAIL_CHARACTERS = 160
_LISTENING_SECONDS = 15
# With a fifth of a processor, which a probe pod has, ten thousand connections take a sixth of it.
_FLOOD_SECONDS = 90
# Fewer than a usual backlog (net.core.somaxconn).
_WAITING_AT_ONCE = 256


def serve(word: str, ports: list[int]) -> None:
    for port in ports:
        listener = socket.create_server(("", port), backlog=64)
        threading.Thread(target=_answer_all, args=(listener, word)).start()


def _answer_all(listener: socket.socket, word: str) -> None:
    body = f"{word} on {listener.getsockname()[1]}"
    reply = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
    while True:
        connection, _ = listener.accept()
        try:
            with connection:
                connection.settimeout(2)
                connection.recv(4096)
                connection.sendall(reply)
        except OSError:
            continue


def ask(probes: list[dict[str, Any]]) -> list[tuple[str, str]]:
    if not probes:
        return []
    heavy = ("tasks", "flood")
    light = [n for n, probe in enumerate(probes) if probe["kind"] not in heavy]
    with ThreadPoolExecutor(max_workers=max(1, len(light))) as pool:
        answers = dict(zip(light, pool.map(_run_safely, [probes[n] for n in light]), strict=True))
    for n, probe in enumerate(probes):
        if probe["kind"] in heavy:
            answers[n] = _run_safely(probe)
    return [answers[n] for n in range(len(probes))]


def _run_safely(probe: dict[str, Any]) -> tuple[str, str]:
    runners = {
        "connect": _connect,
        "resolve": _resolve,
        "read": _read,
        "systemcall": _system_call,
        "tasks": _tasks,
        "flood": _flood,
    }
    try:
        outcome, detail = runners[probe["kind"]](probe)
    except Exception as error:  # noqa: BLE001 - one broken probe must not affect the others
        outcome, detail = "broken", repr(error)
    return outcome, " ".join(detail.split())[:_MAX_DETAIL_CHARACTERS]


def _connect(probe: dict[str, Any]) -> tuple[str, str]:
    seconds = probe["seconds"]
    try:
        connection = socket.create_connection((probe["host"], probe["port"]), timeout=seconds)
    except TimeoutError:
        return "timed out", f"no response within {seconds} s"
    except OSError as error:
        return ("refused" if error.errno in _REJECTED else "broken"), str(error)
    with connection:
        heard = _hear(connection, probe["sends"]) if probe["sends"] else ""
    if probe["refused_with"] and probe["refused_with"] in heard:
        return "refused", heard
    return "answered", heard or "the connection was accepted, without a response"


def _hear(connection: socket.socket, sends: str) -> str:
    # A function scaled to zero must start first.
    connection.settimeout(_LISTENING_SECONDS)
    try:
        connection.sendall(sends.encode("latin-1"))
        heard = b""
        while len(heard) < _MAX_DETAIL_CHARACTERS * 10 and (more := connection.recv(4096)):
            heard += more
    except OSError:
        pass
    return heard.decode("latin-1")


def _resolve(probe: dict[str, Any]) -> tuple[str, str]:
    return "answered", str(socket.getaddrinfo(probe["name"], 80, proto=socket.IPPROTO_TCP)[0][4][0])


def _read(probe: dict[str, Any]) -> tuple[str, str]:
    try:
        text = Path(probe["path"]).read_text()
    except FileNotFoundError:
        return "refused", "there is no such file"
    except PermissionError as error:
        return "refused", str(error)
    found = re.search(probe["telling"], text, re.MULTILINE)
    if found and not _is_meant(probe):
        return "refused", f"{found.group()} in a sandbox with the kernel {os.uname().release}"
    return ("answered", found.group()) if found else ("refused", text)


def _tasks(probe: dict[str, Any]) -> tuple[str, str]:
    threading.stack_size(32_768)
    ending, started = threading.Event(), []
    try:
        for _ in range(probe["count"]):
            thread = threading.Thread(target=ending.wait)
            thread.start()
            started.append(thread)
    except (RuntimeError, OSError, MemoryError) as error:
        return "refused", f"after {len(started)} threads: {error}"
    finally:
        ending.set()
        for thread in started:
            thread.join()
    told = f"{len(started)} threads ran at once"
    return ("answered", told) if _is_meant(probe) else ("refused", f"{told}, on the kernel of a sandbox")


def _flood(probe: dict[str, Any]) -> tuple[str, str]:
    count, seconds = probe["count"], probe["seconds"]
    sockets: list[socket.socket] = []
    try:
        problem = _open_many(sockets, probe)
        connected = sum(map(_is_connected, sockets))
        # A peer at its own limit may close what its kernel has accepted.
        time.sleep(1 if connected else 0)
        held = sum(map(_is_open, sockets))
    except OSError as error:  # such as too many open files: a limit of this process, of which a pod may have many
        return "broken", f"after {len(sockets)} connections: {error}"
    finally:
        for connection in sockets:
            connection.close()
    told = f"{held} of {count} connections were open at once"
    if held:
        # The target was reached: where it accepted only some, it may have been slow, and that is no defence.
        return "answered", told
    if connected:
        return "refused", f"{told}: {connected} were closed by the other side"
    if not problem:
        return "timed out", f"{told}, and no response within {seconds} s"
    return ("refused" if problem in _REJECTED else "broken"), f"{told}: {os.strerror(problem)}"


def _open_many(sockets: list[socket.socket], probe: dict[str, Any]) -> int:
    """Adds sockets until all are connected, one fails (its error), or none of them gets a response in time (0)."""
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    deadline, waiting = time.monotonic() + _FLOOD_SECONDS, 0
    with selectors.DefaultSelector() as selector:
        while time.monotonic() < deadline:
            while waiting < _WAITING_AT_ONCE and len(sockets) < probe["count"]:
                connection = socket.socket()
                sockets.append(connection)
                connection.setblocking(False)
                problem = connection.connect_ex((probe["host"], probe["port"]))
                if problem not in (0, errno.EINPROGRESS):
                    return problem
                selector.register(connection, selectors.EVENT_WRITE)
                waiting += 1
            ready = selector.select(probe["seconds"]) if waiting else []
            if not ready:
                return 0
            for key, _ in ready:
                connected: Any = key.fileobj
                selector.unregister(connected)
                waiting -= 1
                if problem := connected.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    return int(problem)
    return 0


def _is_connected(connection: socket.socket) -> bool:
    try:
        connection.getpeername()
    except OSError:
        return False
    return True


def _is_open(connection: socket.socket) -> bool:
    """Whether it is connected, and the other side has not closed it."""
    try:
        return _is_connected(connection) and connection.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def _system_call(probe: dict[str, Any]) -> tuple[str, str]:
    error = _carry_out(probe["name"])
    release = os.uname().release
    told = f"{os.strerror(error) if error else 'carried out'} by the kernel {release}"
    if error in _NOT_CARRIED_OUT or not _is_meant(probe):
        return "refused", told
    return "answered", told


def _is_meant(probe: dict[str, Any]) -> bool:
    """Whether the kernel under this process is one of those that the probe is about; without any, all are."""
    return not probe["kernels"] or os.uname().release in probe["kernels"]


def _carry_out(name: str) -> int:
    """The call's error number; in a child, because it may change the process, and a new namespace wants one thread."""
    on_x86, on_arm, arguments = _SYSTEM_CALLS[name]
    number = {"x86_64": on_x86, "aarch64": on_arm}[os.uname().machine]
    library = ctypes.CDLL(None, use_errno=True)
    child = os.fork()
    if not child:
        failed = library.syscall(number, *arguments) < 0
        os._exit(ctypes.get_errno() if failed else 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], [int(port) for port in sys.argv[3:]])
    else:
        sys.stdout.write(json.dumps(ask(json.loads(sys.stdin.readline()))))
