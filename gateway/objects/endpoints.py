"""Store endpoints of a caller: from the token's catalog or the settings, never from the request."""

from gateway.errors import ErrorCode, GatewayError
from gateway.identity.caller import Caller


def endpoint_of(
    caller: Caller, *, service_type: str, interface: str, region: str | None, configured: str | None
) -> str | None:
    """URL of a service for a caller, without a trailing slash; None if there is none.

    Args:
        caller: with the catalog.
        service_type: `object-store` or `s3`.
        interface: of the endpoint.
        region: None selects the first one.
        configured: replaces the catalog; may contain `{project_id}`.
    """
    if configured is not None:
        return configured.replace("{project_id}", caller.project_id)
    for endpoint in caller.endpoints:
        if (
            endpoint.service_type == service_type
            and endpoint.interface == interface
            and region in {None, endpoint.region}
        ):
            return endpoint.url.rstrip("/")
    return None


def account_of(caller: Caller, *, interface: str, region: str | None, configured: str | None) -> str:
    """URL of the caller's Swift account.

    Raises:
        GatewayError: OBJECT_UNSUPPORTED, if the catalog has none.
    """
    url = endpoint_of(caller, service_type="object-store", interface=interface, region=region, configured=configured)
    if url is None:
        raise GatewayError(ErrorCode.OBJECT_UNSUPPORTED, why="the token's catalog has no object store")
    return url
