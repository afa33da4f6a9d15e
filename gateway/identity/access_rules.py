"""Access rules of application credentials, which restrict the calls of a token.

The grammar is Keystone's: in a path, `*` and `{name}` stand for one segment, `**` for the rest. All other
characters are literal, and the whole path must match. The path is compared as it was sent,
percent-encoded, because that is the path that is served; but an encoded slash is a slash, because names of objects
are decoded, and `*` must not match a slash in them. HEAD and GET need separate rules.

Users choose the paths of their credentials, so matching takes linear time for any pattern: all possible positions
are followed at once, as bits of one integer (an NFA). A regular expression would backtrack, and `**a**a**a**b` would
block every tenant.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from gateway.identity.caller import AccessRule, Caller

_WILDCARD = re.compile(r"\*\*|\*|\{[^{}/]*\}")
_ENCODED_SLASH = re.compile("%2f", re.IGNORECASE)


def allows(caller: Caller, *, service_type: str, method: str, path: str) -> bool:
    """Whether the token allows this call. A token without access rules does."""
    if caller.access_rules is None:
        return True
    if service_type not in caller.service_types:
        return False
    path = _ENCODED_SLASH.sub("/", path)
    return any(_fits(rule, service_type, method, path) for rule in caller.access_rules)


def _fits(rule: AccessRule, service_type: str, method: str, path: str) -> bool:
    return rule.service == service_type and rule.method.upper() == method and _pattern(rule.path).matches(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pattern:
    """A rule's path as an NFA: positions between its characters; bit n is position n.

    Attributes:
        literals: by character, the positions that it advances from.
        into_segment: positions that any character but a slash advances from.
        in_segment: positions that any character but a slash stays at.
        rest: positions that any character stays at.
        end: the position after the last character.
    """

    literals: dict[str, int]
    into_segment: int
    in_segment: int
    rest: int
    end: int

    def matches(self, path: str) -> bool:
        positions = 1
        for character in path:
            reached = (positions & self.literals.get(character, 0)) << 1 | positions & self.rest
            if character != "/":
                reached |= (positions & self.into_segment) << 1 | positions & self.in_segment
            positions = reached
            if not positions:
                return False
        return bool(positions & self.end)


@lru_cache(maxsize=4_096)
def _pattern(path: str) -> _Pattern:
    path = _ENCODED_SLASH.sub("/", path)
    literals: dict[str, int] = {}
    into_segment = in_segment = rest = state = position = 0
    for wildcard in [*_WILDCARD.finditer(path), None]:
        for character in path[position : wildcard.start() if wildcard else None]:
            literals[character] = literals.get(character, 0) | 1 << state
            state += 1
        if wildcard is None:
            break
        position = wildcard.end()
        if wildcard.group() == "**":
            rest |= 1 << state
        else:
            into_segment |= 1 << state
            state += 1
            in_segment |= 1 << state
    return _Pattern(literals=literals, into_segment=into_segment, in_segment=in_segment, rest=rest, end=1 << state)
