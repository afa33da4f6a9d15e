"""Lines of the log: their form, and that no secret is in one."""

import asyncio
import io
import json
import logging
import time
import timeit
from collections.abc import Callable

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry import logs
from gateway.telemetry.logs import JsonLines, TextLines, without_secrets

TOKEN = "gAAAAABnZ0q1" + "x-_9" * 30 + "=="
# As Keystone makes them with `[token] provider = jws`.
JWS = "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJTRUNSRVQifQ." + "x-_9" * 21
SECRETS = [
    TOKEN,
    JWS,
    f"token={JWS}, and more",
    f"X-Auth-Token: {JWS}",
    "X-Container-Meta-Temp-URL-Key: SECRET",
    "x-container-meta-temp-url-key-2=SECRET",
    "headers=<CIMultiDictProxy('X-Account-Meta-Temp-Url-Key': 'no SECRET, \"of one\" word', 'A': 'b')>",
    "{'X-Account-Meta-Temp-Url-Key-2': \"it's SECRET\"}",
    json.dumps({"cause": "{'X-Account-Meta-Temp-Url-Key-2': \"it's SECRET\"}"}),
    f"X-Auth-Token: {TOKEN}",
    "{'X-Auth-Token': 'SECRET'}",
    "[(b'x-auth-token', b'SECRET')]",
    '{"Authorization": "Bearer SECRET"}',
    "authorization: Basic SECRET",
    "x-subject-token=SECRET",
    "http://swift/v1/AUTH_a/c/o?temp_url_sig=SECRET&temp_url_expires=1",
    "http://swift/v1/AUTH_a/c/o?temp_url_expires=1&TEMP_URL_SIG=SECRET",
    "https://s3/b/o?X-Amz-Credential=SECRET&X-Amz-Signature=SECRET",
    "https://s3/b/o?AWSAccessKeyId=SECRET&Signature=SECRET&Expires=1",
    "order={'url': 'http://s/o?temp_url_sig%3DSECRET'}",
    "redis://user:SECRET@valkey:6379/0",
    "valkeys://:SECRET@valkey:6379/0",
]


def written(formatter: logging.Formatter, log: Callable[[logging.Logger], None], name: str = "gateway.x") -> str:
    """What a logger with this formatter puts out."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    logger = logging.Logger(name)  # noqa: LOG001 - one of its own
    logger.addHandler(handler)
    log(logger)
    return out.getvalue()


def fails(logger: logging.Logger, secret: str) -> None:
    def connect() -> None:
        raise RuntimeError(f"cannot connect to {secret}")

    try:
        connect()
    except RuntimeError:
        logger.exception("unexpected: %s", secret)


@pytest.mark.parametrize("formatter", [TextLines(), JsonLines()])
@pytest.mark.parametrize("secret", SECRETS)
def test_no_secret_is_in_a_message_or_a_traceback(formatter: logging.Formatter, secret: str) -> None:
    line = written(formatter, lambda logger: fails(logger, secret))
    assert "unexpected" in line
    assert "Traceback" in line
    assert "SECRET" not in line
    assert TOKEN not in line
    assert TOKEN[:40] not in line
    assert JWS[:40] not in line


@pytest.mark.parametrize(
    "text",
    [
        "temp_url_expires=1",
        "http://swift:8080/v1/AUTH_a",
        "the token is not valid",
        "req-1 authorised",
        "gAAAA short",
        "eyJhbGciOiJF.short.x",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert without_secrets(text) == text


def test_time_of_looking_through_a_line_grows_with_its_length_only() -> None:
    """A caller chooses the path; it must not choose how long the log takes."""
    for piece in (
        "://x:",
        "authorization:",
        "gAAAA",
        "signature=",
        "x-auth-token",
        "eyJ",
        "-eyJ",
        "eyJ0123456789.",
        "'x-auth-token': '",
    ):
        times = []
        for count in (500, 5_000):
            text = piece * count
            times.append(
                min(timeit.repeat(lambda text=text: without_secrets(text), timer=time.thread_time, number=1, repeat=3))
            )
        assert times[1] <= 60 * times[0] + 0.01, piece


def test_json_line_is_one_object_whatever_is_in_it() -> None:
    line = written(JsonLines(), lambda logger: fails(logger, 'a\nb"\u2028'))
    assert line.count("\n") == 1
    document = json.loads(line)
    assert set(document) == {"time", "level", "logger", "message", "traceback"}
    assert document["time"].endswith("Z")


@pytest.mark.parametrize("name", ["gateway.access", "gateway.audit"])
def test_fields_of_a_structured_line_stand_beside_those_of_the_log(name: str) -> None:
    line = written(JsonLines(), lambda logger: logger.info("%s", json.dumps({"status": 200})), name)
    document = json.loads(line)
    assert (document["logger"], document["status"], document["level"]) == (name, 200, "INFO")


def test_text_line_has_the_message_as_it_is() -> None:
    line = written(TextLines(), lambda logger: logger.warning("as it is"))
    assert line.endswith(" WARNING gateway.x as it is\n")


PIECES = (
    *("temp_url_sig=", "X-Amz-Signature%3D", "AWSAccessKeyId=", "Signature=", "signature", "x-amz-credential="),
    *("X-Auth-Token: ", "'x-subject-token', b'", "X-Service-Token=", "x-storage-token:", "Authorization: Bearer "),
    *(
        "://u:p@h/",
        JWS,
        "X-Container-Meta-Temp-Url-Key: ",
        "://",
        "gAAAAABm" + "x" * 24,
        "gaaaa" + "Y" * 30,
        "plain",
        "&",
        " ",
        '"',
        "\u017fignature=",
        "\u00fc",
    ),
)


@given(st.lists(st.sampled_from(PIECES), max_size=8))
def test_the_quick_look_before_the_expression_changes_nothing(pieces):
    """What is returned without the expression is what the expression would have returned."""
    text = "".join(pieces)
    assert (without_secrets(text) == text) == (logs._SECRETS.sub("***", text) == text)


async def test_error_of_the_http_library_that_shows_our_request_hides_its_key() -> None:
    """aiohttp's error about a malformed answer has the request in it, with all header fields."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: none\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError) as caught:
            await session.post(f"http://127.0.0.1:{port}/", headers={"X-Container-Meta-Temp-URL-Key": "SECRET"})
    assert "SECRET" in repr(caught.value)
    assert "SECRET" not in without_secrets(repr(caught.value))


def test_time_is_right_to_the_millisecond_within_and_across_a_second() -> None:
    formatter, hour, times = TextLines(), time.strftime("%H", time.localtime(1)), []
    for created in (1.0, 1.999, 2.0):
        record = logging.LogRecord("x", logging.INFO, "", 0, "", (), None)
        record.created, record.msecs = created, (created % 1) * 1000
        times.append(formatter.formatTime(record))
    assert times == [f"1970-01-01 {hour}:00:0{second}" for second in ("1,000", "1,999", "2,000")]
