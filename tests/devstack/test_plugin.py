"""The plug-in of devstack: every phase on a real Keystone and Swift, and one checksum in the end.

devstack itself needs a machine of its own. Its helper functions are those of `devstack.sh`, beside this file.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from localcloud.cloud import LocalCloud, local_cloud
from localcloud.ports import free_ports
from tests.machine import scaled

CHECKOUT = Path(__file__).resolve().parents[2]
PLUGIN = CHECKOUT / "devstack"
PHASES = ("stack pre-install", "stack install", "stack post-config", "stack extra", "stack test-config")


@dataclass(frozen=True)
class Devstack:
    """A machine in the state in which devstack calls the plug-in."""

    cloud: LocalCloud
    folder: Path
    port: int
    function_port: int

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        passed = {key: value for key, value in os.environ.items() if key.startswith(("PIP_", "SSL_", "REQUESTS_"))}
        environment = {
            **passed,
            "PATH": f"{self.cloud.bin}:{self.folder / 'data' / 'osfaas' / 'gateway' / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "DEST": str(self.folder / "dest"),
            "DATA_DIR": str(self.folder / "data"),
            "RUN_DIR": str(self.folder / "run"),
            "PLUGIN": str(PLUGIN),
            "SERVICE_HOST": "127.0.0.1",
            "SERVICE_LISTEN_ADDRESS": "127.0.0.1",
            "SERVICE_PASSWORD": 'devstack\'s "password"',
            "SERVICE_TIMEOUT": str(int(scaled(180))),
            "REGION_NAME": self.cloud.region,
            "KEYSTONE_SERVICE_URI": self.cloud.auth_url.removesuffix("/v3"),
            "SWIFT_DEFAULT_BIND_PORT": self.cloud.swift_url.rpartition(":")[2],
            "FAAS_CONF_DIR": str(self.folder / "etc"),
            "FAAS_PORT": str(self.port),
            "FAAS_FUNCTION_PORT": str(self.function_port),
            "FAAS_PROJECT": self.cloud.users["alice"].project_id,
            "OS_CLIENT_CONFIG_FILE": str(self.cloud.clouds_yaml),
            "OS_CLOUD": "admin",
            **more,
        }
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=scaled(900), cwd=self.folder
        )

    def phases(self, *phases: str, **more: str) -> str:
        done = self.run(str(Path(__file__).with_name("devstack.sh")), *phases, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def smoke(self, user: str = "alice") -> subprocess.CompletedProcess[str]:
        return self.run(str(PLUGIN / "smoke.sh"), OS_CLOUD=user)


@pytest.fixture(scope="module")
def devstack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devstack]:
    folder = tmp_path_factory.mktemp("devstack")
    for name in ("dest", "run"):
        (folder / name).mkdir()
    # A copy without what builds of this checkout leave in it.
    ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build")
    shutil.copytree(CHECKOUT, folder / "dest" / "osfaas", ignore=ignored, symlinks=True)
    with local_cloud() as cloud:
        # Another port than the catalog names so far.
        machine = Devstack(cloud, folder, *free_ports(2))
        yield machine
        machine.run(str(Path(__file__).with_name("devstack.sh")), "unstack")


@pytest.fixture(scope="module")
def stacked(devstack: Devstack) -> Devstack:
    devstack.phases(*PHASES)
    return devstack


@pytest.mark.timeout(1800)
def test_stack_serves_a_checksum(stacked: Devstack) -> None:
    done = stacked.smoke()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "11e60398" in done.stdout


def test_password_of_the_service_user_is_readable_by_nobody_else(stacked: Devstack) -> None:
    assert (stacked.folder / "etc" / "clouds.yaml").stat().st_mode & 0o077 == 0


def test_catalog_names_the_gateway(stacked: Devstack) -> None:
    session = stacked.cloud.session("alice")
    assert session.get_endpoint(service_type="function", interface="public") == f"http://127.0.0.1:{stacked.port}"


def test_smoke_test_fails_where_the_project_is_not_served(stacked: Devstack) -> None:
    """Otherwise the test above proves nothing."""
    done = stacked.smoke("bob")
    assert done.returncode != 0
    assert "tenant.unknown" in done.stderr or "not onboarded" in done.stderr, done.stderr


def test_stacking_again_after_unstack_works(stacked: Devstack) -> None:
    """Keystone keeps what is there; programs end and start."""
    stacked.phases("unstack")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{stacked.port}/healthcheck")
    stacked.phases("stack post-config", "stack extra")
    assert stacked.smoke().returncode == 0


def test_clean_leaves_nothing(stacked: Devstack) -> None:
    stacked.phases("unstack", "clean")
    assert list((stacked.folder / "run").glob("*.pid")) == []
    assert not (stacked.folder / "etc").exists()
    assert list((stacked.folder / "data" / "osfaas").iterdir()) == []


def test_disabled_service_changes_nothing(devstack: Devstack, tmp_path: Path) -> None:
    """`disable_service osfaas-gateway` in local.conf."""
    text = (PLUGIN / "settings").read_text(encoding="utf-8").replace("enable_service osfaas-gateway", "enable_service")
    shutil.copy(PLUGIN / "plugin.sh", tmp_path)
    (tmp_path / "settings").write_text(text, encoding="utf-8")
    assert devstack.phases(*PHASES, PLUGIN=str(tmp_path), FAAS_CONF_DIR=str(tmp_path / "etc")) == ""
    assert not (tmp_path / "etc").exists()
