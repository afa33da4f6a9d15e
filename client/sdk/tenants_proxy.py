"""Tenants of `conn.function`, for administrators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from client.sdk.base import ServiceProxy
from client.sdk.function import Tenant


class TenantsProxy(ServiceProxy):
    """Projects whose functions the platform runs."""

    def tenants(self) -> Iterator[Tenant]:
        """All tenants. For administrators, as are all methods for tenants."""
        found: Iterator[Tenant] = self._list(Tenant, paginated=False)
        return found

    def get_tenant(self, project_id: str) -> Tenant:
        """A tenant by the id of its project."""
        return self._get(Tenant, project_id)

    def onboard_tenant(self, project_id: str, **fields: Any) -> Tenant:
        """Makes a project a tenant; if it is one, changes the given fields."""
        return self._change(project_id, "PUT", fields)

    def update_tenant(self, project_id: str, **fields: Any) -> Tenant:
        """Changes the specification of a tenant."""
        return self._change(project_id, "PATCH", fields)

    def suspend_tenant(self, project_id: str, reason: str) -> Tenant:
        """Stops all functions of a tenant, and rejects its calls."""
        return self._change(project_id, "PATCH", {"suspended": reason})

    def resume_tenant(self, project_id: str) -> Tenant:
        """Ends a suspension."""
        return self._change(project_id, "PATCH", {"suspended": None})

    def offboard_tenant(self, project_id: str, *, confirm: bool = False, grace_seconds: int | None = None) -> Tenant:
        """Requests the removal of a tenant; with `confirm`, after the grace period, confirms it."""
        query = {"confirm": "true"} if confirm else {}
        query.update({} if grace_seconds is None else {"grace_seconds": str(grace_seconds)})
        return self._change(project_id, "DELETE", None, **query)

    def keep_tenant(self, project_id: str) -> Tenant:
        """Cancels the requested removal of a tenant."""
        return self._change(project_id, "PATCH", {"offboarding": None})

    def _change(self, project_id: str, method: str, fields: dict[str, Any] | None, **query: str) -> Tenant:
        return Tenant.new(id=project_id).change(self, method, fields, **query)
