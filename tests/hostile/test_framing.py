"""Family 1, framing: what two parsers could read differently is read by none."""

import controls
import pytest
from heads import CHUNKED, FRAMING, HOST, PROBE, STRICT_49, chunks, get, length, post
from wire import connect, hear, say

ALL = {**STRICT_49, **PROBE, **FRAMING}
# What is wrong lies so far behind the head that it is not seen before the caller is known.
FAR_BEHIND = "trailers-without-end (9110 6.5)"

# What uvicorn's own protocol takes, without the gate and without the check of the head.
OPEN_WITHOUT = [
    "COMP-ASTERISK-WITH-GET",
    "RFC9112-7.1-MISSING-HOST",
    "RFC9110-5.4-DUPLICATE-HOST",
    "COMP-DUPLICATE-HOST-SAME",
    "COMP-HOST-WITH-USERINFO",
    "COMP-HOST-WITH-PATH",
    "COMP-HOST-EMPTY-VALUE",
    "SMUG-MULTIPLE-HOST-COMMA",
    "SMUG-TE-HTTP10",
    "RFC9112-3-MULTI-SP-REQUEST-LINE",
    "RFC9112-3.2-FRAGMENT-IN-TARGET",
    "COMP-EXPECT-UNKNOWN",
    "SMUG-CL-LEADING-ZEROS",
    "SMUG-CL-DOUBLE-ZERO",
    "SMUG-TRAILER-HOST",
    "SMUG-TRAILER-AUTH",
    "SMUG-HEAD-CL-BODY",
    "SMUG-OPTIONS-CL-BODY",
    "COMP-GET-WITH-CL-BODY",
    "MAL-CHUNK-EXT-64K",
    "length-of-a-delete (9110 9.3.5)",
    "chunked-get (9110 9.3.1)",
    "trailer-with-token (9110 6.5.1)",
    "trailers-without-end (9110 6.5)",
    "expect-and-more (9110 10.1.1)",
    "host-with-blank (9112 3.2)",
    "host-with-crlf-escape (9112 3.2)",
]


@pytest.fixture(scope="module")
def open_port():
    with controls.serving(controls.echo) as port:
        yield port


@pytest.fixture(scope="module")
def strict_port():
    with controls.strict() as port:
        yield port


@pytest.mark.parametrize("name", [name for name in ALL if name != FAR_BEHIND])
def test_ambiguous_request_is_refused_and_the_connection_ends(gateway, name):
    heard = say(gateway.port, ALL[name])
    assert heard.refused, heard


def test_what_lies_far_behind_the_head_is_refused_when_it_is_read(strict_port, gateway):
    assert say(strict_port, ALL[FAR_BEHIND]).refused
    heard = say(gateway.port, ALL[FAR_BEHIND])
    assert heard.statuses == [401]
    assert heard.closed


@pytest.mark.parametrize("host", [b"faas.example:65536", b"faas.example:99999", b"faas.example:0x50", b":80", b":"])
def test_host_with_a_port_that_there_is_not_is_refused(gateway, host):
    """RFC 9112, 3.2, and RFC 3986: Http11Probe has no such entry."""
    assert say(gateway.port, get(host=b"Host: " + host + b"\r\n")).refused


def test_long_blanks_take_no_time(strict_port):
    """They are cut off at the ends of lines without looking at each of them from each of them."""
    blanks = b" " * 16_000
    request = get(b"X-A: a" + blanks + b"b \r\n", b"X-B: b" + blanks[:15_000] + b"\r\n")
    heard = say(strict_port, request, answers=1)
    assert heard.statuses == [200]
    fields = dict(controls.understood(heard.data)["fields"])
    assert (fields["x-b"], len(fields["x-a"])) == ("b", 16_002)


def test_the_public_list_has_49_strict_cases():
    assert len(STRICT_49) == 49
    assert not STRICT_49.keys() & PROBE.keys()


@pytest.mark.parametrize("name", OPEN_WITHOUT)
def test_without_the_defence_the_same_bytes_are_answered(open_port, name):
    assert say(open_port, ALL[name], answers=1).statuses == [200]


@pytest.mark.parametrize(
    "before",
    ["SMUG-CLTE-PIPELINE", "SMUG-CL-HEX-PREFIX", "SMUG-TRAILER-AUTH", "SMUG-CHUNK-SPILL", "RFC9112-7.1-MISSING-HOST"],
)
def test_nothing_behind_a_refused_request_is_answered(gateway, before):
    """Pipelined poison: the second request is one that would be answered by itself."""
    heard = say(gateway.port, ALL[before] + get(line=b"GET /healthcheck HTTP/1.1\r\n"))
    assert heard.refused, heard
    assert b"OK" not in heard.data


