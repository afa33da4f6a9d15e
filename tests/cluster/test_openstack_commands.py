"""Every command that the client adds to `openstack`, in every format: through the edge, on a real cluster.

By a member and by an administrator of the system who have the client alone, a clouds.yaml and the site's authority.
"""

from __future__ import annotations

import json
import re
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from policies.names import ProjectId, namespace_of
from tests.cluster.commands import wait_until
from tests.cluster.product import EDGE_HOST
from tests.cluster.progress import say
from tests.cluster.testbed import PROBE_IMAGE
from tests.openstack_program import (
    CHECKOUT,
    SHOWN,
    Program,
    agreed,
    bare_environment,
    region,
    whole_clouds,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.product import Product

ALICE, BOB = (f"--project-domain Default {name}-project" for name in ("alice", "bob"))
CONTENT = b"what openstack users read"
ADLER32 = f"{zlib.adler32(CONTENT):08x}"
SERVER = """\
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        print("asked for", self.path, flush=True)
        said = " ".join((os.environ["VERSION"], self.path, body.decode())).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"""
START = ["--command=python", "--arg=-u", "--arg=-c", f"--arg={SERVER}", "--cpu", "100", "--memory", "96"]
LISTS = (
    "function list",
    "function revision list hello",
    "function limits show",
    "checksum list --prefix plain openstack",
)
SHOWS = (
    "function info show",
    *("function show hello", "checksum show openstack/plain", "checksum create openstack/plain"),
)

pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True, kw_only=True)
class ClusterProgram(Program):
    """The program on the OpenStack side of the cluster."""

    product: Product

    def namespace(self, user: str) -> str:
        return namespace_of(ProjectId(self.product.openstack.inside.users[user].project_id))

    def shown(self, command: str, cloud: str = "alice") -> dict[str, Any]:
        """What a command shows in every format."""
        found: dict[str, Any] = self.in_every_format(shows=[command], cloud=cloud)[command]
        return found

    def spec(self, kind: str, name: str, *where: str) -> dict[str, Any]:
        """What a record of the cluster says."""
        found: dict[str, Any] = self.product.cluster.kubectl.get(kind, name, *where)["spec"]
        return found

    def create(self, name: str, *words: str) -> list[str]:
        """The words that create a function from an image that the node has."""
        image = self.product.cluster.name_by_digest(PROBE_IMAGE)
        return ["function", "create", "--image", image, *START, "--env", "VERSION=v1", *words, name]

    def answer(self, target: str = "hello") -> str:
        return self.one(["function", "invoke", "--data", "question", target, "/path?x=1"]).out


@pytest.fixture(scope="module")
def program(product: Product) -> Iterator[ClusterProgram]:
    """The program, with the project of the member onboarded by it, and an object."""
    openstack, file = product.openstack, product.folder / "openstack.yaml"
    clouds = yaml.safe_load(product.clouds_of_users().read_text())["clouds"]
    file.write_text(yaml.safe_dump(whole_clouds(clouds, openstack.inside)))
    urls = {
        "function": f"https://{EDGE_HOST}",
        "object-store": f"{openstack.inside.swift_url}/v1/AUTH_%(project_id)s",
        "identity": openstack.inside.auth_url,
    }
    session, account = openstack.outside.session("alice"), openstack.outside.account_url("alice")
    session.put(f"{account}/openstack")
    session.put(f"{account}/openstack/plain", data=CONTENT)
    around = product.cluster.running.on_openstack_side
    with region(openstack.outside, urls):
        made = ClusterProgram(bare_environment(file, product.folder), around, product=product)
        # The namespace of an earlier file's tenant may still be going.
        onboard = f"function tenant onboard --function checksums --limit requests_per_second=200 {ALICE}"
        made.one(onboard, cloud="system")
        tenant = f"tenant/{made.namespace('alice')}"
        product.cluster.kubectl("wait", "--for=condition=Ready", tenant, "--timeout=600s")
        yield made
    for user in ("alice", "bob"):
        product.remove_tenant(made.namespace(user))


