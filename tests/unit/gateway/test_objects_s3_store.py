"""What an S3 store says of an object: which of its checksums are true ones."""

import base64
import contextlib
from collections.abc import Mapping
from types import SimpleNamespace

import pytest

from gateway.errors import ErrorCode, GatewayError
from gateway.objects.model import ObjectKind, ObjectRef
from gateway.objects.s3_checksums import native_digests
from gateway.objects.s3_store import S3Store, refused_by_s3, stat_from_s3
from gateway.objects.stored import write_stored

MD5 = "d41d8cd98f00b204e9800998ecf8427e"
CRC32C = base64.b64encode(bytes.fromhex("e3069283")).decode()
FULL = {"x-amz-checksum-type": "FULL_OBJECT"}


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-checksum-crc32c": CRC32C},
        {"x-amz-checksum-crc32c": CRC32C, "x-amz-checksum-type": "COMPOSITE"},
        {"x-amz-checksum-crc32c": CRC32C + "-3", **FULL},
        {"x-amz-checksum-crc32c": "AAAA", **FULL},
        {"x-amz-checksum-crc32c": "***", **FULL},
    ],
)
def test_a_checksum_that_is_not_of_the_whole_object_is_none(headers):
    assert native_digests(headers, "abc-2") == {}


def test_a_full_object_checksum_is_true():
    assert native_digests({"x-amz-checksum-crc32c": CRC32C, **FULL}, "abc-2") == {"crc32c": "e3069283"}
    xxh3 = base64.b64encode(bytes(8)).decode()
    assert native_digests({"x-rgw-checksum-xxh3": xxh3, **FULL}, "abc-2") == {"xxh3_64": "0" * 16}


@pytest.mark.parametrize(
    ("etag", "headers"),
    [
        (MD5 + "-2", {}),
        (MD5, {"x-amz-server-side-encryption": "aws:kms"}),
        (MD5, {"x-amz-server-side-encryption-customer-algorithm": "AES256"}),
        ("no-md5", {}),
        # Swift: the object may be a dynamic large one.
        (MD5, {"x-trans-id": "tx1"}),
    ],
)
def test_an_etag_that_is_not_of_the_plain_content_is_no_md5(etag, headers):
    assert native_digests(headers, etag) == {}


@pytest.mark.parametrize("headers", [{}, {"x-amz-server-side-encryption": "AES256"}])
def test_the_etag_of_an_object_that_was_put_at_once_is_its_md5(headers):
    assert native_digests(headers, MD5) == {"md5": MD5}


def test_stored_digests_count_only_with_their_etag_and_size():
    bound = write_stored({}, {"adler32": "00000001"}, etag=MD5, size=0)
    meta = {f"x-amz-meta-{name}": value for name, value in bound.items()}
    stat = stat_from_s3("p", "s3", ObjectRef("b", "o"), {"etag": f'"{MD5}"', "content-length": "0", **meta})
    assert (stat.stored, stat.kind) == ({"adler32": "00000001"}, ObjectKind.PLAIN)
    other = stat_from_s3("p", "s3", ObjectRef("b", "o"), {"etag": f'"{MD5}"', "content-length": "1", **meta})
    assert other.stored == {}


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-storage-class": "STANDARD_IA"},
        {"x-amz-website-redirect-location": "/elsewhere"},
        {"x-amz-server-side-encryption-aws-kms-key-id": "key"},
        {"x-amz-server-side-encryption-customer-algorithm": "AES256"},
        {"x-amz-object-lock-mode": "GOVERNANCE"},
        {"x-amz-meta-note": "caf\udce9"},
        {"content-disposition": "caf\udce9"},
    ],
)
async def test_an_object_that_a_copy_would_not_keep_as_it_is_is_not_written(headers):
    whole = {"etag": f'"{MD5}"', "content-length": "0", **headers}
    stat = stat_from_s3("p", "s3", ObjectRef("bucket", "o"), whole)
    untouched = S3Store(None, None, ())  # whatever it asked would fail
    assert await untouched.keep(None, stat, {"adler32": "00000001"}) is False


def test_an_object_without_an_etag_is_not_supported():
    with pytest.raises(GatewayError) as caught:
        stat_from_s3("p", "s3", ObjectRef("b", "o"), {"content-length": "1"})
    assert caught.value.kind is ErrorCode.OBJECT_UNSUPPORTED


