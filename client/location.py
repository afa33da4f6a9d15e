"""The object that a command names: by a URL in one of the project's stores, or by `container/object`."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

from client.errors import CommandError
from client.login import Login

# Names that Dynafed and davix have for HTTP.
_SCHEMES = {"http": 80, "dav": 80, "s3": 80, "https": 443, "davs": 443, "s3s": 443}


@dataclass(frozen=True)
class Location:
    """An object of the login's project; its names are not percent-encoded."""

    container: str
    name: str
    version: str | None = None

    @property
    def path(self) -> str:
        """Path of its checksums at the gateway, percent-encoded byte by byte."""
        return f"/v1/checksums/{_encoded(self.container, '')}/{_encoded(self.name, '/')}"


def locate(where: str, login: Login, bases: tuple[str, ...] = ()) -> Location:
    """The object that a URL or a path names.

    Args:
        where: a URL under the project's Swift account, under its S3 endpoint (bucket in the path or in the host), under
            the gateway's `/v1/checksums`, or under one of `bases`; `s3://bucket/key`; or `[/]container/object`, which
            is taken literally.
        login: has the URLs of the stores.
        bases: additional URL prefixes of `container/object`.

    Raises:
        CommandError: it is in none of them. A guess could return another object's digest.
    """
    if "://" not in where:
        return _split(where.removeprefix("/"), where)
    try:
        url = urlsplit(where)
    except ValueError as error:
        raise CommandError(f"'{where.partition('?')[0]}' is not a URL: {error}.") from error
    known = [base for base in (login.swift, login.s3, f"{login.gateway}/v1/checksums", *bases) if base]
    # Longest first. Another project's account is not below ours, but may be below the root of S3.
    for base in sorted(map(urlsplit, known), key=lambda each: len(each.path), reverse=True):
        if _authority(url) == _authority(base):
            rest = _below(url.path, base.path)
            if rest is not None and not (base.path.strip("/") == "" and _is_account(rest)):
                _refuse_what_a_url_drops(where)
                return _split(_decoded(rest), where, _version(url))
    if login.s3 and (bucket := _bucket_in_host(url, urlsplit(login.s3))):
        _refuse_what_a_url_drops(where)
        return _split(f"{bucket}/{_decoded(url.path.removeprefix('/'))}", where, _version(url))
    if url.scheme in {"s3", "swift"} and "." not in url.netloc and ":" not in url.netloc:
        return _split(where.partition("://")[2], where)
    raise CommandError(
        f"{_shown(url)} is in no store of the project's catalog. Give container/object, or the store's URL with --base."
    )


def _refuse_what_a_url_drops(where: str) -> None:
    """Rejects fragments and line breaks: parsing drops them, and the remaining URL names another object."""
    if "#" in where or not where.isprintable():
        raise CommandError("Percent-encode '#' and unprintable characters in a URL, or give container/object.")


def _split(text: str, where: str, version: str | None = None) -> Location:
    container, _, name = text.partition("/")
    if not container or not name:
        raise CommandError(f"'{where.partition('?')[0]}' does not name an object. Give container/object.")
    return Location(container, name, version)


def _below(path: str, base: str) -> str | None:
    prefix = base.rstrip("/") + "/"
    return path[len(prefix) :] if path.startswith(prefix) else None


def _is_account(rest: str) -> bool:
    """Whether the path below an S3 root is a Swift account on the same host: `v1/AUTH_…`."""
    version, _, account = rest.partition("/")
    return version == "v1" and account.startswith("AUTH_")


def _bucket_in_host(url: SplitResult, s3: SplitResult) -> str | None:
    port, host = _port(url), url.hostname or ""
    suffix = f".{s3.hostname}"
    return host.removesuffix(suffix) if port == _port(s3) and host.endswith(suffix) else None


def _authority(url: SplitResult) -> tuple[str | None, int | None]:
    return url.hostname, _port(url)


def _port(url: SplitResult) -> int | None:
    try:
        return url.port or _SCHEMES.get(url.scheme)
    except ValueError as error:
        raise CommandError(f"{_shown(url)} is not a URL: {error}.") from error


def _version(url: SplitResult) -> str | None:
    query = parse_qs(url.query)
    return next((query[name][0] for name in ("versionId", "version-id") if name in query), None)


def _decoded(text: str) -> str:
    # surrogateescape: the gateway rejects names that are not UTF-8, not the command.
    return unquote(text, errors="surrogateescape")


def _encoded(text: str, safe: str) -> str:
    return quote(text, safe=safe, errors="surrogateescape")


def _shown(url: SplitResult) -> str:
    """A URL without its possible secrets: a signature in the query, a password before the host."""
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"