@pytest.fixture(scope="module")
def hello(program: ClusterProgram) -> str:
    """The name of the first revision of a function that answers."""
    started = time.monotonic()
    created = program.one(program.create("hello", "--wait", "-f", "json"))
    say(f"created by openstack after {time.monotonic() - started:.1f} s")
    found: dict[str, Any] = json.loads(created.out)
    assert found["ready"] is True
    assert f"ready: revision {found['latest_ready_revision']}" in created.err
    assert program.answer() == "v1 /path?x=1 question"
    return str(found["latest_ready_revision"])


def test_what_is_listed_and_shown_is_the_same_in_every_format(program: ClusterProgram, hello: str) -> None:
    found = program.in_every_format(lists=LISTS, shows=SHOWS)
    (listed,) = found["function list"]
    assert (listed["Name"], listed["Ready"]) == ("hello", True)
    (revision,) = found["function revision list hello"]
    assert (revision["Revision"], revision["Percent"]) == (hello, 100)
    limits = {each["Resource"]: each for each in found["function limits show"]}
    # The number of the record that the administrator's command wrote.
    numbers = {name: (each["Limit"], each["Source"]) for name, each in limits.items()}
    assert numbers["function_requests_per_second"] == (200, "tenant")
    assert numbers["functions"] == (10, "tenant")
    (digests,) = found["checksum list --prefix plain openstack"]
    assert (digests["Object"], digests["Size"], digests["adler32"]) == ("plain", len(CONTENT), ADLER32)
    shown = found["function show hello"]
    assert (shown["command"], shown["args"]) == (["python"], ["-u", "-c", SERVER])
    assert shown["url"] == f"https://{EDGE_HOST}/v1/invoke/hello/"
    assert found["checksum show openstack/plain"]["adler32"] == ADLER32
    assert found["checksum create openstack/plain"]["stored"]
    session, account = (
        program.product.openstack.outside.session("alice"),
        program.product.openstack.outside.account_url("alice"),
    )
    assert ADLER32 in session.head(f"{account}/openstack/plain").headers.values()
    assert "adler32" in found["function info show"]["algorithms"]


def test_columns_are_chosen(program: ClusterProgram, hello: str) -> None:
    commands = [*LISTS, *SHOWS]
    whole = [json.loads(done.out) for done in program.run(*(f"{command} -f json" for command in commands))]
    # Those of the ends: they do not change from one command to the next.
    names = [(list(found[0] if isinstance(found, list) else found)) for found in whole]
    ends = [(each[0], each[-1]) for each in names]
    chosen = [
        [*command.split(), "-c", first, "-c", last] for command, (first, last) in zip(commands, ends, strict=True)
    ]
    some = [json.loads(done.out) for done in program.run(*([*words, "-f", "json"] for words in chosen))]
    for command, found, part, columns in zip(commands, whole, some, ends, strict=True):
        rows, parts = ((each if isinstance(each, list) else [each]) for each in (found, part))
        assert parts == [{name: row[name] for name in columns} for row in rows], command
    firsts = program.run(*([*words[:-2], "-f", "value"] for words in chosen))
    for done, found, (first, _) in zip(firsts, whole, ends, strict=True):
        rows = found if isinstance(found, list) else [found]
        assert done.out.splitlines() == [str(row[first]) for row in rows]


def test_changes_are_shown_in_every_format_and_reach_the_calls(program: ClusterProgram, hello: str) -> None:
    """A second revision, a share for it, and the way back. The same command again changes nothing."""
    where = ("-n", program.namespace("alice"))
    changed = program.shown("function set --env VERSION=v2 --env MORE=1 --wait hello")
    second = changed["latest_ready_revision"]
    assert (changed["environment"], second != hello) == ({"VERSION": "v2", "MORE": "1"}, True)
    assert program.answer() == "v2 /path?x=1 question"
    shared = program.shown(f"function traffic set --wait hello {hello}=100 {second}@canary=0")
    assert {each["name"]: each["percent"] for each in shared["active_revisions"]}[hello] == 100
    wait_until("the tag is known", lambda: program.answer("hello@canary") == "v2 /path?x=1 question", seconds=60)
    assert program.answer() == "v1 /path?x=1 question"
    rolled = program.shown(f"function rollback --to {second} --wait hello")
    assert [each["name"] for each in rolled["active_revisions"] if each["percent"]] == [second]
    wait_until("all calls reach the second", lambda: program.answer() == "v2 /path?x=1 question", seconds=60)
    restored = program.shown("function unset --traffic --env MORE --wait hello")
    assert (restored["traffic"], restored["environment"]) == (None, {"VERSION": "v2"})
    spec = program.spec("functions.osfaas.dev", "hello", *where)
    assert ("traffic" in spec, spec["environment"]) == (False, {"VERSION": "v2"})
    revisions = program.in_every_format(lists=["function revision list hello"])["function revision list hello"]
    assert len(revisions) == 3
    assert revisions[-1]["Revision"] == hello


