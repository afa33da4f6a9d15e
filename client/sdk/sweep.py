"""Integrity sweeps. A resource of openstacksdk."""

from __future__ import annotations

from typing import Any

from openstack import resource

from client.sdk.paged import PagedResource


class Sweep(PagedResource):
    """A sweep of a container: an operation with progress."""

    resources_key = "sweeps"
    base_path = "/v1/sweeps"
    allow_fetch = allow_list = True
    _query_mapping = resource.QueryParameters("subject")

    #: The container, and its prefix.
    subject: str = resource.Body("subject")
    #: queued, running, succeeded, failed, cancelled or expired.
    state: str = resource.Body("state")
    #: Bytes and objects that were read.
    progress: dict[str, int] = resource.Body("progress", type=dict)
    #: Bytes and objects that there are; None as long as they have not been counted.
    total: dict[str, int | None] = resource.Body("total", type=dict)
    estimated_end: str | None = resource.Body("estimated_end")
    attempts: int = resource.Body("attempts", type=int)
    created_at: str = resource.Body("created_at")
    started_at: str | None = resource.Body("started_at")
    finished_at: str | None = resource.Body("finished_at")
    #: Code and message, if it failed.
    error: dict[str, Any] | None = resource.Body("error", type=dict)
