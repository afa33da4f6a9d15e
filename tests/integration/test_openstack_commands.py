"""`openstack function …` and `checksum …` from an environment with the client alone, and the SDK: real Keystone, Swift,
gateway, functions API and administrators' API on loopback."""

import dataclasses
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from conftest import Gateway, content_of
from echo import Seen, echo, say_what_came
from path_front import front
from tenants_api import tenants_api
from test_documented_commands import BLOCK

from localcloud import LocalCloud
from localcloud.ports import free_ports
from localcloud.services import Service
from localcloud.stack import running
from tests.machine import scaled
from tests.openstack_program import PYTHON, Program, bare_environment, region, whole_clouds

CHECKOUT = Path(__file__).resolve().parents[2]
IMAGE = "registry.example.org/atlas/hello@sha256:" + "0a" * 32
CONTENT = content_of(b"what openstack users read")


@dataclass(frozen=True, kw_only=True)
class Site(Program):
    """The program, and what it asked of the cloud with all parts of the product behind one address."""

    asked: list[str]


def answer(connection: socket.socket, seen: Seen) -> None:
    """A function that refuses one path, and is slow on another until its caller goes away."""
    if b"/refuse" in seen.line:
        connection.sendall(b"HTTP/1.1 422 Unprocessable Content\r\nContent-Length: 2\r\n\r\nno")
    elif b"/slow" in seen.line:
        connection.recv(1)
    else:
        say_what_came(connection, seen)


@pytest.fixture(scope="module")
def site(cloud, start_gateway, function, tmp_path_factory) -> Iterator[Site]:
    functions, projects, own = free_ports(3)
    folder = tmp_path_factory.mktemp("site")
    clouds = yaml.safe_load(Path(cloud.clouds_yaml).read_text())
    users = whole_clouds(clouds["clouds"], cloud)["clouds"]
    # The administrators' API has a URL of its own.
    users["usage"] = {**users["system"], "function_endpoint_override": f"http://127.0.0.1:{projects}"}
    (folder / "clouds.yaml").write_text(yaml.safe_dump({"clouds": users}))
    urls = {
        "function": f"http://127.0.0.1:{own}",
        "object-store": f"{cloud.swift_url}/v1/AUTH_%(project_id)s",
        "identity": cloud.auth_url,
    }

    (metrics,) = free_ports(1)
    shared = {
        "OSFAAS_KEYSTONE_TIMEOUT_SECONDS": str(scaled(10)),
        "OSFAAS_DATABASE_URL": f"sqlite:///{folder}/operations.db",
        # Swift of the local cloud lets managers own an account.
        "OSFAAS_OPERATION_ROLES": "member,manager",
    }

    def control(name: str, port: int, cloud_name: str) -> Service:
        env = {
            "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml),
            "OS_CLOUD": cloud_name,
            "OSFAAS_LISTEN_PORT": str(port),
            "OSFAAS_PUBLIC_URL": f"http://127.0.0.1:{own}",
            "PYTHONPATH": str(CHECKOUT),
            **shared,
        }
        command = [sys.executable, "-m", "tests.integration.control_plane", name]
        return Service(f"control-{name}", command, port, cloud.state, env)

    upgraded = [sys.executable, "-m", "client.cli", "db", "upgrade"]
    subprocess.run(upgraded, env={**os.environ, **shared}, check=True, capture_output=True, timeout=scaled(120))

    def worker(gateway: Gateway) -> Service:
        env = {
            "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml),
            "OS_CLOUD": "osfaas",
            "OSFAAS_WORKER_GATEWAY_URL": gateway.url,
            "OSFAAS_WORKER_METRICS_PORT": str(metrics),
            "OSFAAS_WORKER_POLL_SECONDS": "0.05",
            **{name: value for name, value in gateway.service.env.items() if name.startswith("OSFAAS_STORE_")},
            **shared,
        }
        command = [sys.executable, "-m", "client.cli", "worker"]
        return Service("worker-openstack", command, metrics, cloud.state, env)

    with (
        region(cloud, urls),
        echo(answer) as backend,
        start_gateway(**shared) as gateway,
        running(worker(gateway)),
        running(control("functions", functions, "osfaas")),
        running(control("projects", projects, "admin")),
        front(
            {"/v1/functions": functions, "/v1/secrets": functions, "/v1/projects": projects}, gateway.service.port, own
        ) as asked,
    ):
        checksums = {"url": f"http://127.0.0.1:{function.port}"}
        hello = {"url": backend.url, "callable": True}
        tenant = {
            "project_id": cloud.users["alice"].project_id,
            "functions": {"checksums": checksums, "hello": hello, "greet": hello},
        }
        other = {"project_id": cloud.users["bob"].project_id, "functions": {"checksums": checksums}}
        gateway.tenants.write_text(yaml.safe_dump({"tenants": [tenant, other]}))
        yield Site(bare_environment(folder / "clouds.yaml", folder), asked=asked)


