"""A project's namespace of events, as docs/how-to/checksums-by-event.md makes it, on a cluster whose store is Ceph."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import botocore.session
import yaml
from botocore.config import Config

from policies.names import ProjectId, namespace_of
from tests.cluster.commands import PYTHON_PROGRAMS, CommandError, wait_until
from tests.cluster.dead_letters import DeadLetterSink
from tests.cluster.layout import CHECKOUT
from tests.cluster.node.certificates import make_authority
from tests.cluster.platform import eventing
from tests.cluster.product import EDGE_HOST, SYSTEM
from tests.machine import scaled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.product import Product
    from tests.cluster.testbed import Testbed

USER = "alice"
NAMESPACE, NEIGHBOUR = "alice-events", "neighbour-events"
BROKER = f"{NAMESPACE}/osfaas-objects"
EVENTS_HOST = "events.test"
# Ceph sends the events of the one, and none of the other.
BUCKET, QUIET = "incoming", "quiet"
# Ceph looks for new persistent topics every 30 seconds, and waits as long before it sends an event again.
# Ceph gives up a delivery of which nothing comes after 300 s (rgw_curl_low_speed_time), and then repeats it.
DELIVERY_SECONDS = 420
FORWARDER = ("-n", NAMESPACE, "deployment/osfaas-events")
GATEWAY = ("-n", SYSTEM, "deployment/osfaas-gateway")
_UNVERIFIED = "-d Attributes.entry.4.key=verify-ssl -d Attributes.entry.4.value=false"
_PAGE = CHECKOUT / "docs" / "how-to" / "checksums-by-event.md"


def page_commands() -> list[str]:
    """The shell blocks of the page's section about brokers."""
    section = _PAGE.read_text(encoding="utf-8").partition("## Run the forwarder behind a Knative broker\n")[2]
    blocks = re.findall(r"^ *```bash\n(.*?)^ *```$", section.partition("\n## ")[0], re.DOTALL | re.MULTILINE)
    return [re.sub(r"^   ", "", block, flags=re.MULTILINE) for block in blocks]


