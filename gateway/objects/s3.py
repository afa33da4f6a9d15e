"""Presigned S3 URLs with the caller's own EC2 credential of the project."""

import logging
import re
from dataclasses import dataclass
from urllib.parse import quote

import httpx
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from gateway.identity.caller import Caller
from gateway.objects.endpoints import endpoint_of
from gateway.objects.model import ObjectRef

log = logging.getLogger(__name__)

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class S3Rules:
    """How S3 is reached (see `Settings` for each)."""

    interface: str
    region: str | None
    endpoint: str | None
    signing_region: str
    capability_seconds: int


class Presigner:
    """Makes presigned GET URLs."""

    def __init__(self, client: httpx.AsyncClient, *, auth_url: str, rules: S3Rules) -> None:
        self._client = client
        self._auth_url = auth_url
        self._rules = rules

    async def presigned_get(self, caller: Caller, ref: ObjectRef) -> str | None:
        """A URL that reads the object, or None if there is no S3, no fitting name or no credential.

        An EC2 credential has all the roles of its user. A token that an application credential restricts
        must not reach it, or the function could be handed more than the caller has.
        """
        rules = self._rules
        endpoint = endpoint_of(
            caller,
            service_type="s3",
            interface=rules.interface,
            region=rules.region,
            configured=rules.endpoint,
        )
        if endpoint is None or caller.application_credential_id or not _BUCKET.fullmatch(ref.container):
            return None
        credentials = await self._ec2_credentials(caller)
        if credentials is None:
            return None
        return presign(endpoint, ref, credentials, region=rules.signing_region, seconds=rules.capability_seconds)

    async def _ec2_credentials(self, caller: Caller) -> Credentials | None:
        url = f"{self._auth_url}/users/{quote(caller.user_id, safe='')}/credentials/OS-EC2"
        try:
            response = await self._client.get(url, headers={"X-Auth-Token": caller.token})
            listed = response.json()["credentials"] if response.status_code == httpx.codes.OK else []
            for entry in listed:
                if entry["tenant_id"] == caller.project_id and entry["user_id"] == caller.user_id:
                    return Credentials(entry["access"], entry["secret"])
        except (httpx.HTTPError, KeyError, TypeError, ValueError) as error:
            log.warning("EC2 credentials cannot be listed: %r", error)
        return None


def presign(endpoint: str, ref: ObjectRef, credentials: Credentials, *, region: str, seconds: int) -> str:
    """A path-style presigned GET (Signature Version 4, query form)."""
    url = f"{endpoint}/{quote(ref.container, safe='')}/{quote(ref.name, safe='/~')}"
    params = {} if ref.version is None else {"versionId": ref.version}
    request = AWSRequest(method="GET", url=url, params=params)
    S3SigV4QueryAuth(credentials, "s3", region, expires=seconds).add_auth(request)
    signed: str = request.url
    return signed
