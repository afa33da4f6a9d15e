"""Requests of the service, however the catalog names it."""

from __future__ import annotations

from typing import Any

from openstack import exceptions, proxy
from requests import Response

VERSION = "/v1"


class ServiceProxy(proxy.Proxy):
    """What the parts of the proxy share."""

    # There is one version, and every path names it: a request for the version document would tell nothing.
    skip_discovery = True

    def request(self, url: str, method: str, *args: Any, **kwargs: Any) -> Response:
        """Sends a request; the catalog may name the service with or without its version."""
        if url.startswith(f"{VERSION}/") and self._base().endswith(VERSION):
            url = url[len(VERSION) :]
        answer: Response = super().request(url, method, *args, **kwargs)
        return answer

    def asked(self, url: str, method: str, **kwargs: Any) -> Response:
        """The successful answer to a request.

        Raises:
            HttpException: the service refuses.
        """
        answer = self.request(url, method, raise_exc=False, **kwargs)
        exceptions.raise_from_response(answer)
        return answer

    def reply(self, url: str, method: str, **kwargs: Any) -> Response:
        """A function's reply, whatever its status is. A redirect is not followed: it would get the token."""
        return self.request(url, method, raise_exc=False, redirect=False, **kwargs)

    def _base(self) -> str:
        return str(self.get_endpoint() or "").rstrip("/")