@pytest.fixture(scope="module")
def made(site, bucket) -> Site:
    """A function `hello`, created by the command, and an object."""
    bucket.put("plain", CONTENT.data)
    done = site.one(["function", "create", "--image", IMAGE, "--memory", "256", "--env", "A=1", "--wait", "hello"])
    assert "ready: revision hello-00000000" in done.err
    assert IMAGE in done.out
    return site


LISTS = [
    "function list",
    "function revision list hello",
    "function limits show",
    "checksum list --prefix plain data",
]
SHOWS = [
    "function show hello",
    "function set --max-scale 3 hello",
    "function unset --max-scale hello",
    "function traffic set hello latest=100",
    "checksum show data/plain",
    "checksum create data/plain",
]


def test_every_command_prints_in_every_format(made):
    results = made.in_every_format(lists=LISTS, shows=SHOWS)
    assert results["function list"][0]["Name"] == "hello"
    limits = results["function limits show"]
    # What the gateway counts, with the source of each number: there is neither a record nor a limit in Keystone.
    counted = {each["Resource"]: each["Source"] for each in limits}
    assert counted == dict.fromkeys(
        ("function_concurrency", "function_requests_per_second", "checksum_bytes_per_second"), "gateway"
    )
    (listed,) = results["checksum list --prefix plain data"]
    digests = {name: listed[name] for name in ("adler32", "md5")}
    assert digests == {name: CONTENT.digests[name] for name in digests}


def test_columns_names_and_algorithms_are_chosen_as_everywhere(made):
    chosen = "checksum show --algorithm sha256 -f value -c sha256 data/plain"
    assert made.one(chosen).out.strip() == CONTENT.digests["sha256"]
    assert json.loads(made.one("function show -f json -c environment hello").out) == {"environment": {"A": "1"}}


def test_application_credential_is_enough(made):
    assert made.one("function list -f value -c Name", cloud="application").out.strip() == "hello"


def test_reply_of_a_function_is_printed_as_it_is(made):
    done = made.one(["function", "invoke", "--data", "question", "--header", "X-One: 1", "hello", "/path?x=1"])
    seen = json.loads(done.out)
    assert (seen["line"], seen["body"]) == ("POST /path?x=1 HTTP/1.1", "question")


def test_errors_are_the_services_sentence(made):
    missing, image, object_, level = made.run(
        "function show nothing",
        f"function create --image {IMAGE[:-1]} bad",
        "checksum show data/none",
        "checksum show x",
    )
    assert {each.code for each in (missing, image, object_, level)} == {1}
    assert "'nothing'" in missing.err
    assert "There is no such container or object" in object_.err
    assert "does not name an object" in level.err


def test_second_revision_gets_shares_and_rollback_takes_them_back(made):
    image = IMAGE[:-1] + "b"
    commands = [
        f"function set --image {image} --wait hello",
        "function traffic set --wait hello hello-00000000=90 latest@canary=10",
        "function revision list -f json hello",
        "function rollback --to hello-00000000 --wait -f json -c active_revisions hello",
        "function unset --traffic --env A -f json hello",
    ]
    results = made.run(*commands)
    assert [each.code for each in results] == [0] * 5, results
    shares = {each["Revision"]: each["Percent"] for each in json.loads(results[2].out)}
    assert shares == {"hello-00000000": 90, "hello-00000001": 10}
    (active,) = json.loads(results[3].out)["active_revisions"]
    assert (active["name"], active["percent"]) == ("hello-00000000", 100)
    assert json.loads(results[4].out)["traffic"] is None


def test_log_goes_to_stdout_and_its_origin_to_stderr(made):
    done = made.one("function log show --lines 7 hello")
    assert done.out == "7 lines\n"
    assert done.err.startswith("== pod (hello-")


def test_several_are_deleted_and_the_missing_one_is_an_error(made):
    made.one(["function", "create", "--image", IMAGE, "other"])
    (done,) = made.run("function delete none other")
    assert done.code == 1
    assert "1 of 2 functions were not deleted" in done.err
    assert "other" not in made.one("function list -f value -c Name").out


