"""`osfaas function …` against a server of HTTP that remembers what it was asked."""

import base64
import dataclasses
import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from client import access
from client.errors import CommandError, UnreachableError, WrongUsageError
from client.functions.cli import function
from client.functions.options import fields_of, shares_of
from client.functions.waiting import NotReadyInTimeError, Wait, wait_until_ready
from client.login import Login

IMAGE = "registry.example.org/hello@sha256:" + "0" * 64
NOTHING: dict[str, Any] = {
    "memory_mib": None, "cpu_millis": None, "concurrency": None, "timeout_seconds": None, "min_scale": None,
    "max_scale": None, "port": None, "run_as_user": None, "environment": (), "unset": (), "command": (), "args": (),
    "health_path": None, "image": None, "objects": None, "secrets": (), "unset_secrets": (),
}  # fmt: skip


def shown(**changes: Any) -> dict[str, Any]:
    """A function as the service shows it; `ready` is the status of its condition Ready."""
    ready = changes.pop("ready", True)
    reason, message = changes.pop("reason", "Ready"), changes.pop("message", "")
    accepted = {"type": "Accepted", "status": changes.pop("accepted", True), "reason": "Accepted", "message": ""}
    return {
        "name": "hello",
        "image": IMAGE,
        "url": "http://faas.test/v1/invoke/hello/",
        "port": 8080, "cpu_millis": 250, "memory_mib": 256, "concurrency": 8, "timeout_seconds": 300, "min_scale": 0,
        "max_scale": 5, "objects": False, "attempt": 0,
        "command": [],
        "args": [],
        "environment": {"A": "1"},
        "secrets": [],
        "traffic": None,
        "status": {
            "current": changes.pop("current", True),
            "latest_ready_revision": "hello-00000001",
            "active_revisions": [{"name": "hello-00000001", "percent": 100, "tag": None}],
            "conditions": [accepted, {"type": "Ready", "status": ready, "reason": reason, "message": message}],
        },
        **changes,
    }  # fmt: skip


