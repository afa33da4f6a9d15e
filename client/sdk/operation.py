"""Operations. A resource of openstacksdk."""

from __future__ import annotations

from typing import Any

from openstack import resource

from client.sdk.paged import PagedResource


class Operation(PagedResource):
    """Work that goes on without its caller: an asynchronous call, or a sweep."""

    resources_key = "operations"
    base_path = "/v1/operations"
    allow_fetch = allow_list = True
    _query_mapping = resource.QueryParameters("state", "kind", "subject", "user_id")

    #: invoke, checksums or sweep.
    kind: str = resource.Body("kind")
    #: The function, the object or the container.
    subject: str = resource.Body("subject")
    #: queued, running, succeeded, failed, cancelled or expired.
    state: str = resource.Body("state")
    cancel_requested: bool = resource.Body("cancel_requested", type=bool)
    project_id: str = resource.Body("project_id")
    user_id: str = resource.Body("user_id")
    #: Id of the request that was accepted.
    request_id: str = resource.Body("request_id")
    #: Attempts that have begun.
    attempts: int = resource.Body("attempts", type=int)
    #: Bytes and objects of the answer so far.
    progress: dict[str, int] = resource.Body("progress", type=dict)
    created_at: str = resource.Body("created_at")
    next_attempt_at: str | None = resource.Body("next_attempt_at")
    expires_at: str | None = resource.Body("expires_at")
    started_at: str | None = resource.Body("started_at")
    finished_at: str | None = resource.Body("finished_at")
    #: Until when its result is kept.
    kept_until: str | None = resource.Body("kept_until")
    #: Code and message, if it has no success.
    error: dict[str, Any] | None = resource.Body("error", type=dict)