def test_administrator_onboards_suspends_and_removes_a_project_by_name(site):
    commands = [
        "function tenant onboard --function checksums --limit pods=7 -f json --project-domain Default alice-project",
        "function tenant list -f json",
        "function tenant set --display-name Atlas -f value -c display_name --project-domain Default alice-project",
        [
            "function",
            "tenant",
            "suspend",
            "--reason",
            "unpaid bill",
            "-f",
            "json",
            "--project-domain",
            "default",
            "alice-project",
        ],
        "function tenant resume -f value -c state --project-domain Default alice-project",
        "function tenant offboard --grace-seconds 60 -f value -c state --project-domain Default alice-project",
        "function tenant offboard --cancel -f value -c state --project-domain Default alice-project",
        "function tenant show -f yaml --project-domain Default alice-project",
    ]
    (ambiguous,) = site.run("function tenant show alice-project", cloud="system")
    assert "More than one Project exists" in ambiguous.err
    results = site.run(*commands, cloud="system")
    assert [each.code for each in results] == [0] * len(commands), results
    assert json.loads(results[0].out)["limits"]["pods"] == 7
    assert len(json.loads(results[1].out)) == 1
    assert json.loads(results[3].out)["suspended"] == "unpaid bill"
    states = [results[number].out.strip() for number in (2, 4, 5, 6)]
    assert states == ["Atlas", "active", "removal requested", "active"]


def test_verify_asks_keystone_for_a_project_by_its_name(site, cloud, tmp_path):
    """As its siblings do; the id of a tenant needs no Keystone."""
    kubeconfig, platform = tmp_path / "kubeconfig", tmp_path / "platform.yaml"
    platform.write_text(yaml.safe_dump({"functions": {"checksums": {"image": IMAGE}}}))
    alice, bob = (cloud.users[name].project_id for name in ("alice", "bob"))
    verify = f"function tenant verify --kubeconfig {kubeconfig} --platform {platform}"
    # The command comes with the gateway's package.
    program = dataclasses.replace(site, python=Path(sys.executable))
    expected = {
        "--project-domain Default alice-project": "there is no other tenant to attack",
        "--project-domain Default bob-project": f"project {bob} is not onboarded",
        "--project-domain Default --against bob-project alice-project": "there is no other tenant to attack",
        "--project-domain Default --against no-such alice-project": "No Project found for no-such",
        "alice-project": "More than one Project exists with the name 'alice-project'",
        f"{alice}": "there is no other tenant to attack",
    }
    with tenants_api(kubeconfig, alice) as asked:
        results = program.run(*(f"{verify} {words}" for words in expected), cloud="system")
        for (words, sentence), done in zip(expected.items(), results, strict=True):
            assert done.code == 1, (words, done)
            assert sentence in done.err, (words, done.err)
        assert any(path.endswith("/tenants") for path in asked)
        (by_id,) = program.run(f"--debug {verify} {alice}", cloud="system")
        assert re.findall("REQ: curl.*|Making authentication request.*", by_id.err) == []


def test_member_is_no_administrator(site):
    (done,) = site.run("function tenant list")
    assert done.code == 1
    assert "403" in done.err


def test_sweep_is_waited_for_and_listed(made):
    """The service reads the container; the command shows the counts of its summary."""
    swept = made.one("checksum sweep --object-prefix plain --wait -f json data")
    found = json.loads(swept.out)
    assert (found["state"], found["objects"], found["bytes"]) == ("succeeded", 1, len(CONTENT.data))
    listed = json.loads(made.one("checksum sweep list -f json").out)
    assert found["id"] in {each["ID"] for each in listed}


def test_commands_of_the_tutorial_print_what_it_says(made, tmp_path):
    """By somebody who has `openstack`, a `clouds.yaml` and an image, and nothing else."""
    page = (CHECKOUT / "docs" / "tutorials" / "openstack.md").read_text(encoding="utf-8")
    environment = {
        **made.environment,
        "PATH": f"{PYTHON.parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "OS_CLOUD": "alice",
        "IMAGE": IMAGE,
        "PYTHONWARNINGS": "ignore",
    }
    blocks = BLOCK.findall(page)
    assert len(blocks) == page.count("```text")
    blocks += [(commands, "") for commands in re.findall(r"```bash\n([^`]*)```\n\n##", page)]
    assert len(blocks) == page.count("```bash")
    assert "curl" not in "".join(commands for commands, _ in blocks)
    for commands, output in blocks:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=scaled(280),
            check=False,
        )
        assert done.returncode == 0, (commands, done.stdout, done.stderr)
        printed = [line.strip() for line in done.stdout.splitlines()]
        for line in output.splitlines():
            expected = ".*".join(map(re.escape, line.split("…")))
            assert any(re.fullmatch(expected, each) for each in printed), (line, printed)


