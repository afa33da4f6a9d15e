"""Settings of the process, of requests before their caller is known, and of the tenant directory."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from gateway.settings.base import Group, Origins, Url


class ServerSettings(Group):
    """Settings of the server."""

    listen_host: str = Field("127.0.0.1", description="Address to listen on.")
    listen_port: int = Field(8788, ge=0, le=65535, description="TCP port to listen on.")
    public_url: Url = Field(
        "http://127.0.0.1:8788",
        description="Public URL of the gateway, without /v1. Links are built from it, never from the Host header.",
    )
    expose_info: bool = Field(
        True,
        description="Answer /v1/info, which tells everybody without a token what this installation offers. false: 404.",
    )
    functions_api: bool = Field(
        False,
        description="Whether `osfaas functions-api` serves /v1/functions at the public URL. Only /v1/info shows it.",
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
    keep_alive_seconds: int = Field(75, ge=1, description="How long an idle connection is kept open.")
    shutdown_seconds: int = Field(30, ge=1, description="Maximum time for running calls to finish after SIGTERM.")


class RequestSettings(Group):
    """Settings of requests and connections."""

    head_max_bytes: int = Field(32_768, ge=1_024, description="Maximum size of a request head.")
    head_max_fields: int = Field(100, ge=8, description="Maximum number of header fields in a request.")
    target_max_bytes: int = Field(8_192, ge=1_024, description="Maximum length of a request's path and query.")
    field_max_bytes: int = Field(16_384, ge=1_024, description="Maximum length of a header field, name and value.")
    head_timeout_seconds: float = Field(10, gt=0, description="Maximum time for a request's head to arrive.")
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
    cors_origins: Origins = Field(
        (),
        description="Origins of web pages whose scripts may send requests and read the answers (CORS), e.g. "
        "https://dashboard.example.org. Default: none.",
    )


class TenantSettings(Group):
    """Settings of the tenant directory."""

    tenant_source: Literal["file", "kubernetes"] = Field(
        "file", description="Source of tenants: the static directory, or the cluster's Tenant objects."
    )
    tenants_file: Path = Field(
        Path("/etc/osfaas/tenants.yaml"),
        description="The static directory: onboarded projects and the addresses of their functions.",
    )
    kubeconfig: Path | None = Field(
        None,
        description="Kubeconfig of the cluster with the Tenant objects. Default: the service account of the pod.",
    )
    local_gateway_url: Url = Field(
        "http://knative-local-gateway.istio-system.svc.cluster.local",
        description="With Tenant objects: URL of the local gateway, which routes to functions by Host.",
    )
