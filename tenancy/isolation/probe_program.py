"""Runs inside a probe pod; it is sent there as text, so it uses only the standard library.

`serve WORD PORT...` answers every connection on these ports with the word. `ask` reads probes as a JSON list from one
line of its input, runs all concurrently and prints a JSON list of `[outcome, detail]` in the same order:

    {"kind": "connect", "host": ..., "port": ..., "sends": ..., "refused_with": ..., "seconds": ...}
    {"kind": "resolve", "name": ...}      {"kind": "read", "path": ..., "telling": <regular expression>}
    {"kind": "tasks", "count": ...}       {"kind": "flood", "host": ..., "port": ..., "count": ..., "seconds": ...}

The last two run after the others, one at a time: what they use up, the others need.
"""

import errno
import json
import re
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# Errors from a firewall that rejects instead of dropping, or from a CNI that filters at the socket.
_REJECTED = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EPERM, errno.EACCES)
_MAX_DETAIL_CHARACTERS = 160
_LISTENING_SECONDS = 15


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
    runners = {"connect": _connect, "resolve": _resolve, "read": _read, "tasks": _tasks, "flood": _flood}
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
    return "answered", f"{len(started)} threads ran at once"


def _flood(probe: dict[str, Any]) -> tuple[str, str]:
    opened: list[socket.socket] = []
    deadline = time.monotonic() + _LISTENING_SECONDS
    try:
        while len(opened) < probe["count"]:
            if time.monotonic() > deadline:
                return "timed out", f"{len(opened)} connections in {_LISTENING_SECONDS} s"
            opened.append(socket.create_connection((probe["host"], probe["port"]), timeout=probe["seconds"]))
    except TimeoutError:
        return "timed out", f"no response after {len(opened)} connections"
    except OSError as error:
        return ("refused" if error.errno in _REJECTED else "broken"), f"after {len(opened)} connections: {error}"
    finally:
        for connection in opened:
            connection.close()
    return "answered", f"{len(opened)} connections were open at once"


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], [int(port) for port in sys.argv[3:]])
    else:
        sys.stdout.write(json.dumps(ask(json.loads(sys.stdin.readline()))))
