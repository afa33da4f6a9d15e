"""The commands of the documentation that have their output behind them print it, with the objects of `make demo`."""

import contextlib
import hashlib
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from localcloud.demo import content_of, upload
from localcloud.stack import envoy_service, running
from tests.machine import scaled

CHECKOUT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"```bash\n((?:(?!```).)*)```\n\n```(?:text|json)\n(.*?)```", re.DOTALL)
PLACEHOLDER = "https://faas.example.org"
TUTORIAL = "docs/tutorials/first-checksum.md"
# Pages whose examples run here, and how many each has. The tutorial of onboarding runs in tests/cluster.
AT_LEAST = {
    "README.md": 1,
    TUTORIAL: 8,
    "docs/how-to/get-checksums.md": 6,
    "docs/how-to/many-objects.md": 1,
    "docs/how-to/command-line.md": 3,
    "docs/how-to/dynafed.md": 1,
    "docs/how-to/write-a-function.md": 1,
}
BLOCKS = [
    pytest.param(page, commands, output, id=f"{page}-{number}")
    for page in AT_LEAST
    for number, (commands, output) in enumerate(BLOCK.findall((CHECKOUT / page).read_text(encoding="utf-8")))
]


@pytest.fixture(scope="module")
def environment(request, cloud, gateway, start_gateway, tmp_path_factory):
    """A shell's for each page, as the demo's commands prepare it; behind curl's Envoy nothing is computed yet."""
    home = tmp_path_factory.mktemp("home")
    upload(cloud, home)
    # Its progress would stand on the same line as the output.
    (home / ".curlrc").write_text("silent\n")
    with start_gateway() as fresh, contextlib.ExitStack() as stack:
        envoy = envoy_service(cloud.state, program=cloud.bin / "envoy", gateways=[fresh.service.port])
        front = stack.enter_context(running(envoy))
        yield {
            "PATH": f"{cloud.bin}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml),
            "OS_CLOUD": "alice",
            "TOKEN": cloud.token("alice"),
            "FAAS": f"http://127.0.0.1:{front.port}",
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


def test_every_page_with_outputs_runs_here_or_on_the_cluster():
    pages = [str(page.relative_to(CHECKOUT)) for page in (CHECKOUT / "docs").rglob("*.md")]
    with_outputs = {page for page in pages if BLOCK.search((CHECKOUT / page).read_text(encoding="utf-8"))}
    tutorials = ("onboard-a-project", "from-a-folder-to-a-url")
    on_cluster = {"docs/how-to/deploy-a-function.md", *(f"docs/tutorials/{name}.md" for name in tutorials)}
    # tests/unit/client/test_function_rows.py
    of_given_counts = {"docs/how-to/observe-a-function.md"}
    # tests/durable/test_guide.py
    of_databases = {"docs/how-to/run-workers.md"}
    # test_openstack_commands.py
    of_openstack = {"docs/tutorials/openstack.md"}
    # tests/unit/gateway/test_policy_docs.py
    of_policy = {"docs/how-to/policy.md"}
    # tests/stores/test_ceph_guide.py
    of_ceph = {"docs/how-to/dynafed-with-ceph.md"}
    others = on_cluster | of_given_counts | of_databases | of_openstack | of_policy | of_ceph
    assert with_outputs | {"README.md"} == AT_LEAST.keys() | others


@pytest.mark.parametrize(("environment", "commands", "output"), BLOCKS, indirect=["environment"], scope="module")
def test_documented_commands_print_what_the_page_says(environment, commands, output):
    """Each line of the page is a line of the output; `…` is anything."""
    printed = run(commands, environment)
    for line in output.splitlines():
        expected = ".*".join(map(re.escape, line.split("…")))
        assert any(re.fullmatch(expected, each) for each in printed), (line, printed)


def test_the_tutorials_table_has_the_digests_of_the_files():
    """The rows that the demo prints cannot be run here; they are compared with other programs' digests."""
    text = (CHECKOUT / TUTORIAL).read_text(encoding="utf-8")
    rows = re.findall(r"^    (\S+) +([\d,]+)  (\w+) +([0-9a-f]+) +(?:computed|native) +[\d.]+  ok$", text, re.MULTILINE)
    assert len(rows) == 3
    for name, size, algorithm, digest in rows:
        content = content_of(name)
        right = (
            f"{zlib.adler32(content):08x}" if algorithm == "adler32" else hashlib.new(algorithm, content).hexdigest()
        )
        assert (size, digest) == (f"{len(content):,}", right)


@pytest.mark.parametrize("environment", ["docs/how-to/federation-credential.md"], indirect=True, scope="module")
def test_roles_of_a_federation_are_assigned_by_the_documented_commands(environment, cloud):
    """Where a project's name stands in two domains, and by an administrator."""
    text = (CHECKOUT / "docs" / "how-to" / "federation-credential.md").read_text(encoding="utf-8")
    commands = "\n".join(re.findall(r"^openstack role add .*$", text, re.MULTILINE))
    assert commands.count("role add") == 2
    run(commands, environment | {"OS_CLOUD": "admin", "PROJECT": cloud.users["alice"].project_id})
