"""Both runtimes as a container runs them: real processes, real sockets, the end by a signal."""

import concurrent.futures
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from localcloud.ports import free_ports
from tests.machine import scaled, wait_until

RUNTIMES = Path(__file__).resolve().parents[2] / ".cache" / "functions"

MAIN_PY = """
import os, time

def main(request):
    if request.path == "/slow":
        time.sleep(1)
    if request.path == "/fail":
        raise RuntimeError("the password is 1234")
    return {"path": request.path, "query": request.args.get("q"), "body": request.get_data(as_text=True),
            "user": request.headers.get("X-User-Id"), "for": request.remote_addr,
            "service": os.environ.get("K_SERVICE")}
"""
EVENTS_PY = """
import functions_framework

@functions_framework.cloud_event
def main(event):
    print("EVENT", event["type"], event.data, flush=True)
"""
AIO_PY = """
import functions_framework.aio

@functions_framework.aio.http
async def main(request):
    return {"path": request.url.path}
"""
FUNC_PY = """
import asyncio, json, os

async def handle(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        text = (await receive())["text"]
        await send({"type": "websocket.send", "text": text.upper()})
        await send({"type": "websocket.close"})
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(1)
    if scope["path"] == "/fail":
        raise RuntimeError("the password is 1234")
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message.get("more_body", False)
    headers = dict(scope["headers"])
    answer = {"path": scope["path"], "query": scope["query_string"].decode()[2:] or None, "body": body.decode(),
              "user": headers.get(b"x-user-id", b"").decode(), "for": scope["client"][0],
              "service": os.environ.get("K_SERVICE")}
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
"""
INSTANCE_PY = """
class Function:
    def start(self, environment):
        self.port = environment["PORT"]
        print("STARTED", flush=True)
    async def stop(self):
        print("STOPPED", flush=True)
    def ready(self):
        return False, "the model is not loaded"
    async def handle(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": self.port.encode()})

def new():
    return Function()
"""
PROGRAMS = {"framework": ("main.py", MAIN_PY), "asgi": ("func.py", FUNC_PY)}
both = pytest.mark.parametrize("runtime", PROGRAMS)


@dataclass(frozen=True)
class Running:
    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **fields: str) -> httpx.Response:
        return httpx.get(self.url + path, headers=fields, timeout=scaled(60), trust_env=False)

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8")


def start(
    runtime: str, folder: Path, files: Mapping[str, str], **environment: str
) -> "tuple[subprocess.Popen[bytes], int, Path]":
    """A process of the runtime for a folder with these files, with nothing in its environment but what is given."""
    python = RUNTIMES / runtime / "bin" / "python"
    assert python.exists(), "run: make .cache/functions/.installed"
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    (port,) = free_ports(1)
    log = folder / "log"
    settings = {"PATH": os.environ["PATH"], "PORT": str(port), "FUNCTION_FOLDER": str(folder), **environment}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, "-m", f"{runtime}_runtime"],
            env={"FUNCTION_HOST": "127.0.0.1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", **settings},
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    return process, port, log


@contextlib.contextmanager
def running(runtime: str, folder: Path, files: Mapping[str, str], **environment: str) -> Iterator[Running]:
    process, port, log = start(runtime, folder, files, **environment)
    function = Running(process, port, log)

    def listens() -> bool:
        assert process.poll() is None, function.output()
        with contextlib.suppress(httpx.TransportError):
            return function.get("/health/liveness").status_code == 200
        return False

    try:
        wait_until(listens, what="the function")
        yield function
    finally:
        process.kill()
        process.wait()


def ended(runtime: str, folder: Path, files: Mapping[str, str], **environment: str) -> tuple[int, str]:
    """Exit status and output of a function that cannot start."""
    process, _, log = start(runtime, folder, files, **environment)
    try:
        return process.wait(timeout=scaled(60)), log.read_text(encoding="utf-8")
    finally:
        process.kill()
        process.wait()


@both
def test_function_that_does_not_start_says_why_and_exits_with_1(runtime: str, tmp_path: Path) -> None:
    """Kubernetes shows these last lines."""
    name, _ = PROGRAMS[runtime]
    status, output = ended(runtime, tmp_path, {name: "import no_such_package\n"})
    assert status == 1
    assert f"The function cannot start: {name} raised ModuleNotFoundError." in output
    assert "import no_such_package" in output


