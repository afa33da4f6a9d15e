"""Settings of limits, and of what one request may contain."""

from pydantic import Field, SecretStr

from gateway.settings.base import Group, Words


class LimitSettings(Group):
    """Settings of limits of projects."""

    project_concurrent_calls: int = Field(
        32,
        ge=1,
        description="Maximum concurrent computations and invocations of a project without limits in its Tenant.",
    )
    project_requests_per_second: int = Field(
        0, ge=0, description="Maximum calls per second of a project without limits in its Tenant. 0: no limit."
    )
    project_bytes_per_second: int = Field(
        0,
        ge=0,
        description="Maximum bytes of objects read per second for checksums of a project without limits in its Tenant. "
        "0: no limit.",
    )
    limit_burst_seconds: float = Field(
        2, gt=0, description="Burst of rates: an unused rate accumulates for at most this time."
    )
    limit_debt_seconds: float = Field(
        60,
        ge=1,
        description="Maximum time in seconds that other callers of a project wait because of one large object. The "
        "caller that had it read waits until its own debt is paid.",
    )
    unified_limits_seconds: float = Field(
        20,
        ge=0,
        le=60,
        description="Interval at which the limits of Keystone (osfaas limits register) are read. They are in force "
        "over those of the Tenant. 0: Keystone's limits are not used.",
    )
    limit_queue_size: int = Field(
        64, ge=0, description="Maximum number of calls of a project that are queued for one of its limits, per process."
    )
    limit_wait_seconds: float = Field(
        1, ge=0, description="Maximum time that a call is queued for a limit before it is rejected (429)."
    )
    limit_store_url: SecretStr | None = Field(
        None,
        description="Redis or Valkey through which all gateway processes share the limits: redis://, rediss://, "
        "valkey://, valkeys:// or unix://. Default: each process counts by itself.",
    )
    limit_store_timeout_seconds: float = Field(
        0.25,
        gt=0,
        description="Timeout of that store; then the process counts by itself until the store answers again.",
    )
    service_concurrency: int = Field(
        1,
        ge=1,
        description="Maximum concurrent computations of service callers per project and gateway process, in addition "
        "to those of users; keep it below the function's own concurrency.",
    )
    service_queue_size: int = Field(
        1_000, ge=0, description="Maximum number of queued computations of service callers per project."
    )
    response_timeout_seconds: float = Field(
        1_770,
        gt=0,
        description="Maximum wait of a caller for a digest, just under the 1,800 s of storage clients. The computation "
        "continues, and a repeated request joins it.",
    )


class ChecksumSettings(Group):
    """Settings of checksums, bulk requests and events."""

    default_algorithms: Words = Field(("adler32", "md5"), description="Algorithms of requests that name none.")
    digest_cache_entries: int = Field(
        100_000, ge=0, description="Maximum number of objects whose digests are cached in memory."
    )
    event_cache_entries: int = Field(
        100_000,
        ge=0,
        description="Maximum number of object events that are remembered as processed, so that none is processed "
        "twice.",
    )
    trust_foreign_digests: bool = Field(
        False,
        description="Accept digests that other tools have stored in an object's metadata. They are unverified; digests "
        "that are detectably stale are ignored.",
    )
    bulk_body_max_bytes: int = Field(
        2_097_152, ge=1_024, description="Maximum body of a bulk request, or of a request with events."
    )
    bulk_max_objects: int = Field(10_000, ge=1, description="Maximum number of objects, or events, in one request.")
    bulk_concurrency: int = Field(
        8, ge=1, description="Maximum number of objects, or events, of one request that are processed concurrently."
    )
    bulk_read_max_bytes: int = Field(
        65_536,
        ge=0,
        le=262_144,
        description="Maximum size of an object of a bulk request that the gateway reads itself, with one request to "
        "the store, and sends to the function together with others. 0: each object is read by the function.",
    )
    bulk_read_process_bytes: int = Field(
        67_108_864,
        ge=1_048_576,
        description="Maximum memory for such objects, and for the lines about them until they are read, per process: "
        "half of it for each. A project may use a quarter. Objects for which there is none are read by the function.",
    )
    bulk_project_bytes: int = Field(
        8_388_608,
        ge=65_536,
        description="Maximum total size of concurrent bulk and event bodies per project and process, counted from the "
        "start of the body to the end of the answer. Each counts as at least 32 KiB. One user may use half of it.",
    )
    bulk_process_bytes: int = Field(
        33_554_432,
        ge=65_536,
        description="The same for all projects together. Processing takes up to five times as much memory.",
    )
