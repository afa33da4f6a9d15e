"""Reads the limits of our service from Keystone with openstacksdk."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import openstack.exceptions
from keystoneauth1 import exceptions as ksa_exceptions

from policies.unified_limits import IncompleteLimitsError, UnifiedLimits, read_unified_limits, require_complete
from tenancy.model.errors import ProjectsError


@dataclass(frozen=True, slots=True)
class KeystoneLimits:
    """The limits of our service in Keystone.

    Attributes:
        connection: openstacksdk's.
        service_type: of our service in the catalog.
    """

    connection: Any
    service_type: str

    def read(self) -> UnifiedLimits:
        """All limits.

        Raises:
            ProjectsError: no complete answer.
        """
        try:
            access = self.connection.session.auth.get_access(self.connection.session)
            require_complete(access.role_names, system=access.system_scoped)
            region = self.connection.config.region_name or None
            requests = read_unified_limits(self.service_type, region, system=access.system_scoped)
            path = next(requests)
            while True:
                try:
                    path = requests.send(self._get(path))
                except StopIteration as end:
                    found: UnifiedLimits = end.value
                    return found
        except (openstack.exceptions.SDKException, ksa_exceptions.ClientException, IncompleteLimitsError) as error:
            raise ProjectsError(f"Keystone: {error}") from error

    def _get(self, path: str) -> Mapping[str, Any]:
        response = self.connection.identity.get(path)
        openstack.exceptions.raise_from_response(response)
        try:
            body: Mapping[str, Any] = response.json()
        except ValueError as error:
            raise IncompleteLimitsError(f"the answer to GET {path} is not JSON") from error
        return body
