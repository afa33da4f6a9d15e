"""Nothing in `requirements.txt` takes pip to another place than the index."""

import pytest

from builds.errors import DependencyError
from builds.requirements import MOST_BYTES, parse_requirements

HASH = "--hash=sha256:" + "0" * 64


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://evil.example/simple",
        "-i https://evil.example/simple",
        "--extra-index-url=https://evil.example/simple",
        "--find-links /etc",
        "--trusted-host evil.example",
        "--no-binary :all:",
        "--pre",
        "-r other.txt",
        "-c /etc/passwd",
        "-e .",
        "--editable=git+https://evil.example/x.git",
        ".",
        "./local",
        "/etc/passwd",
        "local/package",
        "https://evil.example/x-1-py3-none-any.whl",
        "x @ https://evil.example/x-1-py3-none-any.whl",
        "x@https://evil.example/x.tar.gz",
        "x @ file:///etc/passwd",
        "git+ssh://git@evil.example/x",
        "x==1 --global-option=build",
        "x==1 --config-settings=a=b",
        "x==${HOME}",
        "$(id)",
        "`id`",
        "x==1 --hash=md5:00000000000000000000000000000000",
        "x==1 --hash=sha256:00",
        "_x",
        "é",
        "x\x00y",
        "x\ry",
        "x\u2028--index-url y",
        f"{HASH} x",
    ],
)
def test_line_that_is_more_than_a_name_is_refused(line: str) -> None:
    with pytest.raises(DependencyError, match=r"requirements\.txt is refused"):
        parse_requirements(f"good==1\n{line}\n".encode())


def test_option_behind_a_continued_line_is_refused() -> None:
    """pip joins lines before it reads them."""
    with pytest.raises(DependencyError):
        parse_requirements(b"good==1 \\\n --index-url=https://evil.example\n")


@pytest.mark.parametrize("text", [b"\xff\xfe", b"caf\xe9"])
def test_other_encoding_is_refused(text: bytes) -> None:
    with pytest.raises(DependencyError, match="not UTF-8"):
        parse_requirements(text)


def test_long_file_is_refused() -> None:
    with pytest.raises(DependencyError, match="more than"):
        parse_requirements(b"#" * (MOST_BYTES + 1))


def test_hashes_on_some_lines_only_are_refused() -> None:
    with pytest.raises(DependencyError, match="none for 'y==2'"):
        parse_requirements(f"x==1 {HASH}\ny==2\n".encode())


def test_usual_lines_are_kept() -> None:
    text = """\ufeff# comment
Pillow==12.0.0
requests[socks,use-chardet]>=2,<3,!=2.5.* ; python_version >= '3.11' and sys_platform == "linux"  # why

numpy~=2.0
"""
    found = parse_requirements(text.encode())
    assert found.lines == (
        "Pillow==12.0.0",
        "requests[socks,use-chardet]>=2,<3,!=2.5.* ; python_version >= '3.11' and sys_platform == \"linux\"",
        "numpy~=2.0",
    )
    assert not found.hashed


def test_hashes_are_kept_over_continued_lines() -> None:
    """As pip-compile and uv write them."""
    found = parse_requirements(f"x==1 \\\r\n    {HASH} \\\r\n    {HASH}\r\n".encode())
    assert (found.lines, found.hashed) == ((f"x==1 {HASH} {HASH}",), True)


def test_no_lines_need_nothing() -> None:
    assert parse_requirements(b"# none\n\n").lines == ()
