"""The main story on one machine: five parallel checksum calls, compared with digests of the files."""

import argparse
import contextlib
import hashlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx

from localcloud.cloud import LocalCloud, local_cloud
from localcloud.demo_objects import CONTAINER, PICTURE, one_thumbnail, upload_picture
from localcloud.stack import function_service, gateway_behind_envoy, running, thumbnail_service, write_tenants

BUCKET = "demo"
FILES = {
    "file.txt": 4_096,
    "run 2024/notes ü.txt": 65_537,
    "events.root": 3 * 2**20,
    "calibration.tar": 8 * 2**20,
    "raw/detector.bin": 24 * 2**20,
}
ALGORITHMS = ("adler32", "md5", "sha256")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    size: int
    algorithm: str
    digest: str
    source: str
    seconds: float
    right: bool


def say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the table")
    once: bool = parser.parse_args().once
    # On every exit, its processes are ended and its folders removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.ExitStack() as stack:
        say("==> Keystone and Swift on loopback")
        cloud = stack.enter_context(local_cloud(progress=lambda line: say(f"    {line}")))
        files = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="demo-files-")))
        tenants = cloud.state / "tenants.yaml"
        say("==> onboarding the project alice-project")
        function, thumbnail = function_service(cloud.state), thumbnail_service(cloud.state)
        write_tenants(
            tenants,
            {cloud.users["alice"].project_id: f"http://127.0.0.1:{function.port}"},
            with_objects={"thumbnail": f"http://127.0.0.1:{thumbnail.port}"},
        )
        say(f"==> uploading {len(FILES)} files as alice")
        upload(cloud, files)
        upload_picture(cloud)
        say("==> the functions, the gateway, and Envoy in front")
        stack.enter_context(running(thumbnail))
        stack.enter_context(running(function))
        front = stack.enter_context(gateway_behind_envoy(cloud, tenants=tenants))
        url = f"http://127.0.0.1:{front.port}"
        # One client, created before, so that the times do not include its start.
        client = stack.enter_context(httpx.Client(base_url=url, timeout=120))
        client.get("/healthcheck")
        rows = [row for title in ("first", "second") for row in five_calls(client, cloud, files, title)]
        wrong = [row for row in rows if not row.right]
        say(f"==> {len(rows)} digests, {len(wrong)} differ from those computed from the files")
        say("==> one call with an object as input and one as output; the function has no credential")
        shown = one_thumbnail(client, cloud)
        say("\n".join(f"    {line}" for line in shown.lines))
        say(f"==> the thumbnail in Swift is {'as the answer says' if shown.right else 'WRONG'}")
        say("==> loopback isolates nothing: here a function can reach all that you can; on a cluster it cannot")
        failed = bool(wrong) or not shown.right
        if failed or once:
            return 1 if failed else 0
        with contextlib.suppress(KeyboardInterrupt):
            say(to_paste(cloud, url))
            signal.pause()
    return 0


def upload(cloud: LocalCloud, files: Path) -> None:
    """Creates the files and uploads them into the bucket."""
    session = cloud.session("alice")
    account = cloud.account_url("alice")
    session.put(f"{account}/{BUCKET}")
    for name, size in FILES.items():
        path = files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content_of(name))
        url = httpx.URL(f"{account}/{BUCKET}/").join(httpx.URL(path=f"/v1/x/{name}")).raw_path.decode()
        session.put(f"{account}/{BUCKET}/{url.removeprefix('/v1/x/')}", data=path.read_bytes())
        say(f"    {name} ({size:,} bytes)")


def content_of(name: str) -> bytes:
    """The content of a file: always the same, so that the documentation can print its digests."""
    return hashlib.shake_256(name.encode()).digest(FILES[name])


def five_calls(client: httpx.Client, cloud: LocalCloud, files: Path, title: str) -> list[Row]:
    """The calls of the original slides, in parallel."""
    say(f"==> five parallel calls, {title} time: GET /checksums/?bucket={BUCKET}&file=…")
    token = cloud.token("alice")

    def call(name: str) -> list[Row]:
        started = time.perf_counter()
        response = client.get(
            "/checksums/",
            params={"bucket": BUCKET, "file": name, "algorithm": ",".join(ALGORITHMS)},
            headers={"X-Auth-Token": token},
        )
        seconds = time.perf_counter() - started
        if response.status_code != httpx.codes.OK:
            sys.exit(f"{name}: {response.status_code} {response.text}")
        answer = response.json()
        independent = digests_of(files / name)
        return [
            Row(
                name,
                answer["size"],
                algorithm,
                answer["digests"][algorithm],
                answer["sources"][algorithm],
                seconds,
                answer["digests"][algorithm] == independent[algorithm],
            )
            for algorithm in ALGORITHMS
        ]

    with ThreadPoolExecutor(len(FILES)) as pool:
        rows = [row for found in pool.map(call, FILES) for row in found]
    say(f"    {'object':<22}{'size':>12}  {'algorithm':<9} {'digest':<66}{'source':<11}{'seconds':>7}  check")
    for row in rows:
        say(
            f"    {row.name:<22}{row.size:>12,}  {row.algorithm:<9} {row.digest:<66}{row.source:<11}"
            f"{row.seconds:>7.3f}  {'ok' if row.right else 'WRONG'}"
        )
    return rows


def digests_of(path: Path) -> dict[str, str]:
    """The digests of a file, computed independently of the function: by zlib and the command openssl."""
    digests = {"adler32": f"{zlib.adler32(path.read_bytes()):08x}"}
    openssl = shutil.which("openssl")
    for algorithm in ("md5", "sha256"):
        command = [openssl, "dgst", f"-{algorithm}", "-r"] if openssl else [f"{algorithm}sum"]
        with path.open("rb") as file:
            printed = subprocess.run(command, stdin=file, capture_output=True, check=True, text=True).stdout
        digests[algorithm] = printed.split()[0]
    return digests


def to_paste(cloud: LocalCloud, url: str) -> str:
    """Commands for another terminal."""
    return f"""
==> the demo keeps running; in another terminal:

    export OS_CLIENT_CONFIG_FILE={cloud.clouds_yaml} OS_CLOUD=alice
    export PATH={cloud.bin}:{Path(sys.executable).parent}:$PATH FAAS={url}
    osfaas checksum get {BUCKET}/file.txt
    TOKEN=$(openstack token issue -f value -c id)
    curl -H "X-Auth-Token: $TOKEN" "$FAAS/checksums/?bucket={BUCKET}&file=file.txt"
    curl -I -H "X-Auth-Token: $TOKEN" -H "Want-Digest: adler32" "$FAAS/v1/checksums/{BUCKET}/events.root"
    openstack object list {BUCKET}
    osfaas function invoke thumbnail '/?width=32' --input {CONTAINER}/{PICTURE} --output {CONTAINER}/tree-32.png

    logs: {cloud.logs}
    Ctrl-C ends everything."""


if __name__ == "__main__":
    sys.exit(main())
