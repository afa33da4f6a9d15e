"""A sweep whose authority ends while one of its requests reads many objects: it stops, and reads nothing more."""

import contextlib
import signal
from collections.abc import Callable, Iterator

import psutil
import pytest
from sweeping import begin, end_in_database, filled, read_nothing_more, reads
from test_authority import trusts
from test_sweeps import sweeping

from gateway.settings import Settings
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
def trust_deleted(cloud) -> Iterator[None]:
    for trust in trusts(cloud, "alice-member"):
        cloud.session("alice-member").delete(f"{cloud.auth_url}/OS-TRUST/trusts/{trust['id']}")
    yield


@contextlib.contextmanager
def user_disabled(cloud) -> Iterator[None]:
    session, url = cloud.session("admin"), f"{cloud.auth_url}/users/{cloud.users['alice-member'].id}"
    session.patch(url, json={"user": {"enabled": False}})
    try:
        yield
    finally:
        session.patch(url, json={"user": {"enabled": True}})


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


@pytest.mark.parametrize("withdrawal", [trust_deleted, user_disabled])
def test_end_of_the_authority_stops_a_sweep(swept, container, cloud, withdrawal):
    member = cloud.users["alice-member"]
    acl = f"{member.project_id}:{member.id}"
    own = {"X-Container-Write": acl, "X-Container-Read": acl}
    container.session.put(f"{cloud.account_url('alice')}/members-sweeps", headers=own)
    token = cloud.token("alice-member")
    with contextlib.ExitStack() as stack:
        stack.enter_context(swept.worker())
        stack.enter_context(container.readable_by(member))
        before = len(reads(cloud, container.name))
        with held(cloud) as waiting:
            location = begin(swept, token, container.name, output={"container": "members-sweeps"})
            wait_until(lambda: waiting() == READERS, what="the first reads")
            stack.enter_context(withdrawal(cloud))
            operation = end_in_database(swept, member.project_id, location)
        assert (operation.state, operation.error_code) == ("failed", "operation.authority_lost")
        assert operation.error_message
        # Those that waited are answered now, to nobody.
        wait_until(lambda: not waiting(), what="the end of the first reads")
        read_nothing_more(cloud, container.name, scaled(1.5))
        assert len(reads(cloud, container.name)) <= before + READERS
