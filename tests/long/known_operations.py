"""Operations of a user in every state that the documented operations need: queued, answered, failed, a sweep."""

import dataclasses
from collections.abc import Mapping

import httpx
from conftest import Gateway

from operations.store import working
from operations.store.database import Database
from operations.store.model import Failure, Result, State
from operations.store.working import Turns
from tests.machine import scaled

SWEEP = {"container": "data"}
ANSWER = Result(status=200, fields=((b"content-type", b"text/plain"),), body=b"answer")


@dataclasses.dataclass(frozen=True)
class KnownOperations:
    """Their ids."""

    queued: str
    answered: str
    failed: str
    sweep: str


def accept_operations(gateway: Gateway, tokens: Mapping[str, str], database: Database) -> dict[str, KnownOperations]:
    """Accepts them over HTTP for each user, and does a worker's part in the store: no worker may change them later."""
    answered = {user: _accept(gateway, token) for user, token in tokens.items()}
    failed = {user: _accept(gateway, token) for user, token in tokens.items()}
    turns = Turns(limit=len(answered) + len(failed), per_project=2)
    # Nothing else is queued yet.
    for claim in database.run_here(working.claim, "test", turns, lease_ms=60_000):
        if claim.id in answered.values():
            ending = {"state": State.SUCCEEDED, "result": ANSWER}
        else:
            ending = {"state": State.FAILED, "failure": Failure(code="function.failed", message="It failed.")}
        assert database.run_here(working.finish, claim.id, claim.fence, **ending)
    return {
        user: KnownOperations(
            queued=_accept(gateway, token),
            answered=answered[user],
            failed=failed[user],
            sweep=_accept(gateway, token, "/v1/sweeps", json=SWEEP),
        )
        for user, token in tokens.items()
    }


def _accept(gateway: Gateway, token: str, path: str = "/v1/invoke/echo/later", **content) -> str:
    fields = {"X-Auth-Token": token, "Prefer": "respond-async"}
    answer = httpx.post(gateway.url + path, headers=fields, timeout=scaled(60), **content)
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    return answer.headers["Location"].rpartition("/")[2]