@dataclass(frozen=True)
class Ended:
    """Operations that have ended."""

    good: str
    bad: str


@pytest.fixture(scope="module")
def ended(made) -> Ended:
    """Two calls that a worker made: one with an answer, and one that the function refused."""
    begun = made.run(
        ["function", "invoke", "--async", "--data", "question", "hello", "/path?x=1"],
        "function invoke --async hello /refuse",
    )
    good, bad = (each.out.strip() for each in begun)
    waited, failed = made.run(f"function operation wait {good} -f json", f"function operation wait {bad}")
    assert (waited.code, json.loads(waited.out)["state"]) == (0, "succeeded"), waited
    assert waited.err.splitlines()[-1].startswith("succeeded")
    assert (failed.code, "it answered with the status 422" in failed.err) == (1, True), failed
    return Ended(good, bad)


def test_operations_are_shown_in_every_format(made, ended):
    lists = ["function operation list", "function operation list --state failed --subject hello"]
    shows = [f"function operation show {ended.bad}", f"function operation wait {ended.good}"]
    found = made.in_every_format(lists=lists, shows=shows)
    assert {each["ID"] for each in found[lists[0]]} >= {ended.good, ended.bad}
    assert [each["ID"] for each in found[lists[1]]] == [ended.bad]
    assert found[shows[0]]["error"]["code"] == "function.failed"
    assert (found[shows[1]]["kind"], found[shows[1]]["state"]) == ("invoke", "succeeded")
    (first,) = json.loads(made.one("function operation list --limit 1 -f json").out)
    after = made.one(["function", "operation", "list", "--marker", first["ID"], "-f", "value", "-c", "ID"])
    assert first["ID"] not in after.out


def test_answer_of_an_operation_is_printed_as_it_is(made, ended):
    good, bad = made.run(f"function operation result {ended.good}", f"function operation result {ended.bad}")
    seen = json.loads(good.out)
    assert (seen["line"], seen["body"]) == ("POST /path?x=1 HTTP/1.1", "question")
    assert (bad.code, bad.out) == (1, "no")
    assert "The answer has the status 422." in bad.err


def test_running_operation_is_cancelled_and_an_ended_one_is_not(made, ended):
    slow = made.one("function invoke --async hello /slow").out.strip()
    late, cancelled, waited = made.run(
        f"function operation wait --timeout 0 {slow}",
        f"function operation cancel {slow} {ended.good}",
        f"function operation wait {slow}",
    )
    assert (late.code, "has not ended within 0 s; it goes on" in late.err) == (1, True)
    assert (cancelled.code, "1 of 2 operations were not cancelled" in cancelled.err) == (1, True)
    assert f"{ended.good}: " in cancelled.err
    assert (waited.code, "cancelled" in waited.err) == (1, True)


def test_failed_operation_is_started_again_and_one_that_succeeded_is_not(made, ended):
    again, refused = made.run(f"function operation retry {ended.bad}", f"function operation retry {ended.good}")
    assert (again.code, again.err.strip()) == (0, f"{ended.bad}: queued")
    assert (refused.code, "409" in refused.err) == (1, True)
    (done,) = made.run(f"function operation wait {ended.bad}")
    assert (done.code, "it answered with the status 422" in done.err) == (1, True)


NOBODYS = "00000000-0000-4000-8000-000000000000"


def without_ids(text: str) -> str:
    """A message without the ids of requests, operations and projects."""
    return re.sub(r"(req-)?[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}", "", text)


