"""Encodes the JSON of answers: UTF-8, without whitespace."""

import json

_COMPACT = (",", ":")
# Terminal controls, and characters that some readers treat as line ends. They stay escaped.
_HIDDEN = {code: f"\\u{code:04x}" for code in (*range(0x80, 0xA0), 0x2028, 0x2029)}


def json_bytes(document: object) -> bytes:
    """Encodes a document. Names of objects are not escaped."""
    text = json.dumps(document, ensure_ascii=False, separators=_COMPACT)
    if text.isascii():
        return text.encode("ascii")
    try:
        return text.translate(_HIDDEN).encode()
    except UnicodeEncodeError:
        # A name with half a surrogate pair, which JSON can represent and UTF-8 cannot.
        return json.dumps(document, separators=_COMPACT).encode("ascii")
