"""The policy of a process: its rules, which follow the operator's file."""

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path

from gateway.policy.rules import PolicyError, RuleSet, load_rules

log = logging.getLogger(__name__)

RECHECK_SECONDS = 1.0


class Policy:
    """The rules in force.

    The file is checked once per second at most, when rules are asked for. A file with a mistake changes nothing: the
    last good rules stay in force, and the mistake is logged once.
    """

    def __init__(self, path: Path | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Reads the file; None: the defaults hold.

        Raises:
            PolicyError: it cannot be read, or has a mistake.
        """
        self._path = path
        self._clock = clock
        self._version = _version(path)
        self._rules = load_rules(path)
        self._recheck_at = math.inf if path is None else clock() + RECHECK_SECONDS

    def current(self) -> RuleSet:
        """The rules in force; the same object until the file changes."""
        if self._clock() >= self._recheck_at:
            self._recheck_at = self._clock() + RECHECK_SECONDS
            self._reload()
        return self._rules

    def _reload(self) -> None:
        version = _version(self._path)
        if version == self._version:
            return
        # Of before the reading: a file that changes meanwhile is read again.
        self._version = version
        try:
            self._rules = load_rules(self._path)
        except PolicyError as error:
            log.error("policy unchanged: %s", error)  # noqa: TRY400 - the traceback adds nothing
        else:
            log.warning("policy changed: %s was read again", self._path)


def _version(path: Path | None) -> tuple[int, int, int] | None:
    if path is None:
        return None
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