def test_operations_of_others_are_unknown_and_a_reader_only_reads(made, ended):
    """The project is the token's; an id alone opens nothing."""
    verbs = ("show", "wait", "result", "cancel", "retry")
    others = made.run(*(f"function operation {verb} {ended.good}" for verb in verbs), cloud="bob")
    unknown = made.run(*(f"function operation {verb} {NOBODYS}" for verb in verbs))
    assert {each.code for each in (*others, *unknown)} == {1}
    for theirs, nobodys in zip(others, unknown, strict=True):
        # The same answer, so that it says nothing about what there is.
        assert "404" in theirs.err
        assert without_ids(theirs.err) == without_ids(nobodys.err)
    assert json.loads(made.one("function operation list -f json", cloud="bob").out) == []
    (word,) = made.run("function operation show nonsense")
    assert "'nonsense' is not the id of an operation" in word.err
    assert ended.good in made.one("function operation list", cloud="alice-reader").out
    reads, refused = made.run(
        f"function operation show {ended.good}", f"function operation cancel {ended.good}", cloud="alice-reader"
    )
    assert (reads.code, refused.code, "403" in refused.err) == (0, 1, True)


def trusts(cloud: LocalCloud) -> int:
    """How many trusts alice has given without an end: those of operations end by themselves, at any time."""
    session, user = cloud.session("alice"), cloud.users["alice"].id
    found = session.get(f"{cloud.auth_url}/OS-TRUST/trusts?trustor_user_id={user}").json()["trusts"]
    return sum(each["expires_at"] is None for each in found)


def test_triggers_are_created_changed_shown_and_deleted_with_their_trusts(made, cloud):
    before = trusts(cloud)
    made.one("function set --objects hello")
    nightly = ["--cron", "0 3 * * *", "--time-zone", "Europe/Zurich", "hello", "nightly"]
    uploads = ["--container", "data", "--object-prefix", "in/", "--output", "data/small/{rest}", "hello", "uploads"]
    made.one(["function", "trigger", "create", *nightly])
    created = made.one(["function", "trigger", "create", "-f", "json", *uploads])
    object_created = {"container": "data", "prefix": "in/", "output": "data/small/{rest}", "overwrite": False}
    assert json.loads(created.out)["object_created"] == object_created
    assert trusts(cloud) == before + 2
    found = made.in_every_format(
        lists=["function trigger list hello"],
        shows=["function trigger show hello nightly", "function trigger set --overwrite hello uploads"],
    )
    listed = {each["Name"]: each["Fires On"] for each in found["function trigger list hello"]}
    assert listed == {"nightly": "0 3 * * * Europe/Zurich", "uploads": "objects data/in/*"}
    shown = found["function trigger show hello nightly"]
    assert shown["schedule"] == {"cron": "0 3 * * *", "time_zone": "Europe/Zurich"}
    assert shown["user_id"] == cloud.users["alice"].id
    changed = found["function trigger set --overwrite hello uploads"]
    assert changed["object_created"] == {**object_created, "overwrite": True}
    assert trusts(cloud) == before + 2
    (deleted,) = made.run("function trigger delete hello nightly none uploads")
    assert (deleted.code, "1 of 3 triggers were not deleted" in deleted.err) == (1, True)
    assert trusts(cloud) == before
    made.one("function set --no-objects hello")


def test_wrong_triggers_are_refused(made, cloud):
    before = trusts(cloud)
    made.one(["function", "trigger", "create", "--cron", "0 4 * * *", "hello", "kept"])
    own = made.run(
        ["function", "trigger", "create", "--cron", "0 5 * * *", "hello", "kept"],
        ["function", "trigger", "create", "--cron", "0 5 * * *", "--container", "data", "hello", "both"],
        ["function", "trigger", "create", "hello", "neither"],
        ["function", "trigger", "create", "--cron", "5 days", "hello", "malformed"],
        "function trigger show hello none",
        "function trigger list none",
        "function trigger set --overwrite hello kept",
    )
    reader = made.run("function trigger delete hello kept", "function trigger list hello", cloud="alice-reader")
    # Keystone lets it make no trust.
    (application,) = made.run(
        ["function", "trigger", "create", "--cron", "0 5 * * *", "hello", "more"], cloud="application"
    )
    assert [each.code for each in (*own, *reader, application)] == [1] * 7 + [1, 0, 1], own
    assert "412" in own[0].err
    assert "either a container or a schedule" in own[1].err
    assert "needs a container, or a schedule" in own[2].err
    assert "400" in own[3].err
    assert "has no trigger 'none'" in own[4].err
    assert "404" in own[5].err
    assert "403" in reader[0].err
    assert "kept" in reader[1].out
    assert made.one("function trigger list hello -f value -c Name").out.split() == ["kept"]
    made.one("function trigger delete hello kept")
    assert trusts(cloud) == before


VALUE = "hunter2-is-no-value"


