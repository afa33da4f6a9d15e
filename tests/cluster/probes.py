"""Asking over HTTP or plain TCP from somewhere, and telling the ways of failing apart.

A careless probe takes a crash or a missing name for 'blocked'. This one says which of four things happened.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_CURL_COULD_NOT_CONNECT = 7
_CURL_TIMED_OUT = 28


class Outcome(Enum):
    """What became of one request."""

    ANSWERED = "answered"
    REFUSED = "refused"  # the other side said no: somebody is there, nobody listens
    TIMED_OUT = "timed out"  # nothing came back: what a dropped packet looks like
    BROKEN = "broken"  # anything else: a name that does not resolve, a probe that crashed


@dataclass(frozen=True)
class Reply:
    """The result of one request."""

    outcome: Outcome
    status: int
    body: str
    seconds: float
    problem: str

    @property
    def answered(self) -> bool:
        return self.outcome is Outcome.ANSWERED

    def json(self) -> Any:
        return json.loads(self.body)


def curl_command(url: str, *words: str, seconds: float = 3, connect_seconds: float = 2) -> list[str]:
    """A curl that ends its output with one line of JSON about itself."""
    limits = ["--max-time", str(seconds), "--connect-timeout", str(connect_seconds)]
    return ["curl", "--silent", "--globoff", "--noproxy", "*", *limits, "--write-out", "\n%{json}", *words, url]


def read_curl(printed: str, exit_status: int) -> Reply:
    """Judges what curl printed."""
    body, _, told = printed.rpartition("\n")
    try:
        facts = json.loads(told)
    except json.JSONDecodeError:
        return Reply(Outcome.BROKEN, 0, printed, 0.0, f"curl said nothing about itself (exit {exit_status})")
    problem = facts.get("errormsg") or ""
    return Reply(
        outcome=_judge(int(facts["exitcode"]), problem),
        status=int(facts["http_code"]),
        body=body,
        seconds=float(facts["time_total"]),
        problem=problem,
    )


def _judge(exit_code: int, problem: str) -> Outcome:
    if exit_code == 0:
        return Outcome.ANSWERED
    if exit_code == _CURL_TIMED_OUT:
        return Outcome.TIMED_OUT
    refused = "refused" in problem or "Couldn't connect" in problem or "Could not connect" in problem
    if exit_code == _CURL_COULD_NOT_CONNECT and refused:
        return Outcome.REFUSED
    return Outcome.BROKEN


def serve_command(*ports: int) -> Sequence[str]:
    """A program that answers every GET with its port, on each of the ports."""
    program = (
        "import http.server,sys,threading as t\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        "  def do_GET(s):\n"
        "    b=str(s.server.server_port).encode()\n"
        "    s.send_response(200); s.send_header('Content-Length',str(len(b))); s.end_headers(); s.wfile.write(b)\n"
        "  def log_message(*a): pass\n"
        "for p in sys.argv[1:]: t.Thread(target=http.server.ThreadingHTTPServer(('',int(p)),H).serve_forever).start()\n"
    )
    return ["python3", "-c", program, *map(str, ports)]
