"""Family 4, paths: what is no path is refused; what is an object's name reaches the store byte for byte."""

import hashlib

import controls
import pytest
from heads import get
from wire import say

REFUSED = {
    "nul": b"/v1/checksums/data/%00",
    "nul-raw": b"/v1/checksums/data/\x00",
    "escape-open": b"/v1/checksums/data/%",
    "escape-half": b"/v1/checksums/data/%4",
    "escape-not-hex": b"/v1/checksums/data/%zz",
    "escape-microsoft": b"/v1/checksums/data/%u002f",
    "backslash": b"/v1\\checksums\\data",
    "fragment": b"/v1/checksums/data/a#b",
    "fullwidth-slash-raw": "/v1/checksums/data\uff0fa".encode(),
    "utf8-raw": "/v1/checksums/data/ä".encode(),
    "latin1-raw": b"/v1/checksums/data/\xe4",
    "brackets": b"/v1/checksums/data/[a]",
    "braces": b"/v1/checksums/data/{a}",
    "quote": b'/v1/checksums/data/"a"',
    "angle": b"/v1/checksums/data/<a>",
    "caret": b"/v1/checksums/data/a^b",
    "bar": b"/v1/checksums/data/a|b",
    "backtick": b"/v1/checksums/data/a`b",
    "tab": b"/v1/checksums/data/a\tb",
    "blank": b"/v1/checksums/data/a b",
    "del": b"/v1/checksums/data/a\x7fb",
    "absolute-form": b"http://faas.example/v1/checksums/data/a",
    "absolute-form-elsewhere": b"http://other.example/healthcheck",
    "relative": b"v1/checksums/data/a",
    "query-nul": b"/checksums/?bucket=a&file=%00",
    "query-raw": b"/checksums/?bucket=a&file=\xe4",
    "query-blank": b"/checksums/?bucket=a&file=b c",
}

# Without the gate and the check of the head these are answered: repaired, or read in one of several ways.
OPEN_WITHOUT = ["nul", "escape-half", "escape-microsoft", "fragment", "brackets", "absolute-form-elsewhere"]

NAMES = [
    "plain",
    "with/slashes/in/it",
    "double//slash",
    "slash-at-the-end/",
    "with blanks",
    "100%",
    "%2F",
    "%252e%252e",
    "..",
    "../up",
    "a/../b",
    "a/./b",
    ".hidden",
    "a;b=c",
    "question?mark",
    "hash#mark",
    "back\\slash",
    "plus+and&amp",
    "quotes\"and'more",
    "<angle>{brace}[bracket]|^`",
    "ä-composed-\u00e4",
    "a\u0308-decomposed",
    "fullwidth\uff0fslash",
    "日本語",
    "🗂",
    "tab\tinside",
    "line\nfeed",
    "line feed at the end\n",
]


@pytest.mark.parametrize("name", REFUSED)
def test_target_outside_of_the_grammar_is_refused(gateway, refusal, name):
    refusal(gateway.port, get(line=b"GET %b HTTP/1.1\r\n" % REFUSED[name]))


@pytest.mark.parametrize("name", OPEN_WITHOUT)
def test_without_the_defence_it_is_answered(name):
    with controls.serving(controls.echo) as port:
        assert say(port, get(line=b"GET %b HTTP/1.1\r\n" % REFUSED[name]), answers=1).statuses == [200]


@pytest.mark.parametrize("name", NAMES)
def test_legal_name_reaches_the_store_byte_for_byte(gateway, bucket, alice, name):
    content = b"content of " + name.encode()
    bucket.put(name, content)
    answer = gateway.get(bucket.path(name) + "?algorithm=md5", alice, headers={"Accept": "application/json"})
    assert answer.status_code == 200, answer.text
    assert hashlib.md5(content).hexdigest() in answer.text


@pytest.mark.parametrize(
    ("stored", "asked"), [("caf\u00e9", "cafe\u0301"), ("a/b", "a//b"), ("n/x", "n/./x"), ("u/x", "u/v/../x")]
)
def test_name_that_only_looks_alike_is_another_object(gateway, bucket, alice, stored, asked):
    bucket.put(stored, b"x")
    assert gateway.get(bucket.path(stored), alice).status_code == 200
    assert gateway.get(bucket.path(asked), alice).status_code == 404