def test_secrets_are_set_mounted_shown_without_their_values_and_deleted(made, tmp_path):
    (tmp_path / "value").write_text(VALUE)
    by_file = made.one(["function", "secret", "set", "--from-file", str(tmp_path / "value"), "from-file"])
    by_stdin = subprocess.run(
        [PYTHON, "-W", "ignore", PYTHON.with_name("openstack"), "--os-cloud", "alice", *SET_SECRET],
        input=VALUE,
        env=made.environment,
        capture_output=True,
        text=True,
        timeout=scaled(120),
        check=False,
    )
    assert (by_stdin.returncode, by_stdin.stderr.strip()) == (0, "the secret 'from-stdin' is set")
    made.one("function set --secret from-file --secret from-stdin hello")
    again = made.one(["function", "secret", "set", "--from-file", str(tmp_path / "value"), "from-file"])
    assert "a new revision is made of: hello" in again.err
    found = made.in_every_format(
        lists=["function secret list"], shows=["function secret show from-file", "function show hello"]
    )
    assert {each["Name"]: each["Used By"] for each in found["function secret list"]} == {
        "from-file": "hello",
        "from-stdin": "hello",
    }
    assert found["function secret show from-file"]["used_by"] == ["hello"]
    assert found["function show hello"]["secrets"] == ["from-file", "from-stdin"]
    (used,) = made.run("function secret delete from-file")
    assert (used.code, "409" in used.err) == (1, True)
    made.one("function unset --secret from-file hello")
    assert json.loads(made.one("function show -f json -c secrets hello").out) == {"secrets": ["from-stdin"]}
    made.one("function unset --secret from-stdin hello")
    deleted, empty = made.run("function secret delete from-file none from-stdin", "function secret list -f json")
    assert (deleted.code, "1 of 3 secrets were not deleted" in deleted.err) == (1, True)
    assert json.loads(empty.out) == []
    assert VALUE not in "".join(done.out + done.err for done in (by_file, again, deleted)) + str(found)


SET_SECRET = ["function", "secret", "set", "from-stdin"]


def test_wrong_secrets_are_refused(made, tmp_path):
    (tmp_path / "long").write_bytes(b"x" * 32_769)
    (tmp_path / "value").write_text(VALUE)
    long, absent, nothing, missing = made.run(
        ["function", "secret", "set", "--from-file", str(tmp_path / "long"), "db"],
        ["function", "secret", "set", "--from-file", str(tmp_path / "absent"), "db"],
        "function secret set db",
        "function secret show db",
    )
    (reader,) = made.run(
        ["function", "secret", "set", "--from-file", str(tmp_path / "value"), "db"], cloud="alice-reader"
    )
    assert {each.code for each in (long, absent, nothing, missing, reader)} == {1}
    assert "from 1 to 32768 bytes; it has 32769" in long.err
    assert "cannot be read" in absent.err
    assert "it has 0" in nothing.err
    assert "has no secret 'db'" in missing.err
    assert "403" in reader.err


def test_usage_is_shown_in_every_format_and_to_administrators_of_all_projects(made, ended, cloud):
    """Records are written behind the answers."""
    deadline = time.monotonic() + scaled(60)
    of_function = "function usage --start 2026-01-01 --group-by function"
    while not (rows := json.loads(made.one(f"{of_function} -f json").out)) or "hello" not in str(rows):
        assert time.monotonic() < deadline, rows
        time.sleep(0.5)
    lists = ["function usage", "function usage --group-by user --group-by function --long"]
    found = made.in_every_format(lists=lists)
    (total,) = found[lists[0]]
    assert list(total) == [
        "Calls", "Failed", "Cold Starts", "Function Seconds", "GB Seconds", "Object Bytes", "Response Bytes",
    ]  # fmt: skip
    assert total["Calls"] > total["Failed"]
    assert list(found[lists[1]][0])[:3] == ["User ID", "Function", "Calls"]
    assert len(found[lists[1]][0]) == 12
    assert sum(each["Calls"] for each in found[lists[1]]) == total["Calls"]
    project = "--project alice-project --project-domain Default"
    every, one = made.run(
        "function usage --group-by project -f json", f"function usage {project} --group-by project -f json",
        cloud="usage",
    )  # fmt: skip
    own = cloud.users["alice"].project_id
    assert own in {each["Project ID"] for each in json.loads(every.out)}
    assert [each["Project ID"] for each in json.loads(one.out)] == [own]
    member = made.run(f"function usage --project {own}", "function usage --group-by project", "function usage --end x")
    assert [(each.code, "400" in each.err) for each in member] == [(1, True)] * 3
    (other,) = made.run("function usage --group-by function -f json", cloud="bob")
    assert "hello" not in other.out


