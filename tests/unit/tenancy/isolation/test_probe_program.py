"""The program of the probe pod against real sockets: it tells answered, refused, timed out and broken apart."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tenancy.isolation import pods
from tests.machine import scaled

PROGRAM = Path(pods.__file__).with_name("probe_program.py").read_text()


def ask(*questions: dict[str, Any], program: str = PROGRAM) -> list[tuple[str, str]]:
    line = json.dumps(list(questions)) + "\n"
    done = subprocess.run(
        [sys.executable, "-c", program, "ask"],
        input=line,
        capture_output=True,
        text=True,
        check=True,
        timeout=scaled(60),
    )
    return [(outcome, said) for outcome, said in json.loads(done.stdout)]


def connect(port: int, host: str = "127.0.0.1", refused_with: str = "") -> dict[str, Any]:
    sends = "GET / HTTP/1.1\r\n\r\n"
    return {"kind": "connect", "host": host, "port": port, "sends": sends, "refused_with": refused_with, "seconds": 1}


@pytest.fixture
def decoy() -> Iterator[int]:
    """The program serving on a port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, "serve", "secret", str(port)])
    try:
        deadline = time.monotonic() + scaled(30)
        while ask(connect(port))[0][0] != "answered":
            assert time.monotonic() < deadline
        yield port
    finally:
        process.kill()
        process.wait()


def test_nobody_listens() -> None:
    """Refused, not timed out."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert ask(connect(port))[0][0] == "refused"


def test_nothing_comes_back() -> None:
    """A full backlog drops the connection, as a policy does."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(address)
        assert ask(connect(address[1]))[0][0] == "timed out"
        for each in waiting:
            each.close()


def test_a_question_that_cannot_be_asked_is_broken_and_takes_no_other_with_it(decoy: int) -> None:
    """A name that does not resolve, a kind that nobody knows."""
    broken, unknown, fine = ask(connect(80, host="no-such-host.invalid"), {"kind": "smell"}, connect(decoy))
    assert (broken[0], unknown[0], fine[0]) == ("broken", "broken", "answered")


def test_an_answer_tells_who_is_there(decoy: int) -> None:
    """The decoy's word and port come back; the words of a refuser make it a refusal."""
    answered, refused = ask(connect(decoy), connect(decoy, refused_with="secret on"))
    assert answered[0] == "answered"
    assert f"secret on {decoy}" in answered[1]
    assert refused[0] == "refused"


def test_a_file_answers_if_the_telling_line_is_in_it(tmp_path: Path) -> None:
    """A missing file and one without the line refuse; one that cannot be read as text is broken."""
    (tmp_path / "status").write_text("Name: x\nSeccomp:\t0\n")
    told = {"kind": "read", "path": str(tmp_path / "status"), "kernels": []}
    outcomes = ask(
        {**told, "telling": r"^Seccomp:\s*0$"},
        {**told, "telling": r"^Seccomp:\s*2$"},
        {**told, "path": str(tmp_path / "missing"), "telling": "."},
        {**told, "path": str(tmp_path), "telling": "."},
    )
    assert [outcome for outcome, _ in outcomes] == ["answered", "refused", "refused", "broken"]


def flood(port: int, count: int) -> dict[str, Any]:
    return {"kind": "flood", "host": "127.0.0.1", "port": port, "count": count, "seconds": 5}


def test_a_flood_holds_thousands_of_connections_of_one_process() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        assert ask(flood(listener.getsockname()[1], 2_000)) == [
            ("answered", "2000 of 2000 connections were open at once")
        ]


def test_a_flood_is_answered_when_some_pass_and_no_more() -> None:
    """A full queue drops the others: whoever is slow has been reached all the same."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        ((outcome, said),) = ask({**flood(listener.getsockname()[1], 50), "seconds": 0.5})
    assert outcome == "answered"
    assert 0 < int(said.split()[0]) < 50


def test_a_flood_that_the_other_side_closes_at_once_holds_nothing() -> None:
    """As a proxy does above its limit of connections: accepted, and ended."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        closing = threading.Thread(target=lambda: [listener.accept()[0].close() for _ in range(50)])
        closing.start()
        ((outcome, said),) = ask(flood(listener.getsockname()[1], 50))
        closing.join()
    told = "0 of 50 connections were open at once: 50 were closed by the other side"
    assert (outcome, said) == ("refused", told)


