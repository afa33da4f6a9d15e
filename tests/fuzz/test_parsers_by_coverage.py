"""The properties of the parsers, looked into by Atheris: a while for each, from nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = ("test_parsers", "test_upstream_replies")
# What is decorated by `given` and perhaps more.
PROPERTY = re.compile(r"^@given(?:.*\n)+?def (test_\w+)", re.MULTILINE)
PROPERTIES = [
    name
    for module in MODULES
    for name in PROPERTY.findall((ROOT / f"tests/unit/gateway/{module}.py").read_text(encoding="utf-8"))
]
SECONDS = 20


@pytest.mark.long
@pytest.mark.timeout(SECONDS + 900)
@pytest.mark.parametrize("name", PROPERTIES)
def test_no_input_is_found_that_breaks_the_property(name, tmp_path):
    arguments = [f"-max_total_time={SECONDS}", f"-artifact_prefix={tmp_path}/", "-max_len=2048", "-verbosity=0"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", name, *arguments, "-print_final_stats=1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS + 880,
    )
    runs = re.search(r"number_of_executed_units: *(\d+)", done.stderr)
    print(name, runs[1] if runs else "no count")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert runs
    assert int(runs[1]) > 100