@both
def test_folder_without_the_file_is_named(runtime: str, tmp_path: Path) -> None:
    name, _ = PROGRAMS[runtime]
    assert ended(runtime, tmp_path, {}) == (
        1,
        f"ERROR {runtime}_runtime: The function cannot start: {tmp_path} has no {name}.\n",
    )


@both
def test_file_without_the_function_says_which_is_missing(runtime: str, tmp_path: Path) -> None:
    name, _ = PROGRAMS[runtime]
    status, output = ended(runtime, tmp_path, {name: "def other():\n    pass\n"})
    assert status == 1
    missing = {"framework": "main.py has no function 'main'", "asgi": "neither handle(scope, receive, send) nor new()"}
    assert missing[runtime] in output


@both
@pytest.mark.parametrize("port", ["0", "70000", "-1", "x", "٣", ""])
def test_port_that_is_none_is_refused(runtime: str, port: str, tmp_path: Path) -> None:
    name, program = PROGRAMS[runtime]
    status, output = ended(runtime, tmp_path, {name: program}, PORT=port)
    assert (status, "PORT must be a whole number from 1 to 65535" in output) == (2, True)


@both
def test_call_arrives_with_path_query_fields_and_body(runtime: str, tmp_path: Path) -> None:
    name, program = PROGRAMS[runtime]
    with running(runtime, tmp_path, {name: program}, K_SERVICE="hello") as function:
        reply = httpx.post(
            f"{function.url}/images/7?q=2",
            content=b"bytes",
            headers={"X-User-Id": "u1", "X-Forwarded-For": "10.9.8.7"},
            timeout=scaled(60),
            trust_env=False,
        )
        assert reply.json() == {
            "path": "/images/7",
            "query": "2",
            "body": "bytes",
            "user": "u1",
            # The peer, never what the caller claims.
            "for": "127.0.0.1",
            "service": "hello",
        }
        assert "server" not in reply.headers or "python" not in reply.headers["server"].lower()


@both
def test_health_is_answered_without_the_function(runtime: str, tmp_path: Path) -> None:
    name, program = PROGRAMS[runtime]
    with running(runtime, tmp_path, {name: program}) as function:
        for path in ("/health/liveness", "/health/readiness"):
            assert (function.get(path).status_code, function.get(path).text) == (200, "OK")


@both
def test_failure_is_a_500_without_the_exceptions_text(runtime: str, tmp_path: Path) -> None:
    """The log has it; the caller may be anybody whom the project lets in."""
    name, program = PROGRAMS[runtime]
    with running(runtime, tmp_path, {name: program}) as function:
        reply = function.get("/fail")
        assert reply.status_code == 500
        assert "1234" not in reply.text
        assert "the password is 1234" in function.output()
        assert function.get("/").status_code == 200


@both
def test_running_calls_are_finished_after_sigterm_and_the_status_is_0(runtime: str, tmp_path: Path) -> None:
    name, program = PROGRAMS[runtime]
    with running(runtime, tmp_path, {name: program}) as function, concurrent.futures.ThreadPoolExecutor() as threads:
        slow = threads.submit(function.get, "/slow")
        time.sleep(0.5)  # that the call has begun shows only in its end
        function.process.send_signal(signal.SIGTERM)
        assert slow.result().json()["path"] == "/slow"
        assert function.process.wait(timeout=scaled(60)) == 0


@both
def test_call_that_outlasts_the_grace_is_cut(runtime: str, tmp_path: Path) -> None:
    name, program = PROGRAMS[runtime]
    patient = program.replace("sleep(1)", "sleep(600)")
    environment = {"FUNCTION_GRACE_SECONDS": "1"}
    with (
        running(runtime, tmp_path, {name: patient}, **environment) as function,
        concurrent.futures.ThreadPoolExecutor() as threads,
    ):
        slow = threads.submit(function.get, "/slow")
        time.sleep(0.5)
        function.process.send_signal(signal.SIGTERM)
        function.process.wait(timeout=scaled(60))
        with contextlib.suppress(httpx.TransportError):
            assert slow.result().status_code >= 500


