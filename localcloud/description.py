"""Describes a running cloud in a file, for programs that did not start it and may reach it at other addresses."""

import json
from dataclasses import asdict, replace
from pathlib import Path

from localcloud.cloud import LocalCloud, User
from localcloud.seed import Seed


def write_description(cloud: LocalCloud, path: Path, *, ceph_url: str | None = None) -> None:
    """Writes everything except the processes, atomically.

    Args:
        cloud: running.
        path: of the file.
        ceph_url: of a Ceph beside it, whose Swift URLs contain the account.
    """
    described = {
        "state": str(cloud.state),
        "auth_url": cloud.auth_url,
        "swift_url": cloud.swift_url,
        "gateway_port": cloud.gateway_port,
        "users": [asdict(user) for user in cloud.users.values()],
        "seed": asdict(cloud.seed),
        "clouds_yaml": str(cloud.clouds_yaml),
        "bin": str(cloud.bin),
        "region": cloud.region,
        "ceph_url": ceph_url,
    }
    draft = path.with_suffix(".unfinished")
    draft.write_text(json.dumps(described), encoding="utf-8")
    draft.replace(path)


def read_description(path: Path) -> LocalCloud:
    """Reads a description; the result has the cloud's own addresses and no processes."""
    described = json.loads(path.read_text(encoding="utf-8"))
    users = [User(**user) for user in described["users"]]
    return LocalCloud(
        state=Path(described["state"]),
        auth_url=described["auth_url"],
        swift_url=described["swift_url"],
        gateway_port=described["gateway_port"],
        users={user.name: user for user in users},
        seed=Seed(**described["seed"]),
        services={},
        clouds_yaml=Path(described["clouds_yaml"]),
        bin=Path(described["bin"]),
        region=described["region"],
    )


def read_ceph_url(path: Path) -> str | None:
    """The URL of the Ceph beside a described cloud, if there is one."""
    url: str | None = json.loads(path.read_text(encoding="utf-8"))["ceph_url"]
    return url


def reached_at(cloud: LocalCloud, *, auth_url: str, swift_url: str) -> LocalCloud:
    """The same cloud with other addresses of Keystone and Swift.

    The catalog in its tokens still contains the cloud's own addresses.
    """
    return replace(cloud, auth_url=auth_url, swift_url=swift_url)
