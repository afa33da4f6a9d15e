"""Family 1 behind the real Envoy: what it mends reaches the gateway as one request without doubts.

After each request a second one goes out on the same connection, which the gateway answers with 404. So nothing has
to be waited for: any other answer was heard before that one.
"""

import contextlib
import json
import re
from dataclasses import dataclass

import controls
import edge_proxy
import pytest
from heads import FRAMING, PROBE, STRICT_49, chunks, get
from istio_proxy import istio_config
from wire import Heard, connect, hear

ALL = {**STRICT_49, **PROBE, **FRAMING}
LAST = get(b"Connection: close\r\n", line=b"GET /v1/nowhere HTTP/1.1\r\n")
POISON = get(line=b"GET /healthcheck HTTP/1.1\r\n")

# What Envoy mends of the 49, and what the gateway says to the request that is left. It puts one blank for a fold, as
# RFC 9112 allows (5.2); it passes over an extension of a chunk, as it must if it knows none (7.1.1), also if it is
# empty; and it drops a lone CR, for which the RFC would have a blank (2.2).
MENDED = {
    "RFC9112-5.1-OBS-FOLD": 200,
    "SMUG-BARE-CR-HEADER-VALUE": 200,
    "SMUG-CHUNK-BARE-SEMICOLON": 401,
}
# The same of the other lists: line ends, blanks of the first line, extensions, trailers (it passes on none), and what
# stands between a chunk and its line end.
MENDED_OTHERS = {
    "RFC9112-3-MULTI-SP-REQUEST-LINE": 200,
    "COMP-REQUEST-LINE-TAB": 200,
    "RFC9112-2.2-BARE-LF-REQUEST-LINE": 200,
    "RFC9112-2.2-BARE-LF-HEADER": 200,
    "all-lines-bare-lf (9112 2.2)": 200,
    "cr-cr-lf (9112 2.2)": 200,
    "SMUG-CHUNK-SPILL": 401,
    "SMUG-CHUNK-EXT-CTRL": 401,
    "SMUG-CHUNK-SIZE-TRAILING-OWS": 401,
    "SMUG-CHUNK-EXT-INVALID-TOKEN": 401,
    "SMUG-CHUNK-LF-TERM": 401,
    "SMUG-CHUNK-LF-TRAILER": 401,
    "SMUG-TRAILER-CL": 401,
    "SMUG-TRAILER-TE": 401,
    "SMUG-TRAILER-HOST": 401,
    "SMUG-TRAILER-AUTH": 401,
    "MAL-CHUNK-EXT-64K": 401,
    "chunk-longer-than-it-says (9112 7.1)": 401,
    "trailer-with-token (9110 6.5.1)": 401,
    "trailers-without-end (9110 6.5)": 401,
}
ALL_MENDED = {**MENDED, **MENDED_OTHERS}

# What Envoy passes on as it came, and only the gateway refuses: the first four are of the 49.
OPEN_WITHOUT = [
    "RFC9110-5.4-DUPLICATE-HOST",
    "COMP-DUPLICATE-HOST-SAME",
    "COMP-HOST-WITH-USERINFO",
    "COMP-HOST-EMPTY-VALUE",
    "COMP-EXPECT-UNKNOWN",
    "SMUG-CL-LEADING-ZEROS",
    "SMUG-CL-DOUBLE-ZERO",
    "SMUG-HEAD-CL-BODY",
    "SMUG-OPTIONS-CL-BODY",
    "COMP-GET-WITH-CL-BODY",
    "length-of-a-delete (9110 9.3.5)",
    "chunked-get (9110 9.3.1)",
    "expect-and-more (9110 10.1.1)",
]
# Settings of Envoy 1.40 that sound as if they would refuse more.
STRICTEST = {
    "normalize_path": True,
    "merge_slashes": True,
    "path_with_escaped_slashes_action": "REJECT_REQUEST",
    "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
}
FLAGS = {"envoy.reloadable_features.strict_chunk_parsing": True}

_HEAD = re.compile(rb"[A-Z]+ /[!-~]* HTTP/1\.1\r\n((?:[a-z0-9!#$%&'*+\-.^_`|~]+: [^\x00-\x08\x0a-\x1f\x7f]*\r\n)*)\r\n")
_CHUNK = re.compile(rb"([0-9a-f]+)\r\n")


@dataclass(frozen=True)
class Through:
    """What was heard, before and after the last request went out, and what had reached the server before it."""

    first: Heard
    rest: Heard
    reached: list[bytes]

    @property
    def refused(self) -> bool:
        """One refusal, and behind it nothing but the answer to the last request."""
        return self.first.one_refusal and self.rest.statuses in ([], [404]) and self.rest.closed

    @property
    def understood(self) -> dict:
        """What `controls.echo` understood; the end of its answer may have come after the last request went out."""
        answers = self.first.data + self.rest.data
        return json.JSONDecoder().raw_decode(answers.partition(b"\r\n\r\n")[2].decode())[0]


def through(edge: edge_proxy.Edge, request: bytes) -> Through:
    edge.tap.forget()
    with connect(edge.port) as sock:
        with contextlib.suppress(OSError):  # refused before all was sent
            sock.sendall(request)
        first = hear(sock, answers=1)
        reached = edge.tap.heard
        with contextlib.suppress(OSError):
            sock.sendall(LAST)
        return Through(first, first if first.closed else hear(sock), reached)


