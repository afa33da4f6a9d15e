"""The rules in force: those of the code, and those of the operator's file in their place.

oslo.policy reads, parses and enforces. It denies silently, or fails at the first request, where a file has a mistake,
and a negated rule that does not exist even allows; so a file is checked as a whole, and refused with its first mistake.
"""

import ast
import graphlib
import logging
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import accumulate
from pathlib import Path
from typing import Any

import yaml
from oslo_config import cfg
from oslo_policy.policy import AndCheck, Check, Enforcer, NotCheck, OrCheck, RuleCheck, RuleDefault

from gateway.policy.defaults import DEFAULTS
from gateway.policy.names import Rule
from gateway.suggestions import unknown_name

log = logging.getLogger(__name__)

# Attributes of a token, under the names that oslo.context gives them; the last is ours.
ATTRIBUTES = (
    "user_id",
    "project_id",
    "project_domain_id",
    "roles",
    "system_scope",
    "is_admin_project",
    "is_service_project",
)
# Attributes of what is acted on: it is always a resource of the token's project, and has no owner.
_TARGET = {"project_id": ""}
# Levels of parentheses, operators and references to other rules, one inside the other. Evaluation is recursive.
MAX_NESTING = 50
_TOO_DEEP = f"nested too deeply, by parentheses, 'not' or 'rule:': at most {MAX_NESTING} levels are allowed"
_OPERATORS = frozenset(["and", "or", "not"])


class PolicyError(ValueError):
    """The policy file cannot be used. The message names the file and its first mistake."""


class RuleSet:
    """Rules that never change. A new file makes a new one."""

    def __init__(self, enforcer: Enforcer) -> None:
        self._enforcer = enforcer

    def allows(self, rule: Rule, credentials: Mapping[str, Any], target: Mapping[str, Any]) -> bool:
        """Whether a token may do what the rule is about.

        Args:
            rule: which one.
            credentials: a value for each of `ATTRIBUTES`.
            target: `project_id`, or nothing.
        """
        # The library writes into it.
        return bool(self._enforcer.authorize(rule.value, target, dict(credentials)))


def load_rules(path: Path | None, defaults: Sequence[RuleDefault] = DEFAULTS) -> RuleSet:
    """The rules with the file's in place of the defaults; None: no file.

    Raises:
        PolicyError: the file cannot be read, or has a mistake.
    """
    written = _read(path) if path is not None else {}
    enforcer = build_enforcer(path, defaults)
    try:
        with warnings.catch_warnings(record=True) as deprecations:
            warnings.simplefilter("always")
            enforcer.load_rules()
    except RecursionError as error:
        raise PolicyError(f"{path}: a rule is {_TOO_DEEP}") from error
    except (OSError, ValueError, cfg.Error) as error:
        raise PolicyError(f"{path}: {error}") from error
    if {name: rule.check_str for name, rule in enforcer.file_rules.items()} != written:
        raise PolicyError(f"{path}: it changed while it was read")
    for mistake in _mistakes(enforcer):
        raise PolicyError(f"{path}: {mistake}")
    for each in deprecations:
        log.warning("%s: %s", path, each.message)
    # From now on it looks at no file: what it would find is not checked.
    enforcer.use_conf = False
    return RuleSet(enforcer)


def build_enforcer(path: Path | None, defaults: Sequence[RuleDefault] = DEFAULTS) -> Enforcer:
    """The library's enforcer of this file alone. It has read nothing yet."""
    conf = cfg.ConfigOpts()
    conf([], project="osfaas", default_config_files=[], default_config_dirs=[])
    # Without a name it would look for a policy.yaml in the home directory and in /etc.
    enforcer = Enforcer(conf, policy_file=str(path.absolute()) if path is not None else os.devnull)
    conf.set_override("policy_dirs", [], "oslo_policy")
    enforcer.register_defaults(defaults)
    return enforcer


def _read(path: Path) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8")
        root, document = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
    except RecursionError as error:
        raise PolicyError(f"{path}: it is {_TOO_DEEP}") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise PolicyError(f"{path}: {error}") from error
    # The defaults would be in force, and the operator would believe that the file is.
    if document in (None, {}):
        raise PolicyError(f"{path}: the file has no rule. Write one, or unset OSFAAS_POLICY_FILE to use the defaults")
    if not isinstance(document, dict) or not isinstance(root, yaml.MappingNode):
        raise PolicyError(f"{path}: expected rules by their names")
    # YAML takes the last one.
    for name, count in Counter(key.value for key, _ in root.value if isinstance(key, yaml.ScalarNode)).items():
        if count > 1:
            raise PolicyError(f"{path}: the rule {name!r} occurs twice")
    for name, check in document.items():
        # An empty value or list would allow everybody.
        if not isinstance(name, str) or not isinstance(check, str):
            raise PolicyError(f"{path}: the rule {name!r} must be a string in quotes, not {check!r}")
    return document


