"""The program `openstack` of an environment that has the client alone, and what it prints in each format."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from osc_lib.utils import format_dict

from tests.machine import scaled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from localcloud import LocalCloud

CHECKOUT = Path(__file__).resolve().parents[1]
PYTHON = CHECKOUT / ".cache" / "dist" / "client" / "bin" / "python"
# Of the endpoints behind which all parts of the product stand.
REGION = "Whole"
FORMATS = ("json", "yaml", "csv", "value", "table")
SHOWN = ("json", "yaml", "value", "table")  # cliff has no csv for one object
# How often a command is asked again while what it shows changes.
_ROUNDS = 20
# Several commands in one process, because its start takes longer than all of them.
DRIVER = """
import contextlib, io, json, sys
from openstackclient import shell

class Out(io.StringIO):
    def __init__(self):
        super().__init__()
        self.buffer = io.BytesIO()

done = []
for words in json.load(sys.stdin):
    out, err = Out(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = shell.main(words)
        except SystemExit as end:
            code = end.code
    done.append([code or 0, out.getvalue() + out.buffer.getvalue().decode(), err.getvalue()])
json.dump(done, sys.__stdout__)
"""


@dataclass(frozen=True)
class Done:
    """What a command printed."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Program:
    """The program, with its credentials.

    Attributes:
        environment: of the process; it names the file of the clouds.
        around: the command line that runs another one in its place.
        used: the words of every command so far.
        python: of the environment that has the program.
    """

    environment: Mapping[str, str]
    around: Callable[..., list[str]] = lambda *argv: list(argv)
    used: list[list[str]] = field(default_factory=list)
    python: Path = PYTHON

    def run(self, *commands: str | list[str], cloud: str = "alice") -> list[Done]:
        """Runs commands of `openstack`, one after the other."""
        words = [each.split() if isinstance(each, str) else each for each in commands]
        self.used.extend(words)
        done = subprocess.run(
            self.around(str(self.python), "-W", "ignore", "-c", DRIVER),
            input=json.dumps([["--os-cloud", cloud, *each] for each in words]),
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=scaled(280),
            check=False,
            cwd="/",
        )
        assert done.returncode == 0, done.stderr
        return [Done(*each) for each in json.loads(done.stdout)]

    def one(self, command: str | list[str], cloud: str = "alice") -> Done:
        """Runs one command, which must succeed."""
        (done,) = self.run(command, cloud=cloud)
        assert done.code == 0, done
        return done

    def in_every_format(
        self, *, lists: Sequence[str] = (), shows: Sequence[str] = (), cloud: str = "alice"
    ) -> dict[str, Any]:
        """What each command shows, which is not empty, and the same in every format.

        A command whose object has changed from the first format to the last is repeated.
        """
        found: dict[str, Any] = {}
        for _ in range(_ROUNDS):
            forms: dict[str, tuple[str, ...]] = {each: FORMATS for each in lists if each not in found}
            forms.update({each: SHOWN for each in shows if each not in found})
            asked = [(each, form) for each, names in forms.items() for form in (*names, "json")]
            results = self.run(*(f"{each} -f {form}" for each, form in asked), cloud=cloud)
            failed = {pair: done for pair, done in zip(asked, results, strict=True) if done.code}
            assert failed == {}
            first: dict[tuple[str, str], str] = {}
            for pair, done in zip(asked, results, strict=True):
                first.setdefault(pair, done.out)
            last = {each: done.out for (each, _), done in zip(asked, results, strict=True)}
            for each, names in forms.items():
                if last[each] == first[each, "json"]:
                    found[each] = agreed({form: first[each, form] for form in names})
            if len(found) == len(lists) + len(shows):
                return found
        raise AssertionError(f"these showed something else each time: {sorted(set(forms) - set(found))}")


def agreed(printed: Mapping[str, str]) -> Any:
    """What a command printed as JSON; every other format has to say the same."""
    found = json.loads(printed["json"])
    assert found, printed
    assert isinstance(found, list if "csv" in printed else dict), printed
    rows: list[dict[str, Any]] = found if isinstance(found, list) else [found]
    assert all(row.keys() == rows[0].keys() for row in rows), printed["json"]
    assert yaml.safe_load(printed["yaml"]) == found, printed["yaml"]
    between = " " if isinstance(found, list) else "\n"
    assert printed["value"] == "".join(between.join(map(str, row.values())) + "\n" for row in rows)
    if isinstance(found, list):
        cells = [["" if value is None else str(value) for value in row.values()] for row in rows]
        assert list(csv.reader(io.StringIO(printed["csv"]))) == [list(rows[0]), *cells], printed["csv"]
        expected = [list(rows[0]), *([for_people(value) for value in row.values()] for row in rows)]
    else:
        expected = [["Field", "Value"], *([name, for_people(value)] for name, value in found.items())]
    assert read_table(printed["table"]) == expected, printed["table"]
    return found


def for_people(value: Any) -> str:
    """A value as a table has it: without spaces at the ends of lines, which the table's own cannot be told from."""
    if isinstance(value, dict):
        text = format_dict(value)
    elif isinstance(value, list):
        nested = any(isinstance(each, dict) for each in value)
        # The order of words is part of what they say.
        text = "\n".join(map(format_dict, value)) if nested else ", ".join(map(str, value))
    else:
        text = str(value)
    return "\n".join(line.strip() for line in text.strip("\n").split("\n"))


def read_table(text: str) -> list[list[str]]:
    """The cells of a table, its head first. A row whose first cell is empty continues the one before."""
    lines = text.splitlines()
    edges = [index for index, sign in enumerate(lines[0]) if sign == "+"]
    rows: list[list[str]] = []
    for line in lines:
        if line.startswith("+"):
            continue
        assert all(line[edge] == "|" for edge in edges), line
        cells = [line[left + 1 : right].strip() for left, right in itertools.pairwise(edges)]
        if cells[0] or not rows:
            rows.append(cells)
        else:
            rows[-1] = [
                f"{before}\n{cell}" if index else before
                for index, (before, cell) in enumerate(zip(rows[-1], cells, strict=True))
            ]
    return [[cell.strip("\n") for cell in row] for row in rows]


def whole_clouds(clouds: Mapping[str, Any], cloud: LocalCloud) -> dict[str, Any]:
    """A clouds.yaml for the region, with the administrator of the system and an application besides the users."""
    users = {name: {**entry, "region_name": REGION} for name, entry in clouds.items()}
    auth = users["admin"]["auth"]
    system = {name: auth[name] for name in ("auth_url", "username", "password", "user_domain_id")}
    identifier, secret = cloud.seed.application_credentials["plain"]
    application = {
        "auth_url": auth["auth_url"],
        "application_credential_id": identifier,
        "application_credential_secret": secret,
    }
    return {
        "clouds": {
            **users,
            "system": {**users["admin"], "auth": {**system, "system_scope": "all"}},
            "application": {**users["alice"], "auth_type": "v3applicationcredential", "auth": application},
        }
    }


@contextmanager
def region(cloud: LocalCloud, urls: Mapping[str, str]) -> Iterator[None]:
    """A region of the catalogue with these endpoints, by type of the service; it goes with the block."""
    session = cloud.session("admin")
    session.post(f"{cloud.auth_url}/regions", json={"region": {"id": REGION}})
    services = {each["type"]: each["id"] for each in session.get(f"{cloud.auth_url}/services").json()["services"]}
    made = []
    for kind, url in urls.items():
        for interface in ("public", "admin"):
            endpoint = {"service_id": services[kind], "interface": interface, "region_id": REGION, "url": url}
            answer = session.post(f"{cloud.auth_url}/endpoints", json={"endpoint": endpoint})
            made.append(f"endpoints/{answer.json()['endpoint']['id']}")
    try:
        yield
    finally:
        for path in (*made, f"regions/{REGION}"):
            session.delete(f"{cloud.auth_url}/{path}")


def bare_environment(clouds: Path, home: Path) -> dict[str, str]:
    """The environment of a user who has only a file of clouds."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHONIOENCODING": "utf-8",
        "OS_CLIENT_CONFIG_FILE": str(clouds),
    }
