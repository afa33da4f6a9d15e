"""`python -m localcloud`: a cloud to play with until Ctrl-C."""

import contextlib
import signal
import sys
from pathlib import Path

import click

from localcloud.ceph import ceph
from localcloud.cloud import local_cloud
from localcloud.description import write_description


@click.command()
@click.option("--address", default="127.0.0.1", show_default=True, help="Where Keystone and Swift's proxy listen.")
@click.option("--state", type=click.Path(path_type=Path), help="Folder for data and logs. Default: a temporary one.")
@click.option("--ceph", "with_ceph", is_flag=True, help="Ceph beside Swift (after 'make ceph').")
@click.option("--ceph-root", type=click.Path(path_type=Path), help="Folder of a Debian whose Ceph is run.")
@click.option("--describe", type=click.Path(path_type=Path), help="Write this file when the cloud answers.")
def main(address: str, state: Path | None, describe: Path | None, ceph_root: Path | None, *, with_ceph: bool) -> None:
    """Keystone and Swift, until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
        cloud = stack.enter_context(local_cloud(state=state, address=address, progress=_say))
        print(f"Keystone {cloud.auth_url}\nSwift    {cloud.swift_url}\nlogs     {cloud.logs}")
        print(f"try: OS_CLIENT_CONFIG_FILE={cloud.clouds_yaml} {cloud.bin}/openstack --os-cloud alice token issue")
        ceph_url = None
        if with_ceph:
            running = stack.enter_context(ceph(cloud, address=address, root=ceph_root, progress=_say))
            ceph_url = running.account.url
            for gateway in (running.account, running.plain):
                print(f"Ceph     Swift {gateway.swift_endpoint}, S3 {gateway.url}", flush=True)
        if describe:
            write_description(cloud, describe, ceph_url=ceph_url)
        signal.pause()


def _say(line: str) -> None:
    print(f"  {line}", flush=True)


if __name__ == "__main__":
    main()