def _mistakes(enforcer: Enforcer) -> Iterator[str]:
    """The mistakes in the file, the simple ones first: a check for a later one may rely on their absence."""
    for name, rule in enforcer.file_rules.items():
        if _nesting(rule.check) > MAX_NESTING or _open_parentheses(rule.check_str or "") > MAX_NESTING:
            yield f"the rule {name!r} is {_TOO_DEEP}"
    references: dict[str, set[str]] = {}
    for name, check in enforcer.rules.items():
        references[name] = {leaf.match for leaf in _leaves(check) if isinstance(leaf, RuleCheck)}
    referenced = set().union(*references.values())
    known = set(enforcer.registered_rules)
    renamed = {each.deprecated_rule.name for each in enforcer.registered_rules.values() if each.deprecated_rule}
    for name, rule in enforcer.file_rules.items():
        if name not in known | renamed | referenced:
            yield f"{unknown_name('rule', name, sorted(known))}, and no other rule refers to it"
        yield from (f"the rule {name!r} {mistake}" for mistake in _mistakes_of(rule, enforcer))
    yield from _mistakes_of_references(enforcer, references)


def _mistakes_of_references(enforcer: Enforcer, references: Mapping[str, AbstractSet[str]]) -> Iterator[str]:
    try:
        order = tuple(graphlib.TopologicalSorter(references).static_order())
    except graphlib.CycleError as error:
        yield f"rules refer to each other in a circle: {', '.join(error.args[1])}"
        return
    nesting: dict[str, int] = {}
    for name in order:
        below = max((1 + nesting[each] for each in references[name]), default=0)
        nesting[name] = _nesting(enforcer.rules[name]) + below
        if nesting[name] > MAX_NESTING:
            yield f"the rule {name!r} is {_TOO_DEEP}"


def _mistakes_of(rule: RuleDefault, enforcer: Enforcer) -> Iterator[str]:
    leaves = list(_leaves(rule.check))
    if rule.check_str and [str(leaf) for leaf in leaves] != list(_words(rule.check_str)):
        yield f"is not in the language of policy rules: {rule.check_str!r}"
    for leaf in leaves:
        if isinstance(leaf, RuleCheck):
            if leaf.match not in enforcer.rules:
                yield f"refers to a rule that does not exist: {str(leaf)!r}"
        elif isinstance(leaf, Check):
            yield from _mistakes_of_check(leaf)


def _mistakes_of_check(leaf: Check) -> Iterator[str]:
    if leaf.kind != "role" and leaf.kind not in ATTRIBUTES and not _is_literal(leaf.kind):
        # Also http: and https:, which would hold up all requests while they ask another server.
        yield f"has a check of neither a role nor an attribute ({', '.join(ATTRIBUTES)}): {str(leaf)!r}"
    try:
        _ = leaf.match % _TARGET
    except (KeyError, TypeError, ValueError):
        yield f"has a check of a target that is not known ({', '.join(_TARGET)} is): {str(leaf)!r}"


def _is_literal(kind: str) -> bool:
    try:
        ast.literal_eval(kind)
    except (SyntaxError, TypeError, ValueError):
        return False
    return True


def _nesting(check: Any) -> int:
    """How many operators are around the innermost check, at most. Not recursive: there may be too many."""
    levels, level = 0, [check]
    while level := [part for each in level for part in _parts(each)]:
        levels += 1
    return levels


def _open_parentheses(check: str) -> int:
    """How many parentheses are open at once, at most."""
    return max(accumulate((sign == "(") - (sign == ")") for sign in check), default=0)


def _parts(check: Any) -> Sequence[Any]:
    if isinstance(check, AndCheck | OrCheck):
        return check.rules
    return [check.rule] if isinstance(check, NotCheck) else []


def _leaves(check: Any) -> Iterator[Any]:
    """The checks that a rule is made of, in the order in which they are written."""
    parts = _parts(check)
    for part in parts:
        yield from _leaves(part)
    if not parts:
        yield check


def _words(check: str) -> Iterator[str]:
    """The checks in a rule as they are written. The library puts a denial in the place of those that it rejects."""
    for token in re.split(r"\s+", check):
        word = token.lstrip("(").rstrip(")")
        if word and word.lower() not in _OPERATORS:
            yield word
