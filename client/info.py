"""What an installation of the service offers: the answer to `GET /v1/info`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Info:
    """What an installation of the service offers.

    Attributes:
        service_type: its type in the catalog.
        versions: `min_version` and `max_version` of the API.
        algorithms: names of the algorithms of checksums.
        default_algorithms: those of a request that names none.
        object_store: `swift`, `rgw` or `s3`.
        features: which optional parts there are, by name.
        limits: of one request, by the name of the operator's setting.
    """

    service_type: str
    versions: Mapping[str, str]
    algorithms: tuple[str, ...]
    default_algorithms: tuple[str, ...]
    object_store: str
    features: Mapping[str, bool]
    limits: Mapping[str, float]


def info_of(document: Mapping[str, Any]) -> Info:
    """An answer to `GET /v1/info`; a later version may say more."""
    return Info(
        service_type=document["service_type"],
        versions=document["versions"],
        algorithms=tuple(document["algorithms"]),
        default_algorithms=tuple(document["default_algorithms"]),
        object_store=document["object_store"],
        features=document["features"],
        limits=document["limits"],
    )
