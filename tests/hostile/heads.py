"""Requests that must be refused or cut off, by name: the public list of Http11Probe, and more from the RFCs.

`PROBE` has the requests of Http11Probe (github.com/MDA2AV/Http11Probe, its requirement dashboard) that a server must
refuse: the names are that list's, the bytes are written anew from each entry's description. `STRICT_49` are the 49 of
them in which the strictness lies in the head or the framing, and for which RFC 9110 or 9112 leaves no other outcome.
`FRAMING` has what the list only warns about or does not have; the RFC's section stands beside it.
"""

HOST = b"Host: faas.example\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def get(*lines: bytes, line: bytes = b"GET / HTTP/1.1\r\n", host: bytes = HOST) -> bytes:
    """A request without a body; `lines` have their line ends."""
    return line + host + b"".join(lines) + b"\r\n"


def post(fields: bytes, body: bytes, *, line: bytes = b"POST /v1/checksums HTTP/1.1\r\n") -> bytes:
    """A request with a body, to a path that takes one."""
    return line + HOST + fields + b"\r\n" + body


def length(value: bytes, body: bytes = b"hello") -> bytes:
    return post(b"Content-Length:" + value + b"\r\n", body)


def coding(value: bytes, *, also: bytes = b"Content-Length: 5\r\n", body: bytes = b"hello") -> bytes:
    return post(b"Transfer-Encoding:" + value + b"\r\n" + also, body)


def chunks(body: bytes) -> bytes:
    return post(CHUNKED, body)


