"""`osfaas checksum get|put` as a program, in Dynafed's and XRootD's forms: real Keystone, Swift, gateway."""

import json
import os
import statistics
import subprocess
import sys
import time
import zlib
from pathlib import Path
from urllib.parse import quote

import pytest
from conftest import Gateway, content_of

from gateway.objects.stored import write_stored
from localcloud.ports import free_ports
from localcloud.stack import function_service, running
from tests.machine import scaled

BIN = Path(sys.executable).parent
CONTENT = content_of(b"one object under many names" * 100)
NAME = "run 1/ü%20+?.root"
# Its adler32 begins with zeros.
ZEROS = content_of(b"\x01\x02")
# Output to nowhere.
QUIET = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
HEAVY = ("openstack", "keystoneauth1", "requests", "urllib3", "yaml", "httpx", "aiohttp", "pydantic", "starlette")


@pytest.fixture(scope="module")
def environment(cloud, tmp_path_factory):
    """Makes the environment of one user, with a cache of its own."""

    def made(user: str = "alice", **more: str) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "OSFAAS_"))}
        folder = tmp_path_factory.mktemp("home")
        return own | {
            "HOME": str(folder),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml),
            "OS_CLOUD": user,
            **more,
        }

    return made


@pytest.fixture(scope="module")
def objects(bucket, gateway):
    bucket.put(NAME, CONTENT.data)
    bucket.put("zeros", ZEROS.data)
    return bucket


def run(arguments: list[str], env: dict[str, str], program: str = "osfaas") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / program, *arguments], env=env, capture_output=True, text=True, timeout=scaled(120), check=False
    )


def url_of(objects, name: str = NAME) -> str:
    return f"{objects.url}/{quote(name)}"


FORMS = {
    "dynafed-get": lambda o: ["-e", "alice", "-u", url_of(o), "-t", "adler32"],
    "dynafed-long-options": lambda o: ["--endpoint", "alice", "--url", url_of(o), "--hash_type", "adler32"],
    "dynafed-with-its-other-options": lambda o: [
        "-v",
        "-c",
        "/etc/ugr/conf.d",
        "-e",
        "site",
        "--stdout",
        "-u",
        url_of(o),
    ],
    "type-left-out": lambda o: ["-u", url_of(o)],
    "type-in-capitals": lambda o: ["-u", url_of(o), "-t", "ADLER32"],
    "s3-url": lambda o: ["-u", url_of(o).replace(f"/v1/{o.url.split('/')[4]}/", "/"), "-t", "adler32"],
    "gateways-own-url": lambda o: ["-u", f"{o.gateway_url}{o.path(NAME)}"],
    "gateway-named": lambda o: ["-e", o.gateway_url, "-u", url_of(o)],
    "container-and-object": lambda o: ["-u", f"{o.name}/{NAME}"],
    "xrootd-path": lambda o: [f"/{o.name}/{NAME}"],
    "xrootd-type-path": lambda o: ["adler32", f"/{o.name}/{NAME}"],
    "xrootd-type-path-and-who-asks": lambda o: ["adler32", f"/{o.name}/{NAME}", "user.1:2@host", "atlas"],
}


@pytest.fixture(scope="module")
def warm(environment, objects, gateway):
    """An environment whose token is kept, and the objects."""
    objects.gateway_url = gateway.url
    env = environment()
    assert run(["checksum", "get", f"{objects.name}/{NAME}"], env).returncode == 0
    return env


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("program", ["osfaas", "osfaas-checksum"])
def test_every_form_of_arguments_gives_the_bare_value(warm, objects, form, program):
    arguments = FORMS[form](objects)
    done = run(["checksum", "get", *arguments] if program == "osfaas" else arguments, warm, program)
    assert (done.returncode, done.stdout, done.stderr) == (0, CONTENT.digests["adler32"] + "\n", "")


@pytest.mark.parametrize("algorithm", ["md5", "sha256", "crc32"])
def test_other_types_are_given_too(warm, objects, algorithm):
    assert (
        run(["checksum", "get", algorithm, f"{objects.name}/{NAME}"], warm).stdout.strip()
        == (CONTENT.digests[algorithm])
    )


@pytest.mark.main_story
def test_leading_zeros_are_printed(warm, objects):
    assert ZEROS.digests["adler32"].startswith("00")
    assert run(["checksum", "get", f"/{objects.name}/zeros"], warm).stdout == ZEROS.digests["adler32"] + "\n"


