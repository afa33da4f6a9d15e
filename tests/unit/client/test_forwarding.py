"""Who may hand events to the forwarder: it brings the project's token along for them."""

from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from client.event_commands import events
from client.forwarding import forwarder

UNAUTHORIZED, NOT_FOUND, NOT_PASSED_ON = 401, 404, 503


class Session:
    """Has a token."""

    def get_token(self) -> str:
        return "token"


async def status(path: str, secret: str | None, **headers: str) -> int:
    """What a sender is told; there is no gateway behind, so whoever is let in gets 503."""
    app = forwarder(Session(), "http://127.0.0.1:9/v1/events", verify=True, secret=secret)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://forwarder") as client,
    ):
        return (await client.post(path, content=b"{}", headers=headers)).status_code


@pytest.mark.parametrize("path", ["/", "/wrong", "/s3cre", "/s3crets", "/s3cret/", "/x/s3cret", "/%73"])
async def test_sender_that_does_not_know_the_secret_is_turned_away(path: str) -> None:
    assert await status(path, "s3cret") == UNAUTHORIZED
    assert await status(path, "s3cret", Authorization="Bearer wrong") == UNAUTHORIZED
    assert await status(path, "s3cret", Authorization="Bearer") == UNAUTHORIZED


async def test_sender_knows_the_secret_by_its_field_or_its_path() -> None:
    """A Knative Trigger can send no field, but has a path."""
    assert await status("/", "s3cret", Authorization="Bearer s3cret") == NOT_PASSED_ON
    assert await status("/s3cret", "s3cret") == NOT_PASSED_ON


async def test_without_a_secret_there_is_one_path() -> None:
    assert await status("/", None) == NOT_PASSED_ON
    assert await status("/x", None) == NOT_FOUND


@pytest.mark.parametrize("content", ["", "\n", "  \n"])
def test_empty_secret_is_none_and_the_forwarder_does_not_start(tmp_path: Path, content: str) -> None:
    """It would let in whoever sends an empty one."""
    file = tmp_path / "secret"
    file.write_text(content, encoding="ascii")
    done = CliRunner().invoke(events, ["forward", "--secret-file", str(file)])
    assert done.exit_code != 0
    assert "secret" in done.output
