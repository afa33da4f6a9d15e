"""The bill of materials of an image: CycloneDX 1.6. Pure: the same image gives the same bytes."""

import datetime as dt
import uuid
from collections.abc import Iterator

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from images.contents import Contents


def bill_of(name: str, version: str, digest: str, base: str, contents: Contents, *, epoch: int) -> str:
    """The document.

    Args:
        name: of the image.
        version: of the image.
        digest: of the image.
        base: digest of its base image.
        contents: what is in it.
        epoch: seconds since 1970, the time of the document.
    """
    url = PackageURL("oci", name=name, version=digest)
    image = Component(type=ComponentType.CONTAINER, name=name, version=version, purl=url, bom_ref=digest)
    below = Component(type=ComponentType.CONTAINER, name="base image", version=base, bom_ref=base)
    bill = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, digest), components=[below, *_components(contents)])
    bill.metadata.component = image
    bill.metadata.timestamp = dt.datetime.fromtimestamp(epoch, dt.UTC)
    bill.register_dependency(image, bill.components)
    return JsonV1Dot6(bill).output_as_string(indent=2) + "\n"


def _components(contents: Contents) -> Iterator[Component]:
    system, release = contents.system
    yield Component(type=ComponentType.OPERATING_SYSTEM, name=system, version=release, bom_ref=f"{system}-{release}")
    yield Component(
        type=ComponentType.PLATFORM, name="python", version=contents.python, bom_ref=f"python-{contents.python}"
    )
    licenses = LicenseFactory()
    for each in contents.distributions:
        url = PackageURL("pypi", name=each.name, version=each.version)
        yield Component(
            name=each.name,
            version=each.version,
            purl=url,
            bom_ref=str(url),
            licenses=[licenses.make_from_string(each.license)] if each.license else (),
        )
    for package in contents.debian:
        url = PackageURL("deb", system, package.name, package.version, {"arch": package.architecture})
        yield Component(name=package.name, version=package.version, purl=url, bom_ref=str(url))