def test_s3_says_nothing_of_the_token():
    assert [refused_by_s3(status).kind for status in (401, 403, 404, 412)] == [
        ErrorCode.OBJECT_FORBIDDEN,
        ErrorCode.OBJECT_FORBIDDEN,
        ErrorCode.OBJECT_NOT_FOUND,
        ErrorCode.OBJECT_CHANGED,
    ]


def test_an_object_of_the_usual_storage_class_is_written_to():
    """versitygw sends the class of every object."""
    headers = {"etag": f'"{MD5}"', "content-length": "0", "x-amz-storage-class": "STANDARD"}
    assert stat_from_s3("p", "s3", ObjectRef("bucket", "o"), headers).rewritable


class S3:
    """A client, and a presigner that signs nothing; answers with each of the responses in turn."""

    endpoint = staticmethod(lambda _caller: "http://s3.test")

    def __init__(self, *answers: tuple[int, Mapping[str, str]]) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, Mapping[str, str]]] = []

    async def signed(self, _caller, ref, _method, headers):
        return f"http://s3.test/{ref.container}/{ref.name}", dict(headers)

    @contextlib.asynccontextmanager
    async def exchange(self, method, _url, headers):
        self.sent.append((method, headers))
        status, fields = self.answers.pop(0)
        yield SimpleNamespace(status=status, headers=fields, content=SimpleNamespace(read=_nothing))


async def _nothing(_most: int) -> bytes:
    return b""


ALICE = SimpleNamespace(project_id="p")
CEPH = {"x-rgw-object-type": "Normal"}
OTHER_MD5 = "0ab549779634cb63199692f6dd250e7b"


async def stat_in(s3: S3):
    return await S3Store(s3, s3, ()).stat(ALICE, ObjectRef("bucket", "o"))


@pytest.mark.parametrize("how", ["refused", "of nothing"])
async def test_etag_of_a_manifest_in_ceph_is_no_md5_and_binds_nothing(how):
    """S3 shows a large object of Ceph's Swift API like a plain one; only a condition on its ETag fails."""
    etag = OTHER_MD5 if how == "refused" else MD5
    bound = write_stored({}, {"adler32": "00000001"}, etag=etag, size=9)
    meta = {f"x-amz-meta-{name}": value for name, value in bound.items()}
    s3 = S3((200, {"ETag": f'"{etag}"', "Content-Length": "9", **CEPH, **meta}), (412, {}))
    found = await stat_in(s3)
    assert (found.etag, found.native, found.stored, found.rewritable) == (f'W/"{etag}"', {}, {}, False)
    if how == "refused":
        assert s3.sent[1] == ("HEAD", {"If-Match": f'"{etag}"', "Accept-Encoding": "identity"})


async def test_etag_of_content_in_ceph_is_its_md5_and_is_asked_for_twice_only_there():
    plain = {"ETag": f'"{OTHER_MD5}"', "Content-Length": "9"}
    ceph = S3((200, {**plain, **CEPH}), (200, {}))
    assert (await stat_in(ceph)).native == {"md5": OTHER_MD5}
    other = S3((200, plain))
    assert (await stat_in(other)).native == {"md5": OTHER_MD5}
    multipart = S3((200, {**plain, **CEPH, "ETag": f'"{OTHER_MD5}-2"'}))
    assert (await stat_in(multipart)).etag == f"{OTHER_MD5}-2"
    assert (len(ceph.sent), len(other.sent), len(multipart.sent)) == (2, 1, 1)


async def test_failure_while_the_etag_is_confirmed_is_told():
    s3 = S3((200, {"ETag": f'"{OTHER_MD5}"', "Content-Length": "9", **CEPH}), (404, {}))
    with pytest.raises(GatewayError) as caught:
        await stat_in(s3)
    assert caught.value.kind is ErrorCode.OBJECT_NOT_FOUND


async def test_copy_has_the_condition_under_both_of_its_names():
    """Ceph ignores S3's name: without its own, the metadata of one content would be written to another."""
    s3 = S3((200, {}))
    stat = stat_from_s3("p", "s3", ObjectRef("bucket", "o"), {"etag": f'"{MD5}"', "content-length": "0"})
    assert await S3Store(s3, s3, ()).keep(ALICE, stat, {"adler32": "00000001"}) is True
    ((_, headers),) = s3.sent
    assert headers["x-amz-copy-source-if-match"] == headers["x-amz-copy-if-match"] == f'"{MD5}"'
