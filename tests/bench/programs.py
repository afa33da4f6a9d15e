"""Rows about programs that run and end: P3 (authorisation alone), P6 (digests alone), P10 (the command line)."""

import sys
from pathlib import Path

from tests.bench.measure import Comparison, Goal, Pairs, Probe, run_command
from tests.bench.stage import CONTAINER, SUBJECTS, Effort, Stage

FIVE = ("md5", "sha1", "sha256", "crc32", "crc32c")


def authorisation(stage: Stage, effort: Effort) -> list[Comparison]:
    """P3: head → caller → tenant, with a token that is cached."""
    calls = effort.requests * 2
    gateway = {**stage.gateway.env, "BENCH_TOKEN": stage.token}

    def ours() -> float:
        arguments = [sys.executable, SUBJECTS / "authorisation.py", str(calls)]
        return float(run_command(arguments, gateway).output) / calls * 1e6

    def middleware() -> float:
        arguments = [stage.cloud.bin / "python", SUBJECTS / "middleware_app.py", str(calls)]
        return float(run_command(arguments, stage.middleware_environment).output) / calls * 1e6

    figures = Pairs(effort.runs).measure(ours=ours, middleware=middleware)
    return [
        Comparison(
            "P3",
            "CPU of one cached authorisation",
            "µs",
            figures["ours"],
            {"keystonemiddleware": figures["middleware"]},
            Goal(0.03),
            probe=Probe(command=([sys.executable, SUBJECTS / "authorisation.py", str(calls)], gateway)),
        )
    ]


def five_digests(stage: Stage, effort: Effort) -> list[Comparison]:
    """P6: a file from the page cache, five digests in one pass."""
    path = stage.file(effort.object_mib)
    hyphened = "--printf=" + r"%{md5} %{sha1} %{sha-256} %{crc32} %{crc32c}\n"
    printed: set[str] = set()

    spent: dict[str, list[float]] = {}

    def rate(who: str, *arguments: str | Path) -> float:
        command = run_command(arguments)
        printed.add(command.output.strip().lower())
        spent.setdefault(who, []).append(command.cpu_seconds / (effort.object_mib << 20) * 1e9)
        return effort.object_mib / 1024 / command.seconds

    figures = Pairs(effort.runs).measure(
        ours=lambda: rate("ours", sys.executable, SUBJECTS / "digest_file.py", path, *FIVE),
        rhash=lambda: rate("rhash", "rhash", hyphened, path),
    )
    if len(printed) != 1:
        raise RuntimeError(f"the digests differ: {printed}")
    return [
        Comparison(
            "P6",
            "md5, sha1, sha256, crc32 and crc32c of a file in one pass, with the start of the program",
            "GiB/s",
            figures["ours"],
            {"rhash": figures["rhash"]},
            Goal(2.2, at_least=True),
            probe=Probe(
                command=([sys.executable, SUBJECTS / "digest_file.py", path, *FIVE], {}),
                bound="the slowest digest's thread, and the number of processors",
            ),
        ),
        Comparison("P6", "CPU of that, over all threads", "ns/B", spent["ours"], {"rhash": spent["rhash"]}, None),
    ]


def command_line(stage: Stage, effort: Effort) -> list[Comparison]:
    """P10: the command as a script calls it, with a login that is kept."""
    name = stage.upload(1)
    environment = {
        "OS_CLIENT_CONFIG_FILE": str(stage.cloud.clouds_yaml),
        "OS_CLOUD": "alice",
        "XDG_CACHE_HOME": str(stage.cloud.state / "cache"),
    }
    gateway = f"http://127.0.0.1:{stage.gateway.port}"
    osfaas = Path(sys.executable).with_name("osfaas")
    arguments = [osfaas, "checksum", "get", "-e", gateway, "-t", "md5", f"{CONTAINER}/{name}"]
    curl = ["curl", "-sf", "-H", f"X-Auth-Token: {stage.token}", "-H", "Accept: text/plain"]
    url = f"{gateway}{stage.gateway_path(name)}?algorithm=md5"
    answers = {run_command(arguments, environment).output, run_command([*curl, url]).output}
    if len(answers) != 1:
        raise RuntimeError(f"the command and curl differ: {answers}")
    wall = Pairs(effort.runs * 3).measure(
        ours=lambda: run_command(arguments, environment).seconds * 1e3,
        python=lambda: run_command([sys.executable, "-c", "pass"]).seconds * 1e3,
        curl=lambda: run_command([*curl, url]).seconds * 1e3,
    )
    return [
        Comparison(
            "P10",
            "osfaas checksum get, login kept, from start to end",
            "ms",
            wall["ours"],
            {"python -c pass": wall["python"], "curl": wall["curl"]},
            Goal(3.5),
            probe=Probe(command=([sys.executable, *arguments], environment), bound="imports, and one call"),
        )
    ]