STRICT_49: dict[str, bytes] = {
    # lines and names
    "RFC9110-5.6.2-SP-BEFORE-COLON": get(b"X-Test : value\r\n"),
    "RFC9112-5.1-OBS-FOLD": get(b"X-Test: value\r\n continued\r\n"),
    "RFC9112-3-CR-ONLY-LINE-ENDING": b"GET / HTTP/1.1\rHost: faas.example\r\n\r\n",
    "RFC9112-5-EMPTY-HEADER-NAME": get(b": empty\r\n"),
    "RFC9112-5-INVALID-HEADER-NAME": get(b"Bad[Name: value\r\n"),
    "RFC9112-5-HEADER-NO-COLON": get(b"NoColonHere\r\n"),
    "COMP-WHITESPACE-BEFORE-HEADERS": b"GET / HTTP/1.1\r\n \r\n" + HOST + b"\r\n",
    "NORM-TAB-IN-NAME": get(b"X\tTest: value\r\n"),
    "NORM-SP-BEFORE-COLON-CL": post(b"Content-Length : 5\r\n", b"hello"),
    "MAL-NON-ASCII-HEADER-NAME": get("X-Tëst: value\r\n".encode()),
    "MAL-NUL-IN-HEADER-VALUE": get(b"X-Test: a\x00b\r\n"),
    "MAL-CONTROL-CHARS-HEADER": get(b"X-Test: a\x07\x08\x0bb\r\n"),
    "SMUG-BARE-CR-HEADER-VALUE": get(b"X-Test: a\rb\r\n"),
    # the first line
    "RFC9112-3-MISSING-TARGET": get(line=b"GET HTTP/1.1\r\n"),
    "COMP-ASTERISK-WITH-GET": get(line=b"GET * HTTP/1.1\r\n"),
    "COMP-VERSION-MISSING-MINOR": get(line=b"GET / HTTP/1\r\n"),
    "COMP-VERSION-LEADING-ZEROS": get(line=b"GET / HTTP/01.01\r\n"),
    "COMP-VERSION-WHITESPACE": get(line=b"GET / HTTP/ 1.1\r\n"),
    "MAL-NUL-IN-URL": get(line=b"GET /\x00test HTTP/1.1\r\n"),
    "MAL-NON-ASCII-URL": get(line="GET /café HTTP/1.1\r\n".encode()),
    # Host
    "RFC9112-7.1-MISSING-HOST": get(host=b""),
    "RFC9110-5.4-DUPLICATE-HOST": get(b"Host: other.example\r\n"),
    "COMP-DUPLICATE-HOST-SAME": get(HOST),
    "COMP-HOST-WITH-USERINFO": get(host=b"Host: user@faas.example\r\n"),
    "COMP-HOST-WITH-PATH": get(host=b"Host: faas.example/path\r\n"),
    "COMP-HOST-EMPTY-VALUE": get(host=b"Host: \r\n"),
    "SMUG-MULTIPLE-HOST-COMMA": get(host=b"Host: faas.example, other.example\r\n"),
    # Content-Length
    "RFC9112-6.1-CL-NON-NUMERIC": length(b" abc", b""),
    "RFC9112-6.1-CL-PLUS-SIGN": length(b" +5"),
    "SMUG-DUPLICATE-CL": length(b" 5\r\nContent-Length: 10", b"helloworld"),
    "SMUG-CL-COMMA-DIFFERENT": length(b" 5, 10", b"helloworld"),
    "SMUG-CL-NEGATIVE": length(b" -1", b""),
    "SMUG-CL-UNDERSCORE": length(b" 1_0", b"helloworld"),
    "SMUG-CL-OCTAL": length(b" 0o5"),
    "SMUG-CL-HEX-PREFIX": length(b" 0x5"),
    "SMUG-CL-INTERNAL-SPACE": length(b" 1 0", b"helloworld"),
    "MAL-CL-OVERFLOW": length(b" 99999999999999999999", b""),
    "MAL-CL-EMPTY": length(b"", b""),
    # Transfer-Encoding
    "SMUG-TE-SP-BEFORE-COLON": post(b"Transfer-Encoding : chunked\r\nContent-Length: 5\r\n", b"hello"),
    "SMUG-TE-NOT-FINAL-CHUNKED": coding(b" chunked, gzip", also=b"", body=b"0\r\n\r\n"),
    "SMUG-TE-HTTP10": post(CHUNKED, b"0\r\n\r\n", line=b"POST /v1/checksums HTTP/1.0\r\n"),
    "SMUG-TE-EMPTY-VALUE": coding(b""),
    "SMUG-TE-XCHUNKED": coding(b" xchunked"),
    "SMUG-TE-OBS-FOLD": coding(b"\r\n chunked"),
    "SMUG-TE-VTAB": coding(b" \x0bchunked"),
    # chunks
    "SMUG-CHUNK-BARE-SEMICOLON": chunks(b"5;\r\nhello\r\n0\r\n\r\n"),
    "SMUG-CHUNK-HEX-PREFIX": chunks(b"0x5\r\nhello\r\n0\r\n\r\n"),
    "SMUG-CHUNK-EXT-CR": chunks(b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    "MAL-CHUNK-SIZE-OVERFLOW": chunks(b"FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n"),
}

PROBE: dict[str, bytes] = {
    "SMUG-CL-NEGATIVE-ZERO": length(b" -0", b""),
    "SMUG-TE-DUPLICATE-HEADERS": coding(b" chunked\r\nTransfer-Encoding: identity"),
    "SMUG-TE-IDENTITY": coding(b" identity"),
    "SMUG-TE-FORMFEED": coding(b" \x0cchunked"),
    "SMUG-TE-NULL": coding(b" chunked\x00"),
    "SMUG-CHUNK-UNDERSCORE": chunks(b"1_0\r\nhello world 16 b\r\n0\r\n\r\n"),
    "SMUG-CHUNK-LEADING-SP": chunks(b" 5\r\nhello\r\n0\r\n\r\n"),
    "SMUG-CHUNK-MISSING-TRAILING-CRLF": chunks(b"5\r\nhello0\r\n\r\n"),
    "SMUG-CHUNK-SPILL": chunks(b"5\r\nhello!!\r\n0\r\n\r\n"),
    "SMUG-CHUNK-NEGATIVE": chunks(b"-1\r\nhello\r\n0\r\n\r\n"),
    "SMUG-CHUNK-EXT-CTRL": chunks(b"5;a\x00b\r\nhello\r\n0\r\n\r\n"),
    "SMUG-CHUNK-BARE-CR-TERM": chunks(b"5\rhello\r\n0\r\n\r\n"),
    "SMUG-CLTE-PIPELINE": post(b"Content-Length: 4\r\n" + CHUNKED, b"0\r\n\r\n"),
    "SMUG-TECL-PIPELINE": post(CHUNKED + b"Content-Length: 30\r\n", b"0\r\n\r\n"),
    "SMUG-TE-TRAILING-SPACE": coding(b" chunked "),
    "COMP-UNKNOWN-TE-501": coding(b" gzip", also=b"", body=b""),
    "RFC9112-3-MULTI-SP-REQUEST-LINE": get(line=b"GET  / HTTP/1.1\r\n"),
    "RFC9112-3.2-FRAGMENT-IN-TARGET": get(line=b"GET /v1#x HTTP/1.1\r\n"),
    "RFC9112-2.3-HTTP09-REQUEST": b"GET /\r\n",
    "RFC9112-2.3-INVALID-VERSION": get(line=b"GET / HTTP/9.9\r\n"),
    "COMP-HTTP12-VERSION": get(line=b"GET / HTTP/1.2\r\n"),
    "COMP-REQUEST-LINE-TAB": get(line=b"GET\t/\tHTTP/1.1\r\n"),
    "COMP-METHOD-CASE": get(line=b"get / HTTP/1.1\r\n"),
    "COMP-EXPECT-UNKNOWN": get(b"Expect: 200-ok\r\n"),
    "SMUG-CL-LEADING-ZEROS": length(b" 005"),
    "SMUG-CL-DOUBLE-ZERO": length(b" 00", b""),
    "SMUG-TE-DOUBLE-CHUNKED": coding(b" chunked, chunked"),
    "SMUG-TE-TRAILING-COMMA": coding(b" chunked,"),
    "SMUG-TE-LEADING-COMMA": coding(b" , chunked"),
    "SMUG-CHUNKED-WITH-PARAMS": coding(b" chunked;a=b", also=b"", body=b"0\r\n\r\n"),
    "SMUG-CL-COMMA-SAME": length(b" 5, 5"),
    "SMUG-CHUNK-SIZE-PLUS": chunks(b"+5\r\nhello\r\n0\r\n\r\n"),
    "SMUG-CHUNK-SIZE-TRAILING-OWS": chunks(b"5 \r\nhello\r\n0\r\n\r\n"),
    "SMUG-CHUNK-EXT-INVALID-TOKEN": chunks(b"5;a[b\r\nhello\r\n0\r\n\r\n"),
    "SMUG-CHUNK-EXT-LF": chunks(b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    "SMUG-CHUNK-LF-TERM": chunks(b"5\r\nhello\n0\r\n\r\n"),
    "SMUG-CHUNK-LF-TRAILER": chunks(b"5\r\nhello\r\n0\r\n\n"),
    "SMUG-TRAILER-CL": chunks(b"5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n"),
    "SMUG-TRAILER-TE": chunks(b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "SMUG-TRAILER-HOST": chunks(b"5\r\nhello\r\n0\r\nHost: other.example\r\n\r\n"),
    "SMUG-TRAILER-AUTH": chunks(b"5\r\nhello\r\n0\r\nAuthorization: Bearer x\r\n\r\n"),
    "SMUG-HEAD-CL-BODY": post(b"Content-Length: 5\r\n", b"hello", line=b"HEAD / HTTP/1.1\r\n"),
    "SMUG-OPTIONS-CL-BODY": post(b"Content-Length: 5\r\n", b"hello", line=b"OPTIONS / HTTP/1.1\r\n"),
    "COMP-GET-WITH-CL-BODY": post(b"Content-Length: 5\r\n", b"hello", line=b"GET / HTTP/1.1\r\n"),
    "RFC9112-2.2-BARE-LF-REQUEST-LINE": get(line=b"GET / HTTP/1.1\n"),
    "RFC9112-2.2-BARE-LF-HEADER": get(b"X-Test: value\nX-Other: value\r\n"),
    "MAL-BINARY-GARBAGE": bytes(range(255, -1, -1)),
    "MAL-WHITESPACE-ONLY-LINE": b"   \r\n\r\n",
    "MAL-CHUNK-EXT-64K": chunks(b"5;" + b"a" * 65_536 + b"\r\nhello\r\n0\r\n\r\n"),
}

FRAMING: dict[str, bytes] = {
    "all-lines-bare-lf (9112 2.2)": b"GET / HTTP/1.1\nHost: faas.example\n\n",
    "cr-cr-lf (9112 2.2)": get(b"X-Test: value\r\r\n"),
    "coding-in-a-tab-fold (9112 5.2)": coding(b"\r\n\tchunked"),
    "coding-with-quotes (9112 6.1)": coding(b' "chunked"', also=b"", body=b"0\r\n\r\n"),
    "coding-and-length-by-case (9112 6.1)": post(b"tRANSFER-eNCODING: chunked\r\ncONTENT-lENGTH: 5\r\n", b"hello"),
    "two-codings (9112 6.1)": post(CHUNKED + CHUNKED, b"0\r\n\r\n"),
    "length-twice-the-same (9110 8.6)": length(b" 5\r\nContent-Length: 5"),
    "length-superscript (9110 8.6)": length(b" \xb2", b"ab"),
    "length-exponent (9110 8.6)": length(b" 5e0"),
    "length-decimal (9110 8.6)": length(b" 5.0"),
    "length-of-a-delete (9110 9.3.5)": post(b"Content-Length: 5\r\n", b"hello", line=b"DELETE / HTTP/1.1\r\n"),
    "chunked-get (9110 9.3.1)": post(CHUNKED, b"0\r\n\r\n", line=b"GET / HTTP/1.1\r\n"),
    "chunk-size-empty (9112 7.1)": chunks(b"\r\nhello\r\n0\r\n\r\n"),
    "chunk-size-with-lf (9112 7.1)": chunks(b"5\nhello\r\n0\r\n\r\n"),
    "chunk-longer-than-it-says (9112 7.1)": chunks(b"4\r\nhello\r\n0\r\n\r\n"),
    "trailer-without-colon (9112 7.1.2)": chunks(b"5\r\nhello\r\n0\r\nNoColon\r\n\r\n"),
    "trailer-with-token (9110 6.5.1)": chunks(b"5\r\nhello\r\n0\r\nX-Auth-Token: x\r\n\r\n"),
    "trailers-without-end (9110 6.5)": chunks(b"0\r\n" + b"X-A: b\r\n" * 3000 + b"\r\n"),
    "expect-and-more (9110 10.1.1)": get(b"Expect: 100-continue, x\r\n"),
    "host-with-blank (9112 3.2)": get(host=b"Host: faas example\r\n"),
    "host-with-crlf-escape (9112 3.2)": get(host=b"Host: faas%0d%0aX: y\r\n"),
    "del-in-a-value (9110 5.5)": get(b"X-Test: a\x7fb\r\n"),
    "response-in-place-of-a-request (9112 3)": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
}
