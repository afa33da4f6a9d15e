"""Access rules of application credentials: which calls a restricted token may make.

The grammar is Keystone's: in a path, `*` and `{name}` stand for one segment, `**` for the rest. Everything
else stands for itself, and the whole path has to match. The path is compared as it was sent,
percent-encoded, because that is the path that is served. HEAD and GET are two rules.
"""

import re
from functools import lru_cache

from gateway.identity.caller import AccessRule, Caller

_WILDCARD = re.compile(r"\*\*|\*|\{[^{}/]*\}")


def allows(caller: Caller, *, service_type: str, method: str, path: str) -> bool:
    """Whether the token may be used for this call. A token without access rules may."""
    if caller.access_rules is None:
        return True
    if service_type not in caller.service_types:
        return False
    return any(_fits(rule, service_type, method, path) for rule in caller.access_rules)


def _fits(rule: AccessRule, service_type: str, method: str, path: str) -> bool:
    return (
        rule.service == service_type
        and rule.method.upper() == method
        and _pattern(rule.path).fullmatch(path) is not None
    )


@lru_cache(maxsize=4_096)
def _pattern(path: str) -> re.Pattern[str]:
    pieces: list[str] = []
    position = 0
    for wildcard in _WILDCARD.finditer(path):
        pieces.append(re.escape(path[position : wildcard.start()]))
        pieces.append(r".*" if wildcard.group() == "**" else r"[^/]+")
        position = wildcard.end()
    pieces.append(re.escape(path[position:]))
    return re.compile("".join(pieces), re.DOTALL)
