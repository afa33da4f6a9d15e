"""Fill containers and buckets of any store as alice, and show what is in them."""

import contextlib
import hashlib
import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError
from keystoneauth1.session import Session

from tests.machine import scaled

PART_BYTES = 5 << 20


class RefusedError(Exception):
    """The store did not accept the object."""


class Filler(Protocol):
    """A store as its owner of objects sees it. Names of metadata are in lower case, without the store's prefix."""

    def make(self, bucket: str) -> None: ...

    def put(self, bucket: str, name: str, data: bytes, metadata: Mapping[str, str] = ..., **fields: str) -> None:
        """`fields`: content_type, content_disposition, cache_control.

        Raises:
            RefusedError: the store does not accept it.
        """

    def metadata(self, bucket: str, name: str) -> dict[str, str]: ...

    def field(self, bucket: str, name: str, field: str) -> str | None: ...

    def put_parts(self, bucket: str, name: str, parts: Sequence[bytes]) -> None:
        """An object in parts, as large ones are uploaded; all but the last have 5 MiB at least."""

    def put_large(self, bucket: str, name: str, blocks: Sequence[bytes], order: Sequence[int]) -> None:
        """An object in parts, each of which is one of the blocks."""

    def remove(self, bucket: str, name: str) -> None: ...

    def put_versions(self, bucket: str, name: str, contents: Sequence[bytes]) -> list[str]: ...


class SwiftFiller:
    """By the Swift API."""

    def __init__(self, account: str, session: Session) -> None:
        self.account = account
        self.session = session

    def make(self, bucket: str) -> None:
        self.session.put(f"{self.account}/{bucket}")

    def put(
        self, bucket: str, name: str, data: bytes, metadata: Mapping[str, str] | None = None, **fields: str
    ) -> None:
        headers = {key.replace("_", "-"): value for key, value in fields.items()}
        headers |= {f"X-Object-Meta-{key}": value for key, value in (metadata or {}).items()}
        headers["X-Auth-Token"] = self.session.get_token() or ""
        parts = urlsplit(self.account)
        # Not by the session, whose HTTP library takes the dots out of paths.
        connection = http.client.HTTPConnection(parts.netloc, timeout=scaled(300))
        connection.request("PUT", f"{parts.path}/{bucket}/{quote(name)}", data, headers)
        status = connection.getresponse().status
        connection.close()
        if status != http.HTTPStatus.CREATED:
            raise RefusedError(status)

    def head(self, bucket: str, name: str) -> Mapping[str, str]:
        return self.session.head(f"{self.account}/{bucket}/{quote(name)}").headers

    def metadata(self, bucket: str, name: str) -> dict[str, str]:
        prefix = "x-object-meta-"
        fields = {key.lower(): value for key, value in self.head(bucket, name).items()}
        return {key.removeprefix(prefix): value for key, value in fields.items() if key.startswith(prefix)}

    def field(self, bucket: str, name: str, field: str) -> str | None:
        return self.head(bucket, name).get(field)

    def put_segments(self, bucket: str, name: str, parts: Sequence[bytes]) -> list[str]:
        """The segments of a large object, in a container of their own; their paths."""
        self.make(f"{bucket}-segments")
        paths = [f"{bucket}-segments/{quote(name)}/{number}" for number in range(len(parts))]
        for path, part in zip(paths, parts, strict=True):
            self.session.put(f"{self.account}/{path}", data=part)
        return paths

    def put_parts(self, bucket: str, name: str, parts: Sequence[bytes]) -> None:
        """A static large object."""
        self.put_large(bucket, name, parts, range(len(parts)))

    def put_large(self, bucket: str, name: str, blocks: Sequence[bytes], order: Sequence[int]) -> None:
        """A static large object; each block is a segment, which takes its space once."""
        paths = self.put_segments(bucket, name, blocks)
        # Ceph computes the size and the ETag of the whole from these, and does not look at the segments.
        entries = [
            {"path": f"/{path}", "size_bytes": len(part), "etag": hashlib.md5(part).hexdigest()}
            for path, part in zip(paths, blocks, strict=True)
        ]
        manifest = [entries[number] for number in order]
        url = f"{self.account}/{bucket}/{quote(name)}?multipart-manifest=put"
        self.session.put(url, data=json.dumps(manifest))

    def remove(self, bucket: str, name: str) -> None:
        self.session.delete(f"{self.account}/{bucket}/{quote(name)}?multipart-manifest=delete")

    def put_dynamic(self, bucket: str, name: str, parts: Sequence[bytes]) -> None:
        """A dynamic large object."""
        self.put_segments(bucket, name, parts)
        self.put(bucket, name, b"", x_object_manifest=f"{bucket}-segments/{quote(name)}/")

    def put_versions(self, bucket: str, name: str, contents: Sequence[bytes]) -> list[str]:
        url = f"{self.account}/{bucket}"
        self.session.put(url, headers={"X-Versions-Enabled": "true"})
        return [
            self.session.put(f"{url}/{quote(name)}", data=data).headers.get("X-Object-Version-Id", "1")
            for data in contents
        ]

    @contextlib.contextmanager
    def account_key(self, key: str) -> Iterator[None]:
        """Sets the account's TempURL key for a while."""
        field = "X-Account-Meta-Temp-Url-Key"
        self.session.post(self.account, headers={field: key})
        try:
            yield
        finally:
            self.session.post(self.account, headers={field: ""})


