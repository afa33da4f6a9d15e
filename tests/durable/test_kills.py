"""SIGKILL of worker, gateway and database between every two steps: nothing is lost, done twice or counted twice."""

import contextlib
import dataclasses
import functools
import http.server
import ssl
import sys
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from killed import LONG_BODIES, PROGRAM, points
from sqlalchemy import func, select, update
from standardwebhooks.webhooks import Webhook
from tls import make_certificate
from worker import Stage, code, stage

from localcloud.services import Service
from operations.store.database import Database
from operations.store.schema import delegations, usage_hours, usage_records
from operations.store.upgrade import upgrade
from tests.machine import scaled, wait_until

# Those that CI runs; `-m long` runs all of them.
SHORT = {
    "after:gateway.accept",
    "inside:gateway.accept:database",
    "after:worker.claim",
    "after:worker.mark",
    "after:worker.send",
    "after:worker.finish:database",
    "after:worker.callback_send",
    "after:gateway.body_put",
    "after:worker.result_put",
}
POINTS = [point if point in SHORT else pytest.param(point, marks=pytest.mark.long) for point in points()]


class Receiver:
    """A receiver of callbacks with TLS on loopback."""

    def __init__(self, certificate: Path) -> None:
        self.came: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.came.append(({key.lower(): value for key, value in self.headers.items()}, body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.cafile = str(certificate)
        self.origin = f"https://127.0.0.1:{self.server.server_address[1]}"

    def of(self, operation_id: str) -> list[tuple[dict[str, str], bytes]]:
        return [each for each in self.came if each[0]["webhook-id"] == operation_id]


@pytest.fixture(scope="module")
def receiver(tmp_path_factory):
    certificate = make_certificate(tmp_path_factory.mktemp("receiver") / "receiver.pem")
    made = Receiver(certificate)
    yield made
    made.server.shutdown()


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def stricken(request, servers, start_gateway, cloud, backend, receiver, tmp_path_factory):
    database = servers.new(request.param)
    made = Database(database.url, connections=1)
    upgrade(made.engine)
    made.close()
    settings = {
        "OSFAAS_CALLBACK_ALLOWLIST": receiver.origin,
        "OSFAAS_CALLBACK_CAFILE": receiver.cafile,
        "OSFAAS_WORKER_LEASE_SECONDS": str(scaled(2)),
        "OSFAAS_WORKER_TRUST_IDLE_SECONDS": "0",
        "OSFAAS_DATABASE_RETRY_SECONDS": "1",
        # Otherwise the records of the last moment end with their gateway.
        "OSFAAS_USAGE_SPOOL_DIRECTORY": str(tmp_path_factory.mktemp("usage")),
        "OSFAAS_USAGE_FLUSH_SECONDS": "0.2",
    }
    with stage(start_gateway, cloud, backend, database, **settings) as running:
        yield running


def start(durable: Stage, token: str, receiver: Receiver, method: str, path: str, body: bytes) -> str:
    """Starts a call as a careful client does: with a key, until it knows that it was accepted."""
    location: list[str] = []

    def accepted() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            response = durable.post(
                token,
                path,
                method=method,
                content=body,
                Idempotency_Key=path,
                X_Callback_Url=f"{receiver.origin}/hook",
            )
            if response.status_code in {202, 409}:
                location.append(response.headers["Location"])
        return bool(location)

    wait_until(accepted, what="an answer to the call")
    return location[0]


@pytest.mark.parametrize("point", POINTS)
def test_kill(stricken: Stage, cloud, backend, receiver: Receiver, point: str, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    server = stricken.database.server
    flag.write_text(str(server.process.pid))
    forget_trusts(stricken)
    in_gateway = point.split(":")[1].startswith("gateway")
    token, name = cloud.token("alice"), uuid.uuid4().hex
    calls = {method: f"/v1/invoke/echo/{method}-{name}" for method in ("POST", "PUT")}
    gateway = stricken.gateway.service
    with contextlib.ExitStack() as stack:
        if in_gateway:
            gateway.stop()
            killing = dataclasses.replace(
                gateway, name=f"{gateway.name}-{name[:6]}", command=[sys.executable, PROGRAM, point, str(flag), "serve"]
            )
            killing.start()
            killing.wait()
            stack.callback(killing.stop)
            if point.split(":")[1] == "gateway.record":
                # There is nothing to record before a worker has sent the call.
                stack.enter_context(stricken.worker())
        else:
            killing = stack.enter_context(stricken.worker(program=(PROGRAM, point, str(flag))))
        repair = functools.partial(revive, server) if point.endswith("database") else None
        if in_gateway and repair is None:
            repair = functools.partial(replace, killing, gateway)
        # Beside the calls: the second would wait for what the first has killed.
        mending = threading.Thread(target=mend, args=(flag, point, repair), daemon=True)
        mending.start()
        body = bytes(300_000) if point.split(":")[1] in LONG_BODIES else b"x"
        locations = {method: start(stricken, token, receiver, method, path, body) for method, path in calls.items()}
        wait_until(lambda: not flag.exists(), what=f"the point {point}")
        # A call that was accepted before the kill has nothing else to wait for.
        mending.join()
        with stricken.worker():
            check(stricken, token, backend, receiver, locations, name)
        check_objects(cloud)
        if in_gateway and point.endswith("database"):
            killing.stop()
            gateway.restart()


def forget_trusts(durable: Stage) -> None:
    """Makes the next call create a trust, which is a step too."""
    database = Database(durable.database.url, connections=1, retry_seconds=10)
    database.run_here(lambda connection: connection.execute(update(delegations).values(ending=True)))
    database.close()


def mend(flag: Path, point: str, repair: Callable[[], None] | None) -> None:
    """What an orchestrator does: starts again what was killed."""
    wait_until(lambda: not flag.exists(), what=f"the point {point}")
    if repair is not None:
        repair()


def replace(killed: Service, service: Service) -> None:
    killed.stop()
    service.restart()


def revive(server) -> None:
    server.process.wait()
    server.start()


def check(durable: Stage, token: str, backend, receiver: Receiver, locations: dict[str, str], name: str) -> None:
    """Nothing lost, nothing answered twice, nothing done twice that must not be."""
    for method, location in locations.items():
        found = durable.ended(token, location)
        executed = sum(f"{method}-{name}".encode() in each.line for each in backend.seen)
        if method == "PUT":
            assert found["state"] == "succeeded", found
            assert executed >= 1
        else:
            assert executed <= 1
            assert found["state"] == "succeeded" or found["error"]["code"] == "operation.outcome_unknown", found
        if found["state"] == "succeeded":
            results = [durable.gateway.get(f"{location}/result", token) for _ in range(2)]
            assert results[0].content == results[1].content
            assert f"{method}-{name}" in results[0].json()["line"]
        else:
            assert code(durable.gateway.get(f"{location}/result", token)) == "operation.without_result"
        wait_until(lambda: receiver.of(found["id"]), what="the callback")  # noqa: B023 - called in this round
        secret = durable.gateway.get("/v1/callback-key", token).json()["secret"]
        for fields, body in receiver.of(found["id"]):
            document = Webhook(secret).verify(body, fields)
            assert document["data"]["id"] == found["id"]
            assert document["data"]["state"] == found["state"]
        check_usage(durable, found["id"], executed)
    listed = durable.gateway.get("/v1/operations?limit=1000", token).json()["operations"]
    since = durable.show(token, locations["POST"])["created_at"]
    assert sum(each["created_at"] >= since for each in listed) == len(locations)


def check_objects(cloud) -> None:
    """What is left in the object store expires by itself."""
    session, url = cloud.session("alice"), f"{cloud.account_url('alice')}/osfaas-operations"
    names = session.get(url, raise_exc=False)
    for name in names.text.split() if names.status_code == 200 else ():
        head = session.head(f"{url}/{name}", raise_exc=False)
        assert head.status_code == 404 or "X-Delete-At" in head.headers


def check_usage(durable: Stage, operation_id: str, executed: int) -> None:
    """An executed call counts once, however often a worker has repeated it, and the sums are those of the records."""
    database = Database(durable.database.url, connections=1, retry_seconds=10)

    def found(connection) -> tuple[int, int, int]:
        wanted = select(func.count()).where(usage_records.c.id == f"req-{operation_id}")
        calls = select(func.coalesce(func.sum(usage_hours.c.calls), 0))
        total = select(func.count()).select_from(usage_records)
        return tuple(int(connection.execute(each).scalar_one()) for each in (wanted, calls, total))

    try:
        if executed:
            wait_until(lambda: database.run_here(found)[0], what="the usage record")
        records, calls, total = database.run_here(found)
    finally:
        database.close()
    assert records <= 1
    assert calls == total
