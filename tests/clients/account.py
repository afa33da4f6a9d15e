"""The object store behind the gateway, as clients and a redirector reach it."""

from dataclasses import dataclass
from urllib.parse import unquote

from botocore.client import BaseClient
from filler import SwiftFiller
from stores import Store

from localcloud import LocalCloud

# What X-Auth-Token goes to: the clients copy with one.
NAMES = ("swift", "rgw-account", "rgw-plain", "rgw-s3")


@dataclass(frozen=True)
class Account:
    """Alice's account in the store. Objects are filled by the Swift API, also where the gateway reads them by S3.

    Attributes:
        url: of the Swift account.
        s3: endpoint of the S3 API of the same objects.
        client: of it, with her EC2 credential; only where the gateway reads by S3.
    """

    url: str
    s3: str
    filler: SwiftFiller
    client: BaseClient | None

    def place(self, path: str) -> str:
        """Where a redirector sends the reader of `/container/object`: signed for S3, as Dynafed does it."""
        if self.client is None:
            return self.url + path
        bucket, _, key = unquote(path).removeprefix("/").partition("/")
        made: str = self.client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": key})
        return made


def account_of(store: Store, cloud: LocalCloud) -> Account:
    if isinstance(store.filler, SwiftFiller):
        return Account(store.filler.account, store.url, store.filler, None)
    url = f"{store.url}/swift/v1/AUTH_{cloud.users['alice'].project_id}"
    return Account(url, store.url, SwiftFiller(url, cloud.session("alice")), store.filler.client)
