"""The commands of the documentation that have their output behind them print it, with the objects of `make demo`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from localcloud.demo import upload
from tests.machine import scaled

CHECKOUT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"```bash\n((?:(?!```).)*)```\n\n```(?:text|json)\n(.*?)```", re.DOTALL)
PLACEHOLDER = "https://faas.example.org"
AT_LEAST = {"README.md": 1, "docs/how-to/storage-federations.md": 1, "docs/how-to/user-guide.md": 9}
BLOCKS = [
    pytest.param(commands, output, id=f"{page}-{number}")
    for page in AT_LEAST
    for number, (commands, output) in enumerate(BLOCK.findall((CHECKOUT / page).read_text(encoding="utf-8")))
]


@pytest.fixture(scope="module")
def environment(cloud, gateway, start_gateway, tmp_path_factory):
    """A shell's, as the demo's commands prepare it; curl's gateway is one that has computed nothing yet."""
    home = tmp_path_factory.mktemp("home")
    upload(cloud, home)
    # Its progress would stand on the same line as the output.
    (home / ".curlrc").write_text("silent\n")
    with start_gateway() as fresh:
        yield {
            "PATH": f"{cloud.bin}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml),
            "OS_CLOUD": "alice",
            "TOKEN": cloud.token("alice"),
            "FAAS": fresh.url,
        }


def run(commands, environment):
    """What they print, on stderr as well."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands.replace(PLACEHOLDER, environment["FAAS"])],
        env=environment,
        cwd=environment["HOME"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=scaled(120),
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return [line.strip() for line in done.stdout.splitlines()]


@pytest.mark.parametrize("page", AT_LEAST)
def test_no_page_loses_the_outputs_that_are_compared(page):
    assert len(BLOCK.findall((CHECKOUT / page).read_text(encoding="utf-8"))) >= AT_LEAST[page]


@pytest.mark.parametrize(("commands", "output"), BLOCKS)
def test_documented_commands_print_what_the_page_says(environment, commands, output):
    """Each line of the page is a line of the output; `…` is anything."""
    printed = run(commands, environment)
    for line in output.splitlines():
        expected = ".*".join(map(re.escape, line.split("…")))
        assert any(re.fullmatch(expected, each) for each in printed), (line, printed)


def test_roles_of_a_federation_are_assigned_by_the_documented_commands(environment, cloud):
    """Where a project's name stands in two domains, and by an administrator."""
    text = (CHECKOUT / "docs" / "how-to" / "storage-federations.md").read_text(encoding="utf-8")
    commands = "\n".join(re.findall(r"^openstack role add .*$", text, re.MULTILINE))
    assert commands.count("role add") == 2
    run(commands, environment | {"OS_CLOUD": "admin", "PROJECT": cloud.users["alice"].project_id})
