"""Runs a Swift server, or builds the rings, in a given folder; run by the Python of Swift's environment.

    python -P swift_run.py FOLDER rings PORT_OBJECT PORT_CONTAINER PORT_ACCOUNT
    python -P swift_run.py FOLDER server NAME CONF

Swift looks for swift.conf in /etc/swift and has no option for another place.
"""

import sys
from pathlib import Path

import swift.common.utils


def use_folder(folder: Path) -> None:
    swift.common.utils.SWIFT_CONF_FILE = str(folder / "swift.conf")


def build_rings(folder: Path, ports: dict[str, int]) -> None:
    from swift.common.ring.builder import RingBuilder  # noqa: PLC0415 - after the folder is set

    for name, port in ports.items():
        builder = RingBuilder(part_power=4, replicas=1, min_part_hours=0)
        builder.add_dev(
            {"id": 0, "region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "d1", "weight": 100.0}
        )
        builder.rebalance()
        builder.get_ring().save(str(folder / f"{name}.ring.gz"))


def serve(name: str, conf: Path) -> None:
    from swift.common.wsgi import run_wsgi  # noqa: PLC0415 - it reads swift.conf when imported

    sys.argv = [name, str(conf)]
    sys.exit(run_wsgi(str(conf), f"{name}-server", verbose=True))


if __name__ == "__main__":
    where, what, *rest = sys.argv[1:]
    use_folder(Path(where))
    if what == "rings":
        build_rings(Path(where), dict(zip(("object", "container", "account"), map(int, rest), strict=True)))
    else:
        serve(rest[0], Path(rest[1]))
