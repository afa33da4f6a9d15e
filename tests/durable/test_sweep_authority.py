"""A sweep whose authority ends while one of its requests reads many objects: it stops, and reads nothing more."""

import contextlib
import signal
from collections.abc import Callable, Iterator

import psutil
import pytest
from sweeping import begin, filled, read_nothing_more, reads
from test_authority import trusts
from test_sweeps import sweeping

from gateway.settings import Settings
from operations.store import accepting
from operations.store.database import Database
from tests.machine import scaled, wait_until

COUNT = 60
READERS = Settings.model_fields["bulk_concurrency"].default


@pytest.fixture(scope="module")
def swept(servers, start_gateway, cloud, backend):
    """One request to the gateway has all objects, and nobody loses patience with the store."""
    settings = {"OSFAAS_SWEEP_PART_OBJECTS": str(COUNT), "OSFAAS_STORE_TIMEOUT_SECONDS": "900"}
    with sweeping(servers, "sqlite", start_gateway, cloud, backend, **settings) as running:
        yield running


@pytest.fixture(scope="module")
def container(cloud):
    return filled(cloud, "guarded", COUNT)[0]


# What ends the authority; at the end, all is as it was.


@contextlib.contextmanager
def trust_deleted(_swept, cloud, _bucket) -> Iterator[None]:
    for trust in trusts(cloud, "alice-member"):
        cloud.session("alice-member").delete(f"{cloud.auth_url}/OS-TRUST/trusts/{trust['id']}")
    yield


@contextlib.contextmanager
def user_disabled(_swept, cloud, _bucket) -> Iterator[None]:
    with _disabled(cloud, "user", cloud.users["alice-member"].id):
        yield


@contextlib.contextmanager
def project_disabled(_swept, cloud, _bucket) -> Iterator[None]:
    with _disabled(cloud, "project", cloud.users["alice-member"].project_id):
        yield


@contextlib.contextmanager
def _disabled(cloud, what: str, known: str) -> Iterator[None]:
    session, url = cloud.session("admin"), f"{cloud.auth_url}/{what}s/{known}"
    session.patch(url, json={what: {"enabled": False}})
    try:
        yield
    finally:
        session.patch(url, json={what: {"enabled": True}})


@contextlib.contextmanager
def tenant_suspended(swept, cloud, _bucket) -> Iterator[None]:
    file, own = swept.gateway.tenants, f"project_id: {cloud.users['alice-member'].project_id}"
    before = file.read_text()
    assert own in before
    file.write_text(before.replace(own, f"{own}\n  suspended: unpaid"))
    try:
        yield
    finally:
        file.write_text(before)
        token = cloud.token("alice-member")
        wait_until(lambda: swept.gateway.get("/v1/limits", token).status_code == 200, what="the tenant")


@contextlib.contextmanager
def acl_withdrawn(_swept, _cloud, bucket) -> Iterator[None]:
    bucket.session.post(bucket.url, headers={"X-Container-Read": ""})
    yield


@contextlib.contextmanager
def held(cloud) -> Iterator[Callable[[], int]]:
    """Swift's objects cannot be read meanwhile; yields how many reads wait for them."""
    server, proxy = cloud.services["swift-object"], psutil.Process(cloud.services["swift-proxy"].pid)

    def waiting() -> int:
        found = proxy.net_connections(kind="tcp")
        return sum(bool(each.raddr) and each.raddr.port == server.port for each in found)

    server.signal(signal.SIGSTOP)
    try:
        yield waiting
    finally:
        server.signal(signal.SIGCONT)


@pytest.mark.parametrize(
    ("withdrawal", "expected"),
    [
        (trust_deleted, "operation.authority_lost"),
        (user_disabled, "operation.authority_lost"),
        (project_disabled, "operation.authority_lost"),
        (tenant_suspended, "tenant.suspended"),
        (acl_withdrawn, "object.forbidden"),
    ],
)
def test_end_of_the_authority_stops_a_sweep(swept, container, cloud, withdrawal, expected):
    member = cloud.users["alice-member"]
    acl = f"{member.project_id}:{member.id}"
    own = {"X-Container-Write": acl, "X-Container-Read": acl}
    container.session.put(f"{cloud.account_url('alice')}/members-sweeps", headers=own)
    token = cloud.token("alice-member")
    database = Database(swept.database.url, connections=1, retry_seconds=10)
    with contextlib.ExitStack() as stack:
        stack.callback(database.close)
        stack.enter_context(swept.worker())
        stack.enter_context(container.readable_by(member))
        before = len(reads(cloud, container.name))
        with held(cloud) as waiting:
            location = begin(swept, token, container.name, output={"container": "members-sweeps"})
            wait_until(lambda: waiting() == READERS, what="the first reads")
            stack.enter_context(withdrawal(swept, cloud, container))

            def ended():
                found = database.run_here(accepting.find, member.project_id, location.rpartition("/")[2])
                return found.finished and found

            wait_until(ended, what="the end of the sweep")
            operation = ended()
        assert (operation.state, operation.error_code) == ("failed", expected)
        assert operation.error_message
        # Those that waited are answered now, to nobody.
        wait_until(lambda: not waiting(), what="the end of the first reads")
        read_nothing_more(cloud, container.name, scaled(1.5))
        assert len(reads(cloud, container.name)) <= before + READERS
