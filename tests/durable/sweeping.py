"""Containers, dumps and sweeps of the tests."""

import json
import re
import time
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, unquote

import psutil
from conftest import Bucket
from worker import Stage

from operations.store import accepting
from operations.store.database import Database
from tests.machine import wait_until


def content_of(number: int) -> bytes:
    """The content of an object."""
    return f"content of the object {number:06}\n".encode() * 4


def name_of(number: int) -> str:
    """Names that need escapes in paths, and whose order is not that of their numbers."""
    return f"raw/{number % 7}/ä {number:06}"


def adler32(data: bytes) -> str:
    return f"{zlib.adler32(data):08x}"


def filled(cloud, name: str, count: int, *, workers: int = 8) -> tuple[Bucket, dict[str, bytes]]:
    """A container of alice's with so many objects."""
    bucket = Bucket(cloud, name)
    contents = {name_of(number): content_of(number) for number in range(count)}
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda each: bucket.put(*each), contents.items()))
    return bucket, contents


def csv_dump(contents: Mapping[str, bytes]) -> bytes:
    """As Rucio's: in an order of its own."""
    rows = [f"{name},{len(data)},{adler32(data).lstrip('0')}" for name, data in reversed(contents.items())]
    return "\n".join(["path,size,adler32", *rows, ""]).encode()


def begin(stage: Stage, token: str, container: str, **fields: object) -> str:
    """Begins a sweep; its path."""
    response = stage.gateway.call("POST", "/v1/sweeps", token, json={"container": container, **fields})
    assert response.status_code == 202, response.text
    return response.headers["Location"]


def outputs(cloud, location: str, container: str = "sweeps") -> dict[str, bytes]:
    """The objects that a sweep has written, by the last part of their names."""
    session, url = cloud.session("alice"), f"{cloud.account_url('alice')}/{container}"
    prefix = location.rpartition("/")[2] + "/"
    names = [each["name"] for each in session.get(f"{url}?format=json&prefix={prefix}").json()]
    return {name.removeprefix(prefix): session.get(f"{url}/{quote(name)}").content for name in names}


def lines_of(written: Mapping[str, bytes], kind: str) -> list[dict]:
    """The lines of all parts of a kind, in their order."""
    parts = sorted(name for name in written if name.startswith(f"{kind}-") and name.endswith(".ndjson"))
    return [json.loads(line) for name in parts for line in written[name].splitlines()]


def without_id(written: Mapping[str, bytes], location: str) -> dict[str, bytes]:
    """What two sweeps of one container have in common."""
    name = location.rpartition("/")[2].encode()
    return {key: value.replace(name, b"ID") for key, value in written.items()}


def reads(cloud, container: str) -> list[str]:
    """The names of the objects of a container that have been read, in the order of the reads."""
    # The log quotes the path of the request, which is quoted already.
    return [unquote(unquote(match)) for match in _logged(cloud, rf"\bGET {_path(container)}/(\S+)")]


def end_in_database(stage: Stage, project_id: str, location: str):
    """Waits for the end of a sweep whose project cannot ask for it; the operation."""
    database = Database(stage.database.url, connections=1, retry_seconds=10)

    def found():
        return database.run_here(accepting.find, project_id, location.rpartition("/")[2])

    try:
        wait_until(lambda: found().finished, what="the end of the sweep")
        return found()
    finally:
        database.close()


def requests_inside(cloud) -> int:
    """How many connections Swift's proxy has to the servers behind it."""
    ports = {cloud.services[f"swift-{name}"].port for name in ("account", "container", "object")}
    proxy = psutil.Process(cloud.services["swift-proxy"].pid)
    return sum(bool(each.raddr) and each.raddr.port in ports for each in proxy.net_connections(kind="tcp"))


def read_nothing_more(cloud, container: str, seconds: float) -> None:
    """Fails if a container or an object in it is asked for within the time, with whatever method."""
    pattern = rf"\b[A-Z]+ {_path(container)}(?:[/ ?]|%3F)"
    # A request is logged at its end, and on a busy machine it may end later than the sweep that has sent it.
    wait_until(lambda: not requests_inside(cloud), what="the end of what is being read")
    time.sleep(seconds / 3)
    before = len(_logged(cloud, pattern))
    assert before
    time.sleep(seconds)
    assert len(_logged(cloud, pattern)) == before


def _path(container: str) -> str:
    return rf"/v1/AUTH_[0-9a-f]+/{re.escape(container)}"


def _logged(cloud, pattern: str) -> list[str]:
    return re.findall(pattern, (cloud.logs / "swift-proxy.log").read_text(errors="replace"))