FAILURES = {
    "no-such-object": (["/data/none"], 1, "no such container or object"),
    "no-such-container": (["md5", "/none/x"], 1, "no such container or object"),
    "unknown-type": (["-u", "data/zeros", "-t", "md6"], 1, "'md6' is not supported"),
    "object-of-another-project": (["-u", "{swift}/v1/AUTH_0/data/zeros"], 1, "is in no store of the project's catalog"),
    "another-host": (["-u", "https://elsewhere.test/data/zeros"], 1, "is in no store of the project's catalog"),
    "no-object-in-the-url": (["-u", "{swift}/data"], 1, "does not name an object"),
    "gateway-not-there": (
        ["-e", "http://127.0.0.1:9", "--retry-seconds", "0", "-u", "data/zeros"],
        1,
        "cannot be reached",
    ),
    "name-not-utf8": (["data/\udcff"], 1, "not UTF-8"),
    "nothing": ([], 2, "Name an object"),
    "named-twice": (["-u", "data/zeros", "/data/zeros"], 2, "Name the object once"),
    "type-twice": (["-t", "md5", "md5", "/data/zeros"], 2, "Name the algorithm once"),
    "unknown-option": (["--frobnicate"], 2, "No such option"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_failure_is_a_sentence_on_stderr_and_nothing_on_stdout(warm, cloud, failure):
    arguments, status, sentence = FAILURES[failure]
    done = run(["checksum", "get", *(word.replace("{swift}", cloud.swift_url) for word in arguments)], warm)
    assert (done.returncode, done.stdout) == (status, "")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert "None" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("user", "more", "sentence"),
    [
        pytest.param("alice", {"OS_CLOUD": "nobody"}, "nobody", id="no-such-cloud"),
        pytest.param("dave", {}, "not onboarded", id="not-onboarded"),
        pytest.param("alice-reader", {}, "policy rule 'checksums:get'", id="role-missing"),
    ],
)
def test_caller_who_gets_nothing_is_told_why(environment, objects, user, more, sentence):
    done = run(["checksum", "get", "data/zeros"], environment(user, **more))
    assert (done.returncode, done.stdout) == (1, "")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_endpoint_chooses_the_credential_of_its_project(environment, objects):
    env = environment()
    del env["OS_CLOUD"]
    asked = ["checksum", "get", "-u", "data/zeros", "-e"]
    assert run([*asked, "alice"], env).stdout.strip() == ZEROS.digests["adler32"]
    refused = run([*asked, "bob"], env)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "no such container or object" in refused.stderr


def test_wrong_password_is_a_sentence_and_leaves_nothing_behind(environment, cloud, objects):
    env = environment()
    for name in ("OS_CLOUD", "OS_CLIENT_CONFIG_FILE"):
        del env[name]
    user = cloud.users["alice"]
    env |= {
        "OS_AUTH_URL": cloud.auth_url,
        "OS_USERNAME": "alice",
        "OS_PASSWORD": "wrong",
        "OS_USER_DOMAIN_ID": user.domain_id,
        "OS_PROJECT_ID": user.project_id,
    }
    done = run(["checksum", "get", "data/zeros"], env)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Keystone issued no token" in done.stderr
    assert "wrong" not in done.stderr
    assert list(Path(env["XDG_CACHE_HOME"]).rglob("*.json")) == []
    assert run(["checksum", "get", "data/zeros"], env | {"OS_PASSWORD": user.password}).returncode == 0


def test_token_is_kept_between_runs_and_renewed_when_it_is_revoked(environment, cloud, objects):
    env = environment()
    before = cloud.keystone_requests("POST", "/v3/auth/tokens", agent="osfaas-client")
    for _ in range(3):
        assert run(["checksum", "get", "data/zeros"], env).returncode == 0
    kept = next(Path(env["XDG_CACHE_HOME"]).rglob("*.json"))
    assert kept.stat().st_mode & 0o777 == 0o600
    first = json.loads(kept.read_text(encoding="utf-8"))["token"]
    assert cloud.keystone_requests("POST", "/v3/auth/tokens", agent="osfaas-client") - before == 1
    cloud.revoke(first)
    time.sleep(31)  # as long as a gateway may still trust it
    assert run(["checksum", "get", "data/zeros"], env).stdout.strip() == ZEROS.digests["adler32"]
    assert json.loads(kept.read_text(encoding="utf-8"))["token"] != first


def test_function_that_comes_back_in_time_is_waited_for(environment, cloud, start_gateway, bucket):
    content = content_of(os.urandom(100))
    bucket.put("waited-for", content.data)
    port = free_ports(1)[0]
    functions = {cloud.users["alice"].project_id: f"http://127.0.0.1:{port}"}
    with start_gateway(functions=functions) as gateway:
        asking = subprocess.Popen(
            [BIN / "osfaas", "checksum", "get", "-e", gateway.url, "data/waited-for"],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + scaled(60)
        while gateway.metric("osfaas_requests_total", route="checksums.object", method="GET", status="503") < 1:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        with running(function_service(cloud.state, name="late", port=port)):
            out, err = asking.communicate(timeout=scaled(60))
        assert (asking.returncode, out, err) == (0, content.digests["adler32"] + "\n", "")


@pytest.mark.main_story
def test_several_objects_are_printed_in_md5sums_format_and_a_missing_one_stops_none(warm, objects):
    names = [f"{objects.name}/zeros", f"{objects.name}/absent", f"{objects.name}/{NAME}", f"{objects.name}/zeros"]
    done = run(["checksum", "get", *names], warm)
    assert done.returncode == 1
    values = (ZEROS.digests["adler32"], CONTENT.digests["adler32"])
    assert done.stdout.splitlines() == [f"{value}  {name}" for value, name in zip(values, names[::2], strict=True)]
    assert done.stderr.startswith(f"osfaas: {names[1]}: ")
    with_type = run(["checksum", "get", "-t", "md5", names[0], names[2]], warm)
    assert (with_type.returncode, with_type.stderr) == (0, "")
    assert with_type.stdout.splitlines()[0] == f"{ZEROS.digests['md5']}  {names[0]}"
    # XRootD's form still names one object, and its third word is the client.
    assert run(["checksum", "get", "md5", names[0], "client"], warm).stdout == ZEROS.digests["md5"] + "\n"


def test_value_that_is_wrong_is_not_kept(warm, objects):
    objects.put("put-wrong", b"content")
    done = run(["checksum", "put", "-e", "alice", "-u", "data/put-wrong", "--checksum", "11111111"], warm)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"adler32 is {zlib.adler32(b'content'):08x}, not 11111111" in done.stderr
    assert "x-object-meta-adler32" not in {name.lower() for name in objects.head("put-wrong")}


@pytest.mark.parametrize("value", ["", "xyz", "0x12", "-1"])
def test_value_that_is_no_checksum_is_refused(warm, objects, value):
    done = run(["checksum", "put", "-u", "data/zeros", f"--checksum={value}"], warm)
    assert done.returncode == 1
    assert "is not a hexadecimal digest" in done.stderr


@pytest.mark.main_story
def test_right_value_is_kept_where_the_federation_looks_for_it(warm, objects):
    objects.put("put-right", ZEROS.data)
    short = ZEROS.digests["adler32"].lstrip("0").upper()
    done = run(["checksum", "put", "-u", url_of(objects, "put-right"), "-t", "adler32", "--checksum", short], warm)
    said = f"osfaas: adler32 {ZEROS.digests['adler32']} is correct and stored with the object\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, "", said)
    assert objects.head("put-right")["X-Object-Meta-Adler32"] == ZEROS.digests["adler32"]


def test_forced_put_computes_anew_and_replaces_what_lies_there(warm, objects):
    objects.put("put-forced", b"content")
    etag = objects.head("put-forced")["Etag"]
    false = write_stored({}, {"adler32": "0badbad0"}, etag=etag, size=7)
    headers = {f"X-Object-Meta-{name}": value for name, value in false.items()}
    objects.session.post(f"{objects.url}/put-forced", headers=headers)
    truth = f"{zlib.adler32(b'content'):08x}"
    arguments = ["checksum", "put", "-u", "data/put-forced", "--checksum", truth]
    assert run(arguments, warm).returncode == 1
    assert run([*arguments, "-f"], warm).returncode == 0
    assert objects.head("put-forced")["X-Object-Meta-Adler32"] == truth


def test_put_by_who_may_not_write_says_so(environment, cloud, objects, gateway: Gateway):
    identifier, secret = cloud.seed.application_credentials["get-only"]
    env = environment()
    for name in ("OS_CLOUD", "OS_CLIENT_CONFIG_FILE"):
        del env[name]
    env |= {
        "OS_AUTH_TYPE": "v3applicationcredential",
        "OS_AUTH_URL": cloud.auth_url,
        "OS_APPLICATION_CREDENTIAL_ID": identifier,
        "OS_APPLICATION_CREDENTIAL_SECRET": secret,
    }
    assert run(["checksum", "get", "data/zeros"], env).stdout.strip() == ZEROS.digests["adler32"]
    objects.put("put-refused", ZEROS.data)
    done = run(["checksum", "put", "data/put-refused", "--checksum", ZEROS.digests["adler32"]], env)
    assert done.returncode == 1
    assert "it is not stored" in done.stderr


def test_kept_login_needs_none_of_the_heavy_libraries(warm, objects):
    command = [sys.executable, "-X", "importtime", "-c", "from client.commands import get; get()", "data/zeros"]
    done = subprocess.run(command, env=warm, capture_output=True, text=True, check=True, timeout=scaled(60))
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert {"click", "http"} <= loaded
    assert loaded.isdisjoint(HEAVY)
    assert "gateway" not in loaded


def test_start_up_is_less_than_twice_that_of_the_libraries_it_cannot_do_without(warm, objects):
    """Processor time, compared round by round with a start of the same kind: the machine may be busy."""
    commands = {
        "least": [sys.executable, "-c", "import click, hashlib, http.client, json, ssl"],
        "get": [str(BIN / "osfaas"), "checksum", "get", "data/zeros"],
        "script": [str(BIN / "osfaas-checksum"), "data/zeros"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(9):
        for name, command in commands.items():
            process = os.posix_spawn(command[0], command, warm, file_actions=QUIET)
            _, status, usage = os.wait4(process, 0)
            assert status == 0
            seconds[name].append(usage.ru_utime + usage.ru_stime)
    shown = {name: f"{min(s) * 1000:.0f} ms, median {statistics.median(s) * 1000:.0f}" for name, s in seconds.items()}
    print("start-up:", shown)
    for name in ("get", "script"):
        ratios = [mine / least for mine, least in zip(seconds[name], seconds["least"], strict=True)]
        assert statistics.median(ratios) < 2, shown
