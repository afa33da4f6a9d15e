"""The file at the top of a folder selects the runtime."""

import pytest

from builds.errors import RuntimeNotFoundError
from builds.runtimes import ASGI, CONSTRAINTS, FRAMEWORK, RUNTIMES, detect_runtime, package_of, pins_of


def test_folder_without_either_file_is_told_both() -> None:
    with pytest.raises(RuntimeNotFoundError, match=r"main\.py with main\(request\).* or func\.py with handle"):
        detect_runtime(["app.py", "requirements.txt"])


def test_file_in_a_subfolder_is_named() -> None:
    """An archive of the folder instead of its content is the usual mistake."""
    with pytest.raises(RuntimeNotFoundError, match=r"hello/main\.py is in a subfolder"):
        detect_runtime(["hello/main.py", "hello/requirements.txt"])


def test_both_files_are_refused() -> None:
    """Never both runtimes in one environment."""
    with pytest.raises(RuntimeNotFoundError, match=r"main\.py and func\.py"):
        detect_runtime(["main.py", "func.py"])


@pytest.mark.parametrize(("file", "runtime"), [("main.py", FRAMEWORK), ("func.py", ASGI)])
def test_file_selects_the_runtime(file: str, runtime: object) -> None:
    assert detect_runtime([file, "lib/func.py", "lib/main.py"]) is runtime


@pytest.mark.parametrize("runtime", RUNTIMES, ids=lambda runtime: runtime.name)
def test_every_runtime_is_installed_with_its_pins(runtime) -> None:
    pins = pins_of((package_of(runtime) / CONSTRAINTS).read_text(encoding="utf-8")).splitlines()
    assert any(pin.startswith("uvicorn==") for pin in pins)
    assert not any("hash" in pin or pin.startswith("setuptools") or "\\" in pin for pin in pins)


def test_pins_keep_versions_and_markers_only() -> None:
    digest = " \\\n    --hash=sha256:00"
    locked = f"a==1{digest}\nb-c==2.0 ; python_version < '3.13'{digest}{digest}\n"
    assert pins_of(locked) == "a==1\nb-c==2.0 ; python_version < '3.13'\n"
