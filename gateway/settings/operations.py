"""Settings of asynchronous calls: their store, their limits, the workers, the callbacks."""

from pydantic import Field, SecretStr

from gateway.settings.base import Group, Url, Words


class OperationSettings(Group):
    """Settings of asynchronous calls."""

    database_url: SecretStr | None = Field(
        None,
        description="Database of asynchronous calls and of usage: postgresql://, mariadb://, mysql:// or, for one "
        "machine, sqlite:////absolute/path. `osfaas db upgrade` makes its tables. Default: none; asynchronous calls "
        "are rejected, and no usage is recorded.",
    )
    database_connections: int = Field(8, ge=1, le=64, description="Maximum connections to the database per process.")
    database_retry_seconds: float = Field(
        3, ge=0, description="How long a transaction is retried while the database does not answer."
    )
    operation_project_queue: int = Field(
        20_000, ge=1, description="Maximum number of unfinished operations of a project."
    )
    operation_project_bytes: int = Field(
        1 << 30, ge=1 << 20, description="Maximum size of all stored requests and results of a project."
    )
    operation_body_max_bytes: int = Field(
        262_144,
        ge=0,
        le=262_144,
        description="Maximum size of the body of an asynchronous call, and of its answer, in the database. Longer ones "
        "are kept in the object store.",
    )
    operation_object_max_bytes: int = Field(
        1 << 30,
        ge=0,
        le=5 << 30,
        description="Maximum size of a body, and of an answer, in the object store: a container of the caller's "
        "project, written with its authority. 0: longer ones than in the database are rejected, as they are where "
        "OSFAAS_OBJECT_STORE is s3.",
    )
    operation_container: str = Field(
        "osfaas-operations",
        pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$",
        description="Name of that container (letters, digits, `.`, `_`, `-`), which is created when it is needed.",
    )
    operation_max_age_seconds: int = Field(
        86_400, ge=1, le=2_592_000, description="How long an operation may wait and be retried; then it expires."
    )
    operation_retention_seconds: int = Field(
        86_400, ge=0, description="How long an operation is kept after its end, if its caller says nothing."
    )
    operation_retention_max_seconds: int = Field(
        604_800, ge=0, description="The longest that a caller may ask for (Result-Retention)."
    )
    operation_wait_max_seconds: int = Field(
        60, ge=0, description="Maximum of `Prefer: respond-async, wait=N`: how long a caller waits before the 202."
    )
    operation_roles: Words = Field(
        ("member",),
        description="Roles that a worker gets for an operation by a trust, if the caller has them: one that the "
        "policy rules of what it does allow, and those that the object store asks for.",
    )
    operation_trustee_id: str | None = Field(
        None, description="Id of the workers' user, to whom trusts are given. Default: the gateway's own user."
    )


class WorkerSettings(Group):
    """Settings of workers."""

    worker_gateway_url: Url = Field(
        "http://127.0.0.1:8788", description="URL of the gateway to which a worker sends the requests of operations."
    )
    worker_gateway_cafile: str | None = Field(
        None, description="PEM file with the certificate authorities of that URL. Default: the system's."
    )
    worker_concurrency: int = Field(16, ge=1, le=1_024, description="Maximum running operations per worker.")
    worker_project_concurrency: int = Field(
        8,
        ge=1,
        description="Maximum running operations of one project, on all workers. Below its concurrent calls, so that "
        "some are left for its callers.",
    )
    worker_poll_seconds: float = Field(0.25, gt=0, description="How often an idle worker looks for work.")
    worker_lease_seconds: float = Field(
        30, ge=1, description="Time after which the operations of a worker that is gone are given to another."
    )
    worker_attempts: int = Field(5, ge=1, description="Maximum attempts of an operation; then it is a dead letter.")
    worker_trust_idle_seconds: float = Field(
        60, ge=0, description="How long after its creation a trust is kept for further operations of its user."
    )
    worker_metrics_host: str = Field("127.0.0.1", description="Address of a worker's /metrics.")
    worker_metrics_port: int = Field(9_090, ge=0, le=65535, description="Port of a worker's /metrics. 0: none.")


class CallbackSettings(Group):
    """Settings of callbacks."""

    callback_keys: SecretStr | None = Field(
        None,
        description="Secrets from which the signing keys of projects are derived, at least 32 characters each, "
        "separated by commas: the first signs and is shown, the others sign too while receivers change. "
        "Default: callbacks are rejected.",
    )
    callback_allowlist: Words = Field(
        (),
        description="Origins of receivers at private addresses, e.g. https://hooks.example.org. All others must have "
        "public addresses.",
    )
    callback_cafile: str | None = Field(
        None, description="PEM file with additional certificate authorities of receivers."
    )
    callback_timeout_seconds: float = Field(10, gt=0, description="Maximum time of one delivery.")
    callback_max_age_seconds: int = Field(86_400, ge=0, description="How long a callback is retried.")


class SweepSettings(Group):
    """Settings of integrity sweeps."""

    sweep_max_seconds: int = Field(
        2_592_000,
        ge=3_600,
        le=31_536_000,
        description="How long a sweep may take: its trust lives twice as long, and ends with it.",
    )
    sweep_part_objects: int = Field(
        5_000,
        ge=1,
        le=10_000,
        description="Objects of one part of the results of a sweep. A worker that dies repeats one part at most.",
    )
    sweep_part_bytes: int = Field(
        8 << 30, ge=1, description="Bytes of the objects of one part; a part has one object at least."
    )
    sweep_turn_seconds: float = Field(
        60, gt=0, description="After this time a sweep gives its place to operations that wait, at the end of its part."
    )
    sweep_recheck_seconds: float = Field(
        5,
        gt=0,
        description="How often a worker checks that a running sweep is still allowed: its trust, user and project in "
        "Keystone, the tenant, the container's ACL.",
    )
    sweep_dump_max_bytes: int = Field(4 << 30, ge=1, description="Maximum size of a dump that a sweep compares with.")
    sweep_scratch_dir: str | None = Field(
        None,
        description="Folder for the sorted dump of a running sweep, which takes two to three times its size. Default: "
        "the system's folder for temporary files.",
    )