def only_request(reached: list[bytes]) -> tuple[dict[str, str], bytes]:
    """Fields and body of the one request, in which nothing can be read in two ways."""
    assert len(reached) == 1, reached
    head = _HEAD.match(reached[0])
    assert head, reached
    pairs = [line.split(": ", 1) for line in head[1].decode("latin-1").splitlines()]
    fields, rest = dict(pairs), reached[0][head.end() :]
    assert len(fields) == len(pairs), "a field twice"
    assert not {"content-length", "transfer-encoding"} <= fields.keys()
    if "transfer-encoding" not in fields:
        assert len(rest) == int(fields.get("content-length", "0"))
        return fields, rest
    assert fields["transfer-encoding"] == "chunked"
    body = b""
    while (size := _CHUNK.match(rest)) and (length := int(size[1], 16)):
        data, rest = rest[size.end() :][:length], rest[size.end() + length :]
        assert rest.startswith(b"\r\n")
        body, rest = body + data, rest[2:]
    assert rest == b"0\r\n\r\n"
    return fields, body


# The two fronts that there are: of plain processes, and of a cluster.
CONFIGS = {"envoy-config": edge_proxy.product_config, "istio": istio_config}


@pytest.fixture(scope="module", params=CONFIGS.values(), ids=CONFIGS)
def config(request):
    return request.param


@pytest.fixture(scope="module")
def edge(gateway, cloud, config):
    with edge_proxy.edge(gateway.service.port, cloud.state, config=config) as made:
        yield made


@pytest.fixture(scope="module")
def strict_edge(cloud, config):
    """Behind it the same defences, and an application that says what it understood."""
    with controls.strict() as port, edge_proxy.edge(port, cloud.state, config=config) as made:
        yield made


@pytest.mark.parametrize("name", [name for name in ALL if name not in ALL_MENDED])
def test_ambiguous_request_is_refused_once(edge, name):
    got = through(edge, ALL[name])
    assert got.refused, got


@pytest.mark.parametrize("name", ALL_MENDED)
def test_mended_request_is_one_request_without_doubts(edge, name):
    got = through(edge, ALL[name])
    assert (got.first.statuses, got.rest.statuses) == ([ALL_MENDED[name]], [404])
    only_request(got.reached)


def test_46_of_the_49_are_refused_and_3_are_mended(edge, record_testsuite_property):
    refused = {name for name, request in STRICT_49.items() if through(edge, request).refused}
    record_testsuite_property("strict heads behind Envoy", f"{len(refused)} refused, {49 - len(refused)} mended")
    assert STRICT_49.keys() - refused == MENDED.keys()
    assert len(refused) == 46


def test_no_setting_of_envoy_refuses_the_three(gateway, cloud):
    """If one does after an upgrade, the manifests should have it."""
    with edge_proxy.edge(gateway.service.port, cloud.state, manager=STRICTEST, runtime=FLAGS) as hardened:
        assert {name for name in MENDED if through(hardened, STRICT_49[name]).refused} == set()


def test_envoy_alone_refuses_less(cloud, config):
    """Behind it a server without our defences."""
    with controls.serving(controls.echo) as port, edge_proxy.edge(port, cloud.state, config=config) as bare:
        answered = {name for name, request in ALL.items() if through(bare, request).first.statuses == [200]}
    assert answered == {*ALL_MENDED, *OPEN_WITHOUT}


@pytest.mark.parametrize(
    ("name", "field", "body"),
    [
        ("RFC9112-5.1-OBS-FOLD", "value continued", ""),
        ("SMUG-BARE-CR-HEADER-VALUE", "ab", ""),
        ("SMUG-CHUNK-BARE-SEMICOLON", None, "hello"),
    ],
)
def test_server_reads_in_a_mended_request_what_envoy_has_read(strict_edge, name, field, body):
    got = through(strict_edge, STRICT_49[name])
    fields, raw = only_request(got.reached)
    said = got.understood
    understood = dict(said["fields"])
    assert (fields.get("x-test"), raw.decode()) == (field, body)
    assert (understood.get("x-test"), said["body"]) == (field, body)


@pytest.mark.parametrize("end", [b"\r\n ", b"\r\n\t", b"\r"], ids=["fold", "fold by tab", "lone CR"])
@pytest.mark.parametrize("field", [b"Transfer-Encoding: chunked", b"Content-Length: 5", b"X-Project-Id: other"])
def test_field_behind_a_mended_line_end_stays_part_of_the_value(strict_edge, end, field):
    """A parser that took the fold or the CR for a line end would read another field, and the poison as a body."""
    got = through(strict_edge, get(b"X-Test: value" + end + field + b"\r\n"))
    fields, _ = only_request(got.reached)
    assert fields["x-test"].startswith("value")
    assert fields["x-test"].endswith(field.decode())
    understood = {name for name, _ in got.understood["fields"]}
    assert not understood & {"transfer-encoding", "content-length", "x-project-id"}
    assert got.rest.statuses == [200]  # to the last request


@pytest.mark.parametrize("size", [b"%x;", b"%x ;", b"%x;;", b"%x;a;"])
def test_request_inside_a_mended_chunk_is_never_answered(edge, size):
    got = through(edge, chunks(size % len(POISON) + b"\r\n" + POISON + b"\r\n0;\r\n\r\n"))
    assert (got.first.statuses, got.rest.statuses) == ([401], [404])
    assert only_request(got.reached)[1] == POISON


@pytest.mark.parametrize("name", MENDED)
def test_poison_behind_a_mended_request_gets_its_refusal_and_no_more(edge, name):
    """What is refused ends the connection: what would be answered by itself, behind it, is not."""
    poison = STRICT_49["SMUG-CL-HEX-PREFIX"] + POISON
    got = through(edge, STRICT_49[name] + poison)
    assert got.first.statuses + got.rest.statuses == [MENDED[name], 400], got
    assert b"\r\n\r\nOK" not in got.first.data + got.rest.data
    assert len(got.reached) == 1
    only_request(got.reached)
