"""`make … STORE=` installs what the store needs, and refuses another name before it installs anything."""

import os
import subprocess
from pathlib import Path

import pytest
from account import NAMES as OF_CLIENTS
from lacks import NAMES
from sizes import sizes_of

ROOT = Path(__file__).parents[2]
CEPH, BINARIES = "localcloud/ceph-apt.txt", "tests/stores/install.sh .cache/stores"
SUITES = {"clients": OF_CLIENTS, "test-faults": NAMES}


def make(*words: str) -> "subprocess.CompletedProcess[str]":
    """What make would do, where nothing is installed."""
    # An outer make hands its own options and variables down.
    env = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "STORE"}}
    command = ["make", "--dry-run", "--always-make", "--no-print-directory", *words]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize(("target", "store"), [(target, name) for target, names in SUITES.items() for name in names])
def test_what_the_store_needs_is_installed(target: str, store: str) -> None:
    done = make(target, f"STORE={store}")
    assert done.returncode == 0, done.stderr
    assert (CEPH in done.stdout) == store.startswith("rgw-")
    assert (BINARIES in done.stdout) == (store in {"minio", "versitygw"})
    installed, suite = done.stdout.index("-m venv"), done.stdout.index(f"--store={store}")
    assert installed < suite
    needed = CEPH if store.startswith("rgw-") else BINARIES
    assert done.stdout.find(needed) < suite


@pytest.mark.parametrize("target", [*SUITES, "test-all"])
@pytest.mark.parametrize("store", ["nonsense", "rgw-", "rgw-%", "swift minio", "", "https://rgw.example.org"])
def test_unknown_store_is_refused_in_a_sentence_before_anything_is_installed(target: str, store: str) -> None:
    done = make(target, f"STORE={store}")
    (sentence,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    names = SUITES.get(target, OF_CLIENTS)
    assert f"STORE={store} is not a store of 'make {target}': use one of {', '.join(names)}." in sentence


@pytest.mark.parametrize("target", ["clients", "test-all"])
@pytest.mark.parametrize("store", sorted(set(NAMES) - set(OF_CLIENTS)))
def test_clients_need_a_store_that_accepts_tokens(target: str, store: str) -> None:
    done = make(target, f"STORE={store}")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"use one of {', '.join(OF_CLIENTS)}." in done.stderr


def test_targets_without_a_store_do_not_read_the_variable() -> None:
    """A shell may have one of its own."""
    assert make("unit", "STORE=https://rgw.example.org").returncode == 0


@pytest.mark.parametrize(("text", "sizes"), [("1,5", (1, 5)), ("0.25,0.5", (0.25, 0.5)), (" 0.0625, 1 ", (0.0625, 1))])
def test_two_sizes_are_read(text: str, sizes: tuple[float, float]) -> None:
    assert sizes_of(text) == sizes


@pytest.mark.parametrize(
    "text", ["", "1", "1,", "1,5,9", "5,1", "1,1", "0,1", "-1,1", "a,b", "1;5", "nan,1", "1,inf", "0.3,1", "1e400,2"]
)
def test_other_sizes_are_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"^LARGE_GIB is .*, such as 1,5 or 0\.25,0\.5; not ") as caught:
        sizes_of(text)
    assert str(caught.value).endswith(f"not {text!r}.")
