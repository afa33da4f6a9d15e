"""`openstack function tenant verify`: what it refuses, asks for, prints and exits with. A replay needs a cluster."""

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest
from osc_lib.exceptions import CommandError

from policies.model import IsolationLevel
from tenancy.commands import openstack_verify
from tenancy.commands.openstack_verify import VerifyTenant
from tenancy.commands.replaying import Replayed, VerifyRequest
from tenancy.isolation.attack import Evidence, Outcome
from tenancy.isolation.verdict import Finding, evaluate
from tenancy.model.errors import NotOnboardedError
from tests.unit.tenancy.isolation.test_verdict import ATTACK

PLATFORM = f"functions: {{checksums: {{image: registry/image@sha256:{'a' * 64}}}}}"
ANSWERED, REFUSED = Evidence(Outcome.ANSWERED, "yes"), Evidence(Outcome.REFUSED, "no \x1b[2J answer")


def finding(evidence: Evidence, control: Evidence = ANSWERED) -> Finding:
    return evaluate(ATTACK, evidence, control, IsolationLevel.L5)


def run(*words: str, auth: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit code and output of the command."""
    out = io.StringIO()
    manager = SimpleNamespace(get_configuration=lambda: {"auth": auth} if auth else {}, sdk_connection=None)
    command = VerifyTenant(SimpleNamespace(stdout=out, client_manager=manager), None)
    return command.run(command.get_parser("verify").parse_args(list(words))), out.getvalue()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> tuple[list[VerifyRequest], list[Finding]]:
    """What is asked for, and what is found."""
    requests: list[VerifyRequest] = []
    found: list[Finding] = []

    def replayed(_access: object, _platform: object, wanted: VerifyRequest) -> Replayed:
        requests.append(wanted)
        if wanted.project == "unknown":
            raise NotOnboardedError("the project unknown has no tenant")
        return Replayed(findings=found, tenant="os-a", victim="os-b", level=IsolationLevel.L3)

    monkeypatch.setattr(openstack_verify, "replayed", replayed)
    file = tmp_path / "platform.yaml"
    file.write_text(PLATFORM)
    monkeypatch.setenv("OSFAAS_PLATFORM_FILE", str(file))
    return requests, found


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--level", "L9", "a"], "argument --level: invalid choice: 'L9' (choose from"),
        (["--keystone", "no-port", "a"], "argument --keystone: 'no-port' has no port. Use HOST:PORT or a URL."),
        (["--store", ":80", "a"], "argument --store: ':80' has no host. Use HOST:PORT or a URL."),
        ([], "the following arguments are required: <project>"),
    ],
)
def test_wrong_usage(asked: Any, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(*words)
    assert (caught.value.code, asked[0]) == (2, [])
    assert sentence in capsys.readouterr().err


def test_platform_file_is_required(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("OSFAAS_PLATFORM_FILE", raising=False)
    with pytest.raises(SystemExit) as caught:
        run("atlas")
    assert caught.value.code == 2
    assert "--platform" in capsys.readouterr().err


def test_error_of_the_product_is_one_of_the_command(asked: Any) -> None:
    with pytest.raises(CommandError, match="the project unknown has no tenant"):
        run("unknown")


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([finding(REFUSED)], 0),
        ([finding(REFUSED), finding(ANSWERED)], 1),
        ([finding(REFUSED), finding(REFUSED, control=REFUSED)], 3),
        ([], 3),
    ],
)
def test_exit_code_says_what_was_found(asked: Any, findings: list[Finding], code: int) -> None:
    asked[1].extend(findings)
    assert run("atlas")[0] == code


def test_each_attack_is_a_row(asked: Any) -> None:
    asked[1].extend([finding(REFUSED)])
    (row,) = json.loads(run("-f", "json", "atlas")[1])
    assert (row["Attack"], row["Verdict"]) == (ATTACK.name, "defended")
    assert row["Positive Control"] == f"{Outcome.ANSWERED.value}: yes"
    # What a probe has read is another's text.
    assert "\x1b" not in run("-f", "value", "atlas")[1]


def test_options_and_keystone_of_the_cloud_are_asked_for(asked: Any) -> None:
    words = ["--against", "cms", "--level", "L2", "--project-domain", "Default", "--store", "s3.example:8080", "atlas"]
    run(*words, auth={"auth_url": "https://keystone.example/v3"})
    (wanted,) = asked[0]
    assert (wanted.project, wanted.against, wanted.domain) == ("atlas", "cms", "Default")
    assert (wanted.level, wanted.image) == (IsolationLevel.L2, None)
    assert (wanted.keystone, wanted.store) == (("keystone.example", 443), ("s3.example", 8080))
