"""The worked example of a built-in function: short, and in the style of the tree."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gateway.errors import ErrorCode, GatewayError
from gateway.objects.model import ObjectKind, ObjectRef, ObjectStat
from tests.worked_example import CHECKOUT, added_lines, build

MAX_LINES = 150
STAT = ObjectStat("p", "http://swift/v1/AUTH_p", ObjectRef("c", "o"), "e", 9, ObjectKind.PLAIN, "text/plain")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    build(folder)
    return folder


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_function_with_contract_and_route_is_short() -> None:
    assert added_lines() <= MAX_LINES


@pytest.mark.parametrize("reply", [{}, {"lines": None}, {"lines": "3"}, {"lines": True}, {"lines": -1}, {"lines": 10}])
def test_result_that_cannot_be_true_is_the_functions_failure(built: Path, reply: dict[str, object]) -> None:
    contract = module(built / "gateway/lines/contract.py").LinesContract()
    with pytest.raises(GatewayError) as caught:
        contract.result(reply, STAT)
    assert caught.value.kind is ErrorCode.FUNCTION_FAILED


def test_result_that_can_be_true_is_taken(built: Path) -> None:
    contract = module(built / "gateway/lines/contract.py").LinesContract()
    assert [contract.result({"lines": lines}, STAT) for lines in (0, 9)] == [0, 9]


def test_code_of_the_page_passes_the_checks_of_the_tree(built: Path) -> None:
    files = [built / "gateway/lines", built / "functions/lines"]
    options = ["--config", str(CHECKOUT / "pyproject.toml"), "--ignore", "S310,S104,N802,ANN401,INP001"]
    subprocess.run([sys.executable, "-m", "ruff", "check", *options, *files], check=True)
    subprocess.run([sys.executable, "-m", "ruff", "format", "--check", *options[:2], *files], check=True)
