"""Settings of upstreams: object stores and functions."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gateway.settings.base import COMMA_LIST, Group, Url, Words
from gateway.settings.identity import TokenCacheSettings

CapabilityName = Literal["tempurl", "s3", "stream"]
Capabilities = Annotated[tuple[CapabilityName, ...], *COMMA_LIST]


class RetrySettings(Group):
    """Settings of retries and circuit breakers."""

    retry_seconds: float = Field(
        15,
        ge=0,
        description="How long after a failure repeatable work is retried: computations and stats while a function or "
        "the store is unreachable, invocations while there is no connection.",
    )
    circuit_failures: int = Field(
        5,
        ge=1,
        description="Consecutive failures after which the circuit to Keystone opens (for the object store: per "
        "project).",
    )
    circuit_seconds: float = Field(
        1,
        gt=0,
        le=60,
        description="How long the circuit stays open: requests that need the upstream get 503 at once. Then one "
        "request "
        "probes it.",
    )


class StoreSettings(TokenCacheSettings, RetrySettings):
    """Settings of object stores."""

    object_store: Literal["swift", "rgw", "s3"] = Field(
        "swift",
        description="Object store API: Swift with the caller's token, the same of Ceph (rgw), or S3 with the caller's "
        "EC2 credential.",
    )
    region_name: str | None = Field(
        None, description="Region of the catalog's endpoints. Default: the only region of the catalog."
    )
    interface: Literal["public", "internal", "admin"] = Field(
        "public", description="Interface of the catalog's endpoints that the gateway uses."
    )
    swift_endpoint: Url | None = Field(
        None,
        description="Account URL that replaces the catalog's, with {project_id}, e.g. "
        "http://swift/v1/AUTH_{project_id}.",
    )
    s3_endpoint: Url | None = Field(
        None,
        description="S3 URL that replaces the catalog's. If neither exists, presigned URLs are not used.",
    )
    s3_region: str = Field("us-east-1", description="Region name in S3 signatures.")
    store_allowlist: Words = Field(
        (),
        description="Allowlist of object stores, e.g. https://swift.example.org,http://10.0.0.5:8080. Default: those "
        "of the catalog, except on loopback, link-local and metadata addresses and with names inside the cluster "
        "(.svc, .local): such stores must be listed here.",
    )
    store_timeout_seconds: float = Field(
        10,
        gt=0,
        description="Timeout of the store: for connecting, for answering, and between two reads of a body.",
    )
    store_cafile: Path | None = Field(
        None,
        description="PEM file with additional certificate authorities for the store. Keystone's `cacert` does not "
        "apply "
        "to the store.",
    )
    store_insecure: bool = Field(
        False,
        description="Accept any certificate of a store: callers' tokens may then be sent to an impostor. Keystone's "
        "`verify` does not apply to the store.",
    )
    capabilities: Capabilities = Field(
        ("tempurl", "s3", "stream"),
        description="Capabilities with which a function reads an object, in the order in which they are tried. Inputs "
        "of invocations are not streamed; for outputs s3 is tried first, because its signature covers conditions.",
    )
    capability_seconds: int = Field(
        300, ge=1, description="Lifetime of a signed URL, within which a read can start or resume."
    )
    tempurl_digest: Literal["sha1", "sha256", "sha512"] = Field("sha256", description="Digest of TempURL signatures.")
    tempurl_set_key: bool = Field(
        False,
        description="Set a TempURL key on containers without one, if the caller may. The key is not removed.",
    )


class FunctionSettings(RetrySettings):
    """Settings of functions."""

    function_cafile: Path | None = Field(
        None,
        description="PEM file with additional certificate authorities for functions. Keystone's `cacert` does not "
        "apply to functions.",
    )
    function_insecure: bool = Field(
        False,
        description="Accept any certificate of a function: objects and signed URLs may then be sent to an impostor.",
    )
    function_connect_timeout_seconds: float = Field(
        10, gt=0, description="Timeout for connecting to a function, or to the ingress before it."
    )
    function_idle_timeout_seconds: float = Field(
        90,
        gt=0,
        description="Maximum silence of a function, which sends a keep-alive every 15 seconds; includes a cold start. "
        "A WebSocket is closed when nothing has passed in either direction for this time.",
    )
    function_timeout_seconds: float = Field(1_800, gt=0, description="Maximum duration of a computation or invocation.")
    function_problem_seconds: float = Field(
        10,
        ge=0,
        description="Time without an answer after which a known permanent failure of the function ends the call.",
    )
    invoke_body_max_bytes: int = Field(
        1 << 30, ge=0, description="Maximum request body that is forwarded to a function (/v1/invoke)."
    )
    function_metrics_revisions: int = Field(
        1_000,
        ge=0,
        le=10_000,
        description="Maximum number of revisions of functions whose invocations a process counts, 32 of a "
        "project; the least recently called are forgotten. 0: none is counted.",
    )
    gateway_replicas_url: str | None = Field(
        None,
        description="URL by whose name DNS has the addresses of all replicas of the gateway (a headless Service), for "
        "the metrics of functions. Default: `/v1/functions/{name}/metrics` has no calls.",
    )
    invoke_max_objects: int = Field(
        8, ge=0, le=32, description="Maximum number of inputs and outputs, together, of one invocation."
    )
