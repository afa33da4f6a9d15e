"""Every attack on an archive is refused with a sentence, and costs no more than the limits."""

import gzip
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from builds.archive.limits import ArchiveLimits
from builds.archive.unpack import unpack
from builds.errors import ArchiveError
from tests.machine import scaled
from tests.unit.builds.archives import ZipEntry, pax, tar, tar_entry, usual_tar, usual_zip, zipped

LIMITS = ArchiveLimits(archive_bytes=400_000, total_bytes=2_000_000, entries=50)
GOOD = tar_entry("main.py", b"pass\n")
FILE = ZipEntry(b"main.py", b"pass\n")


def names(name: str | bytes) -> dict[str, bytes]:
    """The same name in both formats."""
    raw = name if isinstance(name, bytes) else name.encode()
    return {"tar": tar(GOOD, tar_entry(raw, b"x")), "zip": zipped([FILE, ZipEntry(raw, b"x")])}


def modes(mode: int) -> bytes:
    return zipped([FILE, ZipEntry(b"x", b"", mode=mode)])


BOMB = gzip.compress(tar_entry("zeros", bytes(50_000_000)) + bytes(1024))
MANY = [tar_entry(f"f{number}") for number in range(60)]
DEEP = "/".join("d" * 40)
OVERLAP = [ZipEntry(b"a", b"x" * 100), ZipEntry(b"b", b"x" * 100, central={"offset": 0})]
INNER = zipped([ZipEntry(b"inner", b"y" * 50)])
HUGE_PAX = tar_entry("pax", b"20 comment=" + b"x" * 70_000, kind=b"x")

