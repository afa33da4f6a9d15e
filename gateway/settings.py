"""Settings: read once from the environment, frozen, with units in their names.

The table in `docs/reference/settings.md` is generated from this class. The gateway's Keystone credential is not a
setting: it comes from where OpenStack's own tools look for one
(`OS_CLOUD` with `clouds.yaml`, or `OS_AUTH_URL`, `OS_USERNAME`, `OS_APPLICATION_CREDENTIAL_ID`, …).
"""

import difflib
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_PREFIX = "OSFAAS_"
# Maximum characters of an invalid value in an error message.
_SHOWN = 100
CapabilityName = Literal["tempurl", "s3", "stream"]
Words = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """Settings of the gateway; the variable of a field is `OSFAAS_` and its name in upper case."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="forbid")

    # --- server
    listen_host: str = Field("127.0.0.1", description="Address to listen on.")
    listen_port: int = Field(8788, ge=0, le=65535, description="TCP port to listen on.")
    public_url: str = Field(
        "http://127.0.0.1:8788",
        description="Public URL of the gateway, without /v1. Links are built from it, never from the Host header.",
    )
    service_type: str = Field(
        "function", description="Service type of the gateway in Keystone's catalog and in access rules."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="Log format: text lines with date, level and logger, or one JSON object per line."
    )
    otlp_endpoint: str | None = Field(
        None,
        description="OTLP/HTTP endpoint of an OpenTelemetry collector, e.g. http://collector:4318/v1/traces. Needs "
        "the extra 'otel'; OTEL_* variables set the rest. Default: no traces are recorded.",
    )
    disable_file: Path | None = Field(
        None,
        description="While this file exists, /healthcheck answers 503, so that a load balancer drains the gateway.",
    )

    # --- identity
    www_authenticate_uri: str | None = Field(
        None,
        description="Identity URL shown to callers without a valid token. Default: the credential's auth_url.",
    )
    region_name: str | None = Field(
        None, description="Region of the catalog's endpoints. Default: the only region of the catalog."
    )
    interface: Literal["public", "internal", "admin"] = Field(
        "public", description="Interface of the catalog's endpoints that the gateway uses."
    )
    keystone_timeout_seconds: float = Field(5, gt=0, description="Timeout of one request to Keystone.")
    token_cache_seconds: float = Field(
        30,
        ge=0,
        le=30,
        description="Lifetime of a validated token in the cache; a revoked token may stay valid as long.",
    )
    token_outage_seconds: float = Field(
        60,
        ge=0,
        le=300,
        description="How much longer a validated token stays valid while Keystone does not answer. A token that is "
        "revoked meanwhile may stay valid as long. 0: no longer.",
    )
    token_validations: int = Field(
        16,
        ge=1,
        description="Maximum concurrent Keystone validations per process, for tokens that were not accepted recently. "
        "A flood of made-up tokens queues here; after OSFAAS_KEYSTONE_TIMEOUT_SECONDS in the queue a request gets 503.",
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
    token_cache_entries: int = Field(10_000, ge=1, description="Maximum number of tokens in the cache.")
    token_refusal_cache_seconds: float = Field(10, ge=0, description="Lifetime of a rejected token in the cache.")
    token_format: Literal["fernet", "any"] = Field(
        "fernet",
        description="With 'fernet', tokens in another format are rejected without asking Keystone. Use 'any' for "
        "JWS tokens.",
    )
    token_max_age_seconds: int = Field(
        86_400,
        ge=0,
        description="Maximum age of Fernet tokens. Must not be below Keystone's token expiration; 0: no limit.",
    )
    token_max_chars: int = Field(
        512,
        ge=255,
        le=8_192,
        description="Maximum length of Fernet tokens. Must not be below Keystone's max_token_size, which is raised "
        "where "
        "federated users have many groups.",
    )
    clock_skew_seconds: int = Field(
        60, ge=0, description="Maximum time that a token's issue time may lie in the future."
    )
    call_role: str = Field("member", description="Role that a caller needs on its project.")
    read_role: str = Field("reader", description="Role that suffices to read the project's limits (/v1/limits).")
    admin_role: str = Field(
        "admin",
        description="Role that onboards and offboards projects (osfaas admin-api), on the system or on one of "
        "OSFAAS_ADMIN_PROJECTS.",
    )
    admin_projects: Words = Field(
        (),
        description="Ids of projects on which the admin role counts too. A user who may assign roles on one of them is "
        "an administrator of all tenants. Default: none, so tokens must be scoped to the system.",
    )
    service_role: str = Field(
        "service",
        description="Role of service callers (Dynafed), which may request checksums without the call role. No role of "
        "users should imply it.",
    )
    service_projects: Words = Field((), description="Ids of projects in which the service role counts. Default: none.")

    # --- tenants
    tenants_from: Literal["file", "kubernetes"] = Field(
        "file", description="Source of tenants: the static directory, or the cluster's Tenant objects."
    )
    kubeconfig: Path | None = Field(
        None,
        description="Kubeconfig of the cluster with the Tenant objects. Default: the service account of the pod.",
    )
    local_gateway_url: str = Field(
        "http://knative-local-gateway.istio-system.svc.cluster.local",
        description="With Tenant objects: URL of the local gateway, which routes to functions by Host.",
    )
    tenants_file: Path = Field(
        Path("/etc/osfaas/tenants.yaml"),
        description="The static directory: onboarded projects and the addresses of their functions.",
    )

    # --- objects
    object_store: Literal["swift", "s3"] = Field(
        "swift", description="Object store API: Swift with the caller's token, or S3 with the caller's EC2 credential."
    )
    swift_endpoint: str | None = Field(
        None,
        description="Account URL that replaces the catalog's, with {project_id}, e.g. "
        "http://swift/v1/AUTH_{project_id}.",
    )
    s3_endpoint: str | None = Field(
        None,
        description="S3 URL that replaces the catalog's. If neither exists, presigned URLs are not used.",
    )
    store_origins: Words = Field(
        (),
        description="Allowlist of object stores, e.g. https://swift.example.org,http://10.0.0.5:8080. Default: those "
        "of the catalog, except on loopback, link-local and metadata addresses and with names inside the cluster "
        "(.svc, .local): such stores must be listed here.",
    )
    s3_region: str = Field("us-east-1", description="Region name in S3 signatures.")
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
    capabilities: Annotated[tuple[CapabilityName, ...], NoDecode] = Field(
        ("tempurl", "s3", "stream"),
        description="Capabilities with which a function reads an object, in the order in which they are tried.",
    )
    capability_seconds: int = Field(
        300, ge=1, description="Lifetime of a signed URL, within which a read can start or resume."
    )
    tempurl_digest: Literal["sha1", "sha256", "sha512"] = Field("sha256", description="Digest of TempURL signatures.")
    tempurl_set_key: bool = Field(
        False,
        description="Set a TempURL key on containers without one, if the caller may. The key is not removed.",
    )

    # --- checksums and functions
    default_algorithms: Words = Field(("adler32", "md5"), description="Algorithms of requests that name none.")
    digest_cache_entries: int = Field(
        100_000, ge=0, description="Maximum number of objects whose digests are cached in memory."
    )
    event_memory_entries: int = Field(
        100_000,
        ge=0,
        description="Maximum number of object events that are remembered as processed, so that none is processed "
        "twice.",
    )
    function_cafile: Path | None = Field(
        None,
        description="PEM file with additional certificate authorities for functions. Keystone's `cacert` does not "
        "apply to functions.",
    )
    function_insecure: bool = Field(
        False,
        description="Accept any certificate of a function: objects and signed URLs may then be sent to an impostor.",
    )
    function_connect_seconds: float = Field(
        10, gt=0, description="Timeout for connecting to a function, or to the ingress before it."
    )
    function_silence_seconds: float = Field(
        90,
        gt=0,
        description="Maximum silence of a function, which sends a keep-alive every 15 seconds; includes a cold start.",
    )
    function_timeout_seconds: float = Field(1_800, gt=0, description="Maximum duration of a computation or invocation.")
    answer_seconds: float = Field(
        1_770,
        gt=0,
        description="Maximum wait of a caller for a digest, just under the 1,800 s of storage clients. The computation "
        "continues, and a repeated request joins it.",
    )
    service_computations: int = Field(
        1,
        ge=1,
        description="Maximum concurrent computations of service callers per project and gateway process, in addition "
        "to those of users; keep it below the function's own concurrency.",
    )
    service_queue: int = Field(
        1_000, ge=0, description="Maximum number of queued computations of service callers per project."
    )
    trust_foreign_digests: bool = Field(
        False,
        description="Accept digests that other tools have stored in an object's metadata. They are unverified; digests "
        "that are detectably stale are ignored.",
    )
    retry_seconds: float = Field(
        15,
        ge=0,
        description="How long after a failure repeatable work is retried: computations and stats while a function or "
        "the store is unreachable, invocations while there is no connection.",
    )
    function_problem_seconds: float = Field(
        10,
        ge=0,
        description="Time without an answer after which a known permanent failure of the function ends the call.",
    )
    invoke_body_max_bytes: int = Field(
        1 << 30, ge=0, description="Maximum request body that is forwarded to a function (/v1/invoke)."
    )
    project_computations: int = Field(
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
    budget_burst_seconds: float = Field(
        2, gt=0, description="Burst of rates: an unused rate accumulates for at most this time."
    )
    budget_debt_seconds: float = Field(
        60,
        ge=1,
        description="Maximum time in seconds that other callers of a project wait because of one large object. The "
        "caller that had it read waits until its own debt is paid.",
    )
    budget_queue: int = Field(
        64, ge=0, description="Maximum number of calls of a project that are queued for one of its limits, per process."
    )
    budget_wait_seconds: float = Field(
        1, ge=0, description="Maximum time that a call is queued for a limit before it is rejected (429)."
    )
    budget_store_url: SecretStr | None = Field(
        None,
        description="Redis or Valkey through which all gateway processes share the limits: redis://, rediss://, "
        "valkey://, valkeys:// or unix://. Default: each process counts by itself.",
    )
    budget_store_timeout_seconds: float = Field(
        0.25,
        gt=0,
        description="Timeout of that store; then the process counts by itself until the store answers again.",
    )

    # --- limits of requests
    head_max_bytes: int = Field(32_768, ge=1_024, description="Maximum size of a request head.")
    target_max_bytes: int = Field(8_192, ge=1_024, description="Maximum length of a request's path and query.")
    field_max_bytes: int = Field(16_384, ge=1_024, description="Maximum length of a header field, name and value.")
    head_seconds: float = Field(10, gt=0, description="Maximum time for a request's head to arrive.")
    transfer_window_seconds: float = Field(
        6, gt=0, description="Period over which the transfer rates of request bodies and answers are measured."
    )
    transfer_min_bytes_per_second: int = Field(
        500,
        ge=0,
        description="Minimum transfer rate of a request's body and of an answer; slower connections are closed. Time "
        "waiting for a computation is not counted. 0: no minimum.",
    )
    max_connections: int = Field(
        4_096,
        ge=1,
        description="Maximum concurrent connections of callers per process. Above it, the connection that has been "
        "idle longest is closed.",
    )
    client_max_connections: int = Field(
        0, ge=0, description="Maximum concurrent connections per client address. 0: no limit, as behind a proxy."
    )
    body_max_bytes: int = Field(
        2_097_152, ge=1_024, description="Maximum body of a bulk request, or of a request with events."
    )
    bulk_max_objects: int = Field(10_000, ge=1, description="Maximum number of objects, or events, in one request.")
    bulk_at_once: int = Field(
        8, ge=1, description="Maximum number of objects, or events, of one request that are processed concurrently."
    )
    project_list_bytes: int = Field(
        8_388_608,
        ge=65_536,
        description="Maximum total size of concurrent bulk and event bodies per project and process, counted from the "
        "start of the body to the end of the answer. Each counts as at least 32 KiB. One user may use half of it.",
    )
    list_bytes: int = Field(
        33_554_432,
        ge=65_536,
        description="The same for all projects together. Processing takes up to five times as much memory.",
    )
    head_max_fields: int = Field(100, ge=8, description="Maximum number of header fields in a request.")
    keep_alive_seconds: int = Field(75, ge=1, description="How long an idle connection is kept open.")
    shutdown_seconds: int = Field(30, ge=1, description="Maximum time for running calls to finish after SIGTERM.")

    @field_validator(
        "default_algorithms", "capabilities", "service_projects", "admin_projects", "store_origins", mode="before"
    )
    @classmethod
    def _comma_list(cls, value: Any) -> Any:
        return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value

    @field_validator("public_url", "s3_endpoint", "swift_endpoint", "local_gateway_url")
    @classmethod
    def _no_trailing_slash(cls, value: str | None) -> str | None:
        return value.rstrip("/") if value else value


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Reads the settings from the environment.

    Raises:
        ValueError: a value is invalid, or a variable with our prefix is not a setting (misspelled). The message names
            the variables.
    """
    known = {_variable(name) for name in Settings.model_fields}
    unknown = sorted(name for name in environment if name.startswith(_PREFIX) and name not in known)
    if unknown:
        raise ValueError("; ".join(map(_unknown, unknown)))
    try:
        return Settings()
    except ValidationError as error:
        raise ValueError("; ".join(_refused(error))) from None


def _variable(field: str) -> str:
    return _PREFIX + field.upper()


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name.removeprefix(_PREFIX).lower(), Settings.model_fields, n=1)
    hint = f"did you mean {_variable(close[0])}?" if close else "osfaas settings lists them"
    return f"{name} is not a setting ({hint})"


def _refused(error: ValidationError) -> Iterator[str]:
    """An error message for each invalid value."""
    for problem in error.errors(include_url=False):
        variable, value = _variable(str(problem["loc"][0])), str(problem["input"])[:_SHOWN]
        said = problem["msg"].removeprefix("Value error, ")
        yield f"{variable}={shlex.quote(value)}: {said[:1].lower()}{said[1:]}"


def settings_table() -> str:
    """The settings as a Markdown table: variable, default, meaning."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = ",".join(default) if isinstance(default, tuple) else "" if default is None else str(default)
        rows.append(f"| `{_variable(name)}` | {f'`{shown}`' if shown else '-'} | {field.description} |")
    return "\n".join(rows)
