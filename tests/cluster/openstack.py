"""The OpenStack side: a real Keystone and Swift outside the cluster, where its pods and this machine reach them."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from localcloud.description import reached_at, read_ceph_url, read_description
from localcloud.seed import INTERFACES, Keystone
from tests.cluster.commands import wait_until
from tests.cluster.layout import CHECKOUT
from tests.cluster.node.facts import OPENSTACK_ADDRESS
from tests.cluster.progress import step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localcloud.cloud import LocalCloud
    from tests.cluster.testbed import Testbed

# The Swift API is below this path of Ceph's.
_CEPHS_SWIFT = "/swift"
# Keystone's and Swift's programs have an environment of their own, which `make install` makes.
_PYTHON = CHECKOUT / ".venv" / "bin" / "python"


@dataclass(frozen=True)
class OpenStack:
    """One cloud, seen from two sides.

    Attributes:
        inside: with the addresses that the cluster's pods, and programs on the OpenStack side, use.
        outside: the same Keystone and Swift behind loopback ports of this machine, for tests that act as users.
    """

    inside: LocalCloud
    outside: LocalCloud

    @property
    def swift_port(self) -> int:
        return urlsplit(self.inside.swift_url).port or 0

    @property
    def keystone_port(self) -> int:
        return urlsplit(self.inside.auth_url).port or 0


@contextmanager
def openstack_of(cluster: Testbed, *, ceph_root: Path | None = None) -> Iterator[OpenStack]:
    """Runs it until the block ends, or the cluster does.

    Args:
        cluster: on whose OpenStack side.
        ceph_root: folder of a Debian whose Ceph is the object store, in place of Swift; None: Swift is.
    """
    ceph = ("--ceph", "--ceph-root", str(ceph_root)) if ceph_root else ()
    program = (str(_PYTHON), "-m", "localcloud", "--address", OPENSTACK_ADDRESS, *ceph)
    with ExitStack() as stack:
        with step("Keystone and Swift on the OpenStack side"):
            state = Path(stack.enter_context(TemporaryDirectory(dir=cluster.running.folder, prefix="openstack-")))
            description = state / "description.json"
            stack.enter_context(
                cluster.openstack_server((*program, "--state", str(state), "--describe", str(description)))
            )
            wait_until("Keystone and Swift", description.exists, seconds=300)
        inside = read_description(description)
        ceph_url = read_ceph_url(description)
        if ceph_url:
            inside = reached_at(inside, auth_url=inside.auth_url, swift_url=f"{ceph_url}{_CEPHS_SWIFT}")
        keystone, swift = urlsplit(inside.auth_url), urlsplit(inside.swift_url)
        doors = [stack.enter_context(cluster.door(url.hostname or "", url.port or 0)) for url in (keystone, swift)]
        outside = reached_at(inside, auth_url=f"{doors[0]}/v3", swift_url=f"{doors[1]}{swift.path}")
        if ceph_url:
            _set_endpoints(outside, inside.swift_url, ceph_url)
        yield OpenStack(inside, outside)


def _set_endpoints(cloud: LocalCloud, swift_url: str, s3_url: str) -> None:
    """The catalog names another object store."""
    keystone = Keystone(cloud.session("admin"), cloud.auth_url)
    for interface in INTERFACES:
        url = f"{swift_url}/v1/AUTH_%(project_id)s"
        keystone.set_endpoint(cloud.seed.endpoints[f"object-store/{interface}"], url)
        keystone.set_endpoint(cloud.seed.endpoints[f"s3/{interface}"], s3_url)
