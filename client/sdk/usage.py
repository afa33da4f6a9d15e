"""Sums of what projects have used. A resource of openstacksdk."""

from __future__ import annotations

from openstack import resource

from client.sdk.paged import PagedResource


class Usage(PagedResource):
    """A sum of calls; those of its members by which the sums are grouped say of what, the others of these are None."""

    resources_key = "usage"
    base_path = "/v1/usage"
    allow_list = True
    _query_mapping = resource.QueryParameters("start", "end", "group_by", "project_id")

    hour: str | None = resource.Body("hour")
    day: str | None = resource.Body("day")
    project_id: str | None = resource.Body("project_id")
    user_id: str | None = resource.Body("user_id")
    function: str | None = resource.Body("function")
    revision: str | None = resource.Body("revision")
    #: Admitted requests; those that failed; those for which a pod was started.
    calls: int = resource.Body("calls", type=int)
    failed: int = resource.Body("failed", type=int)
    cold_starts: int = resource.Body("cold_starts", type=int)
    #: How often they counted against the rate limit.
    requests: int = resource.Body("requests", type=int)
    #: Of the requests; of the exchanges with functions; these times their memory.
    seconds: float = resource.Body("seconds", type=float)
    function_seconds: float = resource.Body("function_seconds", type=float)
    gb_seconds: float = resource.Body("gb_seconds", type=float)
    request_bytes: int = resource.Body("request_bytes", type=int)
    response_bytes: int = resource.Body("response_bytes", type=int)
    object_bytes: int = resource.Body("object_bytes", type=int)
