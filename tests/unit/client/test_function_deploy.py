"""`osfaas function deploy FOLDER`: what is uploaded, what is shown, and when nothing is done."""

from pathlib import Path
from typing import Any

import pytest

from client.functions.folder import read_folder
from tests.unit.client.test_functions import Service, error, run, service, shown  # noqa: F401 - a fixture

STAGES = (
    '{"stage": "resolve", "seconds": 1.25, "packages": 2}\n{"stage": "push", "seconds": 1, "digest": "sha256:0a"}\n'
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "hello"
    made.mkdir()
    (made / "main.py").write_text("def main(request): return 'x'\n")
    (made / "function.toml").write_text("objects = true\nmemory_mib = 512\n")
    return made


def built(status: bool | None, message: str = "") -> dict[str, Any]:
    return {"type": "Built", "status": status, "reason": "Building", "message": message}


def of_source(folder: Path, *conditions: dict[str, Any], **changes: Any) -> dict[str, Any]:
    made = shown(image=None, source=read_folder(folder).digest, **changes)
    made["status"]["conditions"] += conditions
    return made


def test_new_folder_is_uploaded_before_the_function_is_made(service: Service, folder: Path) -> None:  # noqa: F811
    digest = read_folder(folder).digest
    service.answers["PUT /v1/functions/hello/source"] = (201, {"source": {"digest": digest}})
    service.answers["PUT /v1/functions/hello"] = (202, {"function": of_source(folder), "changed": True})
    result = run("deploy", str(folder), "--memory", "128", "--no-wait")
    assert result.exit_code == 0, result.output
    (upload, create) = [each for each in service.asked if each[0] == "PUT"]
    assert (upload[1], upload[3]) == ("/v1/functions/hello/source", read_folder(folder).archive)
    # Options come before the folder's settings.
    assert create[3]["function"] == {"objects": True, "memory_mib": 128, "source": digest}
    assert "runtime framework (main.py)" in result.output


def test_unchanged_folder_is_not_uploaded(service: Service, folder: Path) -> None:  # noqa: F811
    service.answers["GET /v1/functions/hello"] = (200, {"function": of_source(folder, built(True))})
    service.answers["PATCH /v1/functions/hello"] = (200, {"function": of_source(folder), "changed": False})
    result = run("deploy", str(folder))
    assert (result.exit_code, "nothing to change" in result.output) == (0, True), result.output
    assert not [each for each in service.asked if each[0] == "PUT"]


def test_stages_of_the_build_are_shown_until_it_fails(service: Service, folder: Path) -> None:  # noqa: F811
    failed = {"ready": False, "reason": "BuildFailed", "message": "resolve: no such package"}
    service.answers["GET /v1/functions/hello/build-logs?tail=50"] = (200, {"logs": [{"pod": "p", "text": STAGES}]})
    function = of_source(folder, built(None, "it runs"), ready=None, reason="Building", message="it runs")
    service.answers["GET /v1/functions/hello"] = (200, {"function": function})
    service.answers["PATCH /v1/functions/hello"] = (202, {"function": function, "changed": True})
    result = run("deploy", str(folder), "--timeout", "0")
    assert (result.exit_code, "was not ready within" in result.output) == (3, True)
    for line in ("resolve: 1.2 s, 2 packages", "push: 1.0 s, sha256:0a", "Building: it runs"):
        assert line in result.output
    service.answers["GET /v1/functions/hello"] = (200, {"function": of_source(folder, built(False), **failed)})
    result = run("deploy", str(folder))
    assert (result.exit_code, "BuildFailed: resolve: no such package." in result.output) == (1, True), result.output


def test_archive_that_is_refused_changes_no_function(service: Service, folder: Path) -> None:  # noqa: F811
    service.answers["PUT /v1/functions/hello/source"] = (422, error(422, "The archive is refused."))
    result = run("deploy", str(folder))
    assert (result.exit_code, "The archive is refused." in result.output) == (1, True)
    assert [each[:2] for each in service.asked if each[0] != "GET"] == [("PUT", "/v1/functions/hello/source")]


def test_log_of_the_last_build_is_printed(service: Service) -> None:  # noqa: F811
    log = {"pod": "build-hello-x", "running": False, "text": "one\ntwo\x1b[2J\n"}
    service.answers["GET /v1/functions/hello/build-logs?tail=100"] = (200, {"logs": [log]})
    result = run("logs", "hello", "--build")
    assert (result.exit_code, "one\n" in result.output, "\x1b" in result.output) == (0, True, False)
