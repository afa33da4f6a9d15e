"""Triggers on the cluster: an object and a schedule make a function run as the user who said so, and nobody else."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from policies.names import ProjectId, namespace_of
from tests.cluster.commands import wait_until
from tests.cluster.product import EDGE_HOST, SYSTEM
from tests.cluster.progress import say
from tests.cluster.testbed import PROBE_IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.product import Product

# This Swift lets managers into accounts, so the trusts have this role too (product.py).
USER, OTHER = "alice", "alice-member"
PROGRAM = """
import http.server, json, os
from urllib.request import Request, urlopen
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        print("event", self.headers["Ce-Id"], self.headers["X-User-Id"], flush=True)
        if "Osfaas-Input" in self.headers:
            source, target = (json.loads(self.headers["Osfaas-" + field]) for field in ("Input", "Output"))
            with urlopen(Request(source["url"], headers=source["headers"])) as reply:
                content = reply.read()
            urlopen(Request(target["url"], content.upper(), target["headers"], method="PUT")).close()
        self.send_response(204)
        self.end_headers()
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"""

pytestmark = pytest.mark.timeout(900)


class Owner:
    """The user with the command line, and the function `upper`."""

    def __init__(self, product: Product, namespace: str) -> None:
        self.product = product
        self.namespace = namespace
        self.account = product.openstack.outside.account_url(USER)
        self.session = product.openstack.outside.session(USER)
        self.id = product.openstack.outside.users[USER].id

    def function(self, *words: str, user: str = USER) -> str:
        *verbs, name = words[: 2 if words[0] != "trigger" else 3]
        rest = words[len(verbs) + 1 :]
        return self.product.osfaas_as(user, "function", *verbs, name, "-e", f"https://{EDGE_HOST}", *rest).stdout

    def trigger(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.function("trigger", "show", "upper", name, "-f", "json"))
        return found

    def ready(self, name: str) -> str:
        """The reason of the condition."""
        conditions: list[dict[str, Any]] = self.trigger(name)["status"]["conditions"]
        return str(conditions[0]["reason"]) if conditions else ""

    def runs(self) -> list[tuple[str, str]]:
        """Ids of events, and whose calls they were, in the output of all of the function's pods."""
        logs = self.product.cluster.kubectl(
            "logs", "-n", self.namespace, "-l", "serving.knative.dev/service=upper", "-c", "function", "--tail=-1"
        )
        return re.findall(r"^event (\S+) (\S+)$", logs, re.MULTILINE)

    def put(self, name: str) -> None:
        self.session.put(f"{self.account}/texts/{name}", data=b"made of bytes")

    def announce(self, name: str) -> list[str]:
        """Sends the event of an object, as a store would; the outcomes of the triggers."""
        record = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "texts"}, "object": {"key": name}}}
        with self.product.caller(USER) as caller:
            headers = {"Accept": "application/json"}
            answer = caller.post("/v1/events?checksums=false", json={"Records": [record]}, headers=headers)
        assert answer.status_code == 200, answer.text
        return [each["outcome"] for each in answer.json().get("triggers", [])]


@pytest.fixture(scope="module")
def owner(product: Product) -> Iterator[Owner]:
    product.osfaas("tenant", "onboard", "alice-project", "--domain", "Default")
    users = product.openstack.inside.users
    found = Owner(product, namespace_of(ProjectId(users[USER].project_id)))
    found.session.put(f"{found.account}/texts", headers={"X-Container-Meta-Temp-URL-Key": "key"})
    image = product.cluster.name_by_digest(PROBE_IMAGE)
    start = ("--command", "python", "--arg", "-c", "--arg", PROGRAM, "--cpu", "100", "--memory", "96")
    # One pod for the whole test: its output is the record of what ran.
    found.function("deploy", "upper", "--image", image, *start, "--objects", "--min-scale", "1", "--max-scale", "1")
    yield found
    product.remove_tenant(found.namespace)


def leader(product: Product) -> str:
    """The pod that leads."""
    holder: str = product.cluster.kubectl.get("lease", "osfaas-scheduler", "-n", SYSTEM)["spec"]["holderIdentity"]
    names = [str(pod["metadata"]["name"]) for pod in product.pods(SYSTEM)]
    return next(name for name in names if holder.startswith(f"{name}-"))


def test_object_and_schedule_run_the_function_as_the_user_and_once_each(owner: Owner, product: Product) -> None:
    words = ("--container", "texts", "--prefix", "in/", "--output", "texts/out/{rest}")
    owner.function("trigger", "create", "upper", "uploads", *words)
    owner.function("trigger", "create", "upper", "often", "--cron", "* * * * *")
    wait_until("the scheduler has checked the trust", lambda: owner.ready("uploads") == "Ready", seconds=60)
    owner.put("in/a")
    wait_until("the gateway knows the trigger", lambda: owner.announce("in/a") == ["fired"], seconds=30)
    assert owner.session.get(f"{owner.account}/texts/out/a").content == b"MADE OF BYTES"
    # The other replica has no memory of it, and finds the output.
    assert set(owner.announce("in/a") + owner.announce("in/a")) <= {"duplicate", "output_exists"}

    def last(name: str) -> str:
        return str((owner.trigger(name)["status"]["last_firing"] or {}).get("outcome"))

    wait_until("the gateway has told the scheduler", lambda: last("uploads") != "None", seconds=30)
    wait_until("the schedule has fired", lambda: last("often") == "Succeeded", seconds=100)
    gone = leader(product)
    product.cluster.kubectl("delete", "pod", gone, "-n", SYSTEM, "--force", "--grace-period=0")
    killed, before = time.monotonic(), len(owner.runs())
    wait_until("the next leader fires", lambda: len(owner.runs()) > before, seconds=150)
    say(f"the schedule fired {time.monotonic() - killed:.0f} s after its scheduler was killed")
    assert leader(product) != gone
    runs = owner.runs()
    assert len({identity for identity, _ in runs}) == len(runs)
    assert {user for _, user in runs} == {owner.id}


def test_trust_that_is_deleted_ends_both_and_says_so(owner: Owner, product: Product) -> None:
    cloud = product.openstack.outside
    for trust in owner.session.get(f"{cloud.auth_url}/OS-TRUST/trusts?trustor_user_id={owner.id}").json()["trusts"]:
        owner.session.delete(f"{cloud.auth_url}/OS-TRUST/trusts/{trust['id']}")
    owner.put("in/b")
    wait_until("the token of the trust is old enough", lambda: owner.announce("in/b") == ["refused"], seconds=60)
    wait_until("the condition says so", lambda: owner.ready("uploads") == "TrustRefused", seconds=30)
    wait_until("the schedule's says so", lambda: owner.ready("often") == "TrustRefused", seconds=100)
    assert owner.session.get(f"{owner.account}/texts/out/b", raise_exc=False).status_code == 404
    # Deletion of the trigger takes the trust along; there is none any more.
    owner.function("trigger", "delete", "upper", "often", "--yes")
    # Another member takes the other one over.
    owner.function("trigger", "set", "upper", "uploads", user=OTHER)
    assert owner.trigger("uploads")["user_id"] == product.openstack.outside.users[OTHER].id
