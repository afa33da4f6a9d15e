"""The page for sites with Ceph, typed from its first command to its last, on an own Keystone and Ceph."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import yaml
from programs import HOME, run

from localcloud import LocalCloud, local_cloud
from localcloud.ceph import Ceph
from localcloud.ceph import ceph as ceph_cluster
from localcloud.demo import content_of
from localcloud.ports import free_ports
from localcloud.services import Service
from localcloud.stack import function_service, gateway_service, running, write_tenants
from tests.machine import scaled

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "dynafed-with-ceph.md"
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
OUTPUTS = sum(language == "text" for language, _ in BLOCKS)
END = "end-of-the-block"
NAME = "client.rgw.a"
OBJECT = "/v1/checksums/data/events.root"


@dataclass
class Shell:
    """One shell, into which blocks are typed one after the other."""

    env: Mapping[str, str]
    folder: Path
    count: int = 0

    def __post_init__(self) -> None:
        self._process = subprocess.Popen(
            ["bash", "-euo", "pipefail"],
            env=self.env,
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def type(self, commands: str) -> list[str]:
        """The lines that they print, on stderr as well. Whatever fails in them fails."""
        self.count += 1
        block = self.folder / f"block-{self.count}.sh"
        block.write_text(commands, encoding="utf-8")
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f". {block} </dev/null\necho\necho {END}\n")
        self._process.stdin.flush()
        lines = []
        for line in self._process.stdout:
            if line.strip() == END:
                return lines
            lines.append(line.strip())
        raise AssertionError("\n".join([commands, "printed:", *lines]))

    def value(self, name: str) -> str:
        """Of a variable."""
        return "".join(self.type(f'echo "${name}"\n'))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@dataclass
class Site:
    """What the page is followed on, and what its outputs were compared with."""

    cloud: LocalCloud
    cluster: Ceph
    shell: Shell
    function: Service
    rgw_port: int
    stack: contextlib.ExitStack
    compared: list[tuple[str, list[str]]] = field(default_factory=list)

    def here(self, text: str) -> str:
        """The page's text with the addresses of this site."""
        names = {
            "https://keystone.example.org:5000": self.cloud.auth_url.removesuffix("/v3"),
            "https://rgw.example.org": f"http://127.0.0.1:{self.rgw_port}",
            "s3s://rgw.example.org": f"s3://127.0.0.1:{self.rgw_port}",
            "https://faas.example.org": f"http://127.0.0.1:{self.cloud.gateway_port}",
        }
        for name, own in names.items():
            text = text.replace(name, own)
        return text

    def rados_gateway(self, section: str, port: int) -> None:
        """Starts one with a section of ceph.conf; the cluster's own is as in every test."""
        name = section.partition("]")[0].removeprefix("[")
        conf = self.cluster.conf.with_name(f"{name}.conf")
        own = f"rgw_frontends = beast endpoint=127.0.0.1:{port}\n"
        conf.write_text(self.cluster.conf.read_text() + section + own, encoding="utf-8")
        created = subprocess.run(
            ["ceph", "--conf", conf, "auth", "get-or-create", name, "mon", "allow rw", "osd", "allow rwx"],
            stdout=subprocess.PIPE,
            check=True,
            timeout=scaled(120),
        ).stdout
        with conf.with_name("keyring").open("ab") as keyring:
            keyring.write(b"\n" + created)
        command = ["radosgw", "--name", name, "--conf", str(conf), "--foreground"]
        self.stack.enter_context(running(Service(name, command, port, self.cloud.state)))

    @contextlib.contextmanager
    def gateway(self, settings: Mapping[str, str], port: int | None = None) -> Iterator[str]:
        """The service with these settings, for the projects of the page; gives its URL."""
        tenants = self.cloud.state / "tenants.yaml"
        users = (self.cloud.users[name].project_id for name in ("alice", "bob"))
        projects = (*users, self.shell.value("FEDERATION"))
        write_tenants(tenants, dict.fromkeys(projects, f"http://127.0.0.1:{self.function.port}"))
        port = port or free_ports(1)[0]
        # All is on loopback here.
        env = {"OSFAAS_STORE_ALLOWLIST": self.here("https://rgw.example.org"), **settings}
        with running(gateway_service(self.cloud, tenants=tenants, name=f"gateway-{port}", port=port, env=env)):
            yield f"http://127.0.0.1:{port}"

    @property
    def settings(self) -> dict[str, str]:
        """Those that the page has written."""
        lines = (self.shell.folder / "gateway.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def follow(self) -> None:
        """Does what the page says, block by block."""
        printed: list[str] = []
        for language, text in BLOCKS:
            if language == "bash":
                printed = self.shell.type(self.here(text))
                if "gateway.env" in text:
                    self.stack.enter_context(self.gateway(self.settings, self.cloud.gateway_port))
            elif language == "text":
                self.compared.append((text, printed))
            elif language == "ini":
                self.rados_gateway(self.filled(text, "CEPH_PASSWORD"), self.rgw_port)
            elif language == "yaml":
                document = yaml.safe_load(self.cloud.clouds_yaml.read_text())
                document["clouds"] |= yaml.safe_load(self.filled(text, "FEDERATION_PASSWORD"))
                self.cloud.clouds_yaml.write_text(yaml.safe_dump(document))

    def filled(self, text: str, *names: str) -> str:
        """The same, with values of the shell's variables in place of their names."""
        for name in names:
            text = re.sub(rf"\b{name}\b", self.shell.value(name), text)
        return self.here(text)

    def grant(self, projects: str) -> None:
        """Replaces the bucket's ACL, as in step 5."""
        token = '-H "X-Auth-Token: $(OS_CLOUD=alice openstack token issue -f value -c id)"'
        # curl sends an empty field if its name ends so.
        field = f'-H "X-Container-Read: {projects}"' if projects else '-H "X-Container-Read;"'
        self.shell.type(f'curl --fail --request POST {token} {field} "$STORE/data"\n')

    def ask(self, url: str, cloud: str) -> tuple[int, str]:
        """Status of a checksum as an entry of clouds.yaml, and the code of an error."""
        token = self.shell.type(f"OS_CLOUD={cloud} openstack token issue -f value -c id\n")[0]
        headers = {"X-Auth-Token": token, "Accept": "application/json"}
        response = httpx.get(f"{url}{OBJECT}?algorithm=sha1&force=true", headers=headers, timeout=scaled(60))
        errors = response.json().get("errors")
        return response.status_code, errors[0]["code"] if errors else ""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A Keystone without an object store in its catalog, a Ceph, and a shell as the reader has one."""
    folder = tmp_path_factory.mktemp("guide")
    (folder / ".curlrc").write_text("silent\nshow-error\n")
    (folder / "events.root").write_bytes(content_of("events.root"))
    with contextlib.ExitStack() as stack:
        cloud = stack.enter_context(local_cloud())
        admin = cloud.session("admin")
        for service in admin.get(f"{cloud.auth_url}/services").json()["services"]:
            if service["type"] in {"object-store", "s3"}:
                admin.delete(f"{cloud.auth_url}/services/{service['id']}")
        cluster = stack.enter_context(ceph_cluster(cloud))
        function = stack.enter_context(running(function_service(cloud.state)))
        env = {
            "PATH": f"{cloud.bin}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml),
        }
        shell = stack.enter_context(contextlib.closing(Shell(env, folder)))
        made = Site(cloud, cluster, shell, function, free_ports(1)[0], stack)
        made.follow()
        yield made


@pytest.mark.parametrize("number", range(OUTPUTS))
def test_commands_of_the_page_print_what_it_says(site, number):
    """Each line of the page is a line of the output; `…` is anything."""
    wanted, printed = site.compared[number]
    for line in wanted.splitlines():
        pattern = ".*".join(map(re.escape, line.split("…")))
        assert any(re.fullmatch(pattern, each) for each in printed), (line, printed)


def test_dynafeds_own_tool_reads_the_stored_digest_with_the_pages_configuration(site):
    """Its `-e` knows ids of one letter only."""
    (text,) = [text for language, text in BLOCKS if not language]
    conf = site.shell.folder / "c.conf"
    conf.write_text(re.sub(r"\bceph\b(?!\.conf)", "c", site.filled(text, "ACCESS", "SECRET")))
    url = site.here("https://rgw.example.org/data/events.root")
    tool = HOME / "venv" / "bin" / "dynafed-storage"
    assert run(tool, "checksums", "get", "-c", conf, "-e", "c", "-u", url, "-t", "adler32").value == "c942dc81"


def test_federation_without_the_acl_is_forbidden(site):
    with site.gateway(site.settings) as url:
        assert site.ask(url, "ceph") == (200, "")
        site.grant("")
        assert site.ask(url, "ceph") == (403, "object.forbidden")
        assert site.ask(url, "alice") == (200, "")
        site.grant("$FEDERATION")
        assert site.ask(url, "ceph") == (200, "")


def test_service_without_an_accepted_role_is_refused_by_ceph(site):
    """The user `dynafed` has the roles that are enough with Swift: `service` and `reader`."""
    projects = {"OSFAAS_SERVICE_PROJECTS": site.cloud.users["dynafed"].project_id}
    with site.gateway({**site.settings, **projects}) as url:
        assert site.ask(url, "dynafed") == (401, "token.invalid")
        assert site.ask(url, "alice") == (200, "")


def test_federation_is_a_user_where_its_project_is_not_listed(site):
    settings = {name: value for name, value in site.settings.items() if name != "OSFAAS_SERVICE_PROJECTS"}
    with site.gateway(settings) as url:
        assert site.ask(url, "ceph") == (200, "")


def test_project_that_ceph_met_with_implicit_tenants_finds_no_bucket_of_another_one(site):
    """Bob's project is new to Ceph, the federation's is not."""
    (text,) = [text for language, text in BLOCKS if language == "ini"]
    section = site.filled(text, "CEPH_PASSWORD").replace(NAME, "client.rgw.b")
    assert "tenants = false" in section
    (port,) = free_ports(1)
    site.rados_gateway(section.replace("tenants = false", "tenants = true"), port)
    store = f"http://127.0.0.1:{port}"
    own = {"OSFAAS_SWIFT_ENDPOINT": f"{store}/swift/v1/AUTH_{{project_id}}", "OSFAAS_STORE_ALLOWLIST": store}
    site.grant(f"$FEDERATION,{site.cloud.users['bob'].project_id}")
    with site.gateway({**site.settings, **own}) as url:
        assert site.ask(url, "bob") == (404, "object.not_found")
        assert site.ask(url, "ceph") == (200, "")
    with site.gateway(site.settings) as url:
        assert site.ask(url, "bob") == (404, "object.not_found")
