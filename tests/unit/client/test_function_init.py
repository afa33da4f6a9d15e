"""What `osfaas function init` refuses; that its template works shows tests/integration/test_function_desk.py."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from builds.runtimes import RUNTIMES, detect_runtime
from client.cli import main
from client.errors import CommandError
from client.functions.init import write_template


@pytest.mark.parametrize(
    "name", ["", "A", "1a", "a_b", "a-", "-a", "../a", "a/b", "/tmp/a", "a" * 41, "a.b", "ä", "a\n", "a b", ".."]
)
def test_name_that_no_function_can_have_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be the name of a function"):
        write_template(tmp_path, name, "framework")
    assert list(tmp_path.iterdir()) == []


def test_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "main.py").write_text("x = 1\n")
    with pytest.raises(CommandError, match="is not empty"):
        write_template(tmp_path, "mine", "framework")
    assert [file.read_text() for file in (tmp_path / "mine").iterdir()] == ["x = 1\n"]


def test_file_in_the_way_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with pytest.raises(CommandError, match="cannot be written: "):
        write_template(tmp_path, "mine", "framework")


@pytest.mark.parametrize("runtime", RUNTIMES, ids=lambda runtime: runtime.name)
def test_template_selects_its_runtime_and_names_the_function(runtime, tmp_path: Path) -> None:
    folder = write_template(tmp_path, "resize-2", runtime.name)
    files = {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()}
    assert detect_runtime(files) is runtime
    assert files.keys() == {runtime.file, "requirements.txt", "test_function.py", "README.md", ".gitignore"}
    assert "'resize-2'" in files[runtime.file]
    assert not any("$name" in text for text in files.values())


def test_command_says_what_is_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["function", "init", "hello"])
    assert (done.exit_code, done.output) == (0, "Created hello. Next: osfaas function serve hello\n")
    again = CliRunner().invoke(main, ["function", "init", "hello"])
    assert (again.exit_code, "hello exists and is not empty." in again.output) == (1, True)
