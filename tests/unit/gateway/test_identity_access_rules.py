"""Access rules of application credentials: literals are literal, wildcards stop where Keystone says."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.identity.access_rules import allows
from gateway.identity.caller import AccessRule, Caller
from policies.names import ProjectId
from tests.machine import scaled


def caller(*rules: AccessRule, service_types: frozenset[str] = frozenset(["function"])) -> Caller:
    return Caller(
        token="t",
        user_id="u",
        user_name="alice",
        project_id=ProjectId("p"),
        project_name="demo",
        roles=frozenset(["member"]),
        expires_at=0,
        service_types=service_types,
        application_credential_id="ac",
        access_rules=rules,
    )


def fits(rule_path: str, path: str, *, rule_method: str = "GET", method: str = "GET") -> bool:
    return allows(
        caller(AccessRule("function", rule_method, rule_path)), service_type="function", method=method, path=path
    )


@pytest.mark.parametrize("slash", ["%2F", "%2f", "/"])
@pytest.mark.parametrize("rule_path", ["/v1/checksums/c/*", "/v1/checksums/c/{object}", "/v1/checksums/c/s*o"])
def test_wildcard_of_one_segment_stops_at_a_slash_however_it_is_written(rule_path: str, slash: str) -> None:
    """The object `sub/o` is the same one, with its slash encoded or not."""
    assert not fits(rule_path, f"/v1/checksums/c/sub{slash}o")


@pytest.mark.parametrize("slash", ["%2F", "%2f", "/"])
def test_rule_for_a_whole_tree_and_one_for_the_very_object_take_an_encoded_slash(slash: str) -> None:
    assert fits("/v1/checksums/c/**", f"/v1/checksums/c/sub{slash}o")
    assert fits("/v1/checksums/c/*/*", f"/v1/checksums/c/sub{slash}o")
    assert fits("/v1/checksums/c/sub%2Fo", f"/v1/checksums/c/sub{slash}o")


def test_percent_sign_that_is_encoded_makes_no_slash() -> None:
    assert fits("/v1/checksums/c/*", "/v1/checksums/c/sub%252Fo")


@pytest.mark.parametrize(
    ("rule_path", "path"),
    [
        pytest.param("/v1/a.b", "/v1/aXb", id="dot-is-a-dot"),
        pytest.param("/v1/a+", "/v1/aa", id="plus-is-a-plus"),
        pytest.param("/v1/(a|b)", "/v1/a", id="no-alternatives"),
        pytest.param("/v1/[ab]", "/v1/a", id="no-classes"),
        pytest.param("/v1/a?", "/v1/", id="question-mark-is-literal"),
        pytest.param("/v1/a", "/v1/a\n", id="no-newline-at-the-end"),
        pytest.param("/v1/a", "/v1/a/b", id="whole-path"),
        pytest.param("/v1/a", "/prefix/v1/a", id="from-the-start"),
        pytest.param("/v1/a", "/v1/a/", id="slash-counts"),
        pytest.param("/v1/a", "/v1/A", id="case-counts"),
        pytest.param("/v1/a", "/v1/%61", id="as-sent"),
        pytest.param("/v1/*", "/v1/", id="star-is-not-empty"),
        pytest.param("/v1/*", "/v1/a/b", id="star-is-one-segment"),
        pytest.param("/v1/*/b", "/v1/a/x/b", id="star-inside-is-one-segment"),
        pytest.param("/v1/{name}", "/v1/", id="name-is-not-empty"),
        pytest.param("/v1/{name}", "/v1/a/b", id="name-is-one-segment"),
        pytest.param("/v1/{a/b}", "/v1/x", id="no-slash-in-a-name"),
        pytest.param("/v1/checksums/**", "/v1/checksums", id="rest-after-the-slash"),
        pytest.param("/v1/checksums/public/**", "/v1/checksums/public2/x", id="prefix-ends-at-the-slash"),
        pytest.param("", "/v1/", id="empty-rule"),
    ],
)
def test_rule_does_not_reach_further_than_it_says(rule_path: str, path: str) -> None:
    assert not fits(rule_path, path)


@pytest.mark.parametrize(
    ("rule_path", "path"),
    [
        pytest.param("/v1/a.b", "/v1/a.b", id="literal"),
        pytest.param("/v1/*", "/v1/a", id="star"),
        pytest.param("/v1/*/b/*", "/v1/a/b/c", id="stars"),
        pytest.param("/v1/{container}/{object}", "/v1/a/b", id="names"),
        pytest.param("/v1/x-{id}.json", "/v1/x-1.json", id="name-inside-a-segment"),
        pytest.param("/v1/checksums/**", "/v1/checksums/", id="rest-may-be-empty"),
        pytest.param("/v1/checksums/**", "/v1/checksums/c/a/b//c", id="rest"),
        pytest.param("/v1/**/last", "/v1/a/b/last", id="rest-inside"),
        pytest.param("/v1/checksums/c/%C3%A4", "/v1/checksums/c/%C3%A4", id="escaped"),
    ],
)
def test_rule_reaches_as_far_as_it_says(rule_path: str, path: str) -> None:
    assert fits(rule_path, path)


@pytest.mark.parametrize(
    ("rule_method", "method"), [("GET", "HEAD"), ("HEAD", "GET"), ("POST", "GET"), ("GET", "get"), ("*", "GET")]
)
def test_each_method_needs_its_own_rule(rule_method: str, method: str) -> None:
    assert not fits("/v1/a", "/v1/a", rule_method=rule_method, method=method)


def test_method_of_a_rule_may_be_written_small() -> None:
    assert fits("/v1/a", "/v1/a", rule_method="get")


def test_rule_of_another_service_does_not_count() -> None:
    restricted = caller(
        AccessRule("object-store", "GET", "/v1/a"), service_types=frozenset(["function", "object-store"])
    )
    assert not allows(restricted, service_type="function", method="GET", path="/v1/a")


def test_service_type_that_is_not_in_the_tokens_catalog_is_refused() -> None:
    restricted = caller(AccessRule("function", "GET", "/v1/a"), service_types=frozenset(["object-store"]))
    assert not allows(restricted, service_type="function", method="GET", path="/v1/a")


def test_no_rules_at_all_allow_nothing() -> None:
    assert not allows(caller(), service_type="function", method="GET", path="/v1/a")


def test_one_fitting_rule_is_enough() -> None:
    rules = AccessRule("function", "GET", "/no"), AccessRule("function", "GET", "/v1/a")
    assert allows(caller(*rules), service_type="function", method="GET", path="/v1/a")


def test_token_without_access_rules_is_not_restricted() -> None:
    free = Caller("t", "u", "alice", ProjectId("p"), "demo", frozenset(), 0)
    assert allows(free, service_type="function", method="DELETE", path="/anything")


literal = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="*{}"), max_size=30)


@given(rule=literal, path=literal)
def test_literal_rule_fits_exactly_its_own_path(rule: str, path: str) -> None:
    assert fits(rule, path) == (rule == path)
    assert fits(rule, rule)


segment = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="*{}/"), max_size=10)


@given(before=segment, after=segment, between=st.text("ab/.\n", max_size=8))
def test_star_fits_one_segment_and_nothing_else(before: str, after: str, between: str) -> None:
    one_segment = between != "" and "/" not in between
    assert fits(f"/{before}/*/{after}", f"/{before}/{between}/{after}") == one_segment
    assert fits(f"/{before}/{{x}}/{after}", f"/{before}/{between}/{after}") == one_segment


@given(rule=st.text(max_size=60), path=st.text(max_size=60))
def test_no_rule_breaks_the_matching(rule: str, path: str) -> None:
    assert fits(rule, path) in {True, False}


@pytest.mark.parametrize(
    ("rule_path", "path"),
    [
        pytest.param("/v1/" + "**a" * 200 + "b", "/v1/" + "a" * 4_000, id="rests"),
        pytest.param("/v1/" + "*a" * 200 + "b", "/v1/" + "a" * 4_000, id="segments"),
        pytest.param("/v1/" + "{x}" * 200 + "/b", "/v1/" + "a" * 4_000, id="names"),
        pytest.param("/v1/" + "***" * 200 + "/b", "/v1/" + "a" * 4_000, id="mixed"),
    ],
)
def test_rule_with_many_wildcards_is_matched_in_no_time(rule_path: str, path: str) -> None:
    started = time.thread_time()
    assert not fits(rule_path, path)
    assert time.thread_time() - started < scaled(0.5)


pieces = st.lists(st.sampled_from(["**", "*", "{x}", "a", "b", "/", ".", "\n", "ä", "{", "}"]), max_size=7).map("".join)


@given(rule=pieces, path=st.text("ab/.\nä{}*", max_size=12))
def test_rule_fits_what_the_regular_expression_of_its_grammar_fits(rule: str, path: str) -> None:
    parts = re.split(r"(\*\*|\*|\{[^{}/]*\})", rule)
    pattern = "".join(
        re.escape(part) if number % 2 == 0 else ".*" if part == "**" else "[^/]+" for number, part in enumerate(parts)
    )
    assert fits(rule, path) == (re.fullmatch(pattern, path, re.DOTALL) is not None)
