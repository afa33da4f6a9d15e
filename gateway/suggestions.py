"""Error messages for unknown names, with the most similar known name."""

import difflib
from collections.abc import Iterable

# The time of a comparison grows with the length of both names, and callers choose one of them.
MAX_NAME_LENGTH = 64
_SIMILAR = 0.6


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A parenthesis that names the most similar known name, or all known names if none is similar.

    Args:
        name: as it was sent, of any length.
        known: all names that exist; a short list.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name[:MAX_NAME_LENGTH].lower(), names, n=1, cutoff=_SIMILAR)
    return f"(did you mean '{close[0]}'?)" if close else f"(known: {', '.join(names)})"


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """The reason for a refusal: `unknown field 'algorithm' (did you mean 'algorithms'?)`.

    Args:
        what: the kind of name: `field`, `query parameter`.
        name: as it was sent, of any length and with any characters.
        known: all names that exist; a short list.
    """
    # `repr` escapes control characters and lone surrogates, which cannot be sent as text.
    return f"unknown {what} {name[:MAX_NAME_LENGTH]!r} {did_you_mean(name, known)}"
