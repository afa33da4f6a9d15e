"""`osfaas function logs --follow`: prints lines as they come."""

import http.client
import json
from collections.abc import Callable
from urllib.parse import quote

from client.errors import CommandError
from client.exchange import refusal, send
from client.login import Login

_OK = 200
# A line of output has at most 8 KiB, which JSON may make six times as long.
_MAX_LINE = 65_536
_ENDINGS = {
    "time": "the service follows a log no longer; repeat the command to go on",
    "bytes": "the service sends no more of a log at once; repeat the command to go on",
    "deleted": "the function was deleted",
}


def follow_logs(login: Login, name: str, tail: int, show: Callable[[str, str, str], None]) -> str:
    """Shows the output of a function's containers until the service ends it; returns why, in a sentence.

    Args:
        login: its token is sent.
        name: of the function.
        tail: how many lines of each container to begin with.
        show: gets pod, revision and text of each line.

    Raises:
        CommandError: the service refuses, cannot be reached, or broke the stream off.
    """
    url = f"{login.gateway}/v1/functions/{quote(name, safe='')}/logs?follow=true&tail={tail}"
    try:
        response = send(login, url)
        if response.status != _OK:
            raise refusal(response, "gateway")
        while line := response.readline(_MAX_LINE + 1):
            fields = json.loads(line) if line.strip() else {}
            if "ended" in fields:
                return _ENDINGS.get(fields["ended"], str(fields["ended"]))
            if fields:
                show(fields["pod"], fields["revision"], fields["text"])
    except (OSError, http.client.HTTPException) as error:
        raise CommandError(f"The log broke off: {error or type(error).__name__}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError("The gateway's answer is not a log; is this the URL of the gateway?") from error
    raise CommandError("The log broke off: the service ended it, or your token or role is not valid any more.")
