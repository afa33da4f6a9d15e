"""Settings of the database, and of usage: where its records wait, and how long they are kept."""

from pathlib import Path

from pydantic import Field, SecretStr

from gateway.settings.base import Group


class DatabaseSettings(Group):
    """Settings of the database."""

    database_url: SecretStr | None = Field(
        None,
        description="Database of durable work and of usage: postgresql://, mariadb://, mysql:// or, for one machine, "
        "sqlite:////absolute/path. `osfaas db upgrade` makes its tables. Default: none.",
    )
    database_connections: int = Field(8, ge=1, le=64, description="Maximum connections to the database per process.")
    database_retry_seconds: float = Field(
        3, ge=0, description="How long a transaction is retried while the database does not answer."
    )


class UsageSettings(Group):
    """Settings of usage."""

    usage_buffer_records: int = Field(
        20_000,
        ge=1_000,
        description="Maximum number of usage records that wait in memory for the database, some 1 KiB each. More are "
        "dropped, and counted in the metric `osfaas_usage_records_total`.",
    )
    usage_flush_seconds: float = Field(1, gt=0, description="How often usage records are written to the database.")
    usage_spool_directory: Path | None = Field(
        None,
        description="Folder on a local disk in which usage records wait as well, so that a process that is killed "
        "loses none. Default: they wait in memory only.",
    )
    usage_record_retention_seconds: int = Field(
        604_800, ge=86_400, description="How long the record of each call is kept. Its sums are kept longer."
    )
    usage_retention_seconds: int = Field(
        34_560_000, ge=86_400, description="How long the hourly sums are kept, which `GET /v1/usage` reads."
    )
