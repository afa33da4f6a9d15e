"""Ceph beside the local cloud, as an option: one monitor, one OSD, and RADOS gateways with Keystone.

The cluster has no manager daemon: nothing of what the object store needs waits for one.
"""

import contextlib
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from localcloud.cloud import LocalCloud
from localcloud.errors import CloudError
from localcloud.ports import free_ports
from localcloud.seed import password_of
from localcloud.services import Service

PROGRAMS = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw")
# Of a sparse file; what is not written takes no space.
DEVICE_BYTES = 32 << 30
# A daemon binds the first free ports of its range.
OSD_PORTS = 32

CONF = """\
[global]
fsid = {fsid}
mon_host = v2:127.0.0.1:{mon_port}
mon_initial_members = a
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_msgr1 = false
keyring = {folder}/keyring
# One replica, and no manager daemon that could scale placement groups.
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_data_avail_crit = 1
mon_max_pg_per_osd = 1000
run_dir = {folder}
admin_socket = {folder}/$name.sock
pid_file =
log_file =
log_to_stderr = true
err_to_stderr = true
debug_ms = 0
[mon.a]
mon_data = {folder}/mon
debug_mon = 0
debug_paxos = 0
debug_rocksdb = 0
[osd.0]
osd_data = {folder}/osd
osd_objectstore = bluestore
bluestore_block_size = {device_bytes}
osd_memory_target = 939524096
ms_bind_port_min = {osd_port}
ms_bind_port_max = {osd_port_max}
# Ends together with its clients, and is started again on the same ports.
osd_fast_shutdown = true
debug_rocksdb = 0
debug_bluestore = 0
debug_osd = 0
[client]
rgw_keystone_url = {keystone_url}
rgw_keystone_api_version = 3
rgw_keystone_admin_user = swift
rgw_keystone_admin_password = {password}
rgw_keystone_admin_domain = Default
rgw_keystone_admin_project = service
# As in Swift's `operator_roles`: these own the account of the project.
rgw_keystone_accepted_roles = manager, admin
rgw_keystone_implicit_tenants = {implicit_tenants}
# Entries do not expire; a token is valid as long as Keystone has said.
rgw_keystone_token_cache_size = 100
rgw_s3_auth_use_keystone = true
rgw_swift_versioning_enabled = true
rgw_thread_pool_size = 64
rgw_enable_usage_log = false
rgw_dynamic_resharding = false
"""

# Rights of each entity, as Ceph's own deployment tools grant them.
ENTITIES: Mapping[str, Mapping[str, str]] = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *"},
    "osd.0": {"mon": "allow profile osd", "osd": "allow *"},
}
GATEWAY_RIGHTS = {"mon": "allow rw", "osd": "allow rwx"}

GATEWAY = """\
[client.{name}]
rgw_frontends = beast endpoint={address}:{port}
rgw_swift_account_in_url = {account_in_url}
"""


@dataclass(frozen=True)
class RadosGateway:
    """A RADOS gateway: its Swift API in one layout of URLs, and S3.

    Attributes:
        url: its root, at which it answers S3.
        account_in_url: whether Swift URLs contain `AUTH_<project>`.
    """

    url: str
    account_in_url: bool
    service: Service

    @property
    def swift_endpoint(self) -> str:
        """Swift account URL, with `{project_id}` if it names the account; the value of OSFAAS_SWIFT_ENDPOINT."""
        account = "/AUTH_{project_id}" if self.account_in_url else ""
        return f"{self.url}/swift/v1{account}"


@dataclass(frozen=True)
class Programs:
    """Ceph's programs.

    Attributes:
        root: another Debian with another release of Ceph; None: this machine's own. Root only.
    """

    root: Path | None = None

    def missing(self) -> list[str]:
        """Those that are not installed."""
        if self.root is None:
            return [program for program in PROGRAMS if shutil.which(program) is None]
        return [program for program in PROGRAMS if not (self.root / "usr" / "bin" / program).exists()]

    def command(self, folder: Path, *words: str) -> list[str]:
        """The command line of a program that finds its files in a folder."""
        if self.root is None:
            return [*words]
        return ["unshare", "--mount", "sh", "-euc", _IN_ROOT, "sh", str(self.root), str(folder), *words]


# Its mounts are its own, and end with it.
_IN_ROOT = """\
root=$1 folder=$2
shift 2
mkdir -p "$root$folder"
mount --bind "$folder" "$root$folder"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
for file in hosts nsswitch.conf resolv.conf; do
  touch "$root/etc/$file"
  mount --bind "/etc/$file" "$root/etc/$file"
done
exec chroot "$root" "$@"
"""


@dataclass(frozen=True)
class Ceph:
    """A running cluster.

    Attributes:
        account: the gateway whose Swift URLs contain the account.
        plain: the gateway whose Swift URLs do not; the token selects the account.
        services: the processes by name, for tests that kill them.
    """

    account: RadosGateway
    plain: RadosGateway
    services: Mapping[str, Service]
    conf: Path


