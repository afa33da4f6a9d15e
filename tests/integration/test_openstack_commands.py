"""`openstack function …` and `checksum …` from an environment with the client alone, and the SDK: real Keystone, Swift,
gateway, functions API and administrators' API on loopback."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from conftest import Gateway, content_of
from echo import echo
from path_front import front
from test_documented_commands import BLOCK

from localcloud.services import Service, free_ports
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


@pytest.fixture(scope="module")
def site(cloud, start_gateway, function, tmp_path_factory) -> Iterator[Site]:
    functions, projects, own = free_ports(3)
    folder = tmp_path_factory.mktemp("site")
    clouds = yaml.safe_load(Path(cloud.clouds_yaml).read_text())
    (folder / "clouds.yaml").write_text(yaml.safe_dump(whole_clouds(clouds["clouds"], cloud)))
    urls = {
        "function": f"http://127.0.0.1:{own}",
        "object-store": f"{cloud.swift_url}/v1/AUTH_%(project_id)s",
        "identity": cloud.auth_url,
    }

    def control(name: str, port: int, cloud_name: str) -> Service:
        env = {
            "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml),
            "OS_CLOUD": cloud_name,
            "OSFAAS_LISTEN_PORT": str(port),
            "OSFAAS_PUBLIC_URL": f"http://127.0.0.1:{own}",
            "PYTHONPATH": str(CHECKOUT),
        }
        command = [sys.executable, "-m", "tests.integration.control_plane", name]
        return Service(f"control-{name}", command, port, cloud.state, env)

    (metrics,) = free_ports(1)
    database = {
        "OSFAAS_DATABASE_URL": f"sqlite:///{folder}/operations.db",
        # Swift of the local cloud lets managers own an account.
        "OSFAAS_OPERATION_ROLES": "member,manager",
    }
    upgraded = [sys.executable, "-m", "client.cli", "db", "upgrade"]
    subprocess.run(upgraded, env={**os.environ, **database}, check=True, capture_output=True, timeout=scaled(120))

    def worker(gateway: Gateway) -> Service:
        env = {
            "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml),
            "OS_CLOUD": "osfaas",
            "OSFAAS_WORKER_GATEWAY_URL": gateway.url,
            "OSFAAS_WORKER_METRICS_PORT": str(metrics),
            "OSFAAS_WORKER_POLL_SECONDS": "0.05",
            **{name: value for name, value in gateway.service.env.items() if name.startswith("OSFAAS_STORE_")},
            **database,
        }
        command = [sys.executable, "-m", "client.cli", "worker"]
        return Service("worker-openstack", command, metrics, cloud.state, env)

    with (
        region(cloud, urls),
        echo() as backend,
        start_gateway(**database) as gateway,
        running(worker(gateway)),
        running(control("functions", functions, "osfaas")),
        running(control("projects", projects, "admin")),
        front({"/v1/functions": functions, "/v1/projects": projects}, gateway.service.port, own) as asked,
    ):
        checksums = {"url": f"http://127.0.0.1:{function.port}"}
        hello = {"url": backend.url, "callable": True}
        tenant = {
            "project_id": cloud.users["alice"].project_id,
            "functions": {"checksums": checksums, "hello": hello, "greet": hello},
        }
        gateway.tenants.write_text(yaml.safe_dump({"tenants": [tenant]}))
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


@pytest.mark.parametrize(
    ("command", "cloud_name", "wanted"),
    [
        ("function list", "alice", ["GET /v1/functions"]),
        ("function show hello", "alice", ["GET /v1/functions/hello"]),
        ("function revision list hello", "alice", ["GET /v1/functions/hello/revisions"]),
        ("function invoke hello /x", "alice", ["POST /v1/invoke/hello/x"]),
        ("checksum show data/plain", "application", ["GET /v1/checksums/data/plain"]),
        ("checksum list --prefix plain data", "alice", ["POST /v1/checksums"]),
        ("checksum sweep list", "alice", ["GET /v1/sweeps"]),
        ("function limits show", "alice", ["GET /v1/limits"]),
        ("function tenant list", "system", ["GET /v1/projects"]),
    ],
)
def test_no_request_is_needless(made, cloud, command, cloud_name, wanted):
    """One discovery of Keystone, one token, and the request; for users, applications and administrators."""
    made.asked.clear()
    done = made.one(["--debug", *command.split()], cloud=cloud_name)
    sent = re.findall(r"REQ: curl -g -i -X (\w+) (\S+)", done.err)
    tokens = re.findall(r"Making authentication request to (\S+)", done.err)
    assert tokens == [f"{cloud.auth_url}/auth/tokens"]
    assert [url for _, url in sent if url.startswith(cloud.auth_url)] in ([], [cloud.auth_url])
    assert made.asked == wanted


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


def test_program_with_the_sdk_runs_and_is_typed(made, tmp_path):
    done = run_python(made, SAMPLE)
    assert done.returncode == 0, done.stderr
    for line in (
        "hello True",
        "200",
        "concurrent_calls gateway",
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
):
    try:
        work()
    except openstack.exceptions.HttpException as error:
        print(error.status_code, type(error).__name__, error.details or error.message)
"""


def test_errors_are_openstacksdks_own(made):
    lines = run_python(made, FAILURES).stdout.splitlines()
    assert len(lines) == 5
    assert [line.split()[1] for line in lines[:2]] == ["NotFoundException"] * 2
    assert "There is no such container or object" in lines[1]
    assert "has no container 'none'" in lines[2]