class Service:
    """Answers by method and path; keeps method, path, fields and JSON of each request."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {}
        self.raw: dict[str, bytes] = {}
        self.locations: dict[str, str] = {}
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                sent = self.rfile.read(length)
                is_json = self.headers.get("Content-Type") == "application/json"
                body = json.loads(sent) if is_json and length else sent or None
                outer.asked.append((self.command, self.path, dict(self.headers), body))
                status, document = outer.answers.get(f"{self.command} {self.path}", (404, error(404, "Not there.")))
                text = b"" if document is None else json.dumps(document).encode()
                if f"{self.command} {self.path}" in outer.raw:
                    status, text = 200, outer.raw[f"{self.command} {self.path}"]
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("ETag", '"u-1"')
                if place := outer.locations.get(f"{self.command} {self.path}"):
                    self.send_header("Location", place)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def written(self) -> tuple[str, dict[str, str], dict[str, Any]]:
        method, _, fields, body = next(each for each in self.asked if each[0] in {"PUT", "PATCH"})
        return method, fields, body["function"]


def error(status: int, message: str) -> dict[str, Any]:
    return {"error": {"code": status, "title": "x", "message": message}, "errors": []}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Service]:
    made = Service()
    now = time.time()
    login = Login(
        token="token", issued_at=now, expires_at=now + 3_600, swift=None, s3=None, verify=True,
        gateway=f"http://127.0.0.1:{made.server.server_port}",
    )  # fmt: skip
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(access.LoginCache, "login", lambda *_: dataclasses.replace(login))
    yield made
    made.server.shutdown()
    made.server.server_close()


def run(*words: str) -> Result:
    return CliRunner().invoke(function, words)


def test_a_new_function_needs_an_image(service: Service) -> None:
    result = run("deploy", "hello")
    assert result.exit_code == 2
    assert "give its --image" in result.output
    assert [each[0] for each in service.asked] == ["GET"]


def test_a_new_function_is_created_and_nothing_that_came_in_between_is_replaced(service: Service) -> None:
    service.answers["PUT /v1/functions/hello"] = (202, {"function": shown(), "changed": True})
    result = run("deploy", "hello", "--image", IMAGE, "--env", "A=b=c", "--memory", "64", "--no-wait")
    assert result.exit_code == 0, result.output
    method, fields, body = service.written()
    assert (method, fields["If-None-Match"]) == ("PUT", "*")
    assert body == {"image": IMAGE, "environment": {"A": "b=c"}, "memory_mib": 64}


def test_a_deployment_keeps_settings_and_sends_the_calls_to_the_new_revision(service: Service) -> None:
    service.answers["GET /v1/functions/hello"] = (200, {"function": shown(traffic=[{"percent": 100}])})
    service.answers["PATCH /v1/functions/hello"] = (202, {"function": shown(), "changed": True})
    assert run("deploy", "hello", "--env", "B=2", "--unset-env", "A", "--again", "--no-wait").exit_code == 0
    method, fields, body = service.written()
    assert (method, fields["If-Match"]) == ("PATCH", '"u-1"')
    assert body == {"environment": {"B": "2"}, "traffic": None, "attempt": 1}


def test_without_traffic_the_calls_stay_where_they_are(service: Service) -> None:
    service.answers["GET /v1/functions/hello"] = (200, {"function": shown()})
    service.answers["PATCH /v1/functions/hello"] = (202, {"function": shown(), "changed": True})
    assert run("deploy", "hello", "--no-traffic", "--no-wait").exit_code == 0
    assert service.written()[2]["traffic"] == [{"percent": 100, "revision": "hello-00000001", "tag": None}]


def test_an_unchanged_deployment_says_so(service: Service) -> None:
    service.answers["GET /v1/functions/hello"] = (200, {"function": shown()})
    service.answers["PATCH /v1/functions/hello"] = (200, {"function": shown(), "changed": False})
    result = run("deploy", "hello", "--image", IMAGE)
    assert (result.exit_code, "nothing to change" in result.output) == (0, True)


def test_a_refusal_is_the_services_sentence(service: Service) -> None:
    service.answers["PUT /v1/functions/hello"] = (422, error(422, "The image is not allowed."))
    result = run("deploy", "hello", "--image", IMAGE)
    assert (result.exit_code, result.output.strip()) == (1, "osfaas: The image is not allowed.")


def test_a_rollback_chooses_the_newest_ready_revision_before_the_present_one(service: Service) -> None:
    def revision(name: str, *, ready: bool, percent: int = 0) -> dict[str, Any]:
        return {"name": name, "created_at": "", "ready": ready, "percent": percent, "tags": [], "reason": ""}

    found = [
        revision("hello-4", ready=False),
        revision("hello-3", ready=True, percent=100),
        revision("hello-2", ready=False),
        revision("hello-1", ready=True),
    ]
    service.answers["GET /v1/functions/hello/revisions"] = (200, {"revisions": found})
    service.answers["PATCH /v1/functions/hello"] = (202, {"function": shown(), "changed": True})
    assert run("rollback", "hello", "--no-wait").exit_code == 0
    assert service.written()[2] == {"traffic": [{"percent": 100, "revision": "hello-1", "tag": None}]}
    service.answers["GET /v1/functions/hello/revisions"] = (200, {"revisions": found[:3]})
    result = run("rollback", "hello", "--no-wait")
    assert (result.exit_code, "no earlier revision" in result.output) == (1, True)


def test_a_list_follows_its_pages(service: Service) -> None:
    links = [{"rel": "next", "href": "http://elsewhere.test/v1/functions"}]
    first = {"functions": [shown(name="a")], "functions_links": links}
    service.answers["GET /v1/functions?limit=100"] = (200, first)
    service.answers["GET /v1/functions?limit=100&marker=a"] = (200, {"functions": [shown(name="b", ready=False)]})
    lines = run("list").output.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "a", "b"]


def test_output_of_a_function_cannot_write_to_the_terminal(service: Service) -> None:
    log = {"pod": "p", "revision": "r", "running": True, "text": "one\n\x1b]0;title\x07two\n"}
    service.answers["GET /v1/functions/hello/logs?tail=100"] = (200, {"logs": [log]})
    output = run("logs", "hello").output
    assert "one\n" in output
    assert "\x1b" not in output


def test_a_function_is_deleted_after_a_question(service: Service) -> None:
    service.answers["DELETE /v1/functions/hello"] = (204, None)
    assert CliRunner().invoke(function, ["delete", "hello"], input="n\n").exit_code == 1
    assert service.asked == []
    assert run("delete", "hello", "--yes").exit_code == 0


@pytest.mark.parametrize("word", ["=1", "A", ""])
def test_a_variable_needs_a_name_and_a_sign(word: str) -> None:
    with pytest.raises(WrongUsageError):
        fields_of({**NOTHING, "environment": (word,)}, None)


def test_what_is_not_given_is_not_sent() -> None:
    assert fields_of(NOTHING, shown()) == {}


def test_shares_are_read() -> None:
    assert shares_of(("hello-1=90", "latest@canary=10")) == [
        {"percent": 90, "revision": "hello-1", "tag": None},
        {"percent": 10, "revision": None, "tag": "canary"},
    ]
    for word in ("hello-1", "hello-1=x", "=5", "a@b@c=1"):
        with pytest.raises(WrongUsageError):
            shares_of((word,))


def waited(
    *states: dict[str, Any] | CommandError, seconds: float = 60, condition: str = "Ready"
) -> tuple[dict[str, Any], list[str]]:
    """Waits on these states, the last of which stays; each look takes a second."""
    left, now, said = list(states), [0.0], []

    def read() -> dict[str, Any]:
        now[0] += 1
        state = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(state, CommandError):
            raise state
        return state

    wait = Wait(seconds, read, said.append, sleep=lambda _: None, clock=lambda: now[0], condition=condition)
    return wait_until_ready(wait), said


def test_progress_is_told_once_and_the_status_of_an_older_specification_is_none() -> None:
    starting = shown(ready=None, reason="Deploying", message="it starts\nmore")
    found, said = waited(shown(current=False), starting, starting, shown())
    assert found["name"] == "hello"
    assert [line.split("s  ", 1)[1] for line in said] == [
        "stored; waiting for the controller",
        "Deploying: it starts",
        "ready: revision hello-00000001",
    ]


def test_a_failure_that_stays_ends_the_wait_with_its_reason() -> None:
    with pytest.raises(CommandError, match="CrashLoopBackOff: exit code 3"):
        waited(shown(ready=False, reason="CrashLoopBackOff", message="exit code 3"))


def test_a_service_that_nobody_answers_for_a_while_is_waited_for() -> None:
    """As while the functions API restarts; at the end of the time it is the reason, and a refusal is at once."""
    away = UnreachableError("The gateway cannot be reached.")
    found, said = waited(shown(ready=None, reason="Deploying"), away, away, shown())
    assert found["name"] == "hello"
    assert [line.split("s  ", 1)[1] for line in said[1:3]] == [str(away)] * 2
    with pytest.raises(UnreachableError):
        waited(away)
    with pytest.raises(CommandError, match="No"):
        waited(CommandError("No.", status=403), shown())


def test_a_failure_that_passes_does_not() -> None:
    waited(shown(ready=False, reason="ErrImagePull"), shown(ready=None, reason="Deploying"), shown())


def test_a_pod_that_finds_no_place_is_waited_for_until_the_time_is_over() -> None:
    """Other pods end, and nodes are added: it starts later. The reason is shown meanwhile and in the end."""
    nowhere = shown(ready=False, reason="Unschedulable", message="0/1 nodes are available: 1 Insufficient cpu.")
    _, said = waited(*[nowhere] * 30, shown())
    assert [line.split("s  ", 1)[1] for line in said] == [
        "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu.",
        "ready: revision hello-00000001",
    ]
    with pytest.raises(NotReadyInTimeError, match=r"within 60 s; the controller continues\. The last reason: Unsched"):
        waited(nowhere)


def test_a_failure_after_a_passing_one_has_its_own_time() -> None:
    nowhere, failed = (shown(ready=False, reason=each) for each in ("Unschedulable", "ErrImagePull"))
    waited(*[nowhere] * 30, failed, failed, shown())


def test_a_rejected_specification_ends_the_wait_at_once() -> None:
    rejected = shown(ready=False, accepted=False, reason="ImageNotAllowed", message="not there")
    with pytest.raises(CommandError, match="ImageNotAllowed: not there"):
        waited(rejected, shown())


def shared(assigned: bool | None, **changes: Any) -> dict[str, Any]:
    """A function whose latest revision is not built."""
    function = shown(ready=False, reason="BuildFailed", message="why", **changes)
    for type_, status in (("Built", False), ("TrafficAssigned", assigned)):
        condition = {"type": type_, "status": status, "reason": "NotBuilt", "message": "not built"}
        function["status"]["conditions"].append(condition)
    return function


def test_a_change_of_shares_does_not_wait_for_the_latest_revision() -> None:
    """It may be broken, and the change be the way back to a revision that is not."""
    _, said = waited(shared(None), shared(True), condition="TrafficAssigned")
    assert said[-1].endswith("TrafficAssigned: the calls are shared as wanted")
    with pytest.raises(CommandError, match="BuildFailed: why"):
        waited(shared(True))
    with pytest.raises(CommandError, match="NotBuilt: not built"):
        waited(shared(False), condition="TrafficAssigned")
    with pytest.raises(CommandError, match="BuildFailed: why"):
        waited(shared(True, accepted=False), condition="TrafficAssigned")


def test_the_wait_ends() -> None:
    with pytest.raises(NotReadyInTimeError, match="within 10 s; the controller continues"):
        waited(shown(ready=None, reason="Deploying"), seconds=10)


@pytest.mark.parametrize("flag", [True, False])
def test_objects_are_switched_on_and_off_and_stay_otherwise(flag: bool) -> None:
    assert fields_of({**NOTHING, "objects": flag}, shown()) == {"objects": flag}


SECRET = {"secret": {"name": "db", "changed_at": "2026-11-24T12:00:00Z", "used_by": ["hello"]}}


def test_a_secret_comes_from_stdin_or_a_file_and_no_argument_takes_it(service: Service, tmp_path: Path) -> None:
    """Arguments are visible to all users of a machine, and stay in the history of a shell."""
    service.answers["PUT /v1/secrets/db"] = (200, SECRET)
    file = tmp_path / "value"
    file.write_bytes(b"\x00hunter2\n")
    typed = CliRunner().invoke(function, ["secret", "set", "db"], input=b"hunter2\n")
    assert (typed.exit_code, "a new revision is made of: hello" in typed.output) == (0, True)
    assert run("secret", "set", "db", "--from-file", str(file)).exit_code == 0
    assert run("secret", "set", "db", "hunter2").exit_code == 2
    sent = [body["secret"] for method, _, _, body in service.asked if method == "PUT"]
    assert [base64.b64decode(each["payload"]) for each in sent] == [b"hunter2\n", b"\x00hunter2\n"]
    assert "hunter2" not in typed.output


def test_an_empty_or_a_large_value_is_not_sent(service: Service) -> None:
    for value in (b"", b"x" * 40_000):
        assert CliRunner().invoke(function, ["secret", "set", "db"], input=value).exit_code == 2
    assert service.asked == []


def follows(service: Service, text: bytes) -> Result:
    service.raw["GET /v1/functions/hello/logs?follow=true&tail=100"] = text
    return run("logs", "hello", "--follow")


def test_a_log_is_followed_to_its_end(service: Service) -> None:
    lines = [{"pod": "a", "revision": "hello-1", "text": "one\x1b[2J\n"}, {"ended": "deleted"}]
    result = follows(service, b"\n".join(json.dumps(line).encode() for line in lines) + b"\n")
    assert result.exit_code == 0
    assert "== a (hello-1)\none\N{REPLACEMENT CHARACTER}[2J\n" in result.output
    assert "the function was deleted" in result.output


@pytest.mark.parametrize("text", [b"", b'{"pod": "a", "revision": "r", "text": "x"}\n', b"<html>\n", b"[]\n"])
def test_a_log_that_breaks_off_is_a_failure(service: Service, text: bytes) -> None:
    assert follows(service, text).exit_code == 1


def test_secrets_are_listed_and_deleted(service: Service) -> None:
    service.answers["GET /v1/secrets?limit=100"] = (200, {"secrets": [SECRET["secret"]]})
    service.answers["DELETE /v1/secrets/db"] = (204, None)
    assert run("secret", "list").output.splitlines()[1].split() == ["db", "2026-11-24T12:00:00Z", "hello"]
    assert run("secret", "delete", "db", "--yes").exit_code == 0


def test_mounted_secrets_are_added_and_taken_away(service: Service) -> None:
    fields = fields_of({**NOTHING, "secrets": ("b",), "unset_secrets": ("a",)}, shown(secrets=["a", "c"]))
    assert fields == {"secrets": ["b", "c"]}


def test_a_record_that_cannot_be_read_is_told_and_hides_no_other(service: Service) -> None:
    bad = {"name": "odd", "message": "Function odd is malformed"}
    service.answers["GET /v1/functions?limit=100"] = (200, {"functions": [shown()], "functions_malformed": [bad]})
    result = run("list")
    assert result.exit_code == 0
    assert "hello" in result.output
    assert "not listed: Function odd is malformed" in result.output
