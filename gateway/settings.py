"""The settings: read once from the environment, frozen, units in their names.

Every field here is documented in `docs/reference/settings.md`, in a table made from this class. The credential with
which the gateway asks Keystone is not among them: it comes from where OpenStack's own tools look for one
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
# Characters of a value that is not acceptable.
_SHOWN = 100
CapabilityName = Literal["tempurl", "s3", "stream"]
Words = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """Settings of the gateway; the variable of a field is `OSFAAS_` and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="forbid")

    # --- where we are
    listen_host: str = Field("127.0.0.1", description="Address to listen on.")
    listen_port: int = Field(8788, ge=0, le=65535, description="TCP port to listen on.")
    public_url: str = Field(
        "http://127.0.0.1:8788",
        description="URL under which callers know the gateway, without /v1. Links are made from it, never from Host.",
    )
    service_type: str = Field("function", description="Our service type in Keystone's catalog and in access rules.")
    log_format: Literal["text", "json"] = Field(
        "text", description="Lines of the log: with date, level and logger before them, or JSON objects as a whole."
    )
    otlp_endpoint: str | None = Field(
        None,
        description="Where an OpenTelemetry collector takes traces over HTTP, e.g. http://collector:4318/v1/traces. "
        "Needs the extra 'otel'; the rest is set by OTEL_* variables. Default: nothing is recorded.",
    )
    disable_file: Path | None = Field(
        None,
        description="While this file exists, /healthcheck answers 503, so that a load balancer drains us.",
    )

    # --- identity
    www_authenticate_uri: str | None = Field(
        None,
        description="Identity URL shown to callers without a valid token. Default: the credential's auth_url.",
    )
    region_name: str | None = Field(
        None, description="Region whose endpoints are taken from the catalog. Default: the only one there is."
    )
    interface: Literal["public", "internal", "admin"] = Field(
        "public", description="Which endpoints of the catalog the gateway itself uses."
    )
    keystone_timeout_seconds: float = Field(5, gt=0, description="Longest wait for one answer of Keystone.")
    token_cache_seconds: float = Field(
        30,
        ge=0,
        le=30,
        description="How long a validated token is trusted; also how long a revoked one may live on.",
    )
    token_outage_seconds: float = Field(
        60,
        ge=0,
        le=300,
        description="How much longer a token is trusted that Keystone accepted before, while it gives no answer. One "
        "that was revoked meanwhile may live on as long. 0: not at all.",
    )
    token_validations: int = Field(
        16,
        ge=1,
        description="Most questions to Keystone at once, of one worker, about tokens it has not accepted lately. A "
        "flood of made-up ones waits there; whoever waits for longer than OSFAAS_KEYSTONE_TIMEOUT_SECONDS gets 503.",
    )
    circuit_failures: int = Field(
        5,
        ge=1,
        description="After so many questions in a row without an answer, Keystone is left alone for a moment."
        " For the store the same, for each project.",
    )
    circuit_seconds: float = Field(
        1,
        gt=0,
        le=60,
        description="How long it is left alone; calls that need it get 503 at once. Then one call tries.",
    )
    token_cache_entries: int = Field(10_000, ge=1, description="Most tokens kept at once.")
    token_refusal_cache_seconds: float = Field(
        10, ge=0, description="How long a token that Keystone refused is refused without asking again."
    )
    token_format: Literal["fernet", "any"] = Field(
        "fernet",
        description="With 'fernet', what cannot be a Fernet token is refused unasked. Use 'any' for JWS tokens.",
    )
    token_max_age_seconds: int = Field(
        86_400,
        ge=0,
        description="Fernet tokens issued longer ago are refused. Not below Keystone's token expiration; 0: no limit.",
    )
    token_max_chars: int = Field(
        512,
        ge=255,
        le=8_192,
        description="Longer Fernet tokens are refused unasked. Not below Keystone's max_token_size, which is raised "
        "where federated users have many groups.",
    )
    clock_skew_seconds: int = Field(60, ge=0, description="How far in the future a token's issue time may lie.")
    call_role: str = Field("member", description="Role that a caller needs on its project.")
    read_role: str = Field("reader", description="Role that is enough to see the project's limits (/v1/limits).")
    admin_role: str = Field(
        "admin",
        description="Role that onboards and offboards projects (osfaas admin-api), on the system or on one of "
        "OSFAAS_ADMIN_PROJECTS.",
    )
    admin_projects: Words = Field(
        (),
        description="Ids of the projects on which that role counts too. Whoever may assign roles on one of them is an "
        "administrator of all tenants. Default: none, so a token has to be scoped to the system.",
    )
    service_role: str = Field(
        "service",
        description="Role of service callers (Dynafed), which may ask for checksums without the role for calls. No "
        "role of users should imply it.",
    )
    service_projects: Words = Field(
        (), description="Ids of the projects in which the service role counts. Default: none."
    )

    # --- tenants
    tenants_from: Literal["file", "kubernetes"] = Field(
        "file", description="Where tenants are looked up: the static directory, or the cluster's Tenant objects."
    )
    kubeconfig: Path | None = Field(
        None,
        description="Kubeconfig of the cluster with the Tenant objects. Default: the service account of our own pod.",
    )
    local_gateway_url: str = Field(
        "http://knative-local-gateway.istio-system.svc.cluster.local",
        description="With Tenant objects: where functions are reached, told apart by their Host.",
    )
    tenants_file: Path = Field(
        Path("/etc/osfaas/tenants.yaml"),
        description="The static directory: which projects are onboarded, and where their functions are.",
    )

    # --- objects
    object_store: Literal["swift", "s3"] = Field(
        "swift", description="How objects are looked up and read: with the token in Swift, or an EC2 credential in S3."
    )
    swift_endpoint: str | None = Field(
        None,
        description="Account URL in place of the catalog's, with {project_id}, e.g. http://swift/v1/AUTH_{project_id}.",
    )
    s3_endpoint: str | None = Field(
        None,
        description="S3 URL in place of the catalog's. Without one in either place, presigned URLs are not used.",
    )
    store_origins: Words = Field(
        (),
        description="The only stores that are asked, e.g. https://swift.example.org,http://10.0.0.5:8080. Default: "
        "those of the catalog, but none on loopback, link-local or metadata addresses and none with a name of the "
        "cluster (.svc, .local): such a one has to be listed here.",
    )
    s3_region: str = Field("us-east-1", description="Region name in S3 signatures.")
    store_timeout_seconds: float = Field(
        10,
        gt=0,
        description="Longest wait for the store to connect, to answer, and between two pieces of a body.",
    )
    store_cafile: Path | None = Field(
        None,
        description="PEM file with authorities for the store's certificate, besides the system's. Keystone's `cacert` "
        "does not count for the store.",
    )
    store_insecure: bool = Field(
        False,
        description="Accept any certificate of a store. Callers' tokens then go to whoever answers. Keystone's "
        "`verify` does not count for the store.",
    )
    capabilities: Annotated[tuple[CapabilityName, ...], NoDecode] = Field(
        ("tempurl", "s3", "stream"),
        description="Ways of letting a function read an object, in the order in which they are tried.",
    )
    capability_seconds: int = Field(
        300, ge=1, description="How long a signed URL can be used to start or resume reading."
    )
    tempurl_digest: Literal["sha1", "sha256", "sha512"] = Field("sha256", description="Digest of TempURL signatures.")
    tempurl_set_key: bool = Field(
        False,
        description="Put a key of ours into a container without TempURL keys if the caller may. It stays there.",
    )

    # --- checksums and functions
    default_algorithms: Words = Field(("adler32", "md5"), description="What is computed when nothing is asked for.")
    digest_cache_entries: int = Field(100_000, ge=0, description="Most objects whose digests are kept in memory.")
    event_memory_entries: int = Field(
        100_000, ge=0, description="Most object events that are remembered as done, so that none is worked off twice."
    )
    function_cafile: Path | None = Field(
        None,
        description="PEM file with authorities for certificates of functions, besides the system's. Keystone's "
        "`cacert` does not count for functions.",
    )
    function_insecure: bool = Field(
        False,
        description="Accept any certificate of a function. Objects and signed URLs then go to whoever answers.",
    )
    function_connect_seconds: float = Field(
        10, gt=0, description="Longest wait for a connection to a function, or to the ingress before it."
    )
    function_silence_seconds: float = Field(
        90,
        gt=0,
        description="Longest silence of a function, which shows every 15 seconds that it lives; covers a cold start.",
    )
    function_timeout_seconds: float = Field(1_800, gt=0, description="Longest computation or invocation.")
    answer_seconds: float = Field(
        1_770,
        gt=0,
        description="Longest a caller is kept waiting for a digest, just under the 1,800 s of storage clients. The "
        "computation goes on, and who asks again joins it.",
    )
    service_computations: int = Field(
        1,
        ge=1,
        description="Most computations of service callers in one project at once, per gateway process, beside those "
        "of its users; below what the function takes at once.",
    )
    service_queue: int = Field(
        1_000, ge=0, description="How many more computations of service callers in one project may wait for a place."
    )
    trust_foreign_digests: bool = Field(
        False,
        description="Take digests that other tools have left in an object's metadata. Nothing proves what they were "
        "made from; those that are seen to be stale are passed over.",
    )
    retry_seconds: float = Field(
        15,
        ge=0,
        description="How long after a failure what may be repeated is tried again: computations and lookups while a "
        "function or the store is away, invocations while there is no connection.",
    )
    function_trouble_seconds: float = Field(
        10,
        ge=0,
        description="After this long without an answer, a known lasting trouble of the function ends the call.",
    )
    invoke_body_max_bytes: int = Field(
        1 << 30, ge=0, description="Largest request body that is passed on to a function (/v1/invoke)."
    )
    project_computations: int = Field(
        32,
        ge=1,
        description="Most computations and invocations of a project at once, if its Tenant does not say.",
    )
    project_requests_per_second: int = Field(
        0, ge=0, description="Calls that a project may make per second, if its Tenant does not say. 0: no limit."
    )
    project_bytes_per_second: int = Field(
        0,
        ge=0,
        description="Bytes of objects that may be read per second for a project's checksums, if its Tenant does not "
        "say. 0: no limit.",
    )
    budget_burst_seconds: float = Field(
        2, gt=0, description="For how long an unused rate per second is kept: so many seconds' worth may come at once."
    )
    budget_debt_seconds: float = Field(
        60,
        ge=1,
        description="Maximum time in seconds for which a project's other callers wait because of one large object. The "
        "caller that had it read waits until all of its bytes are paid for.",
    )
    budget_queue: int = Field(
        64, ge=0, description="Most calls of a project that wait for room under one of its limits, per process."
    )
    budget_wait_seconds: float = Field(
        1, ge=0, description="How long a call waits for room under a limit before it is refused (429)."
    )
    budget_store_url: SecretStr | None = Field(
        None,
        description="Redis or Valkey through which all gateway processes share the budgets: redis://, rediss://, "
        "valkey://, valkeys:// or unix://. Default: each process counts for itself.",
    )
    budget_store_timeout_seconds: float = Field(
        0.25,
        gt=0,
        description="Longest wait for that store; then the process counts for itself until it answers again.",
    )

    # --- limits of requests
    head_max_bytes: int = Field(32_768, ge=1_024, description="Largest request head.")
    target_max_bytes: int = Field(8_192, ge=1_024, description="Longest path and query of a request.")
    field_max_bytes: int = Field(16_384, ge=1_024, description="Longest header field, name and value.")
    head_seconds: float = Field(10, gt=0, description="How long a request's head may take to arrive as a whole.")
    transfer_window_seconds: float = Field(
        6, gt=0, description="Over how long the rate of a request's body, or of an answer's taking, is measured."
    )
    transfer_min_bytes_per_second: int = Field(
        500,
        ge=0,
        description="A caller that sends its body, or takes an answer, more slowly than this loses its connection. "
        "Waiting for a computation is not counted. 0: no limit.",
    )
    max_connections: int = Field(
        4_096,
        ge=1,
        description="Most connections of callers at once, per process. Beyond that the one that has waited longest "
        "without a request gives way.",
    )
    client_max_connections: int = Field(
        0, ge=0, description="Most connections of one client address at once. 0: no limit, as behind a proxy."
    )
    body_max_bytes: int = Field(2_097_152, ge=1_024, description="Largest request body: a list of objects, or events.")
    bulk_max_objects: int = Field(10_000, ge=1, description="Most objects, or events, in one request.")
    bulk_at_once: int = Field(8, ge=1, description="How many objects, or events, of one request are worked on at once.")
    project_list_bytes: int = Field(
        8_388_608,
        ge=65_536,
        description="Bodies of lists of objects and of events that one project may have in work at once, per process: "
        "from before the body is read to the end of the answer. Each counts as 32 KiB at least. One user may have half "
        "of it.",
    )
    list_bytes: int = Field(
        33_554_432,
        ge=65_536,
        description="The same for all projects together. What is in work takes up to five times that much memory.",
    )
    head_max_fields: int = Field(100, ge=8, description="Most header fields in a request.")
    keep_alive_seconds: int = Field(75, ge=1, description="How long an idle connection is kept.")
    shutdown_seconds: int = Field(30, ge=1, description="How long running calls may go on after SIGTERM.")

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
    """The settings in the environment.

    Raises:
        ValueError: a value is not acceptable, or a variable has our prefix and is no setting: it is misspelled. The
            message names the variables.
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
    """A sentence for each value that is not acceptable."""
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
