"""The real Toxiproxy, built from its Go module, and the few calls of its API that the tests need."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.machine import scaled

MODULE = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0"
BINARIES = Path(__file__).parents[2] / ".cache" / "toxiproxy"


def binary() -> Path:
    """The server, built once."""
    path = BINARIES / "server"
    if not path.exists():
        subprocess.run(["go", "install", MODULE], check=True, env={**os.environ, "GOBIN": str(BINARIES)})
    return path


@dataclass(frozen=True)
class Proxy:
    """A way to an upstream, with toxics on it or none."""

    api: str
    name: str
    port: int

    def add(self, kind: str, *, toxicity: float = 1.0, **attributes: int) -> None:
        """A toxic on the answers of every connection, those that are open among them."""
        toxic = {"name": kind, "type": kind, "stream": "downstream", "toxicity": toxicity, "attributes": attributes}
        httpx.post(
            f"{self.api}/proxies/{self.name}/toxics", json=toxic, trust_env=False, timeout=scaled(60)
        ).raise_for_status()

    def wake(self, kind: str) -> None:
        """Lets a toxic strike that was added with a toxicity of 0."""
        url = f"{self.api}/proxies/{self.name}/toxics/{kind}"
        httpx.post(url, json={"toxicity": 1.0}, trust_env=False, timeout=scaled(60)).raise_for_status()

    def clean(self) -> None:
        for toxic in httpx.get(f"{self.api}/proxies/{self.name}/toxics", trust_env=False, timeout=scaled(60)).json():
            url = f"{self.api}/proxies/{self.name}/toxics/{toxic['name']}"
            # It answers when the toxic has let go of what it holds: of some kilobytes at one a second, for instance.
            httpx.delete(url, trust_env=False, timeout=scaled(60)).raise_for_status()


@dataclass(frozen=True)
class Toxiproxy:
    """A running server."""

    api: str

    def before(self, name: str, port: int, listen: int) -> Proxy:
        """A proxy on `listen` before another port of loopback."""
        wanted = {"name": name, "listen": f"127.0.0.1:{listen}", "upstream": f"127.0.0.1:{port}"}
        httpx.post(f"{self.api}/proxies", json=wanted, trust_env=False, timeout=scaled(60)).raise_for_status()
        return Proxy(self.api, name, listen)


@contextlib.contextmanager
def toxiproxy(port: int) -> Iterator[Toxiproxy]:
    process = subprocess.Popen([binary(), "-port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + scaled(20)
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(f"http://127.0.0.1:{port}/version", trust_env=False, timeout=scaled(60))
                break
            time.sleep(0.05)
        yield Toxiproxy(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait()