def test_pipelined_requests_are_answered_one_after_the_other(gateway):
    port = gateway.port
    paths = [b"/healthcheck", b"/v1", b"/nowhere", b"/readyz"]
    heard = say(port, b"".join(get(line=b"GET %b HTTP/1.1\r\n" % path) for path in paths), answers=4)
    assert heard.statuses == [200, 200, 404, 200]


def test_body_is_not_read_as_a_request(strict_port):
    inner = get(line=b"GET /inner HTTP/1.1\r\n")
    heard = say(strict_port, length(b" %d" % len(inner), inner), answers=2, seconds=0.5)
    assert heard.statuses == [200]
    assert controls.understood(heard.data)["body"] == inner.decode()


@pytest.mark.parametrize(
    "body",
    [
        b"5\r\nhello\r\n0\r\n\r\n",
        b"0005\r\nhello\r\n0\r\n\r\n",
        b"5;name=value\r\nhello\r\n0\r\n\r\n",
        b'5;name="a b;\\" c"\r\nhello\r\n0;last\r\n\r\n',
        b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n",
    ],
)
@pytest.mark.parametrize("piece", [1, 3, 1000])
def test_good_chunks_are_one_body_however_they_arrive(strict_port, body, piece):
    request = chunks(body)
    pieces = [request[at : at + piece] for at in range(0, len(request), piece)]
    heard = say(strict_port, *pieces, answers=1, pause=0)
    assert heard.statuses == [200]
    said = controls.understood(heard.data)
    assert said["body"] == "hello"
    assert [name for name, _ in said["fields"]] == ["host", "transfer-encoding"]  # no trailer among them


def test_trailers_become_fields_without_the_gate(open_port):
    heard = say(open_port, chunks(b"5\r\nhello\r\n0\r\nX-Project-Id: other\r\n\r\n"), answers=1)
    assert ["x-project-id", "other"] in controls.understood(heard.data)["fields"]


def test_good_requests_of_every_shape_are_taken(strict_port):
    for request in [
        get(),
        b"\r\n" + get(),
        get(b"X-Empty:\r\n", b"X-Tabs:\t a \t\r\n", b"X-Latin: \xe4\r\n"),
        get(line=b"GET / HTTP/1.0\r\n"),
        b"GET / HTTP/1.0\r\n\r\n",
        post(b"", b""),
        length(b" 0", b""),
        length(b" 5"),
        length(b"\t5"),
        post(b"TRANSFER-ENCODING: Chunked\r\n", b"0\r\n\r\n"),
        get(b"Connection: close\r\n"),
        get(b"Connection: keep-alive\r\n"),
        # RFC 9112, 5.1: blanks behind a value are no part of it.
        length(b" 5 "),
        length(b" 5\t \t"),
        post(b"Transfer-Encoding: chunked \t\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
        get(host=b"Host: faas.example:80 \r\n"),
        # RFC 3986, 3.2.3: a port may be empty.
        get(host=b"Host: faas.example:\r\n"),
        get(host=b"Host: [::1]:65535\r\n"),
    ]:
        assert say(strict_port, request, answers=1).statuses == [200], request


def test_body_that_is_awaited_with_continue_arrives(strict_port):
    with connect(strict_port) as sock:
        sock.sendall(post(b"Content-Length: 5\r\nExpect: 100-continue\r\n", b""))
        assert hear(sock, answers=1).statuses == [100]
        sock.sendall(b"hello")
        heard = hear(sock, answers=1)
    assert heard.statuses == [200]
    assert controls.understood(heard.data)["body"] == "hello"


def test_request_in_place_of_an_unwanted_body_is_never_answered(gateway):
    """Expect desync: the body was not asked for, so it does not come; what comes is taken for nothing."""
    with connect(gateway.port) as sock:
        sock.sendall(post(b"Content-Length: 500\r\nExpect: 100-continue\r\n", b""))
        first = hear(sock, answers=1)
        assert first.statuses == [401]
        assert b"connection: close" in first.data.lower()
        sock.sendall(get(line=b"GET /healthcheck HTTP/1.1\r\n"))
        rest = hear(sock)
    assert rest.closed
    assert rest.statuses == []


def test_early_answer_to_a_long_body_arrives_and_ends_the_connection(gateway):
    """Nobody reads the body of a request that is refused; the refusal is not lost in a reset."""
    heard = say(gateway.port, length(b" 100000000", b"x" * 1_000_000))
    assert heard.statuses == [401]
    assert heard.closed


def test_request_after_connection_close_is_not_answered(gateway):
    request = get(b"Connection: close\r\n", line=b"GET /healthcheck HTTP/1.1\r\n")
    assert say(gateway.port, request * 2).statuses == [200]


def test_lone_chunk_head_is_enough_to_be_refused(gateway):
    """No need for the rest of the body: what is wrong is seen as soon as it is there."""
    request = post(CHUNKED, b"5 ")
    assert say(gateway.port, request).refused
    assert say(gateway.port, b"GET / HTTP/1.1\r\n" + HOST + b"a b").statuses in ([], [408])
