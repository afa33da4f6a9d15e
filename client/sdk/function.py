"""Functions of a project, and what they have: revisions, logs. Resources of openstacksdk."""

from __future__ import annotations

from typing import Any

from openstack import resource
from openstack.exceptions import raise_from_response

from client.sdk.paged import PagedResource


class Function(PagedResource):
    """A function of a project; its id is its name."""

    resource_key = "function"
    resources_key = "functions"
    base_path = "/v1/functions"
    allow_create = allow_fetch = allow_commit = allow_delete = allow_list = True
    create_method = "PUT"
    create_requires_id = True
    commit_method = "PATCH"

    name: str = resource.Body("name", alternate_id=True)
    #: Image by digest; None: it is built from a source.
    image: str | None = resource.Body("image")
    #: Digest of the archive that it is built from.
    source: str | None = resource.Body("source")
    #: Words of the entrypoint; empty: the image's.
    command: list[str] = resource.Body("command", type=list)
    args: list[str] = resource.Body("args", type=list)
    environment: dict[str, str] = resource.Body("environment", type=dict)
    #: Names of the secrets that are mounted at /run/secrets.
    secrets: list[str] = resource.Body("secrets", type=list)
    port: int = resource.Body("port", type=int)
    run_as_user: int = resource.Body("run_as_user", type=int)
    cpu_millis: int = resource.Body("cpu_millis", type=int)
    memory_mib: int = resource.Body("memory_mib", type=int)
    #: Calls that one pod handles at the same time.
    concurrency: int = resource.Body("concurrency", type=int)
    timeout_seconds: int = resource.Body("timeout_seconds", type=int)
    min_scale: int = resource.Body("min_scale", type=int)
    max_scale: int = resource.Body("max_scale", type=int)
    health_path: str = resource.Body("health_path")
    #: Whether calls may name objects as inputs and outputs.
    objects: bool = resource.Body("objects", type=bool)
    #: A number that makes another revision of the same specification.
    attempt: int = resource.Body("attempt", type=int)
    #: Shares of the calls by revision; None: all calls go to the latest ready revision.
    traffic: list[dict[str, Any]] | None = resource.Body("traffic")
    #: Where it is called.
    url: str = resource.Body("url")
    created_at: str = resource.Body("created_at")
    #: Conditions and active revisions, as the controller last reported them.
    status: dict[str, Any] = resource.Body("status", type=dict)

    @property
    def condition(self) -> dict[str, Any]:
        """The condition `Ready`; empty if it was not reported."""
        return next((each for each in self.status["conditions"] if each["type"] == "Ready"), {})

    def create(self, session: Any, *_args: Any, **_kwargs: Any) -> Function:
        """Creates it; never replaces a function of the name."""
        request = self._prepare_request(requires_id=True, prepend_key=True)
        answer = session.put(request.url, json=request.body, headers={"If-None-Match": "*"})
        self._translate_response(answer)
        return self


def name_of(function: str | Function) -> str:
    """The name of a function that is given by name or as it is."""
    return function if isinstance(function, str) else function.name


class Revision(resource.Resource):
    """A revision of a function."""

    resources_key = "revisions"
    base_path = "/v1/functions/%(function)s/revisions"
    allow_list = True

    name: str = resource.Body("name", alternate_id=True)
    function: str = resource.URI("function")
    created_at: str = resource.Body("created_at")
    image: str = resource.Body("image")
    #: None: not known yet.
    ready: bool | None = resource.Body("ready")
    reason: str = resource.Body("reason")
    message: str = resource.Body("message")
    #: Share of the function's calls.
    percent: int = resource.Body("percent", type=int)
    tags: list[str] = resource.Body("tags", type=list)


class FunctionLog(resource.Resource):
    """The end of the output of one container of a function."""

    resources_key = "logs"
    base_path = "/v1/functions/%(function)s/logs"
    allow_list = True
    _query_mapping = resource.QueryParameters("tail", include_pagination_defaults=False)

    pod: str = resource.Body("pod", alternate_id=True)
    function: str = resource.URI("function")
    revision: str = resource.Body("revision")
    running: bool = resource.Body("running", type=bool)
    text: str = resource.Body("text")


class Tenant(resource.Resource):
    """A project whose functions the platform runs. For administrators; its id is the project's."""

    resource_key = "project"
    resources_key = "projects"
    base_path = "/v1/projects"
    allow_create = allow_fetch = allow_list = True

    namespace: str = resource.Body("namespace")
    display_name: str = resource.Body("display_name")
    isolation: str = resource.Body("isolation")
    limits: dict[str, int] = resource.Body("limits", type=dict)
    functions: list[str] = resource.Body("functions", type=list)
    #: The reason; None: not suspended.
    suspended: str | None = resource.Body("suspended")
    #: When the removal was requested and when it is over; None: it was not.
    offboarding: dict[str, Any] | None = resource.Body("offboarding")
    status: dict[str, Any] = resource.Body("status", type=dict)

    def change(self, session: Any, method: str, fields: dict[str, Any] | None = None, **query: str) -> Tenant:
        """Sends one change.

        Args:
            session: the proxy.
            method: PUT onboards, PATCH changes, DELETE requests the removal.
            fields: of the project.
            query: parameters.
        """
        body = None if fields is None else {"project": fields}
        answer = session.request(f"{self.base_path}/{self.id}", method, json=body, params=query)
        raise_from_response(answer)
        self._translate_response(answer)
        return self