@dataclass
class Site:
    """The project's namespace of events, and its bucket."""

    product: Product
    folder: Path

    @property
    def cluster(self) -> Testbed:
        return self.product.cluster

    @property
    def tenant(self) -> str:
        """The namespace of the project's functions."""
        return str(namespace_of(ProjectId(self.product.openstack.inside.users[USER].project_id)))

    @property
    def dead_letters(self) -> DeadLetterSink:
        return DeadLetterSink(self.cluster.kubectl, NAMESPACE)

    @cached_property
    def s3(self) -> Any:
        access, secret = self.product.openstack.inside.seed.ec2
        return botocore.session.Session().create_client(
            "s3",
            endpoint_url=self.product.openstack.outside.swift_url.removesuffix("/swift"),
            region_name="default",
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}, read_timeout=scaled(60)),
        )

    def type(self, script: str) -> str:
        """What shell commands print that are typed outside the cluster, beside Ceph."""
        access, secret = self.product.openstack.inside.seed.ec2
        variables = {
            "KUBECONFIG": str(self.cluster.running.layout.node_kubeconfig),
            "PATH": f"{PYTHON_PROGRAMS}:/usr/local/bin:/usr/bin:/bin",
            "EC2_ACCESS": access,
            "EC2_SECRET": secret,
        }
        words = [f"{name}={value}" for name, value in variables.items()]
        command = ["env", f"--chdir={self.folder}", *words, "bash", "-euo", "pipefail", "-c", script]
        argv = self.cluster.running.on_openstack_side(*command)
        done = subprocess.run(argv, capture_output=True, text=True, timeout=scaled(600), check=False)
        if done.returncode:
            raise CommandError(f"exit {done.returncode}:\n{script}\n{done.stdout}{done.stderr}")
        return done.stdout

    def secret(self) -> str:
        """What the project's own Trigger has in its path."""
        trigger = self.cluster.kubectl.get("trigger", "osfaas-checksums", "-n", NAMESPACE)
        return str(trigger["spec"]["subscriber"]["uri"]).removeprefix("/")

    def send(
        self, body: bytes, *, broker: str = BROKER, enveloped: bool = True, seconds: float = 120
    ) -> tuple[int, str]:
        """One event to a broker, as Ceph would send it: once; the answer's status, and the event's id."""
        identity = secrets.token_hex(8)
        attributes = {"specversion": "1.0", "type": "com.amazonaws.ObjectCreated:Put", "id": identity}
        attributes["source"] = f"ceph:s3.default.{QUIET}"
        envelope = {f"ce-{name}": value for name, value in attributes.items()} if enveloped else {}
        fields = {"Content-Type": "application/json", **envelope}
        words = [word for name, value in fields.items() for word in ("--header", f"{name}: {value}")]
        address = self.cluster.service_address(eventing.NAMESPACE, "broker-ingress")
        url = f"http://{address}/{broker}"
        answer = self.cluster.curl_from_openstack(url, *words, "--data-binary", body.decode(), seconds=scaled(seconds))
        return answer.status, identity

    def put(self, name: str, data: bytes, bucket: str = BUCKET) -> None:
        self.s3.put_object(Bucket=bucket, Key=name, Body=data, Metadata={"colour": "blue"})

    def head(self, name: str, bucket: str = BUCKET) -> dict[str, str]:
        """Header fields of an object by the Swift API."""
        outside = self.product.openstack.outside
        url = f"{outside.account_url(USER)}/{bucket}/{quote(name)}"
        return {key.lower(): value for key, value in outside.session(USER).head(url).headers.items()}

    def has_digest(self, name: str, data: bytes, bucket: str = BUCKET) -> bool:
        """Whether the object has its digest beside it; never another one."""
        value = self.head(name, bucket).get("x-object-meta-adler32")
        assert value in {None, f"{zlib.adler32(data):08x}"}, name
        return value is not None

    def wait_for_digests(self, contents: dict[str, bytes], seconds: float = DELIVERY_SECONDS) -> None:
        missing = dict(contents)

        def done() -> bool:
            for name in [name for name, data in missing.items() if self.has_digest(name, data)]:
                del missing[name]
            return not missing

        wait_until(f"the digests of {sorted(contents)[:3]}", done, seconds=seconds)

    def outcomes(self) -> Counter[str]:
        """What came of all events that the gateway's pods have received."""
        label = "app.kubernetes.io/name=osfaas-gateway"
        lines = self.cluster.kubectl("logs", "-n", SYSTEM, "-l", label, "--tail=-1", "--max-log-requests=10")
        found: Counter[str] = Counter()
        for line in lines.splitlines():
            entry = json.loads(line[line.index("{") :]) if '"route": "events"' in line else {}
            if entry.get("route") == "events":
                found.update(entry.get("events") or {f"status {entry.get('status')}": 1})
        return found

    @contextmanager
    def away(self, *deployment: str) -> Iterator[None]:
        """No pod of a Deployment while the block runs; there are some again when it ends."""
        kubectl = self.cluster.kubectl
        before = kubectl("get", *deployment, "-o", "jsonpath={.spec.replicas}")
        kubectl("scale", *deployment, "--replicas=0")
        name = deployment[-1].removeprefix("deployment/")
        kubectl(
            "wait", "--for=delete", "pod", *deployment[:2], "-l", f"app.kubernetes.io/name={name}", "--timeout=120s"
        )
        try:
            yield
        finally:
            kubectl("scale", *deployment, f"--replicas={before}")

    def here(self, *deployment: str) -> None:
        self.cluster.kubectl("rollout", "status", *deployment, "--timeout=180s")

    def follow_page(self) -> None:
        """The page's commands with this site's names, and the subscription of the bucket."""
        _surroundings(self)
        for bucket in (BUCKET, QUIET):
            self.s3.create_bucket(Bucket=bucket)
        first, *rest = page_commands()
        # The page takes the sink for granted; before the Trigger, and after the namespace.
        (self.folder / "sink.yaml").write_text(yaml.safe_dump_all(self.dead_letters.objects()))
        script = "".join([first, "kubectl apply -f sink.yaml\n", *rest])
        for page, here in {
            "my-events": NAMESPACE,
            "events.example.org": EVENTS_HOST,
            "https://rgw.example.org": self.product.openstack.inside.swift_url.removesuffix("/swift"),
            "registry.example.org/osfaas-gateway": "dev.local/osfaas-gateway",
            'newTag: "1.0"': "newTag: test",
            # Ceph's Debian does not know this site's authority.
            "-d Name=checksums": f"-d Name=checksums {_UNVERIFIED}",
        }.items():
            assert page in script, page
            script = script.replace(page, here)
        printed = self.type(script)
        _know_the_edge(self)
        arn = printed.partition("<TopicArn>")[2].partition("</TopicArn>")[0]
        wanted = [{"Id": "checksums", "TopicArn": arn, "Events": ["s3:ObjectCreated:*"]}]
        self.s3.put_bucket_notification_configuration(
            Bucket=BUCKET, NotificationConfiguration={"TopicConfigurations": wanted}
        )


