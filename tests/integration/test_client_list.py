"""`osfaas checksum list`: what md5sum itself accepts, and failures that are seen in the end."""

import hashlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Bucket

from tests.machine import scaled

OSFAAS = Path(sys.executable).parent / "osfaas"
FILES = {
    "a": b"a",
    "dir/ü b": b"content",
    "back\\slash": b"escaped",
    "new\nline": b"escaped too",
    "empty": b"",
}


@pytest.fixture(scope="module")
def env(cloud, tmp_path_factory):
    own = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "OSFAAS_"))}
    folder = str(tmp_path_factory.mktemp("home"))
    return own | {
        "HOME": folder,
        "XDG_CACHE_HOME": folder,
        "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml),
        "OS_CLOUD": "alice",
    }


@pytest.fixture(scope="module")
def container(cloud, gateway):
    made = Bucket(cloud, "listed")
    for name, data in FILES.items():
        made.put(name, data)
    return made


def run(arguments: list[str], env: dict[str, str], **kwargs) -> subprocess.CompletedProcess[str]:
    command = [OSFAAS, "checksum", "list", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=scaled(240), check=False, **kwargs)


def test_container_that_is_not_there_is_a_sentence(env, gateway):
    done = run(["none"], env)
    assert (done.returncode, done.stdout) == (1, "")
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("osfaas: The object store returned 404 Not Found: the project's account AUTH_")
    assert "has no container 'none'. (tx" in sentence


def test_prefix_that_no_object_has_is_a_failure_that_says_so(env, container):
    """A misspelt prefix and success would look the same: an empty file."""
    done = run([container.name, "--prefix", "run/"], env)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no object in the container 'listed' has the prefix 'run/'" in done.stderr


def test_container_without_objects_is_no_failure(env, cloud, gateway):
    """A job for every container must not fail because of one that is empty."""
    Bucket(cloud, "nothing")
    done = run(["nothing"], env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "osfaas: 0 objects, 0 failed\n")


def test_default_algorithm_is_that_of_get(env, container):
    """One default for one digest, so that the two commands can be compared."""
    listed = run([container.name, "--prefix", "dir/"], env).stdout
    got = subprocess.run(
        [OSFAAS, "checksum", "get", "--os-cloud", "alice", f"{container.name}/dir/ü b"],
        env=env,
        capture_output=True,
        text=True,
        timeout=scaled(240),
        check=True,
    ).stdout
    assert listed == f"{got.strip()}  dir/ü b\n"


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_output_is_what_md5sum_and_its_kin_check(env, container, tmp_path, algorithm):
    for name, data in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    done = run([container.name, "-t", algorithm], env)
    assert (done.returncode, done.stderr) == (0, f"osfaas: {len(FILES)} objects, 0 failed\n")
    check = [f"{algorithm}sum", "--check", "--strict", "--quiet"]
    checked = subprocess.run(check, input=done.stdout, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    assert len(done.stdout.splitlines()) == len(FILES)


def test_prefix_and_json(env, container):
    done = run([container.name, "--prefix", "dir/", "--format", "json", "-t", "SHA-256"], env)
    (line,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert line["object"] == "dir/ü b"
    assert line["digests"] == {"sha256": hashlib.sha256(b"content").hexdigest()}


def test_more_objects_than_fit_on_a_page_and_one_that_fails(env, cloud, gateway):
    many = Bucket(cloud, "pages")
    for number in range(7):
        many.put(f"o{number}", str(number).encode())
    # Its segments' manifest is there, and a segment is not: it can be seen, and not read.
    many.put("segment", b"segment")
    many.put_large("o3-large", ["pages/segment"])
    many.session.delete(f"{many.url}/segment")
    script = "import client.listing, client.commands; client.listing.PAGE = 3; client.commands.checksum()"
    done = subprocess.run(
        [sys.executable, "-c", script, "list", "pages", "-t", "sha1"],
        env=env,
        capture_output=True,
        text=True,
        timeout=scaled(240),
        check=False,
    )
    assert done.returncode == 1
    assert sorted(line.split()[1] for line in done.stdout.splitlines()) == [f"o{n}" for n in range(7)]
    assert done.stderr.count("osfaas: pages/o3-large: ") == 1
    assert done.stderr.endswith("osfaas: 8 objects, 1 failed\n")


def test_progress_is_shown_on_a_terminal_and_never_in_the_output(env, container):
    leader, follower = pty.openpty()
    done = subprocess.run(
        [OSFAAS, "checksum", "list", container.name],
        env=env,
        stdout=subprocess.PIPE,
        stderr=follower,
        timeout=scaled(240),
        check=True,
    )
    os.close(follower)
    shown = os.read(leader, 65_536)
    os.close(leader)
    assert f"{len(FILES)}/{len(FILES)}".encode() in shown
    assert b"#" not in done.stdout


def verified(arguments: list[str], env: dict[str, str], sums: str) -> subprocess.CompletedProcess[str]:
    command = [OSFAAS, "checksum", "verify", "--os-cloud", "alice", *arguments, "-"]
    return subprocess.run(
        command, env=env, input=sums, capture_output=True, text=True, timeout=scaled(240), check=False
    )


def test_container_is_compared_with_a_file_of_checksums(env, container):
    """Marks and exit code as those of `rclone checksum --combined`."""
    sums = run([container.name, "-t", "sha256"], env).stdout
    same = verified([container.name], env, sums)
    assert (same.returncode, same.stderr) == (0, f"osfaas: {len(FILES)} same, 0 not\n")
    assert {line[0] for line in same.stdout.splitlines()} == {"="}
    wrong = hashlib.sha256(b"other").hexdigest()
    changed = f"{wrong}  a\n{wrong}  gone\n{hashlib.sha256(b'').hexdigest()}  empty\n"
    done = verified([container.name], env, changed)
    assert done.returncode == 1
    marks = dict(reversed(line.split(" ", 1)) for line in done.stdout.splitlines())
    assert marks == {"a": "*", "gone": "+", "empty": "=", "dir/ü b": "-", "back\\\\slash": "-", "new\\nline": "-"}
    assert f"osfaas: listed/a: is {hashlib.sha256(b'a').hexdigest()}, not {wrong}" in done.stderr
    one_way = verified([container.name, "--one-way"], env, f"{hashlib.sha256(b'').hexdigest()}  empty\n")
    assert (one_way.returncode, one_way.stdout) == (0, "= empty\n")
    assert verified([container.name], env, "no checksum\n").returncode == 1
