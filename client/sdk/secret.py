"""Secrets for functions. A resource of openstacksdk."""

from __future__ import annotations

from openstack import resource

from client.sdk.paged import PagedResource


class Secret(PagedResource):
    """A secret of the project; its id is its name. Its value is never shown."""

    resource_key = "secret"
    resources_key = "secrets"
    base_path = "/v1/secrets"
    allow_fetch = allow_list = allow_delete = True

    name: str = resource.Body("name", alternate_id=True)
    changed_at: str = resource.Body("changed_at")
    #: Names of the functions that mount it.
    used_by: list[str] = resource.Body("used_by", type=list)