class S3Filler:
    """By the S3 API."""

    def __init__(self, url: str, access: str, secret: str) -> None:
        config = Config(
            s3={"addressing_style": "path"},
            read_timeout=scaled(300),
            # A checksum beside the content is the test's own choice.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        self.client = botocore.session.Session().create_client(
            "s3",
            endpoint_url=url,
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            region_name="us-east-1",
            config=config,
        )

    def make(self, bucket: str) -> None:
        with contextlib.suppress(self.client.exceptions.BucketAlreadyOwnedByYou):
            self.client.create_bucket(Bucket=bucket)

    def put(
        self, bucket: str, name: str, data: bytes, metadata: Mapping[str, str] | None = None, **fields: str
    ) -> None:
        named: dict[str, Any] = {
            "".join(map(str.capitalize, key.split("_"))): value for key, value in fields.items() if key[:2] != "x_"
        }
        try:
            self.client.put_object(Bucket=bucket, Key=name, Body=data, Metadata=dict(metadata or {}), **named)
        except ClientError as error:
            raise RefusedError(error) from error

    def metadata(self, bucket: str, name: str) -> dict[str, str]:
        found = self.client.head_object(Bucket=bucket, Key=name)["Metadata"]
        return {key.lower(): value for key, value in found.items()}

    def field(self, bucket: str, name: str, field: str) -> str | None:
        answer = self.client.head_object(Bucket=bucket, Key=name)["ResponseMetadata"]["HTTPHeaders"]
        return answer.get(field.lower())

    def put_parts(self, bucket: str, name: str, parts: Sequence[bytes], *, algorithm: str = "") -> None:
        """A multipart upload; with an algorithm, whose checksum of the whole is one of the parts' checksums."""
        chosen = {"ChecksumAlgorithm": algorithm} if algorithm else {}
        upload = self.client.create_multipart_upload(Bucket=bucket, Key=name, **chosen)["UploadId"]
        target = {"Bucket": bucket, "Key": name, "UploadId": upload}
        done = []
        for number, part in enumerate(parts, 1):
            answer = self.client.upload_part(**target, PartNumber=number, Body=part, **chosen)
            sums = {key: value for key, value in answer.items() if key == f"Checksum{algorithm}"}
            done.append({"PartNumber": number, "ETag": answer["ETag"], **sums})
        self.client.complete_multipart_upload(**target, MultipartUpload={"Parts": done})

    def put_large(self, bucket: str, name: str, blocks: Sequence[bytes], order: Sequence[int]) -> None:
        self.put_parts(bucket, name, [blocks[number] for number in order])

    def remove(self, bucket: str, name: str) -> None:
        self.client.delete_object(Bucket=bucket, Key=name)

    def put_versions(self, bucket: str, name: str, contents: Sequence[bytes]) -> list[str]:
        self.make(bucket)
        self.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        return [self.client.put_object(Bucket=bucket, Key=name, Body=data)["VersionId"] for data in contents]
