"""Metadata of the objects of tenants and of the platform."""

from typing import Any

from policies.labels import MANAGED_BY, MANAGED_BY_US, TENANT
from policies.model import TenantSpec


def tenant_labels(spec: TenantSpec) -> dict[str, str]:
    """The labels by which the controller recognises its own objects and their tenant."""
    return {MANAGED_BY: MANAGED_BY_US, TENANT: spec.namespace}


def tenant_metadata(spec: TenantSpec, name: str, **fields: Any) -> dict[str, Any]:
    """Metadata of an object in the tenant's namespace; `fields` may bring annotations."""
    return {"name": name, "namespace": spec.namespace, "labels": tenant_labels(spec), **fields}


def platform_metadata(name: str, namespace: str | None = None) -> dict[str, Any]:
    """Metadata of an object of the platform; without a namespace it is cluster-scoped."""
    place = {"namespace": namespace} if namespace else {}
    return {"name": name, **place, "labels": {MANAGED_BY: MANAGED_BY_US}}
