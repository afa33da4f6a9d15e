"""Lists of the service, page by page."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from openstack import resource


class PagedResource(resource.Resource):
    """A resource whose list says where the next page is."""

    @classmethod
    def _get_next_link(
        cls, uri: str, response: Any, data: Any, *_counts: Any
    ) -> tuple[str | None, dict[str, list[str]]]:
        """The same list with the query of the link.

        openstacksdk takes the version out of a relative link, and asks once more after a page that is not full. Only
        the query is used: the token is not for another origin.
        """
        del response
        links = data.get("links") or data.get(f"{cls.resources_key}_links") or ()
        href = next((each["href"] for each in links if each["rel"] == "next"), None)
        return (None, {}) if href is None else (uri, parse_qs(urlsplit(href).query, keep_blank_values=True))
