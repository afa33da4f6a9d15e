"""Drivers of object stores by name, which the settings select. A new store needs a module and an entry here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.objects.dialect import RGW, SWIFT, SwiftDialect
from gateway.objects.http import StoreClient
from gateway.objects.model import ObjectStore
from gateway.objects.s3 import Presigner
from gateway.objects.s3_store import S3Store
from gateway.objects.swift import SwiftStore
from gateway.settings.upstream import StoreSettings


@dataclass(frozen=True, slots=True)
class DriverParts:
    """The components of a driver.

    Attributes:
        settings: of stores.
        client: sends requests to stores on the allowlist.
        presigner: signs with EC2 credentials of callers; Swift uses it where S3 serves the same objects.
    """

    settings: StoreSettings
    client: StoreClient
    presigner: Presigner


def _swift(parts: DriverParts, dialect: SwiftDialect = SWIFT) -> ObjectStore:
    return SwiftStore(parts.client, parts.settings, parts.presigner.presigned, dialect=dialect)


def _rgw(parts: DriverParts) -> ObjectStore:
    return _swift(parts, RGW)


def _s3(parts: DriverParts) -> ObjectStore:
    return S3Store(parts.client, parts.presigner, parts.settings.capabilities)


DRIVERS: Mapping[str, Callable[[DriverParts], ObjectStore]] = {"swift": _swift, "rgw": _rgw, "s3": _s3}