def _surroundings(site: Site) -> None:
    """What the page takes for granted: files, a certificate, a name in the DNS, the catalog, and the sink."""
    product, cluster = site.product, site.cluster
    inside, outside = product.openstack.inside, product.openstack.outside
    (site.folder / "manifests").symlink_to(CHECKOUT / "manifests")
    identity, secret = inside.seed.application_credentials["plain"]
    auth = {"auth_url": inside.auth_url, "application_credential_id": identity, "application_credential_secret": secret}
    cloud = {"auth_type": "v3applicationcredential", "auth": auth, "region_name": inside.region}
    cloud |= {"cacert": "/etc/osfaas/openstack/ca.crt", "function_endpoint_override": f"https://{EDGE_HOST}"}
    (site.folder / "clouds.yaml").write_text(yaml.safe_dump({"clouds": {"osfaas-events": cloud}}))
    (site.folder / "ca.crt").write_bytes((product.folder / "certificates" / "ca.crt").read_bytes())
    certificates = site.folder / "certificates"
    certificates.mkdir()
    make_authority(certificates).issue("events", user=EVENTS_HOST, hosts=(EVENTS_HOST,))
    files = ("--cert", str(certificates / "events.crt"), "--key", str(certificates / "events.key"))
    cluster.kubectl("delete", "secret", "osfaas-events-tls", "-n", "istio-system", "--ignore-not-found")
    cluster.kubectl("create", "secret", "tls", "osfaas-events-tls", "-n", "istio-system", *files)
    address = cluster.service_address("istio-system", "istio-ingressgateway")
    site.type(f"echo {address} {EVENTS_HOST} >> /etc/hosts")
    outside.session(USER).post(outside.account_url(USER), headers={"X-Account-Meta-Temp-URL-Key": "key"})


def _know_the_edge(site: Site) -> None:
    """The gateway's name is in no DNS of this cluster."""
    address = site.cluster.service_address("istio-system", "istio-ingressgateway")
    aliases = {"spec": {"template": {"spec": {"hostAliases": [{"ip": address, "hostnames": [EDGE_HOST]}]}}}}
    site.cluster.kubectl("patch", *FORWARDER, "--type", "merge", "-p", json.dumps(aliases))
    site.here(*FORWARDER)


def record(name: str) -> bytes:
    """The record of an object in the quiet bucket, with as much of it as the gateway reads."""
    entry = {"key": name, "eTag": "", "sequencer": secrets.token_hex(8)}
    s3 = {"bucket": {"name": QUIET}, "object": entry}
    return json.dumps({"Records": [{"eventSource": "ceph:s3", "eventName": "ObjectCreated:Put", "s3": s3}]}).encode()


class Sending:
    """One event on its way to the project's broker."""

    def __init__(self, site: Site, body: bytes) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._answer = self._pool.submit(site.send, body, seconds=300)

    @property
    def is_open(self) -> bool:
        """Whether there is no answer yet."""
        return not self._answer.done()

    def result(self) -> tuple[int, str]:
        """Status and id, when it is answered."""
        answer = self._answer.result()
        self._pool.shutdown()
        return answer