def test_the_log_of_a_call_is_shown(program: ClusterProgram, hello: str) -> None:
    """Pods that nobody calls end, and their logs with them."""

    def logged() -> bool:
        program.answer()
        done = program.one("function log show --lines 5 hello")
        return "== hello-" in done.err and "asked for /path?x=1" in done.out

    wait_until("the log has the call", logged, seconds=60)


def test_a_cloud_without_a_database_says_so(program: ClusterProgram, hello: str) -> None:
    del hello
    verbs = ("show", "wait", "result", "cancel", "retry")
    commands = [
        *("checksum sweep openstack", "checksum sweep list", "function operation list", "function usage"),
        *(f"function operation {verb} 00000000-0000-4000-8000-000000000000" for verb in verbs),
        "function invoke --async hello",
    ]
    for command, done in zip(commands, program.run(*commands), strict=True):
        assert (done.code, done.out) == (1, ""), command
        assert "501" in done.err, (command, done.err)


def test_a_secret_is_mounted_and_shown_without_its_value(program: ClusterProgram, hello: str) -> None:
    del hello
    value = program.product.folder / "secret"
    value.write_text("hunter2")
    program.one(["function", "secret", "set", "--from-file", str(value), "db-password"])
    changed = program.shown("function set --secret db-password --wait hello")
    assert changed["secrets"] == ["db-password"]
    found = program.in_every_format(lists=["function secret list"], shows=["function secret show db-password"])
    (listed,) = found["function secret list"]
    assert (listed["Name"], listed["Used By"]) == ("db-password", "hello")
    assert "hunter2" not in str(found)
    (used,) = program.run("function secret delete db-password")
    assert (used.code, "409" in used.err) == (1, True)
    program.one("function unset --secret db-password --wait hello")
    program.one("function secret delete db-password")
    assert json.loads(program.one("function secret list -f json").out) == []


def test_triggers_are_created_changed_and_deleted(program: ClusterProgram, hello: str) -> None:
    del hello
    schedule = ["--cron", "0 3 * * *", "hello", "nightly"]
    created = program.one(["function", "trigger", "create", "-f", "json", *schedule])
    assert json.loads(created.out)["schedule"] == {"cron": "0 3 * * *", "time_zone": "UTC"}
    changed = "function trigger set --time-zone Europe/Zurich hello nightly"
    found = program.in_every_format(
        lists=["function trigger list hello"], shows=[changed, "function trigger show hello nightly"]
    )
    assert found[changed]["schedule"]["time_zone"] == "Europe/Zurich"
    triggers = ("get", "functiontriggers.osfaas.dev", "-n", program.namespace("alice"), "-o", "name")
    kubectl = program.product.cluster.kubectl
    assert "/hello.nightly\n" in kubectl(*triggers)
    (deleted,) = program.run("function trigger delete hello none nightly")
    assert (deleted.code, "1 of 2 triggers were not deleted" in deleted.err) == (1, True)
    assert "/hello.nightly\n" not in kubectl(*triggers)


