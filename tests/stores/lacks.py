"""Cases that do not run on a store, with the reason. docs/reference/stores.md has the same table."""

from collections.abc import Mapping

NAMES = ("swift", "swift-s3", "rgw-account", "rgw-plain", "rgw-s3", "minio", "versitygw")
_BY_SWIFT = ("swift", "rgw-account", "rgw-plain")
_BY_S3 = ("swift-s3", "rgw-s3", "minio", "versitygw")

# Feature → stores → reason.
LACKS: Mapping[str, Mapping[tuple[str, ...], str]] = {
    "TempURL": {_BY_S3: "belongs to the Swift API"},
    "large objects of segments": {_BY_S3: "belong to the Swift API"},
    "ACL for another project": {
        ("swift", *_BY_S3): "needs an API in which a container of another project can be named",
    },
    "bucket policy": {
        _BY_SWIFT: "is set by S3",
        ("swift-s3",): "Swift's S3 API has none",
        ("minio", "versitygw"): "the credential of the test is that of the root user, whom no policy restricts",
    },
    "checksums of the store": {
        _BY_SWIFT: "belong to S3",
        ("swift-s3", "rgw-s3"): "Swift, and Ceph before version 20, store no `x-amz-checksum-*`",
    },
    "conditional write of digests": {
        _BY_SWIFT: "a POST takes no condition; digests that it adds to other content do not count",
    },
    "storage daemon killed alone": {("minio", "versitygw"): "the store is one process"},
    "event kept when the forwarder is killed": {
        ("rgw-s3",): "Ceph 16.2.15 delivers no more events of a persistent topic within six minutes after that",
    },
    "event kept while the receiver is down": {
        ("rgw-account",): "the topic of this case is not persistent; that of `rgw-s3` is",
        ("versitygw",): "versitygw sends each event once",
    },
}


def lacks_of(store: str) -> dict[str, str]:
    """The reasons of a store by feature."""
    return {
        feature: reason for feature, reasons in LACKS.items() for stores, reason in reasons.items() if store in stores
    }


def table() -> str:
    """The table of the reference."""
    rows = [
        f"| {feature} | {', '.join(name for name in NAMES if name in stores)} | {reason} |"
        for feature, reasons in LACKS.items()
        for stores, reason in reasons.items()
    ]
    return "\n".join(["| case | does not run on | because |", "|---|---|---|", *rows])
