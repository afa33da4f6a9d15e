"""Settings of usage: where its records wait, and how long they are kept."""

from pathlib import Path

from pydantic import Field

from gateway.settings.base import Group


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