@both
def test_as_many_calls_run_at_once_as_knative_lets_through(runtime: str, tmp_path: Path) -> None:
    """One second each: in turns they would take twelve."""
    name, program = PROGRAMS[runtime]
    environment = {"FUNCTION_CONCURRENCY": "12"}
    with (
        running(runtime, tmp_path, {name: program}, **environment) as function,
        concurrent.futures.ThreadPoolExecutor(12) as threads,
    ):
        begun = time.monotonic()
        replies = list(threads.map(function.get, ["/slow"] * 12))
        assert [reply.status_code for reply in replies] == [200] * 12
        # Twelve in turns wait for twelve seconds whatever the machine is; at once they wait for one.
        assert time.monotonic() - begun < 11


def test_no_more_calls_run_at_once_than_the_concurrency(tmp_path: Path) -> None:
    """Threads share what a function keeps in memory; one at a time must be possible."""
    with (
        running("framework", tmp_path, {"main.py": MAIN_PY}, FUNCTION_CONCURRENCY="1") as function,
        concurrent.futures.ThreadPoolExecutor(3) as threads,
    ):
        begun = time.monotonic()
        assert [reply.status_code for reply in threads.map(function.get, ["/slow"] * 3)] == [200] * 3
        assert time.monotonic() - begun >= 3


def test_unknown_signature_is_refused(tmp_path: Path) -> None:
    status, output = ended("framework", tmp_path, {"main.py": MAIN_PY}, FUNCTION_SIGNATURE_TYPE="soap")
    assert (status, "FUNCTION_SIGNATURE_TYPE must be one of http, event, cloudevent, typed" in output) == (2, True)


def test_other_function_of_main_py_is_chosen_by_its_name(tmp_path: Path) -> None:
    program = MAIN_PY.replace("def main", "def resize")
    with running("framework", tmp_path, {"main.py": program}, FUNCTION_TARGET="resize") as function:
        assert function.get("/x").json()["path"] == "/x"


def test_cloud_event_reaches_a_decorated_function(tmp_path: Path) -> None:
    fields = {"ce-id": "1", "ce-source": "/s", "ce-type": "object.created", "ce-specversion": "1.0"}
    with running("framework", tmp_path, {"main.py": EVENTS_PY}) as function:
        reply = httpx.post(function.url, json={"a": 1}, headers=fields, timeout=scaled(60), trust_env=False)
        assert reply.status_code == 200
        wait_until(lambda: "EVENT object.created {'a': 1}" in function.output(), what="the event")


def test_async_function_of_functions_framework_runs(tmp_path: Path) -> None:
    with running("framework", tmp_path, {"main.py": AIO_PY}) as function:
        assert function.get("/x").json() == {"path": "/x"}
        assert function.get("/health/readiness").text == "OK"


def test_instance_is_started_asked_and_stopped(tmp_path: Path) -> None:
    """The conventions of Knative's func: `new`, `start`, `ready`, `stop`."""
    with running("asgi", tmp_path, {"func.py": INSTANCE_PY}) as function:
        assert function.get("/").text == str(function.port)
        ready = function.get("/health/readiness")
        assert (ready.status_code, ready.text) == (503, "the model is not loaded")
        function.process.send_signal(signal.SIGTERM)
        assert function.process.wait(timeout=scaled(60)) == 0
        lines = function.output().splitlines()
        assert lines.index("STARTED") < lines.index("STOPPED")


def test_start_that_fails_ends_the_process(tmp_path: Path) -> None:
    program = INSTANCE_PY.replace('print("STARTED", flush=True)', 'raise RuntimeError("no model")')
    status, output = ended("asgi", tmp_path, {"func.py": program})
    assert status == 1
    assert "start() of the function failed" in output
    assert "no model" in output


def test_websocket_reaches_func_py(tmp_path: Path) -> None:
    with (
        running("asgi", tmp_path, {"func.py": FUNC_PY}) as function,
        connect(f"ws://127.0.0.1:{function.port}/chat", open_timeout=scaled(60), proxy=None) as websocket,
    ):
        websocket.send("hello")
        assert websocket.recv() == "HELLO"


@pytest.mark.parametrize(("runtime", "absent"), [("framework", "asgi_runtime"), ("asgi", "functions_framework")])
def test_environment_has_one_runtime_only(runtime: str, absent: str) -> None:
    python = RUNTIMES / runtime / "bin" / "python"
    assert subprocess.run([python, "-c", f"import {absent}"], check=False, capture_output=True).returncode == 1
