"""Settings of triggers, for the gateway, the functions API and the scheduler."""

from pydantic import Field

from gateway.settings.base import Group, Url, Words


class TriggerSettings(Group):
    """Settings of triggers."""

    trigger_roles: Words = Field(
        ("member",),
        description="Roles that a trigger acts with, as far as the user who makes it has them. Must contain "
        "one that the policy rule functions:invoke allows; add the role that the object store asks for, if that is "
        "another one.",
    )
    function_triggers: int = Field(10, ge=0, le=50, description="Maximum number of triggers of one function.")
    project_triggers: int = Field(
        50, ge=0, le=200, description="Maximum number of triggers of all functions of a project."
    )
    trigger_report_url: Url | None = Field(
        None,
        description="URL of the scheduler, to which the gateway reports what became of triggers, e.g. "
        "http://osfaas-scheduler.osfaas-system:8788. Default: outcomes are in the answer to the events and in the log "
        "only.",
    )
    trigger_check_seconds: float = Field(
        300,
        ge=1,
        description="Interval at which the scheduler checks that each trigger may still act: its trust, its function, "
        "its project.",
    )
    scheduler_gateway_url: Url | None = Field(
        None,
        description="URL of the gateway that the scheduler calls, without /v1. Default: OSFAAS_PUBLIC_URL.",
    )
    scheduler_namespace: str = Field("osfaas-system", description="Namespace of the scheduler's Lease.")
    scheduler_lease_seconds: float = Field(
        15, ge=3, description="Lifetime of the Lease by which the replicas of the scheduler agree who leads."
    )
    scheduler_concurrency: int = Field(
        32, ge=1, description="Maximum concurrent calls of the scheduler, of all projects together."
    )
    scheduler_project_concurrency: int = Field(
        4, ge=1, description="Maximum concurrent calls of the scheduler for one project."
    )
    scheduler_max_lateness_seconds: float = Field(
        600,
        ge=60,
        description="Maximum time by which a schedule may be late, after an outage of the scheduler. The last time "
        "that was missed is made up for within it; earlier ones are not.",
    )