def missing_programs() -> list[str]:
    """Programs of Ceph that are not installed."""
    return Programs().missing()


@contextlib.contextmanager
def ceph(
    cloud: LocalCloud,
    *,
    name: str = "ceph",
    implicit_tenants: bool = False,
    address: str = "127.0.0.1",
    root: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Iterator[Ceph]:
    """Runs Ceph on free ports beside a cloud; it ends with the block, or with this process.

    Args:
        cloud: its Keystone authenticates the users, by tokens and EC2 credentials.
        name: of the folder in the cloud's state, and of the services.
        implicit_tenants: whether each project has a namespace of buckets of its own; Ceph's default is one for all.
        address: listen address of the gateways; all other servers listen on loopback.
        root: see `Programs`.
        progress: called with each step.

    Raises:
        CloudError: Ceph is not installed, or a daemon did not start.
    """
    programs = Programs(root)
    missing = programs.missing()
    if missing:
        raise CloudError(f"Ceph is not installed ({', '.join(missing)}): run 'make ceph'")
    services: dict[str, Service] = {}
    site = _Site(address, programs, implicit_tenants=implicit_tenants)
    try:
        yield _start(cloud, name, services, site, progress=progress)
    finally:
        for service in reversed(list(services.values())):
            service.stop()


@dataclass(frozen=True)
class _Site:
    address: str
    programs: Programs
    implicit_tenants: bool


def _start(
    cloud: LocalCloud, name: str, services: dict[str, Service], site: _Site, *, progress: Callable[[str], None]
) -> Ceph:
    folder = cloud.state / name
    for each in (folder, folder / "mon", folder / "osd"):
        each.mkdir()
    mon_port, osd_port, account_port, plain_port = free_ports(4)
    ports = {f"{name}-account": account_port, f"{name}-plain": plain_port}
    conf, fsid = folder / "ceph.conf", str(uuid.uuid4())
    text = CONF.format(
        fsid=fsid,
        mon_port=mon_port,
        osd_port=osd_port,
        osd_port_max=min(osd_port + OSD_PORTS, 65_535),
        folder=folder,
        device_bytes=DEVICE_BYTES,
        keystone_url=cloud.auth_url.removesuffix("/v3"),
        password=password_of("swift"),
        implicit_tenants=str(site.implicit_tenants).lower(),
    )
    for gateway, port in ports.items():
        in_url = str(gateway.endswith("-account")).lower()
        text += GATEWAY.format(name=gateway, address=site.address, port=port, account_in_url=in_url)
    conf.write_text(text, encoding="utf-8")
    tools = _Tools(conf, folder / "prepare.log", site.programs)

    def service(kind: str, port: int, *words: str, address: str = "127.0.0.1") -> Service:
        command = site.programs.command(folder, *words, "--conf", str(conf), "--foreground")
        services[kind] = Service(kind, command, port, cloud.state, address=address)
        services[kind].start()
        return services[kind]

    progress("Ceph: monitor")
    keyring = str(folder / "keyring")
    tools.run("ceph-authtool", "--create-keyring", keyring)
    for entity, rights in {**ENTITIES, **{f"client.{gateway}": GATEWAY_RIGHTS for gateway in ports}}.items():
        granted = [word for daemon, right in rights.items() for word in ("--cap", daemon, right)]
        tools.run("ceph-authtool", keyring, "--gen-key", "--name", entity, *granted)
    monmap = str(folder / "monmap")
    tools.run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v2:127.0.0.1:{mon_port}]", monmap)
    tools.run("ceph-mon", "--id", "a", "--mkfs", "--monmap", monmap, "--keyring", keyring)
    service(f"{name}-mon", mon_port, "ceph-mon", "--id", "a").wait()
    progress("Ceph: object storage daemon")
    osd = str(uuid.uuid4())
    tools.run("ceph", "osd", "new", osd, "0")
    tools.run("ceph-osd", "--id", "0", "--mkfs", "--osd-uuid", osd)
    service(f"{name}-osd", osd_port, "ceph-osd", "--id", "0").wait()
    gateways = {}
    for gateway, port in ports.items():
        progress(f"Ceph: gateway {gateway}")
        running = service(gateway, port, "radosgw", "--name", f"client.{gateway}", address=site.address)
        # One after the other: both would create the pools.
        running.wait()
        gateways[gateway] = RadosGateway(f"http://{site.address}:{port}", gateway.endswith("-account"), running)
    account, plain = gateways.values()
    return Ceph(account, plain, services, conf)


@dataclass(frozen=True)
class _Tools:
    conf: Path
    log: Path
    programs: Programs

    def run(self, *command: str) -> None:
        with self.log.open("ab") as log:
            done = subprocess.run(
                self.programs.command(self.conf.parent, *command, "--conf", str(self.conf)),
                stdout=log,
                stderr=log,
                env={**os.environ, "CEPH_CONF": str(self.conf)},
                timeout=120,
                check=False,
            )
        if done.returncode:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise CloudError(f"'{' '.join(command)}' failed; its log: {self.log}\n{tail}")
