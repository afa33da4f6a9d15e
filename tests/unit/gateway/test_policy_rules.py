"""Files with policy rules: which are refused, and what the others allow."""

import logging
from pathlib import Path
from typing import Any

import pytest
from oslo_policy.policy import DeprecatedRule, DocumentedRuleDefault, RuleDefault

from gateway.policy.names import Rule
from gateway.policy.rules import ATTRIBUTES, MAX_NESTING, PolicyError, RuleSet, load_rules

TARGET = {"project_id": "p"}


def credentials(*roles: str, **more: Any) -> dict[str, Any]:
    return {
        "user_id": "u",
        "project_id": "p",
        "project_domain_id": "d",
        "roles": list(roles),
        "system_scope": None,
        "is_admin_project": False,
        "is_service_project": False,
        **more,
    }


def rules(tmp_path: Path, text: str) -> RuleSet:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    return load_rules(path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("- role:member", "expected rules by their names", id="list"),
        pytest.param("role:member", "expected rules by their names", id="text"),
        pytest.param('"checksums:get: "role:member"', "found", id="no-yaml"),
        pytest.param("\x00", "special characters", id="binary"),
        pytest.param(
            '"checksums:get": "role:a"\n"limits:get": "role:a"\n"checksums:get": "!"',
            "the rule 'checksums:get' occurs twice",
            id="twice",
        ),
        pytest.param("checksums:get: '!'\n\"checksums:get\": '@'", "occurs twice", id="twice-in-other-quotes"),
        pytest.param("1: role:member", "the rule 1 must be a string", id="name-that-is-a-number"),
        # The library allows everybody in these three.
        pytest.param('"projects:offboard":', "must be a string in quotes, not None", id="null"),
        pytest.param('"projects:offboard": []', "must be a string in quotes, not []", id="empty-list"),
        pytest.param('"checksums:get": "not rule:project_membr"', "refers to a rule that does not exist", id="negated"),
        pytest.param('"checksums:get": true', "must be a string in quotes, not True", id="boolean"),
        pytest.param('"checksum:get": "role:reader"', "(did you mean 'checksums:get'?), and no other", id="unknown"),
        pytest.param('"helper": "role:reader"', "unknown rule 'helper'", id="helper-that-nobody-uses"),
        pytest.param('"checksums:get": "rule:readers"', "does not exist: 'rule:readers'", id="undefined"),
        pytest.param('"checksums:get": "role:a or rule:x"', "does not exist: 'rule:x'", id="undefined-part"),
        pytest.param('"checksums:get": "reader"', "is not in the language of policy rules: 'reader'", id="no-check"),
        pytest.param('"checksums:get": "role:a or reader"', "is not in the language", id="no-check-in-a-part"),
        pytest.param('"checksums:get": "role:a or"', "is not in the language", id="half"),
        pytest.param('"checksums:get": "role:a and (role:b"', "is not in the language", id="open"),
        pytest.param('"checksums:get": "! role:a"', "is not in the language", id="two-checks"),
        pytest.param('"checksums:get": " "', "is not in the language", id="blank"),
        pytest.param('"checksums:get": "\'role:a\'"', "is not in the language", id="quoted"),
        pytest.param('"checksums:get": "rol:reader"', "neither a role nor an attribute", id="misspelled-kind"),
        pytest.param('"checksums:get": "tenant_id:%(project_id)s"', "neither a role nor", id="attribute-that-is-none"),
        pytest.param('"checksums:get": "user_id.x:y"', "neither a role nor", id="part-of-an-attribute"),
        pytest.param('"checksums:get": "1x:y"', "neither a role nor", id="literal-that-is-none"),
        pytest.param('"checksums:get": "http://127.0.0.1:1/x"', "neither a role nor", id="http"),
        pytest.param('"checksums:get": "not https://127.0.0.1:1/x"', "neither a role nor", id="https"),
        pytest.param('"checksums:get": "user_id:%(user_id)s"', "a target that is not known", id="owner"),
        pytest.param('"checksums:get": "role:100%"', "a target that is not known", id="percent"),
        pytest.param(
            '"project_member": "rule:checksums:get"', "refer to each other in a circle: ", id="circle-with-a-default"
        ),
        pytest.param(
            '"project_member": "not rule:checksums:get"', "refer to each other in a circle: ", id="negated-circle"
        ),
        pytest.param('"checksums:get": "rule:checksums:get"', "refer to each other in a circle: ", id="itself"),
    ],
)
def test_file_with_a_mistake_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(PolicyError) as caught:
        rules(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path}/policy.yaml: ")
    assert why in str(caught.value)


