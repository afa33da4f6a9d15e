"""Which object a command means: a URL of one of the project's stores, or `container/object`."""

from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

from client.errors import CommandError
from client.login import Login

# Names that Dynafed and davix have for HTTP.
_SCHEMES = {"http": 80, "dav": 80, "s3": 80, "https": 443, "davs": 443, "s3s": 443}


@dataclass(frozen=True, slots=True)
class Location:
    """An object of the login's project; names are as the store has them, not encoded."""

    container: str
    name: str
    version: str | None = None

    @property
    def path(self) -> str:
        """Where the gateway has its checksums, percent-encoded byte by byte."""
        return f"/v1/checksums/{_encoded(self.container, '')}/{_encoded(self.name, '/')}"


def locate(where: str, login: Login, bases: tuple[str, ...] = ()) -> Location:
    """The object that a URL or a path names.

    Args:
        where: a URL under the project's Swift account, under its S3 endpoint (bucket in the path or in the host), under
            the gateway's `/v1/checksums`, or under one of `bases`; `s3://bucket/key`; or `[/]container/object`, which
            is taken as it stands.
        login: knows the stores.
        bases: more URLs under which `container/object` follows.

    Raises:
        CommandError: it lies in none of them. Nothing is guessed: another object's digest is worse than none.
    """
    if "://" not in where:
        return _split(where.removeprefix("/"), where)
    try:
        url = urlsplit(where)
    except ValueError as error:
        raise CommandError(f"'{where.partition('?')[0]}' is not a URL: {error}.") from error
    known = [base for base in (login.swift, login.s3, f"{login.gateway}/v1/checksums", *bases) if base]
    # The longest first: the account of another project lies under no account of ours, but under S3's root.
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
        f"{_shown(url)} lies in no store of this project, as far as its catalog tells; give container/object."
    )


def _refuse_what_a_url_drops(where: str) -> None:
    """A fragment and line breaks vanish from a URL, and what is left names another object."""
    if "#" in where or not where.isprintable():
        raise CommandError(
            "In a URL, '#', blanks of other kinds and control characters are percent-encoded; or give container/object."
        )


def _split(text: str, where: str, version: str | None = None) -> Location:
    container, _, name = text.partition("/")
    if not container or not name:
        raise CommandError(f"'{where.partition('?')[0]}' names no object: container/object is needed.")
    return Location(container, name, version)


def _below(path: str, base: str) -> str | None:
    prefix = base.rstrip("/") + "/"
    return path[len(prefix) :] if path.startswith(prefix) else None


def _is_account(rest: str) -> bool:
    """Whether what follows an S3 root is Swift's form on the same host: `v1/AUTH_…`."""
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
    # surrogateescape: the gateway, not the command, says that a name is not UTF-8.
    return unquote(text, errors="surrogateescape")


def _encoded(text: str, safe: str) -> str:
    return quote(text, safe=safe, errors="surrogateescape")


def _shown(url: SplitResult) -> str:
    """A URL without what may be secret: a signature, or a password before the host."""
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"
