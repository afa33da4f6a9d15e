"""`osfaas checksum sweep`: the request that it sends, and the lines that it prints."""

import pytest

from client.errors import CommandError
from client.sweeps import SweepOrder, summary_lines, sweep_line

UNCAPPED = {"bytes_per_second": None, "requests_per_second": None}


def test_request_names_what_was_given():
    order = SweepOrder(
        "demo",
        prefix="raw/",
        algorithms=("md5",),
        against="dumps/a/b.csv",
        dump_prefix="/rse/",
        formats=("csv",),
        output="out/some/",
        max_requests=5,
    )
    assert order.document() == {
        "container": "demo",
        "prefix": "raw/",
        "algorithms": ["md5"],
        "against": {"container": "dumps", "object": "a/b.csv", "path_prefix": "/rse/"},
        "formats": ["csv"],
        "output": {"container": "out", "prefix": "some/"},
        "limits": {**UNCAPPED, "requests_per_second": 5},
        "store": False,
        "force": False,
    }


def test_defaults_are_the_services():
    assert SweepOrder("demo").document().keys() == {"container", "prefix", "store", "force", "limits"}


@pytest.mark.parametrize("name", ["dump", "/dump", "dump/"])
def test_dump_is_a_container_and_an_object(name):
    with pytest.raises(CommandError):
        SweepOrder("demo", against=name).document()


def test_progress_has_the_total_and_the_estimate():
    sweep = {
        "state": "running",
        "attempts": 1,
        "progress": {"bytes": 4096, "objects": 3},
        "total": {"bytes": 1 << 40, "objects": 1_000_000},
        "estimated_end": "2026-11-30T08:15:00.000000Z",
    }
    assert sweep_line(sweep) == "running, 4,096 bytes, 3 objects of 1,000,000, until about 2026-11-30T08:15Z"


def test_summary():
    findings = {"lost": 1, "dark": 0, "corrupt": 2, "changed": 0, "unread": 0}
    summary = {"objects": 7, "bytes": 9, "findings": findings, "output": {"container": "sweeps", "prefix": "id/"}}
    assert summary_lines(summary) == [
        "7 objects, 9 bytes: 1 lost, 0 dark, 2 corrupt, 0 changed, 0 unread",
        "written to sweeps/id/",
    ]
