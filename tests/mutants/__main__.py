"""Mutation tests of the code that says who calls and what goes along: `python -m tests.mutants [GROUP …]`.

mutmut changes one thing of a function at a time and runs the tests that reach it; a change that no test notices is a
survivor. It works on a copy in `.cache/mutants`, because it writes beside what it reads. Prints killed and total of
each group, and the survivors; exits with 1 if a group is below the least share. Why what survives does stands in
docs/how-to/tests.md.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from mutmut.stats import status_by_exit_code

ROOT = Path(__file__).parents[2]
WORK = ROOT / ".cache" / "mutants"
LEAST_PERCENT = 85
# Files that are changed, and the tests that are about them.
GROUPS = {
    "identity": ("gateway/identity/[!_a]*.py gateway/identity/authenticate.py", "gateway/test_identity_*.py"),
    "access-rules": ("gateway/identity/access_rules.py", "gateway/test_identity_access_rules.py"),
    "header-hygiene": (
        "gateway/http/head.py gateway/invoke/headers.py gateway/invoke/target.py",
        "gateway/test_http_head.py gateway/test_invoke_headers.py gateway/test_invoke_target.py",
    ),
    "names": ("policies/names.py", "policies/test_names.py"),
}
CONFIGURATION = """
[tool.mutmut]
source_paths = ["gateway", "policies", "tenancy"]
only_mutate = {files}
pytest_add_cli_args_test_selection = ["tests"]
pytest_add_cli_args = ["-p", "no:cacheprovider", "-p", "no:schemathesis"]
timeout_constant = 5.0

[tool.pytest.ini_options]
testpaths = ["tests"]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "session"
asyncio_default_test_loop_scope = "session"
addopts = ["--import-mode=importlib"]
timeout = 120
"""
# The same examples each time, and not the time that they take on a busy machine.
CONFTEST = """
import hypothesis

hypothesis.settings.register_profile("mutants", deadline=None, derandomize=True, max_examples=60, database=None)
hypothesis.settings.load_profile("mutants")
"""


def prepare(group: str) -> Path:
    """A tree with the product, the tests of a group, and mutmut's configuration."""
    files, tests = (patterns.split() for patterns in GROUPS[group])
    tree = WORK / group
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "tests").mkdir(parents=True)
    for package in ("gateway", "policies", "tenancy"):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    for pattern in tests:
        for path in (ROOT / "tests" / "unit").glob(pattern):
            shutil.copy(path, tree / "tests" / path.name)
    (tree / "tests" / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (tree / "pyproject.toml").write_text(CONFIGURATION.format(files=json.dumps(files)), encoding="utf-8")
    return tree


def verdicts(tree: Path) -> dict[str, str]:
    """mutmut's word for each mutant."""
    found: dict[str, str] = {}
    for meta in (tree / "mutants").rglob("*.meta"):
        codes = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
        found |= {name: status_by_exit_code[code] for name, code in codes.items()}
    return found


def examine(group: str, *, children: int) -> bool:
    """Runs one group and prints what came out; whether enough of it was killed."""
    tree = prepare(group)
    mutmut = str(Path(sys.executable).with_name("mutmut"))
    with (WORK / f"{group}.log").open("w", encoding="utf-8") as log:
        subprocess.run([mutmut, "run", "--max-children", str(children)], cwd=tree, stdout=log, stderr=log, check=False)
    found = verdicts(tree)
    alive = sorted(name for name, word in found.items() if word not in {"killed", "timeout"})
    killed = len(found) - len(alive)
    percent = 100 * killed / len(found) if found else 0.0
    print(f"{group}: {killed} of {len(found)} killed, {percent:.1f} %", flush=True)
    for name in alive:
        shown = subprocess.run([mutmut, "show", name], cwd=tree, capture_output=True, text=True, check=False).stdout
        changed = [line for line in shown.splitlines() if line[:1] in "+-" and line[:3] not in {"+++", "---"}]
        print(f"  {name}: {found[name]}", *changed, sep="\n      ", flush=True)
    return percent >= LEAST_PERCENT


def main() -> int:
    parser = argparse.ArgumentParser(description="Mutation tests")
    parser.add_argument("groups", nargs="*", help=", ".join(GROUPS))
    parser.add_argument("--children", type=int, default=2, help="mutants that are tried at once")
    options = parser.parse_args()
    unknown = set(options.groups) - GROUPS.keys()
    if unknown:
        parser.error(f"no such groups: {', '.join(sorted(unknown))}")
    enough = [examine(group, children=options.children) for group in options.groups or GROUPS]
    return 0 if all(enough) else 1


if __name__ == "__main__":
    sys.exit(main())