@pytest.mark.parametrize(
    ("cloud_name", "commands"),
    [
        (
            "alice",
            {
                "function list": ["GET /v1/functions"],
                "function list --limit 1": ["GET /v1/functions"],
                "function show hello": ["GET /v1/functions/hello"],
                "function revision list hello": ["GET /v1/functions/hello/revisions"],
                "function invoke hello /x": ["POST /v1/invoke/hello/x"],
                "function invoke --async hello /x": ["POST /v1/invoke/hello/x"],
                "function limits show": ["GET /v1/limits"],
                "function operation cancel {operation}": ["DELETE /v1/operations/{operation}"],
                "function operation list": ["GET /v1/operations"],
                "function operation list --limit 1": ["GET /v1/operations"],
                "function operation result {operation}": ["GET /v1/operations/{operation}/result"],
                "function operation retry {operation}": ["POST /v1/operations/{operation}/retry"],
                "function operation show {operation}": ["GET /v1/operations/{operation}"],
                "function operation wait {operation}": ["GET /v1/operations/{operation}"],
                "function secret list": ["GET /v1/secrets"],
                "function secret set --from-file /etc/hostname counted": ["PUT /v1/secrets/counted"],
                "function secret show counted": ["GET /v1/secrets/counted"],
                "function secret delete counted": ["DELETE /v1/secrets/counted"],
                "function trigger create --cron @daily hello counted": ["PUT /v1/functions/hello/triggers/counted"],
                "function trigger delete hello counted": ["DELETE /v1/functions/hello/triggers/counted"],
                "function trigger list hello": ["GET /v1/functions/hello/triggers"],
                "function trigger set hello none": ["GET /v1/functions/hello/triggers/none"],
                "function trigger show hello none": ["GET /v1/functions/hello/triggers/none"],
                "function usage": ["GET /v1/usage"],
                "checksum list --prefix plain data": ["POST /v1/checksums"],
                "checksum sweep list": ["GET /v1/sweeps"],
            },
        ),
        ("application", {"checksum show data/plain": ["GET /v1/checksums/data/plain"]}),
        ("system", {"function tenant list": ["GET /v1/projects"]}),
    ],
)
def test_no_request_is_needless(made, ended, cloud, cloud_name, commands):
    """One discovery of Keystone, one token, and the request; for users, applications and administrators."""
    made.asked.clear()
    named = {
        command.format(operation=ended.good): [each.format(operation=ended.good) for each in wanted]
        for command, wanted in commands.items()
    }
    results = made.run(*(["--debug", *command.split()] for command in named), cloud=cloud_name)
    for command, done in zip(named, results, strict=True):
        sent = re.findall(r"REQ: curl -g -i -X (\w+) (\S+)", done.err)
        tokens = re.findall(r"Making authentication request to (\S+)", done.err)
        assert tokens == [f"{cloud.auth_url}/auth/tokens"], command
        assert [url for _, url in sent if url.startswith(cloud.auth_url)] in ([], [cloud.auth_url]), command
    without_query = [each.partition("?")[0] for each in made.asked]
    assert without_query == [each for wanted in named.values() for each in wanted]


def test_help_lists_the_commands_with_examples(site):
    listed, shown, completed = site.run("--help", "function create --help", "complete")
    assert "function revision list" in listed.out
    assert "checksum show" in listed.out
    assert "Examples:\n  openstack function create" in shown.out
    assert "function" in completed.out


SAMPLE = '''\
"""What a user writes."""

import osfaas.sdk

conn = osfaas.sdk.connect(cloud="alice")
for function in conn.function.functions(limit=1):
    name: str = function.name
    print(name, function.condition.get("status"))
ready = conn.function.wait_for_function("hello", progress=print)
reply = conn.function.invoke(ready, "/x", data=b"1")
print(reply.status_code)
checksum = conn.function.checksum("data", "plain", algorithms=["md5"])
print(checksum.digests["md5"])
for each in conn.function.checksums("data", prefix="plain", algorithm="sha256"):
    print(each.object, each.digests["sha256"])
for limit in conn.function.limits():
    where: str = limit.source or ""
    print(limit.name, where)
begun = conn.function.start_invocation("hello", "/later", data=b"2")
ended = conn.function.wait_for_operation(begun, seconds=60, progress=print)
state: str = ended.state
print(ended.kind, state, conn.function.operation_result(ended).status_code)
for operation in conn.function.operations(states=["succeeded"], subject="hello", limit=1):
    print("same" if operation.id == begun.id else "another")
secret = conn.function.set_secret("sdk", "value")
print([each.name for each in conn.function.secrets()], secret.used_by)
conn.function.delete_secret(secret)
trigger = conn.function.create_trigger("hello", "sdk", cron="0 3 * * *")
trigger = conn.function.update_trigger("hello", trigger, time_zone="Europe/Zurich")
print([each.schedule for each in conn.function.triggers(ready)], trigger.next_at is not None)
print(conn.function.delete_trigger(ready, trigger))
for used in conn.function.usage(groups=["function"], limit=1):
    calls: int = used.calls
    print(used.function, calls)
'''


