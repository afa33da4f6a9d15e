"""Every program of docs/how-to/python.md runs against the real thing and prints what the page says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from keystoneauth1.adapter import Adapter

from localcloud.demo import content_of
from tests.machine import scaled

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "python.md"
PROGRAMS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


def test_every_program_of_the_page_has_its_output_behind_it():
    assert len(PROGRAMS) == GUIDE.read_text(encoding="utf-8").count("```python") > 3


@pytest.fixture(scope="module")
def environment(cloud, gateway):
    """Alice's, with the objects of the demo."""
    session, url = cloud.session("alice"), f"{cloud.account_url('alice')}/demo"
    session.put(url)
    for name in ("file.txt", "run 2024/notes ü.txt"):
        session.put(f"{url}/{name}", data=content_of(name))
    identifier, secret = cloud.seed.application_credentials["plain"]
    return {
        **os.environ,
        "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml),
        "OS_CLOUD": "alice",
        "OS_AUTH_URL": cloud.auth_url,
        "OS_APPLICATION_CREDENTIAL_ID": identifier,
        "OS_APPLICATION_CREDENTIAL_SECRET": secret,
        "TOKEN": cloud.token("alice"),
        "FAAS": gateway.url,
        "PYTHONIOENCODING": "utf-8",
    }


@pytest.mark.parametrize(("program", "output"), PROGRAMS)
def test_a_program_of_the_page_prints_what_the_page_says(environment, program, output):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=scaled(60),
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, output), done.stderr


@pytest.mark.parametrize(
    ("version", "path", "status"),
    [
        (None, "/checksums/demo/file.txt", 404),
        (None, "/v1/checksums/demo/file.txt", 200),
        ("1", "/checksums/demo/file.txt", 200),
        ("1", "/v1/checksums/demo/file.txt", 404),
    ],
)
def test_an_adapter_that_is_told_the_version_begins_behind_it(environment, cloud, version, path, status):
    faas = Adapter(cloud.session("alice"), service_type="function", version=version)
    assert faas.get(path, raise_exc=False).status_code == status
