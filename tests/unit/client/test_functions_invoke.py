"""`osfaas function invoke`: what is sent, what is printed, and what counts as success."""

import http.client
import io
from typing import Any

import pytest
from click.testing import CliRunner, Result

from client import access
from client.errors import CommandError
from client.functions import invoke as module
from client.functions.cli import function
from client.functions.invoke import Invocation, target_of
from client.login import Login

LOGIN = Login(
    token="secret", issued_at=0, expires_at=9e9, gateway="http://g.test", swift=None, s3=None, verify=True, cached=False
)
OF_GATEWAY = {"Cache-Control": "no-store", "Content-Type": "application/json"}


class Response:
    def __init__(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.status, self.reason, self._headers, self._body = status, "Reason", headers, io.BytesIO(body)

    def getheader(self, name: str, default: str | None = None) -> str | None:
        return self._headers.get(name, default)

    def read(self, size: int = -1) -> bytes:
        return self._body.read(size)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command against responses; each request's parts are kept."""
    sent: list[dict[str, Any]] = []

    def runs(
        *arguments: str, responses: list[Response | Exception], stdin: bytes = b""
    ) -> tuple[Result, list[dict[str, Any]]]:
        waiting = list(responses)

        def send(_login: Login, url: str, **parts: Any) -> Response:
            body = parts.get("body")
            sent.append({"url": url, **parts, "body": body if body is None or isinstance(body, bytes) else body.read()})
            answer = waiting.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(module, "send", send)
        monkeypatch.setattr(access, "with_login", lambda _endpoint, work: work(LOGIN))
        return CliRunner().invoke(function, ["invoke", *arguments], input=stdin), sent

    return runs


def ok(**headers: str) -> Response:
    return Response(200, {f"Osfaas-{name.title()}": value for name, value in headers.items()}, b"reply")


@pytest.mark.parametrize(
    ("invocation", "target"),
    [
        (Invocation(name="f"), "/v1/invoke/f"),
        (Invocation(name="f", path="/a b/ü%20?w=1&x=%2F"), "/v1/invoke/f/a%20b/%C3%BC%20?w=1&x=%2F"),
        (Invocation(name="../f"), "/v1/invoke/..%2Ff"),
        (
            Invocation(name="f", path="/p?w=1", inputs=("a:c/x y&z=1#",), outputs=("c/ü",), overwrite=True),
            "/v1/invoke/f/p?w=1&input=a:c/x%20y%26z%3D1%23&output=c/%C3%BC&overwrite=true",
        ),
    ],
)
def test_target_is_encoded_once(invocation: Invocation, target: str) -> None:
    assert target_of(invocation) == target


def test_tag_keeps_its_sign() -> None:
    """The gateway takes no encoded one for a tag."""
    assert target_of(Invocation(name="hello@canary", path="/a@b")) == "/v1/invoke/hello@canary/a@b"


def test_path_without_a_slash_is_rejected() -> None:
    with pytest.raises(CommandError, match="slash"):
        target_of(Invocation(name="f", path="x"))


def test_reply_goes_to_stdout_and_the_states_to_stderr(run: Any) -> None:
    answer = ok(input='{"name":"1","state":"unchanged","size":5}', output='{"name":"1","state":"written","size":2}')
    done, _ = run("f", "--input", "c/a", "--output", "c/b", responses=[answer])
    assert done.exit_code == 0
    assert done.stdout == "reply"
    assert done.stderr == "osfaas: input 1: unchanged, 5 bytes\nosfaas: output 1: written, 2 bytes\n"


@pytest.mark.parametrize("state", ["missing", "unknown", "refused", "\x1b[2Jwritten"])
def test_output_that_was_not_written_is_no_success(run: Any, state: str) -> None:
    done, _ = run("f", "--output", "c/b", responses=[ok(output=f'{{"name":"1","state":"{state}"}}')])
    assert done.exit_code == 1
    assert done.stdout == "reply"
    assert "\x1b" not in done.stderr


def test_input_that_changed_is_no_success(run: Any) -> None:
    done, _ = run("f", "--input", "c/b", responses=[ok(input='{"name":"1","state":"changed"}')])
    assert (done.exit_code, done.stderr) == (1, "osfaas: input 1: changed\n")


def test_function_that_takes_no_objects_is_found_out(run: Any) -> None:
    """Its query is its own, so the gateway does nothing about them."""
    done, _ = run("f", "--output", "c/b", responses=[ok()])
    assert done.exit_code == 1
    assert "osfaas.dev/objects" in done.stderr


def test_error_of_the_gateway_is_its_sentence(run: Any) -> None:
    body = b'{"error": {"message": "There is already an object."}}'
    headers = {**OF_GATEWAY, "Osfaas-Output": '{"name":"1","state":"refused"}'}
    done, _ = run("f", "--output", "c/b", responses=[Response(409, headers, body)])
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("osfaas: There is already an object.")
    assert "output 1: refused" in done.stderr


def test_error_of_the_function_is_printed_as_it_is(run: Any) -> None:
    done, _ = run("f", responses=[Response(422, {"Cache-Control": "private"}, b"not an image")])
    assert (done.exit_code, done.stdout) == (1, "not an image")
    assert "the function returned 422" in done.stderr


def test_call_is_not_repeated_after_a_failure(run: Any) -> None:
    """It may have been carried out."""
    done, sent = run("f", responses=[http.client.RemoteDisconnected("gone")])
    assert (done.exit_code, len(sent)) == (1, 1)


def test_body_is_a_text_a_file_or_stdin(run: Any, tmp_path: Any) -> None:
    file = tmp_path / "body"
    file.write_bytes(b"of a file")
    _, sent = run("f", "-d", "text ü", "-H", "Content-Type: text/plain", responses=[ok()])
    _, sent = run("f", "-d", f"@{file}", responses=[ok()])
    _, sent = run("f", "-d", "@-", "-X", "PUT", responses=[ok()], stdin=b"of stdin")
    _, sent = run("f", responses=[ok()])
    assert [each["body"] for each in sent] == ["text ü".encode(), b"of a file", b"of stdin", None]
    assert [each["method"] for each in sent] == ["POST", "POST", "PUT", "POST"]
    assert sent[0]["headers"] == {"Content-Type": "text/plain"}
    assert sent[1]["headers"] == {"Content-Length": "9"}


@pytest.mark.parametrize("field", ["X-Auth-Token: stolen", "Content-Length: 1", "no colon", ": x"])
def test_field_that_the_command_sets_or_that_is_none_is_rejected(run: Any, field: str) -> None:
    done, sent = run("f", "-H", field, responses=[])
    assert done.exit_code == 1
    assert not sent


def test_file_that_is_not_there_is_said(run: Any) -> None:
    done, sent = run("f", "-d", "@/nowhere", responses=[])
    assert (done.exit_code, done.stderr) == (1, "osfaas: '/nowhere' cannot be read: No such file or directory.\n")
    assert not sent
