"""JSON as every answer has it: UTF-8, without blanks between the tokens."""

import json

_COMPACT = (",", ":")
# Controls of terminals, and what some readers take for the end of a line. They stay escapes.
_HIDDEN = {code: f"\\u{code:04x}" for code in (*range(0x80, 0xA0), 0x2028, 0x2029)}


def json_bytes(document: object) -> bytes:
    """The document. Names of objects are shown as they are, not as escapes."""
    text = json.dumps(document, ensure_ascii=False, separators=_COMPACT)
    if text.isascii():
        return text.encode("ascii")
    try:
        return text.translate(_HIDDEN).encode()
    except UnicodeEncodeError:
        # A name with half a surrogate pair, which JSON can write and UTF-8 cannot.
        return json.dumps(document, separators=_COMPACT).encode("ascii")
