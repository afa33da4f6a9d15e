"""The archive of a folder is always the same; what is no code is left out or refused."""

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from client.errors import CommandError
from client.functions.building import BuildStages, described, stage_lines
from client.functions.folder import read_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "hello"
    made.mkdir()
    (made / "main.py").write_text("def main(request): return 'x'\n")
    (made / "data").mkdir()
    (made / "data" / "words.txt").write_text("a b\n")
    return made


def names(archive: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(archive))) as opened:
        return opened.getnames()


def test_archive_depends_on_the_files_alone(folder: Path) -> None:
    first = read_folder(folder)
    os.utime(folder / "main.py", (1, 1))
    (folder / "main.py").chmod(0o600)
    assert read_folder(folder) == first
    assert (first.name, first.runtime.name) == ("hello", "framework")
    (folder / "main.py").write_text("def main(request): return 'y'\n")
    assert read_folder(folder).digest != first.digest


def test_what_tools_leave_is_left_out(folder: Path) -> None:
    digest = read_folder(folder).digest
    for name in (".git", ".osfaas", "__pycache__", ".venv"):
        (folder / name).mkdir()
        (folder / name / "x").write_text("x")
    (folder / "data" / "a.pyc").write_text("x")
    assert read_folder(folder).digest == digest
    assert names(read_folder(folder).archive) == ["data/words.txt", "main.py"]


@pytest.mark.parametrize("target", ["/etc/passwd", "/etc", None])
def test_what_is_no_file_is_refused(folder: Path, target: str | None) -> None:
    if target:
        (folder / "odd").symlink_to(target)
    else:
        os.mkfifo(folder / "odd")
    with pytest.raises(CommandError, match="is no file"):
        read_folder(folder)


def test_folder_without_a_function_or_with_a_name_of_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CommandError, match="The folder has no function"):
        read_folder(tmp_path / "empty")
    (tmp_path / "My_Function").mkdir()
    with pytest.raises(CommandError, match="cannot be the name of a function"):
        read_folder(tmp_path / "My_Function")


def test_settings_are_fields_of_a_function(folder: Path) -> None:
    (folder / "function.toml").write_text("objects = true\nmemory_mib = 512\n")
    assert read_folder(folder).settings == {"objects": True, "memory_mib": 512}
    for text, why in (("image = 'x'", "unknown setting 'image'"), ("objects =", "cannot be read")):
        (folder / "function.toml").write_text(text)
        with pytest.raises(CommandError, match=why):
            read_folder(folder)


def test_stages_are_shown_once_and_other_output_is_not() -> None:
    resolve = '{"stage": "resolve", "seconds": 1.25, "packages": 2}'
    text = f'{resolve}\nhello\n{{"stage": "x", "seconds": 1}}\n{{"stage": "push"}}\n[1]\n'
    assert [described(line) for line in stage_lines(text)] == ["resolve: 1.2 s, 2 packages"]
    said: list[str] = []
    stages = BuildStages(lambda: [{"pod": "p", "text": text}], said.append)
    stages.show()
    stages.show()
    assert said == ["resolve: 1.2 s, 2 packages"]


def test_log_that_cannot_be_read_disturbs_no_deployment() -> None:
    def read() -> list[dict[str, object]]:
        raise CommandError("no")

    BuildStages(read, pytest.fail).show()