def test_a_flood_is_refused_with_the_number_that_passed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    ((outcome, said),) = ask(flood(port, 50))
    assert (outcome, said.startswith("0 of 50 connections")) == ("refused", True)


def test_tasks_are_answered_when_all_run_and_refused_at_a_limit() -> None:
    """The order of answers is that of the probes, though these run last."""
    tasks = {"kind": "tasks", "count": 20, "kernels": []}
    status = {"kind": "read", "path": "/proc/self/status", "telling": r"^Name:.*$", "kernels": []}
    first, second = ask(tasks, status)
    assert first == ("answered", "20 threads ran at once")
    assert second[1].startswith("Name:")
    assert ask({**tasks, "kernels": ["0.0.1"]}) == [("refused", "20 threads ran at once, on the kernel of a sandbox")]
    # Linux' own limit of a user, which root does not have.
    line = json.dumps([{"kind": "tasks", "count": 400, "kernels": []}]) + "\n"
    limited = (
        # Another user may not be able to read them.
        "import errno, json, os, re, resource, selectors, socket, sys, threading, time, typing\n"
        "import concurrent.futures.thread, ctypes, pathlib\n"
        "resource.setrlimit(resource.RLIMIT_NPROC, (100, 100))\n"
        "os.setresuid(54321, 54321, 54321) if os.getuid() == 0 else None\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited + PROGRAM, "ask"],
        input=line, capture_output=True, text=True, check=True, timeout=scaled(60),
    )  # fmt: skip
    ((outcome, said),) = json.loads(done.stdout)
    assert outcome == "refused", said
    assert "threads" in said


def system_call(name: str, *kernels: str) -> dict[str, Any]:
    return {"kind": "systemcall", "name": name, "kernels": list(kernels)}


def test_a_call_that_the_kernel_carries_out_is_answered_and_says_which_kernel() -> None:
    """And only by a kernel that was meant: a sandbox's own does no harm to the node."""
    own = os.uname().release
    (anyones, ours, anothers) = ask(
        system_call("getpid"), system_call("getpid", "0.0.1", own), system_call("getpid", "0.0.1")
    )
    assert anyones == ours == ("answered", f"carried out by the kernel {own}")
    assert anothers == ("refused", f"carried out by the kernel {own}")


@pytest.mark.parametrize(
    ("number", "outcome"),
    [
        # No kernel has this one.
        (100_000, "refused"),
        # close(-1): an error of a kernel that did look.
        (3, "answered"),
    ],
)
def test_a_call_that_the_kernel_does_not_have_is_refused(number: int, outcome: str) -> None:
    """Another error is an answer: the kernel's code ran."""
    known = '"getpid": (39, 172, ())'
    assert known in PROGRAM
    changed = PROGRAM.replace(known, f'"getpid": ({number}, {57 if number == 3 else number}, (-1,))')
    assert ask(system_call("getpid"), program=changed)[0][0] == outcome


def test_a_call_that_the_program_does_not_know_is_broken_and_no_defence() -> None:
    """It would look like one."""
    assert ask(system_call("reboot")) == [("broken", "KeyError('reboot')")]


def test_what_a_sandboxs_kernel_says_of_itself_is_nothing_about_the_node() -> None:
    """The file has the words; with another kernel they count as a refusal."""
    own = os.uname().release
    question = {"kind": "read", "path": "/proc/self/status", "telling": "^Name:.*$"}
    outcomes = [ask({**question, "kernels": kernels})[0][0] for kernels in ([], ["0.0.1", own], ["0.0.1"])]
    assert outcomes == ["answered", "answered", "refused"]
