"""Pushes to and reads from one OCI registry: blobs, manifests, Bearer tokens. The four calls that a build needs."""

import base64
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from builds.errors import RegistryError, TemporaryError
from builds.image import DOCKER_INDEX, DOCKER_MANIFEST, INDEX, MANIFEST
from builds.layers import Blob

_CHUNK = 8 << 20
_PIECE = 65_536
_MANIFEST_BYTES = 4 << 20
_ATTEMPTS = 5
_BACKOFF_SECONDS = 0.5
_RETRIED = {429, 500, 502, 503, 504}
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_UNAUTHORIZED, _NOT_FOUND = 401, 404


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A credential for the registry's token endpoint.

    Attributes:
        user: id of an application credential, or a user's name.
        password: its secret, or a token.
        token_url: the only URL that gets them, whatever the registry says.
    """

    user: str
    password: str
    token_url: str

    def __repr__(self) -> str:
        return f"Login(user={self.user!r}, token_url={self.token_url!r})"


class Registry:
    """A registry, for one build: the repository that is pushed to, and that of the base image.

    Every method raises RegistryError if the registry refuses, and TemporaryError if it does not answer after some
    attempts.
    """

    def __init__(
        self,
        url: str,
        login: Login | None,
        http: httpx.Client,
        *,
        scopes: tuple[str, ...] = (),
        sleep: Callable[[float], None] = time.sleep,
        chunk_bytes: int = _CHUNK,
    ) -> None:
        self._url = url.rstrip("/")
        self._login = login
        self._http = http
        self._scopes = scopes
        self._sleep = sleep
        self._chunk_bytes = chunk_bytes
        self._token = ""

    def manifest(self, repository: str, reference: str) -> tuple[str, str, dict[str, Any]]:
        """Digest, media type and content of a manifest, by tag or digest; one of a digest has that digest."""
        accept = f"{MANIFEST}, {INDEX}, {DOCKER_MANIFEST}, {DOCKER_INDEX}"
        response = self._call("GET", f"/v2/{repository}/manifests/{reference}", headers={"Accept": accept})
        self._expect(response, 200, f"read the image {repository}@{reference}")
        data = self._small(response, reference)
        document = json.loads(data)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        return digest, str(document.get("mediaType") or response.headers.get("content-type", "")), document

    def blob(self, repository: str, digest: str) -> bytes:
        """A small blob, such as a configuration; its digest is checked."""
        response = self._call("GET", f"/v2/{repository}/blobs/{digest}")
        self._expect(response, 200, f"read {digest} of {repository}")
        return self._small(response, digest)

    def has_manifest(self, repository: str, digest: str) -> bool:
        """Whether an image is there already."""
        response = self._call(
            "HEAD", f"/v2/{repository}/manifests/{digest}", headers={"Accept": f"{MANIFEST}, {INDEX}"}
        )
        return response.status_code == httpx.codes.OK

    def mount(self, repository: str, digest: str, source: str, scratch: Path) -> None:
        """Makes a blob of another repository one of this repository; copied if the registry does not mount it."""
        if self._has_blob(repository, digest):
            return
        path = f"/v2/{repository}/blobs/uploads/"
        response = self._call("POST", path, params={"mount": digest, "from": source})
        if response.status_code == httpx.codes.CREATED:
            return
        self._expect(response, 202, f"write to {repository}")
        self._upload(repository, self._download(source, digest, scratch), self._location(response))

    def push_blob(self, repository: str, blob: Blob) -> bool:
        """Uploads a blob; returns whether it was needed."""
        if self._has_blob(repository, blob.digest):
            return False
        response = self._call("POST", f"/v2/{repository}/blobs/uploads/")
        self._expect(response, 202, f"write to {repository}")
        self._upload(repository, blob, self._location(response))
        return True

    def push_manifest(self, repository: str, reference: str, media_type: str, data: bytes) -> httpx.Headers:
        """Uploads a manifest under a tag or its digest; returns the header fields of the response."""
        path = f"/v2/{repository}/manifests/{reference}"
        response = self._call("PUT", path, content=data, headers={"Content-Type": media_type})
        self._expect(response, 201, f"write the image {repository}@{reference}")
        return response.headers

    def attach(self, repository: str, subject: str, artifact_type: str, data: bytes) -> None:
        """Uploads a manifest with a subject; lists it under the fallback tag if there is no referrers API."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        fields = self.push_manifest(repository, digest, MANIFEST, data)
        if "oci-subject" in fields:
            return
        tag = subject.replace(":", "-")
        entry = {"mediaType": MANIFEST, "digest": digest, "size": len(data), "artifactType": artifact_type}
        listed = [each for each in self._referrers(repository, tag) if each.get("digest") != digest]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*listed, entry]}
        self.push_manifest(repository, tag, INDEX, json.dumps(index, separators=(",", ":"), sort_keys=True).encode())

    def _referrers(self, repository: str, tag: str) -> list[dict[str, Any]]:
        response = self._call("GET", f"/v2/{repository}/manifests/{tag}", headers={"Accept": INDEX})
        if response.status_code == _NOT_FOUND:
            return []
        self._expect(response, 200, f"read {repository}:{tag}")
        return list(json.loads(response.content).get("manifests", []))

    def _has_blob(self, repository: str, digest: str) -> bool:
        return self._call("HEAD", f"/v2/{repository}/blobs/{digest}").status_code == httpx.codes.OK

    def chunks(self, repository: str, digest: str) -> Iterator[bytes]:
        """The content of a blob, in pieces; the caller checks its digest."""
        response = self._call("GET", f"/v2/{repository}/blobs/{digest}", stream=True)
        try:
            self._expect(response, 200, f"read {digest} of {repository}")
            yield from response.iter_bytes(_PIECE)
        except httpx.TransportError as error:
            raise TemporaryError(f"Reading {digest} broke off ({type(error).__name__}). Build again later.") from error
        finally:
            response.close()

    def _download(self, repository: str, digest: str, scratch: Path) -> Blob:
        path = scratch / digest.replace(":", "-")
        sha256, size = hashlib.sha256(), 0
        with path.open("wb") as file:
            for chunk in self.chunks(repository, digest):
                sha256.update(chunk)
                size += file.write(chunk)
        if f"sha256:{sha256.hexdigest()}" != digest:
            raise RegistryError(f"The registry's {digest} of {repository} has another content.")
        return Blob(digest, size, path)

    def _upload(self, repository: str, blob: Blob, location: str) -> None:
        """In chunks. After a failure, the registry says how much it has, and the rest is sent."""
        offset, failures = 0, 0
        with blob.path.open("rb") as file:
            while offset < blob.size:
                file.seek(offset)
                data = file.read(self._chunk_bytes)
                fields = {
                    "Content-Type": "application/octet-stream",
                    "Content-Range": f"{offset}-{offset + len(data) - 1}",
                }
                try:
                    response = self._call("PATCH", location, content=data, headers=fields, attempts=1)
                    self._expect(response, 202, f"write {blob.digest} to {repository}")
                    offset, location = offset + len(data), self._location(response)
                except (RegistryError, TemporaryError):
                    failures += 1
                    if failures >= _ATTEMPTS:
                        raise
                    self._sleep(_BACKOFF_SECONDS * 2**failures)
                    offset, location = self._progress(repository, location)
        response = self._call("PUT", location, params={"digest": blob.digest})
        self._expect(response, 201, f"write {blob.digest} to {repository}")

    def _progress(self, repository: str, location: str) -> tuple[int, str]:
        response = self._call("GET", location)
        self._expect(response, 204, f"continue an upload to {repository}")
        first, _, last = response.headers.get("range", "").partition("-")
        if first != "0" or not last.isdecimal():
            raise RegistryError(f"The registry does not say how much of an upload to {repository} it has.")
        # Nothing at all is `0-0` too: the chunk is then refused, and the first byte alone is never what is missing.
        received = int(last)
        return (received + 1 if received else 0), self._location(response)

    def _location(self, response: httpx.Response) -> str:
        url: str = urljoin(str(response.request.url), response.headers.get("location", ""))
        if urlsplit(url)[:2] != urlsplit(self._url)[:2]:
            raise RegistryError(
                "The registry sends an upload to another server. The operator has to set its host and scheme."
            )
        return url

    def _small(self, response: httpx.Response, reference: str) -> bytes:
        data = response.content
        if len(data) > _MANIFEST_BYTES:
            raise RegistryError(f"{reference} has more than {_MANIFEST_BYTES:,} bytes.")
        if reference.startswith("sha256:") and hashlib.sha256(data).hexdigest() != reference.removeprefix("sha256:"):
            raise RegistryError(f"The registry's {reference} has another content.")
        return data

    def _call(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        stream: bool = False,
        attempts: int = _ATTEMPTS,
    ) -> httpx.Response:
        """One call with a token, again after what may pass. Each call of a registry can be sent twice."""
        url = path if path.startswith("http") else self._url + path
        for attempt in range(1, attempts + 1):
            try:
                fields = {**(headers or {}), **({"Authorization": f"Bearer {self._token}"} if self._token else {})}
                request = self._http.build_request(method, url, headers=fields, content=content)
                if params:
                    request.url = request.url.copy_merge_params(params)
                response = self._http.send(request, stream=stream, follow_redirects=method == "GET")
                if response.status_code == _UNAUTHORIZED and self._authenticate(response):
                    response.close()
                    fields["Authorization"] = f"Bearer {self._token}"
                    request = self._http.build_request(method, url, headers=fields, content=content)
                    if params:
                        request.url = request.url.copy_merge_params(params)
                    response = self._http.send(request, stream=stream, follow_redirects=method == "GET")
                if response.status_code not in _RETRIED:
                    return response
                response.close()
                problem = f"the registry answers {response.status_code}"
            except httpx.TransportError as error:
                problem = f"the registry cannot be reached ({type(error).__name__})"
            if attempt < attempts:
                self._sleep(_BACKOFF_SECONDS * 2**attempt)
        raise TemporaryError(f"Pushing failed: {problem}. Build again later.")

    def _authenticate(self, response: httpx.Response) -> bool:
        """Gets a token for the challenge of a response; False if there is nothing to get one with."""
        challenge = response.headers.get("www-authenticate", "")
        parameters = dict(_CHALLENGE.findall(challenge))
        if self._login is None or not challenge.lower().startswith("bearer "):
            return False
        if parameters.get("realm") != self._login.token_url:
            # It would get the credential.
            raise RegistryError(
                f"The registry names another token endpoint than {self._login.token_url}. The operator has to correct "
                "one of them."
            )
        scopes = self._scopes or (parameters.get("scope", ""),)
        basic = base64.b64encode(f"{self._login.user}:{self._login.password}".encode()).decode()
        query = [("service", parameters.get("service", "")), *(("scope", scope) for scope in scopes if scope)]
        answer = self._http.get(
            self._login.token_url, params=query, headers={"Authorization": f"Basic {basic}"}, follow_redirects=False
        )
        if answer.status_code in _RETRIED:
            raise TemporaryError(f"The registry's token endpoint answers {answer.status_code}. Build again later.")
        if answer.status_code != httpx.codes.OK:
            raise RegistryError(
                f"The registry's token endpoint refused the credential ({answer.status_code}). Check that it is valid, "
                "and that the policy rule 'registry:push' allows its roles."
            )
        document = answer.json()
        self._token = str(document.get("token") or document.get("access_token") or "")
        return bool(self._token)

    def _expect(self, response: httpx.Response, status: int, what: str) -> None:
        if response.status_code == status:
            return
        response.read()
        said = _errors_of(response)
        raise RegistryError(f"The registry refused to {what}: {response.status_code}{said}.")


def _errors_of(response: httpx.Response) -> str:
    """Codes of the registry's errors, in its own form."""
    try:
        codes = [str(each["code"])[:60] for each in response.json()["errors"]][:3]
    except (ValueError, KeyError, TypeError):
        return ""
    return f" ({', '.join(codes)})" if codes else ""
