"""The platform file: the operator's description of the cluster, in YAML; on a cluster, one key of a ConfigMap.

    functions:                                   # the catalogue; the only required field
      checksums:
        image: registry.example.org/osfaas/checksums@sha256:…
        cpu_millis: 500                          # this and the rest: see policies.model.CatalogueFunction
        environment: {MAX_STREAMS: "8"}
    destinations:                                # where functions may connect to: the object store
      - {cidr: 192.0.2.0/24, ports: [443]}
    own_function_images: [registry.example.org]  # whose images tenants may run as functions of their own
    sandbox_runtime_class: gvisor                # this and the rest: see policies.model.Platform
    sidecars: false

The fields are those of `policies.model.Platform`, with the same names and defaults. Unknown fields are rejected,
because a misspelled one would silently leave a default in force.
"""

import ipaddress
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from policies.model import Builds, Destination, Platform
from tenancy.model.errors import PlatformFileError

_FUNCTION_NAME = re.compile(r"[a-z]([-a-z0-9]{0,48}[a-z0-9])?")
# A host, and below it whole segments; neither a scheme nor a tag. An empty one would allow everything.
_IMAGES = re.compile(r"[a-z0-9][-a-z0-9.]*(:[0-9]{1,5})?(/[a-z0-9][-a-z0-9._]*)*")
_HIGHEST_PORT = 65535
_REGISTRY = re.compile(r"[a-z0-9][-a-z0-9.]*(:[0-9]{1,5})?")
_BASE = re.compile(r"[a-z0-9][-a-z0-9._/]*@sha256:[0-9a-f]{64}")
# Those that osfaas-build detects (`builds.runtimes`).
_RUNTIMES = ("asgi", "framework")
_BUILD_NUMBERS = ("cpu_millis", "memory_mib", "disk_mib", "deadline_seconds", "per_project", "archive_max_bytes")


class _Document(BaseModel):
    # Applies to the dataclasses as well, which have no separate configuration.
    model_config = ConfigDict(extra="forbid", strict=True)

    platform: Platform


def read_platform(path: Path) -> Platform:
    """Reads the platform from a file.

    Raises:
        PlatformFileError: it cannot be read, is not YAML, or has unknown, missing or invalid fields; names them.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise PlatformFileError(f"{path}: {error}") from error
    try:
        return platform_of(document)
    except PlatformFileError as error:
        raise PlatformFileError(f"{path}: {error}") from error


def platform_of(document: Any) -> Platform:
    """The platform in a parsed YAML document.

    Raises:
        PlatformFileError: it has unknown, missing or invalid fields; names them.
    """
    if not isinstance(document, dict):
        raise PlatformFileError("expected a mapping with at least the field 'functions'")
    try:
        # Through JSON, where a list is the strict form of a tuple.
        text = json.dumps({"platform": {**document, "functions": _named(document.get("functions"))}})
        platform = _Document.model_validate_json(text).platform
    except ValidationError as error:
        raise PlatformFileError("; ".join(_sentence(part) for part in error.errors())) from error
    except TypeError as error:
        raise PlatformFileError(str(error)) from error
    problems = [
        *_function_problems(platform),
        *_destination_problems("", platform.destinations),
        *_image_problems(platform),
        *_build_problems(platform.builds),
    ]
    if problems:
        raise PlatformFileError("; ".join(problems))
    return platform


def _named(functions: Any) -> Any:
    if not isinstance(functions, dict):
        return functions
    return {
        name: {"name": name, **fields} if isinstance(fields, dict) else fields for name, fields in functions.items()
    }


def _sentence(part: Any) -> str:
    where = ".".join(str(step) for step in part["loc"][1:])
    return f"{where}: {part['msg']}"


def _function_problems(platform: Platform) -> list[str]:
    problems = []
    for name, function in platform.functions.items():
        if not _FUNCTION_NAME.fullmatch(name):
            problems.append(f"functions.{name}: the name must be a DNS label of at most 50 characters")
        if function.name != name:
            problems.append(f"functions.{name}.name: must be {name}, not {function.name}")
        numbers = ("cpu_millis", "memory_mib", "concurrency", "timeout_seconds", "max_scale", "window_seconds")
        for field in numbers:
            value = getattr(function, field)
            if value is not None and value < 1:
                problems.append(f"functions.{name}.{field}: must be at least 1, not {value}")
        if not 1 <= function.port <= _HIGHEST_PORT:
            problems.append(f"functions.{name}.port: must be from 1 to {_HIGHEST_PORT}, not {function.port}")
    return problems


def _destination_problems(of: str, destinations: Iterable[Destination]) -> list[str]:
    problems = []
    for number, destination in enumerate(destinations, start=1):
        try:
            ipaddress.ip_network(destination.cidr)
        except ValueError as error:
            problems.append(f"{of}destination {number}: {error}")
        # A rule without ports would open all of them.
        if not destination.ports or not all(1 <= port <= _HIGHEST_PORT for port in destination.ports):
            problems.append(f"{of}destination {number}: needs ports, each from 1 to {_HIGHEST_PORT}")
    return problems


def _image_problems(platform: Platform) -> list[str]:
    return [
        f"own_function_images: {place!r} is no registry or repository, such as registry.example.org/atlas"
        for place in platform.own_function_images
        if not _IMAGES.fullmatch(place)
    ]


def _build_problems(builds: Builds | None) -> list[str]:
    if builds is None:
        return []
    problems = _destination_problems("builds: ", builds.destinations)
    if not _REGISTRY.fullmatch(builds.registry):
        problems.append(f"builds.registry: {builds.registry!r} is no host with or without a port")
    for field in ("registry_url", "token_url", "index_url"):
        url = urlsplit(getattr(builds, field))
        if url.scheme not in {"http", "https"} or not url.hostname or url.username or url.password:
            problems.append(f"builds.{field}: must be an http or https URL without a user")
    if set(builds.bases) != set(_RUNTIMES):
        problems.append(f"builds.bases: must name a base image for each of {' and '.join(_RUNTIMES)}")
    problems += [
        f"builds.bases.{runtime}: {base!r} must be repository@sha256:… in the registry"
        for runtime, base in builds.bases.items()
        if not _BASE.fullmatch(base)
    ]
    problems += [
        f"builds.{field}: must be at least 1, not {getattr(builds, field)}"
        for field in _BUILD_NUMBERS
        if getattr(builds, field) < 1
    ]
    return problems