def test_a_created_function_is_shown_in_every_format_and_several_are_deleted(
    program: ClusterProgram, hello: str
) -> None:
    names = {form: f"short-{letter}" for form, letter in zip(SHOWN, "abcd", strict=True)}
    done = program.run(*(program.create(name, "-f", form) for form, name in names.items()))
    assert [each.code for each in done] == [0] * len(names), done
    # What differs from one to the other.
    own = re.compile(r"short-[a-d]|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
    # Of the same length, because a table has columns.
    found = agreed(
        {form: own.sub(lambda word: "s" * len(word[0]), each.out) for form, each in zip(names, done, strict=True)}
    )
    assert (found["name"], found["memory_mib"], found["args"][-1]) == ("sssssss", 96, SERVER)
    assert program.one("function list -f value -c Name").out.split() == ["hello", *names.values()]
    (deleted,) = program.run(["function", "delete", "none", *names.values()])
    assert deleted.code == 1
    assert "1 of 5 functions were not deleted" in deleted.err
    assert program.one("function list -f value -c Name").out.split() == ["hello"]


def test_administrator_leads_a_project_from_onboarding_to_its_removal(program: ClusterProgram) -> None:
    """The record, what its user is told, and the namespace."""
    name = program.namespace("bob")
    kubectl = program.product.cluster.kubectl

    def administer(words: str) -> dict[str, Any]:
        return program.shown(f"function tenant {words} {BOB}", cloud="system")

    def refusal(user: str) -> str:
        return program.run("checksum show nowhere/plain", cloud=user)[0].err

    assert administer("onboard --function checksums --limit pods=7")["limits"]["pods"] == 7
    kubectl("wait", "--for=condition=Ready", f"tenant/{name}", "--timeout=600s")
    assert administer("set --display-name Bobs")["display_name"] == "Bobs"
    (listed,) = program.in_every_format(lists=["function tenant list"], cloud="system").values()
    states = {each["Project ID"]: (each["Display Name"], each["State"]) for each in listed}
    assert states[program.product.openstack.inside.users["bob"].project_id] == ("Bobs", "active")
    assert len(states) == 2
    assert administer("suspend --reason unpaid")["suspended"] == "unpaid"
    assert program.spec("tenant", name)["suspended"] == "unpaid"
    wait_until("its user is told", lambda: "unpaid" in refusal("bob"), seconds=60)
    assert administer("resume")["state"] == "active"
    wait_until("its user is back", lambda: "There is no such container" in refusal("bob"), seconds=60)
    assert administer("offboard --grace-seconds 3600")["state"] == "removal requested"
    (early,) = program.run(f"function tenant offboard --confirm {BOB}", cloud="system")
    assert (early.code, "409" in early.err) == (1, True)
    assert administer("offboard --cancel")["state"] == "active"
    shown = administer("show")
    assert (shown["namespace"], shown["offboarding"], shown["suspended"]) == (name, None, None)
    program.one(f"function tenant offboard --grace-seconds 1 {BOB}", cloud="system")
    confirm = f"function tenant offboard --confirm -f value -c state {BOB}"
    wait_until("it can be confirmed", lambda: program.run(confirm, cloud="system")[0].code == 0, seconds=60, pause=2)
    there = ("get", "namespace", name, "--ignore-not-found", "-o", "name")
    wait_until("the namespace is gone", lambda: kubectl(*there) == "", seconds=120, pause=2)
    (refused,) = program.run("function tenant list")
    assert (refused.code, "403" in refused.err) == (1, True)


def test_a_deleted_function_is_gone(program: ClusterProgram, hello: str) -> None:
    program.one("function delete hello")
    services = ("get", "services.serving.knative.dev", "-n", program.namespace("alice"), "-o", "name")
    kubectl = program.product.cluster.kubectl
    wait_until("its service is gone", lambda: "/hello\n" not in kubectl(*services), seconds=60)
    empty, missing = program.run("function list -f json", "function show hello")
    assert json.loads(empty.out) == []
    assert (missing.code, "'hello'" in missing.err) == (1, True)


def test_no_command_is_left_out(program: ClusterProgram) -> None:
    """By the tests before this one, which the whole file runs; who has the client alone has no `tenant verify`."""
    page = (CHECKOUT / "docs/reference/openstack.md").read_text(encoding="utf-8")
    commands = [each for each in re.findall("^## (.*)$", page, re.MULTILINE) if each != "function tenant verify"]
    assert len(commands) > 20
    used = [" ".join((*words, "")) for words in program.used]
    assert [each for each in commands if not any(line.startswith(f"{each} ") for line in used)] == []
