"""`get` and `put`: one digest of one object."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from client.errors import CommandError
from client.exchange import RetryPolicy, ask, fetch
from client.location import locate
from client.login import Login

MAX_ANSWER_BYTES = 65_536
_DIGEST = re.compile(r"[0-9a-f]{8,128}")
# Leading zeros may be missing, as they are in some tools' output.
_GIVEN = re.compile(r"[0-9a-f]{1,128}")


@dataclass(frozen=True)
class ChecksumQuery:
    """A query for one digest of one object.

    Attributes:
        where: see `locate`.
        algorithm: any name that the gateway supports.
        bases: see `locate`.
        retry: how long a busy service is retried.
    """

    where: str
    algorithm: str
    bases: tuple[str, ...]
    retry: RetryPolicy


def get_digest(login: Login, query: ChecksumQuery) -> str:
    """The digest of an object, lowercase hex.

    Raises:
        CommandError: the gateway returned none.
    """
    answer = fetch(
        login,
        _url(login, query),
        most=MAX_ANSWER_BYTES,
        retry=query.retry,
        headers={"Accept": "text/plain"},
    )
    value = answer.decode("ascii", "replace").strip()
    if not _DIGEST.fullmatch(value):
        raise CommandError(f"{login.gateway} did not return a digest. Check that it is the gateway's URL.")
    return value


def start_digest(login: Login, query: ChecksumQuery) -> str:
    """The id of an operation that computes the digest of an object.

    Raises:
        CommandError: the gateway did not accept it.
    """
    from client.operations.api import id_in  # noqa: PLC0415 - not needed by `get`, which has to start quickly

    headers = {"Accept": "text/plain", "Prefer": "respond-async"}
    return id_in(ask(login, _url(login, query), retry=query.retry, headers=headers).getheader("Location"))


def put_digest(login: Login, query: ChecksumQuery, value: str, *, force: bool) -> str:
    """Stores a digest in the metadata of its object, if it is correct; returns the stored digest.

    Args:
        login: a login to the object's project.
        query: the object and the algorithm.
        value: the digest in hex.
        force: recompute the digest even if it is known, and replace a stored one.

    Raises:
        CommandError: it is not the object's digest, or it could not be stored.
    """
    given = value.strip().lower()
    if not _GIVEN.fullmatch(given):
        raise CommandError(f"'{value}' is not a hexadecimal digest.")
    if not force:
        # A wrong value must not be written.
        _compare(_document(login, query), query.algorithm, given)
    document = _document(login, query, "&store=true&force=true" if force else "&store=true")
    found = _compare(document, query.algorithm, given)
    if not document.get("stored"):
        raise CommandError(
            "The digest is correct, but it is not stored: the object store did not accept it. The credential needs "
            "write access to the container."
        )
    return found


def _url(login: Login, query: ChecksumQuery) -> str:
    location = locate(query.where, login, query.bases)
    url = f"{login.gateway}{location.path}?algorithm={quote(query.algorithm, safe='')}"
    return url if location.version is None else f"{url}&version-id={quote(location.version, safe='')}"


def _document(login: Login, query: ChecksumQuery, options: str = "") -> Mapping[str, object]:
    url = _url(login, query) + options
    headers = {"Accept": "application/json"}
    answer = fetch(login, url, most=MAX_ANSWER_BYTES, retry=query.retry, headers=headers)
    try:
        document = json.loads(answer)
    except ValueError as error:
        raise CommandError(f"{login.gateway} did not return JSON. Check that it is the gateway's URL.") from error
    return document if isinstance(document, dict) else {}


def _compare(document: Mapping[str, object], algorithm: str, given: str) -> str:
    digests = document.get("digests")
    found = next(iter(digests.values())) if isinstance(digests, dict) and len(digests) == 1 else None
    if not isinstance(found, str):
        raise CommandError(f"The gateway's response contains no {algorithm}.")
    if found.lstrip("0") != given.lstrip("0"):
        raise CommandError(f"The object's {algorithm} is {found}, not {given}.")
    return found