def run_python(site: Site, program: str, python: Path = PYTHON) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [python, "-W", "ignore", "-c", program],
        env={**site.environment, "OS_CLOUD": "alice"},
        capture_output=True,
        text=True,
        timeout=scaled(120),
        check=False,
        cwd="/",
    )


def test_program_with_the_sdk_runs_and_is_typed(made, ended, tmp_path):
    done = run_python(made, SAMPLE)
    assert done.returncode == 0, done.stderr
    for line in (
        "hello True",
        "200",
        "concurrent_calls gateway",
        "invoke succeeded 200",
        "same",
        "another",
        "['sdk'] []",
        "[{'cron': '0 3 * * *', 'time_zone': 'Europe/Zurich'}] True",
        "None",
        CONTENT.digests["md5"],
        f"plain {CONTENT.digests['sha256']}",
    ):
        assert line in done.stdout.splitlines()
    (tmp_path / "sample.py").write_text(SAMPLE)
    # With the newest openstacksdk, whose types are complete.
    checked = subprocess.run(
        [Path(sys.executable).with_name("mypy"), "--strict", "--follow-imports=silent", "--config-file=", "sample.py"],
        cwd=tmp_path,
        # mypy does not see what is installed in the editable form.
        env={**os.environ, "MYPYPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=scaled(280),
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
    (tmp_path / "wrong.py").write_text(SAMPLE.replace("name: str", "name: int"))
    wrong = subprocess.run(
        [*checked.args[:-1], "wrong.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Incompatible types" in wrong.stdout


CONNECTIONS = {
    "vendor hook": "import openstack; conn = openstack.connect(cloud='alice', vendor_hook='osfaas.sdk:hook')",
    "add_service": "import openstack, osfaas.sdk; conn = openstack.connect(cloud='alice'); "
    "conn.add_service(osfaas.sdk.FunctionService())",
    "alias": "import types, osfaas.sdk; c = osfaas.sdk.connect('alice'); "
    "osfaas.sdk.hook(c); conn = types.SimpleNamespace(function=c.faas)",
}


@pytest.mark.parametrize("way", CONNECTIONS)
def test_service_is_there_in_each_way_to_connect(made, way):
    done = run_python(made, f"{CONNECTIONS[way]}\nprint(conn.function.get_function('hello').image)")
    assert (done.returncode, done.stdout.strip().partition("@")[0]) == (0, IMAGE.partition("@")[0]), done.stderr


FAILURES = """
import openstack.exceptions, osfaas.sdk
function = osfaas.sdk.connect(cloud='alice').function
for work in (
    lambda: function.get_function('none'),
    lambda: function.checksum('data', 'none'),
    lambda: list(function.checksums('none')),
    lambda: function.create_function('hello', image='x'),
    lambda: function.invoke('none'),
    lambda: function.get_operation('00000000-0000-4000-8000-000000000000'),
    lambda: function.delete_trigger('hello', 'none', ignore_missing=False),
    lambda: function.get_secret('none'),
    lambda: list(function.usage(groups=['project'])),
):
    try:
        work()
    except openstack.exceptions.HttpException as error:
        print(error.status_code, type(error).__name__, error.details or error.message)
"""


def test_errors_are_openstacksdks_own(made):
    lines = run_python(made, FAILURES).stdout.splitlines()
    assert len(lines) == 9
    assert [line.split()[0] for line in lines[5:]] == ["404", "404", "404", "400"]
    assert [line.split()[1] for line in lines[:2]] == ["NotFoundException"] * 2
    assert "There is no such container or object" in lines[1]
    assert "has no container 'none'" in lines[2]
