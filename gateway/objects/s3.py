"""Requests to S3, signed with the caller's own EC2 credential of the project."""

import logging
import re
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from urllib.parse import quote

import httpx
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cachetools import TTLCache

from gateway.errors import ErrorCode, GatewayError
from gateway.identity.caller import Caller
from gateway.identity.outage import OutageError
from gateway.objects.allowlist import StoreAllowlist
from gateway.objects.endpoints import endpoint_of
from gateway.objects.model import ObjectRef
from gateway.settings.upstream import StoreSettings

log = logging.getLogger(__name__)

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]")


class Presigner:
    """Signs requests and URLs."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        auth_url: str,
        settings: StoreSettings,
        allowlist: StoreAllowlist | None = None,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._auth_url = auth_url
        self._settings = settings
        self._allowlist = allowlist
        # By token, and no longer than a token itself is cached. A missing credential is not cached: one may be created.
        self._credentials: TTLCache[str, Credentials] = TTLCache(
            settings.token_cache_entries, settings.token_cache_seconds, timer=stopwatch
        )

    @property
    def capability_seconds(self) -> int:
        """Lifetime of a signed URL."""
        return self._settings.capability_seconds

    def endpoint(self, caller: Caller) -> str | None:
        """URL of the caller's S3."""
        settings = self._settings
        return endpoint_of(
            caller,
            service_type="s3",
            interface=settings.interface,
            region=settings.region_name,
            configured=settings.s3_endpoint,
        )

    async def presigned(
        self, caller: Caller, ref: ObjectRef, method: str = "GET", headers: Mapping[str, str] = MappingProxyType({})
    ) -> str | None:
        """A presigned URL of the object; None without an allowed S3, a valid name or a credential.

        `headers`: fields without which the URL is not valid.
        """
        endpoint = self.endpoint(caller)
        if endpoint is not None and self._allowlist is not None and not self._allowlist.may_be_asked(endpoint):
            return None  # the function would fetch it, without our checks of the address
        try:
            credentials = await self._usable_credentials(caller, ref) if endpoint else None
        except OutageError:
            credentials = None  # other capabilities may work
        if endpoint is None or credentials is None:
            return None
        settings = self._settings
        region, seconds = settings.s3_region, settings.capability_seconds
        return presign(endpoint, ref, credentials, region=region, seconds=seconds, method=method, headers=headers)

    async def signed(
        self, caller: Caller, ref: ObjectRef, method: str, headers: Mapping[str, str]
    ) -> tuple[str, dict[str, str]]:
        """URL and header fields of a request by the gateway itself.

        Raises:
            GatewayError: OBJECT_NO_EC2_CREDENTIAL, without an S3, a valid name or a credential; KEYSTONE_UNAVAILABLE.
        """
        endpoint = self.endpoint(caller)
        credentials = await self._usable_credentials(caller, ref) if endpoint else None
        if endpoint is None or credentials is None:
            raise GatewayError(ErrorCode.OBJECT_NO_EC2_CREDENTIAL)
        return sign(endpoint, ref, credentials, region=self._settings.s3_region, method=method, headers=headers)

    async def _usable_credentials(self, caller: Caller, ref: ObjectRef) -> Credentials | None:
        """The caller's credential for this project.

        An EC2 credential has all the roles of its user. A token with possibly fewer rights must not reach it,
        or the function could get more rights than the caller has.
        """
        if caller.delegated or caller.application_credential_id or not _BUCKET.fullmatch(ref.container):
            return None
        credentials = self._credentials.get(caller.token)
        if credentials is None:
            credentials = await self._ec2_credentials(caller)
            if credentials is not None:
                self._credentials[caller.token] = credentials
        return credentials

    async def _ec2_credentials(self, caller: Caller) -> Credentials | None:
        url = f"{self._auth_url}/users/{quote(caller.user_id, safe='')}/credentials/OS-EC2"
        try:
            response = await self._client.get(url, headers={"X-Auth-Token": caller.token})
            if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
                raise OutageError
            listed = response.json()["credentials"] if response.status_code == httpx.codes.OK else []
            for entry in listed:
                if entry["tenant_id"] == caller.project_id and entry["user_id"] == caller.user_id:
                    return Credentials(entry["access"], entry["secret"])
        except httpx.HTTPError as error:
            log.warning("EC2 credentials cannot be listed: %r", error)
            raise OutageError from error
        except (KeyError, TypeError, ValueError) as error:
            log.warning("the list of EC2 credentials is malformed: %r", error)
        return None


def _request(endpoint: str, ref: ObjectRef, method: str, headers: Mapping[str, str]) -> AWSRequest:
    url = f"{endpoint}/{quote(ref.container, safe='')}/{quote(ref.name, safe='/~')}"
    if ref.version is not None:
        url += f"?versionId={quote(ref.version, safe='')}"
    return AWSRequest(method=method, url=url, headers=dict(headers))


def sign(
    endpoint: str, ref: ObjectRef, credentials: Credentials, *, region: str, method: str, headers: Mapping[str, str]
) -> tuple[str, dict[str, str]]:
    """A path-style request without a body (Signature Version 4, header form): its URL and header fields."""
    request = _request(endpoint, ref, method, headers)
    S3SigV4Auth(credentials, "s3", region).add_auth(request)
    return request.url, dict(request.headers.items())


def presign(
    endpoint: str,
    ref: ObjectRef,
    credentials: Credentials,
    *,
    region: str,
    seconds: int,
    method: str = "GET",
    headers: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """A path-style presigned request (Signature Version 4, query form). The signature covers `headers`."""
    request = _request(endpoint, ref, method, headers)
    S3SigV4QueryAuth(credentials, "s3", region, expires=seconds).add_auth(request)
    signed: str = request.url
    return signed