ATTACKS = {
    # Names that lead out.
    **{f"dot-dot {form}": (data, "leads out") for form, data in names("../evil").items()},
    **{f"dot-dot inside {form}": (data, "leads out") for form, data in names("a/../../evil").items()},
    **{f"absolute {form}": (data, "absolute") for form, data in names("/etc/cron.d/evil").items()},
    **{f"drive {form}": (data, "absolute") for form, data in names("C:evil").items()},
    **{f"backslash {form}": (data, "backslash") for form, data in names("..\\evil").items()},
    "dot-dot by pax": (tar(GOOD, pax(path="../evil"), tar_entry("ok", b"x")), "leads out"),
    "dot-dot by GNU long name": (tar(GOOD, tar_entry("l", b"../evil\0", kind=b"L"), tar_entry("ok")), "leads out"),
    "dot-dot by prefix": (tar(GOOD, tar_entry("evil", prefix=b"..")), "leads out"),
    # Names that are none.
    **{f"not UTF-8 {form}": (data, "not UTF-8") for form, data in names(b"caf\xe9").items()},
    **{f"control character {form}": (data, "control character") for form, data in names("a\x1b[2Jb").items()},
    "NUL zip": (zipped([FILE, ZipEntry(b"a\0b", b"x")]), "control character"),
    **{f"empty part {form}": (data, "empty part") for form, data in names("a//b").items()},
    **{f"dot part {form}": (data, "empty part") for form, data in names("a/./b").items()},
    "no name": (zipped([FILE, ZipEntry(b"", b"x")]), "empty part"),
    "deep tar": (tar(GOOD, pax(path=DEEP), tar_entry("ok", b"x")), "more than 32 folders"),
    "deep zip": (zipped([FILE, ZipEntry(DEEP.encode())]), "more than 32 folders"),
    "long part": (zipped([FILE, ZipEntry(b"x" * 300)]), "a part of more than 255"),
    "long name tar": (tar(GOOD, pax(path="x/" * 600 + "x"), tar_entry("ok")), "longer than 1024"),
    "long name zip": (zipped([FILE, ZipEntry(b"x" * 1100)]), "longer than 1024"),
    # Names that are one file somewhere.
    **{f"twice {form}": (data, "'main.py' twice") for form, data in names("main.py").items()},
    **{f"twice by dot {form}": (data, "'main.py' twice") for form, data in names("./main.py").items()},
    **{f"case {form}": (data, "differ in case") for form, data in names("MAIN.py").items()},
    "case of a folder": (zipped([ZipEntry(b"lib/a"), ZipEntry(b"Lib/b")]), "differ in case"),
    "Unicode form": (zipped([ZipEntry("é".encode()), ZipEntry("e\u0301".encode())]), "differ in case"),
    "file below a file": (zipped([ZipEntry(b"a"), ZipEntry(b"a/b")]), "is a file and a folder"),
    "file at a folder": (zipped([ZipEntry(b"a/b"), ZipEntry(b"a")]), "is a folder and a file"),
    # Neither file nor folder.
    "symbolic link out": (tar(GOOD, tar_entry("x", kind=b"2", link=b"/etc/passwd")), "'x' is a symbolic link"),
    "symbolic link inside": (tar(GOOD, tar_entry("x", kind=b"2", link=b"main.py")), "'x' is a symbolic link"),
    "symbolic link zip": (modes(stat.S_IFLNK | 0o777), "'x' is a symbolic link"),
    "hard link": (tar(GOOD, tar_entry("x", kind=b"1", link=b"/etc/passwd")), "'x' is a hard link"),
    "character device": (tar(GOOD, tar_entry("x", kind=b"3")), "'x' is a device"),
    "block device": (tar(GOOD, tar_entry("x", kind=b"4")), "'x' is a device"),
    "device zip": (modes(stat.S_IFCHR | 0o666), "'x' is a device"),
    "fifo": (tar(GOOD, tar_entry("x", kind=b"6")), "'x' is a named pipe"),
    "fifo zip": (modes(stat.S_IFIFO | 0o666), "'x' is a named pipe"),
    "socket zip": (modes(stat.S_IFSOCK | 0o666), "'x' is a socket"),
    "unknown type": (tar(GOOD, tar_entry("x", kind=b"Z")), "unknown type"),
    "multi-volume": (tar(GOOD, tar_entry("x", kind=b"M")), "unknown type"),
    "setuid tar": (tar(GOOD, tar_entry("x", mode=0o4755)), "setuid"),
    "setgid tar": (tar(GOOD, tar_entry("x", mode=0o2755)), "setuid"),
    "setuid zip": (modes(stat.S_IFREG | 0o4755), "setuid"),
    "sparse GNU": (tar(GOOD, tar_entry("x", kind=b"S", size=b"77777777777\0")), "a sparse file"),
    "sparse pax": (tar(GOOD, pax(**{"GNU.sparse.realsize": "99999999999999"}), tar_entry("x")), "sparse file"),
    "folder with content tar": (tar(GOOD, tar_entry("x/", b"y", kind=b"5")), "has content"),
    "folder with content zip": (zipped([FILE, ZipEntry(b"x/", b"y")]), "has content"),
    # Too much.
    "bomb tar": (BOMB, "larger than 2,000,000"),
    "bomb zip": (usual_zip({"zeros": bytes(50_000_000)}), "larger than 2,000,000"),
    "bomb of padding": (gzip.compress(GOOD + bytes(50_000_000)), "larger than 2,000,000"),
    "bomb of bombs": (usual_zip({f"f{n}": bytes(300_000) for n in range(10)}), "larger than 2,000,000"),
    "large archive": (usual_zip({"random": os.urandom(500_000)}), "more than 400,000"),
    "many entries tar": (tar(*MANY), "more than 50 entries"),
    "many entries zip": (zipped([ZipEntry(b"f%d" % n) for n in range(60)]), "more than 50 entries"),
    "many pax headers": (tar(GOOD, *[pax(comment="x")] * 60), "more than 50 entries"),
    "many folders in names": (zipped([ZipEntry(b"%d/a/b/c/d/e/f/g" % n) for n in range(10)]), "files and folders"),
    "giant pax header": (tar(GOOD, HUGE_PAX, tar_entry("x")), "extended header of more than"),
    "giant long name": (tar(GOOD, tar_entry("l", b"x" * 70_000, kind=b"L"), tar_entry("x")), "extended header of more"),
    "giant size": (tar(GOOD, tar_entry("x", size=b"77777777777\0")), "truncated"),
    "giant size by pax": (tar(GOOD, pax(size="9" * 15), tar_entry("x")), "truncated"),
    "long directory": (zipped([FILE], length=2**31), "damaged or has other data"),
    "long extra fields": (zipped([FILE]).replace(b"PK\5\6", b"x" * 5000 + b"PK\5\6"), "damaged or has other data"),
    # Numbers that are none.
    "negative size": (tar(GOOD, tar_entry("x", size=b"-0000000001\0")), "not octal"),
    "binary size": (tar(GOOD, tar_entry("x", size=b"\x80" + bytes(10) + b"\xff")), "not octal"),
    "signed size by pax": (tar(GOOD, pax(size="-1"), tar_entry("x")), "impossible size"),
    "pax record of length 0": (tar(GOOD, tar_entry("p", b"0 a=b\n", kind=b"x"), tar_entry("x")), "damaged pax"),
    "pax record beyond its end": (tar(GOOD, tar_entry("p", b"99 a=b\n", kind=b"x"), tar_entry("x")), "damaged pax"),
    "pax record without end": (tar(GOOD, tar_entry("p", b"6 a=bc", kind=b"x"), tar_entry("x")), "damaged pax"),
    "wrong checksum": (tar(GOOD, tar_entry("x", checksum=b"000000\0 ")), "checksum of a header"),
    # Damaged, or two archives in one.
    "truncated gzip": (usual_tar({"main.py": os.urandom(5000)})[:-600], "truncated"),
    "truncated tar": (tar(GOOD[:700], end=b""), "truncated"),
    "tar without end": (tar(GOOD, end=b""), "truncated"),
    "truncated zip": (usual_zip({"main.py": b"pass\n"})[:-5], "damaged or has other data"),
    "short zip": (b"PK\3\4", "damaged or has other data"),
    "data after gzip": (tar(GOOD, after=b"x"), "data after its end"),
    "second gzip": (tar(GOOD, after=tar(tar_entry("evil"))), "data after its end"),
    "second gzip after a block": (tar(GOOD, after=b"") + bytes(70_000) + b"x", "data after its end"),
    "second tar": (tar(GOOD, end=bytes(1024) + tar_entry("evil")), "data after its end"),
    "data after zip": (zipped([FILE], after=b"x"), "damaged or has other data"),
    "comment": (zipped([FILE], comment=b"hello"), "damaged or has other data"),
    "data before zip": (b"PK\3\4" + zipped([FILE]), "damaged or has other data"),
    "program before zip": (zipped([FILE], before=b"PK\3\4evil"), "damaged or has other data"),
    "rest of a directory": (zipped([FILE], rest=b"PK\1\2evil"), "damaged or has other data"),
    "no header in front": (
        zipped([FILE, ZipEntry(b"b", b"x")]).replace(b"pass\nPK\3\4", b"pass\nPK\3\5"), "damaged or has other data"
    ),
    "hidden data": (zipped([ZipEntry(b"a", b"x", gap=b"evil"), FILE]), "followed by some"),
    "damaged gzip": (usual_tar({"main.py": bytes(5000)})[:30] + b"\xff" * 40, "damaged"),
    "damaged deflate": (zipped([ZipEntry(b"x", b"\xff" * 9, central={"method": 8}, local={"method": 8})]), "damaged"),
    "no gzip": (b"\x1f\x8b" + b"x" * 50, "damaged"),
    "neither": (b"#!/bin/sh\nrm -rf /\n", "neither a zip nor a tar.gz"),
    "bzip2": (b"BZh9" + b"x" * 50, "neither a zip nor a tar.gz"),
    "no files": (usual_zip({}), "has no files"),
    "folders only": (tar(tar_entry("a/", kind=b"5")), "has no files"),
    # A zip that says two things.
    "overlap": (zipped(OVERLAP), "damaged or has other data|overlaps"),
    "nested overlap": (zipped([ZipEntry(b"a", INNER, central={"compressed": 10})]), "two different things|overlaps"),
    "other name in front": (zipped([ZipEntry(b"main.py", b"x", local={"name": b"evil.py"})]), "two different things"),
    "other size in front": (zipped([ZipEntry(b"a", b"xy", local={"size": 1})]), "two different things"),
    "other method in front": (zipped([ZipEntry(b"a", b"xy", local={"method": 8})]), "two different things"),
    "other flags in front": (zipped([ZipEntry(b"a", b"xy", local={"flags": 8})]), "two different things"),
    "wrong CRC": (zipped([ZipEntry(b"a", b"x", central={"crc": 1}, local={"crc": 1})]), "not what the zip says"),
    "small size": (
        zipped([ZipEntry(b"a", b"x" * 99, method=8, central={"size": 1}, local={"size": 1})]), "not what the zip says"
    ),
    "large size": (
        zipped([ZipEntry(b"a", b"x", central={"size": 9}, local={"size": 9}, method=8)]), "not what the zip says"
    ),
    "data behind deflate": (
        zipped([ZipEntry(b"a", b"x", method=8, gap=b"evil", central={"compressed": 7}, local={"compressed": 7})]),
        "'a' is damaged",
    ),
    "unended deflate": (
        zipped([ZipEntry(b"a", b"x" * 999, method=8, central={"compressed": 5}, local={"compressed": 5})]),
        "damaged|overlaps",
    ),
    "encrypted": (zipped([ZipEntry(b"a", b"x", flags=1)]), "encrypted"),
    "other compression": (zipped([ZipEntry(b"a", b"x", method=12)]), "compression method 12"),
    "other disk": (zipped([FILE], disk=1), "damaged or has other data"),
    "disk of an entry": (zipped([ZipEntry(b"a", b"x", central={"disk": 2})]), "damaged or has other data"),
    "fewer entries than said": (zipped([FILE], count=2, here=2), "damaged or has other data"),
    "more entries than said": (zipped([FILE, ZipEntry(b"b")], count=1, here=1), "damaged or has other data"),
    "zip64": (zipped([FILE], count=0xFFFF, here=0xFFFF), "65,534"),
    "directory elsewhere": (zipped([FILE], offset=3), "damaged or has other data"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_is_refused_with_a_sentence(attack: str, tmp_path: Path) -> None:
    data, why = ATTACKS[attack]
    archive, destination = tmp_path / "archive", tmp_path / "inner" / "destination"
    archive.write_bytes(data)
    destination.mkdir(parents=True)
    with pytest.raises(ArchiveError) as caught:
        unpack(archive, destination, LIMITS)
    sentence = str(caught.value)
    assert re.search(why, sentence), sentence
    assert sentence.isprintable()
    assert sentence.endswith(".")
    assert len(sentence) < 500
    # Nothing beside the destination, and in it nothing but plain files and folders.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "inner"]
    assert [path.name for path in destination.parent.iterdir()] == ["destination"]
    for path in destination.rglob("*"):
        mode = path.lstat().st_mode
        assert stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and not mode & 0o7000)
    assert sum(path.stat().st_size for path in destination.rglob("*") if path.is_file()) <= LIMITS.total_bytes


def test_archive_inside_an_archive_is_a_file(tmp_path: Path) -> None:
    """So a zip that contains itself costs its own size."""
    inner = usual_zip({"a": b"x"})
    archive, destination = tmp_path / "archive", tmp_path / "destination"
    archive.write_bytes(usual_zip({"main.py": b"", "quine.zip": inner}))
    destination.mkdir()
    assert unpack(archive, destination, LIMITS).files == ("main.py", "quine.zip")
    assert (destination / "quine.zip").read_bytes() == inner


# Costs of the worst that fits into 50 MB, measured from outside.
UNPACK = r"""
import re, sys
from pathlib import Path
from builds.archive.limits import ArchiveLimits
from builds.archive.unpack import unpack
from builds.errors import ArchiveError
try:
    unpack(Path(sys.argv[1]), Path(sys.argv[2]), ArchiveLimits())
except ArchiveError as error:
    print(error)
# Not of getrusage, which counts what the process was before it became this program.
print(int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


def million_entries() -> bytes:
    """A directory of a million entries, whose last record names few."""
    directory = zipped([ZipEntry(b"a")])[31:-22] * 1_000_000
    return b"PK\3\4" + directory + zipped([], count=9_999, here=9_999, length=len(directory), offset=4)


WORST = {
    "bomb": lambda: gzip.compress(tar_entry("zeros", bytes(280_000_000)), 1),
    "pax header of 50 MB": lambda: gzip.compress(tar_entry("p", bytes(50_000_000), kind=b"x"), 1),
    "long name of 50 MB": lambda: gzip.compress(tar_entry("p", bytes(50_000_000), kind=b"L"), 1),
    "400,000 tar entries": lambda: gzip.compress(tar_entry("f") * 400_000, 1),
    "a million zip entries": million_entries,
    "60,000 zip entries": lambda: zipped([ZipEntry(b"f%d" % n) for n in range(60_000)]),
}


@pytest.mark.parametrize("attack", WORST)
def test_worst_archive_costs_little_memory_and_time(attack: str, tmp_path: Path) -> None:
    archive, destination = tmp_path / "archive", tmp_path / "destination"
    archive.write_bytes(WORST[attack]())
    destination.mkdir()
    begun = os.times()
    done = subprocess.run(
        [sys.executable, "-c", UNPACK, archive, destination], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    ended = os.times()
    sentence, mib = done.stdout.splitlines()
    assert sentence.endswith(".")
    assert int(mib) < 64
    assert ended.children_user + ended.children_system - begun.children_user - begun.children_system < scaled(10)
