"""The storage world's clients, each called as its users call it."""

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

HOME = Path(__file__).resolve().parents[2] / ".cache" / "clients"
PYTHON = HOME / "venv" / "bin" / "python"
SECONDS = 240


@dataclass(frozen=True)
class Outcome:
    """How a program ended, and what it printed."""

    status: int
    out: str
    err: str

    @property
    def value(self) -> str:
        """The last word of what it printed: where all of them put the checksum."""
        assert self.status == 0, (self.status, self.out, self.err)
        return self.out.split()[-1]


def run(*command: str | Path, token: str | None = None, env: Mapping[str, str] | None = None) -> Outcome:
    """Runs a program with nothing of this environment but where programs are, and a token where they look for one."""
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(HOME), **(env or {})}
    if token is not None:
        environment["BEARER_TOKEN"] = token
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=SECONDS, env=environment, check=False
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def davix(url: str, algorithm: str, token: str | None, **env: str) -> Outcome:
    """davix's call for checksums, by the program in this folder."""
    return run(HOME / "davix-checksum", url, algorithm, token=token, env=env)


def gfal_sum(url: str, algorithm: str, token: str | None, **env: str) -> Outcome:
    """gfal2's command. Its own start line looks for another Python than Debian's."""
    return run("/usr/bin/python3", "/usr/bin/gfal-sum", url, algorithm.upper(), token=token, env=env)


def gfal_copy(source: str, target: Path, *options: str, token: str) -> Outcome:
    """gfal2's copy. A token in a header of one's own goes to the gateway and to Swift alike."""
    header = f"HTTP PLUGIN:HEADERS=X-Auth-Token: {token}"
    return run("/usr/bin/python3", "/usr/bin/gfal-copy", "-D", header, *options, source, f"file://{target}")


def pygfal_sum(url: str, algorithm: str, token: str | None, **env: str) -> Outcome:
    """The command of the package `gfal`, which is written anew in Python."""
    return run(HOME / "venv" / "bin" / "gfal", "sum", url, algorithm.upper(), token=token, env=env)


def rucio(call: str, path: Path) -> str:
    """What a function of Rucio's client says of a local file."""
    code = f"import sys; from rucio.common.checksum import {call}; print({call}(sys.argv[1]))"
    return run(PYTHON, "-c", code, path).value


def rclone(config: Path, *arguments: str | Path) -> Outcome:
    return run("rclone", "--config", config, *arguments)


Ask = Callable[..., Outcome]
