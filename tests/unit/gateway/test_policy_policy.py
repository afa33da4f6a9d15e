"""A policy follows its file, and keeps the last good rules."""

import dataclasses
import logging
from pathlib import Path

import pytest

from gateway.identity.caller import Caller
from gateway.identity.permissions import Permissions
from gateway.policy.names import Rule
from gateway.policy.policy import RECHECK_SECONDS, Policy
from gateway.policy.rules import PolicyError, RuleSet
from gateway.settings.identity import IdentitySettings
from policies.names import ProjectId

READERS, MEMBERS, NOBODY = (f'"checksums:get": "{check}"' for check in ("role:reader", "role:member", "!"))
READER = Caller(
    token="t",
    user_id="u",
    user_name="alice",
    project_id=ProjectId("p"),
    project_name="demo",
    roles=frozenset(["reader"]),
    expires_at=0,
)


class Site:
    """A policy file, and a clock."""

    def __init__(self, folder: Path, text: str) -> None:
        self.path = folder / "policy.yaml"
        self.path.write_text(text)
        self.now = 100.0
        self.policy = Policy(self.path, clock=lambda: self.now)
        self.permissions = Permissions(self.policy, IdentitySettings())

    def write(self, text: str) -> None:
        """As editors and Kubernetes do: another file takes the place of the first."""
        new = self.path.with_suffix(".new")
        new.write_text(text)
        new.replace(self.path)
        self.now += RECHECK_SECONDS

    def allows(self, caller: Caller = READER) -> bool:
        return self.permissions.allows(caller, Rule.CHECKSUMS_GET)


def test_process_does_not_start_with_a_file_that_is_broken_or_missing(tmp_path: Path) -> None:
    with pytest.raises(PolicyError):
        Policy(tmp_path / "policy.yaml")
    with pytest.raises(PolicyError):
        Site(tmp_path, '"checksum:get": "role:reader"')


def test_verdict_on_a_cached_caller_does_not_outlive_the_rules(tmp_path: Path) -> None:
    site = Site(tmp_path, READERS)
    assert site.allows()
    site.write(MEMBERS)
    assert not site.allows()
    site.write(READERS)
    assert site.allows()


def test_rule_is_evaluated_once_for_a_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, evaluated = Site(tmp_path, READERS), []
    allows = RuleSet.allows
    monkeypatch.setattr(RuleSet, "allows", lambda *args: evaluated.append(args[1]) or allows(*args))
    assert [site.allows() for _ in range(10)] == [True] * 10
    assert evaluated == [Rule.CHECKSUMS_GET]
    # Another rule, and another token, are questions of their own.
    site.permissions.allows(READER, Rule.SWEEPS_CREATE)
    assert site.allows(dataclasses.replace(READER, token="other"))
    assert evaluated == [Rule.CHECKSUMS_GET, Rule.SWEEPS_CREATE, Rule.CHECKSUMS_GET]


def test_verdict_is_not_taken_over_by_a_copy_of_the_caller(tmp_path: Path) -> None:
    site = Site(tmp_path, READERS)
    assert site.allows()
    assert not site.allows(dataclasses.replace(READER, roles=frozenset()))
    assert "verdicts" not in repr(READER)
    assert dataclasses.replace(READER) == READER


@pytest.mark.parametrize(
    "broken",
    [
        '"checksum:get": "@"',
        "- x",
        '"checksums:get": "@ or',
        "",
        "# nothing\n",
        pytest.param('"checksums:get": "{}role:a"'.format("not " * 2_000), id="nested-too-deeply"),
        None,
    ],
)
def test_broken_file_changes_nothing_and_is_logged_once(
    tmp_path: Path, broken: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(tmp_path, READERS)
    if broken is None:
        site.path.unlink()
        site.now += RECHECK_SECONDS
    else:
        site.write(broken)
    with caplog.at_level(logging.ERROR, logger="gateway.policy.policy"):
        for _ in range(3):
            assert site.allows()
            assert not site.allows(dataclasses.replace(READER, roles=frozenset(["member"])))
            site.now += RECHECK_SECONDS
    assert [record.name for record in caplog.records].count("gateway.policy.policy") == 1
    assert f"policy unchanged: {site.path}: " in caplog.text
    site.write(NOBODY)
    assert not site.allows()


def test_file_is_looked_at_once_per_second_at_most(tmp_path: Path) -> None:
    site = Site(tmp_path, READERS)
    site.write(NOBODY)
    site.now -= RECHECK_SECONDS / 2
    assert site.allows()
    site.now += RECHECK_SECONDS
    assert not site.allows()
    # A third file within the same second.
    site.write(READERS)
    site.now -= RECHECK_SECONDS / 2
    assert not site.allows()


def test_projects_of_the_settings_are_attributes_of_the_token(tmp_path: Path) -> None:
    """Nothing in a token makes it one of an administrators' or of a services' project."""
    path = tmp_path / "policy.yaml"
    path.write_text('"checksums:get": "is_admin_project:True"\n"limits:get": "is_service_project:True"')
    policy = Policy(path)
    for settings, expected in (
        (IdentitySettings(), (False, False)),
        (IdentitySettings(admin_projects=("p",)), (True, False)),
        (IdentitySettings(service_projects=("p",)), (False, True)),
        (IdentitySettings(admin_projects=("q",), service_projects=("q",)), (False, False)),
    ):
        permissions, caller = Permissions(policy, settings), dataclasses.replace(READER)
        found = permissions.allows(caller, Rule.CHECKSUMS_GET), permissions.allows(caller, Rule.LIMITS_GET)
        assert found == expected