def test_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="No such file"):
        load_rules(tmp_path / "policy.yaml")


def test_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was checked is what is enforced."""
    monkeypatch.setattr("gateway.policy.rules._read", lambda _path: {"checksums:get": "role:reader"})
    with pytest.raises(PolicyError, match="changed while it was read"):
        rules(tmp_path, '"checksums:get": "@"')


@pytest.mark.parametrize(
    ("check", "allowed", "denied"),
    [
        ("!", None, credentials("member", "admin")),
        ("role:auditor", credentials("auditor"), credentials("member")),
        ("not role:guest", credentials("member"), credentials("member", "guest")),
        ("role:a and (role:b or role:c)", credentials("a", "c"), credentials("b", "c")),
        ("(role:a and role:b) or role:c", credentials("c"), credentials("a")),
        ("role:a or role:b and role:c", credentials("a"), credentials("b")),
        ("user_id:u", credentials(), credentials(user_id="v")),
        ("project_id:p", credentials(), credentials(project_id="q")),
        ("project_domain_id:d", credentials(), credentials(project_domain_id="e")),
        ("role:member and project_id:%(project_id)s", credentials("member"), credentials("member", project_id="q")),
        ("rule:project_reader", credentials("reader"), credentials("other")),
        ("rule:auditors", credentials("auditor"), credentials("member")),
        ("is_service_project:True", credentials(is_service_project=True), credentials()),
        ("", credentials(), None),
        ("@", credentials(), None),
    ],
)
def test_rule_of_the_file_is_in_place_of_the_default(
    tmp_path: Path, check: str, allowed: dict[str, Any] | None, denied: dict[str, Any] | None
) -> None:
    helper = '"auditors": "role:auditor"\n"limits:get": "rule:auditors"\n'
    found = rules(tmp_path, f'{helper}"checksums:get": "{check}"')
    assert allowed is None or found.allows(Rule.CHECKSUMS_GET, allowed, TARGET)
    assert denied is None or not found.allows(Rule.CHECKSUMS_GET, denied, TARGET)
    # The others are not touched.
    assert found.allows(Rule.SWEEPS_CREATE, credentials("member"), TARGET)
    assert not found.allows(Rule.SWEEPS_CREATE, credentials("reader", "auditor"), TARGET)


def test_rule_that_others_refer_to_changes_them_all(tmp_path: Path) -> None:
    found = rules(tmp_path, '"project_member": "role:creator"')
    for rule in (Rule.FUNCTIONS_INVOKE, Rule.CHECKSUMS_GET, Rule.TRIGGERS_PUT):
        assert found.allows(rule, credentials("creator"), TARGET)
        assert not found.allows(rule, credentials("member"), TARGET)


def test_rules_of_projects_hold_for_tokens_of_projects_only(tmp_path: Path) -> None:
    """Scope types are enforced, whatever the rule says."""
    found = rules(tmp_path, '"checksums:get": "@"\n"projects:list": "@"')
    system, domain = credentials(system_scope="all"), credentials(domain_id="d")
    assert not found.allows(Rule.CHECKSUMS_GET, system, TARGET)
    assert not found.allows(Rule.CHECKSUMS_GET, domain, TARGET)
    assert found.allows(Rule.PROJECTS_LIST, system, {})
    assert not found.allows(Rule.PROJECTS_LIST, domain, {})


def test_rule_without_a_target_does_not_meet_a_check_of_one(tmp_path: Path) -> None:
    """Administration is in no project."""
    found = rules(tmp_path, '"projects:list": "project_id:%(project_id)s"')
    assert not found.allows(Rule.PROJECTS_LIST, credentials("admin", project_id=""), {})


@pytest.mark.parametrize("text", ["", "\n", "# no rules\n", '#"checksums:get": "@"\n', "---\n", "null", "~", "{}"])
def test_file_without_a_rule_is_refused(tmp_path: Path, text: str) -> None:
    """Most likely the wrong file is mounted, or an empty one."""
    with pytest.raises(PolicyError, match=r"policy\.yaml: the file has no rule\. .* unset OSFAAS_POLICY_FILE"):
        rules(tmp_path, text)


DEEP = 2_000


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('"checksums:get": "{}"'.format("(" * DEEP + "role:a" + ")" * DEEP), id="parentheses"),
        pytest.param('"checksums:get": "{}"'.format("(role:a and " * DEEP + "role:a" + ")" * DEEP), id="and"),
        pytest.param('"checksums:get": "{}"'.format("not " * DEEP + "role:a"), id="not"),
        pytest.param('"checksums:get": "{}"'.format("not (" * DEEP + "role:a" + ")" * DEEP), id="not-in-parentheses"),
        pytest.param('"checksums:get": {}'.format("[" * DEEP), id="lists"),
        # Rules that refer to each other, one after the other, are nested too.
        pytest.param(
            '"checksums:get": "rule:a0"\n{}"a{}": "role:a"'.format(
                "".join(f'"a{number}": "rule:a{number + 1}"\n' for number in range(DEEP)), DEEP
            ),
            id="references",
        ),
        # The library fails on this one only at a request.
        pytest.param(
            '"checksums:get": "rule:a0"\n{}"a{}": "role:a"'.format(
                "".join(f'"a{number}": "not rule:a{number + 1}"\n' for number in range(DEEP)), DEEP
            ),
            id="negated-references",
        ),
        pytest.param(f'"checksums:get": "{"not " * (MAX_NESTING + 1)}role:a"', id="one-too-many"),
    ],
)
def test_rule_that_is_nested_too_deeply_is_refused(tmp_path: Path, text: str) -> None:
    """Its evaluation would fail at some request."""
    with pytest.raises(PolicyError) as caught:
        rules(tmp_path, text)
    assert "nested" in str(caught.value)
    assert str(MAX_NESTING) in str(caught.value)
    assert "recursion" not in str(caught.value)


@pytest.mark.parametrize("check", ["not " * MAX_NESTING + "role:a", "not (" * 24 + "rule:limits:get" + ")" * 24])
def test_rule_may_be_nested(tmp_path: Path, check: str) -> None:
    helper = '"limits:get": "{}"\n'.format("not (" * 24 + "role:a" + ")" * 24)
    assert rules(tmp_path, f'{helper}"checksums:get": "{check}"').allows(Rule.CHECKSUMS_GET, credentials("a"), TARGET)


def test_rule_may_have_many_alternatives(tmp_path: Path) -> None:
    check = " or ".join(f"(role:a{number} and not role:b)" for number in range(10 * MAX_NESTING))
    assert rules(tmp_path, f'"checksums:get": "{check}"').allows(Rule.CHECKSUMS_GET, credentials("a499"), TARGET)


def test_no_other_file_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library would find a policy.yaml, and a folder policy.d, in the home directory and in /etc."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "policy.yaml").write_text('"checksums:get": "@"')
    (tmp_path / ".osfaas").mkdir()
    (tmp_path / ".osfaas" / "policy.yaml").write_text('"checksums:get": "@"')
    (tmp_path / "policy.d").mkdir()
    (tmp_path / "policy.d" / "more.yaml").write_text('"checksums:get": "@"')
    (tmp_path / "own.yaml").write_text('"limits:get": "role:auditor"')
    for path in (None, tmp_path / "own.yaml"):
        assert not load_rules(path).allows(Rule.CHECKSUMS_GET, credentials("reader"), TARGET)


def test_rules_that_are_loaded_do_not_follow_the_file(tmp_path: Path) -> None:
    """A change would be in force unchecked."""
    found = rules(tmp_path, '"checksums:get": "role:auditor"')
    (tmp_path / "policy.yaml").write_text('"checksums:get": "@"')
    assert not found.allows(Rule.CHECKSUMS_GET, credentials("member"), TARGET)


def test_credentials_are_not_changed() -> None:
    given = credentials("admin", system_scope="all")
    assert load_rules(None).allows(Rule.PROJECTS_LIST, given, {})
    assert tuple(given) == ATTRIBUTES


def renamed(old: str, check: str) -> list[RuleDefault]:
    before = DeprecatedRule(old, check, deprecated_reason="A better name.", deprecated_since="1.0")
    return [
        DocumentedRuleDefault(
            Rule.CHECKSUMS_GET.value,
            "role:member",
            "Get the checksum of an object.",
            [{"method": "GET", "path": "/v1/checksums/{container}/{object}"}],
            deprecated_rule=before,
        )
    ]


def test_rule_under_its_old_name_is_in_force_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text('"digests:get": "role:auditor"')
    with caplog.at_level(logging.WARNING):
        found = load_rules(path, renamed("digests:get", "role:member"))
    assert found.allows(Rule.CHECKSUMS_GET, credentials("auditor"), TARGET)
    assert not found.allows(Rule.CHECKSUMS_GET, credentials("member"), TARGET)
    assert any("digests:get" in message and "checksums:get" in message for message in caplog.messages)
