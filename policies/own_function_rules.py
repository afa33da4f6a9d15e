"""The rules for tenants' own functions: level, name, image, size. Pure."""

import re
from collections.abc import Iterable

from policies.model import IsolationLevel, Limits, Platform, TenantSpec
from policies.own_build import has_repositories
from policies.own_function import OwnFunction, Rejection, Shortage
from policies.quota import pods_that_fit

LOWEST_LEVEL = IsolationLevel.L3
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HOST = re.compile(r"(?:[a-z0-9](?:[-a-z0-9]*[a-z0-9])?\.)*[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?::[0-9]{1,5})?")
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*")
_MAX_IMAGE = 512
# Fields of `Limits` that pods take from.
_CAPACITY = ("pods", "cpu_millis", "memory_mib")


def image_problem(image: str) -> str | None:
    """Why a reference does not name one image for ever, or None; one clause.

    A tag can be moved to another image after this one was checked, and the platform asks no registry.
    """
    if len(image) > _MAX_IMAGE:
        return f"it is longer than {_MAX_IMAGE} characters"
    repository, at, digest = image.partition("@")
    host, _, path = repository.partition("/")
    problems = (
        (
            not path or not _is_host(host),
            "it must begin with the host of a registry, as in registry.example.org/atlas/hello@sha256:…",
        ),
        (
            not at and ":" in path,
            "it names a tag, which can be moved to another image: name the digest, as in …/hello@sha256:…",
        ),
        (not at, "it has no digest: append @sha256:… (64 hex digits), which a push prints"),
        (not _DIGEST.fullmatch(digest), "its digest must be sha256: and 64 hex digits"),
        (
            not all(_COMPONENT.fullmatch(part) for part in path.split("/")),
            "its repository is malformed; a tag beside the digest is not allowed",
        ),
    )
    return next((why for wrong, why in problems if wrong), None)


def _is_host(host: str) -> bool:
    """Whether the first part names a registry; without a dot or a port it would be a repository of a default one."""
    return ("." in host or ":" in host or host == "localhost") and bool(_HOST.fullmatch(host))


def is_allowed(image: str, allowed: Iterable[str]) -> bool:
    """Whether the image's repository is one of the allowed ones, or below one of them."""
    repository = image.partition("@")[0]
    return any(repository == each or repository.startswith(f"{each.rstrip('/')}/") for each in allowed)


def rejection_of(function: OwnFunction, spec: TenantSpec, platform: Platform) -> Rejection | None:
    """Why the function is not built for this tenant, or None."""
    if not spec.isolation >= LOWEST_LEVEL:
        return Rejection(
            "IsolationTooLow",
            f"functions of one's own need level {LOWEST_LEVEL.value}, and this project's is {spec.isolation.value}: "
            "an administrator can raise it",
            stops=True,
        )
    if function.name in platform.functions:
        return Rejection(
            "NameConflict",
            f"{function.name} is the name of a function of the operator's catalogue: choose another name",
            stops=True,
        )
    if function.source:
        return _source_rejection(function, spec, platform) or capacity_rejection(function, (), spec.limits)
    problem = image_problem(function.image)
    if problem:
        return Rejection("InvalidImage", f"the image {function.image} cannot be used: {problem}")
    return _image_rejection(function, spec, platform) or capacity_rejection(function, (), spec.limits)


def _source_rejection(function: OwnFunction, spec: TenantSpec, platform: Platform) -> Rejection | None:
    builds = platform.builds
    if builds is None:
        return Rejection(
            "BuildsNotAvailable",
            "the operator has not set up builds of functions: deploy an image instead",
        )
    if not has_repositories(spec.project_id):
        return Rejection(
            "BuildsNotAvailable", f"no repository of a registry can be named after the project {spec.project_id}"
        )
    if not _DIGEST.fullmatch(function.source):
        return Rejection("InvalidSource", "the source must be sha256: and 64 hex digits, as the upload returns them")
    limits = spec.limits
    if builds.cpu_millis > limits.cpu_millis or builds.memory_mib > limits.memory_mib:
        return Rejection(
            "LimitsTooSmall",
            f"a build needs {builds.cpu_millis} millicores and {builds.memory_mib} MiB, and {_limits(limits)}",
        )
    return None


def capacity_rejection(function: OwnFunction, others: Iterable[OwnFunction], limits: Limits) -> Rejection | None:
    """Why the pods that must run do not fit into the limits, with the numbers, or None.

    Args:
        function: its pods are one, to become ready, or `min_scale`.
        others: the project's other functions, of which `min_scale` pods run all the time.
        limits: of the project.
    """
    if pods_that_fit(function, limits) < 1:
        over = _shortages(function, (), limits, 1)
        return Rejection("LimitsTooSmall", f"one pod of {_need(function, 1)}, and {_limits(limits)}", over=over)
    kept = [other for other in others if other.name != function.name and other.min_scale]
    number = max(1, function.min_scale)
    over = _shortages(function, kept, limits, number)
    if over:
        free = [max(0, getattr(limits, name) - _reserved(kept, name)) for name in _CAPACITY]
        return Rejection(
            "LimitsTooSmall",
            f"{number} {'pod' if number == 1 else 'pods'} of {_need(function, number)}, and {_limits(limits)}, of which"
            f" {free[0]} pods, {free[1]} millicores and {free[2]} MiB are not reserved by the min_scale of other"
            " functions",
            over=over,
        )
    return None


def _shortages(function: OwnFunction, kept: Iterable[OwnFunction], limits: Limits, number: int) -> tuple[Shortage, ...]:
    """The limits that `number` pods of the function exceed, beside the pods that other functions keep."""
    kept = tuple(kept)
    found = [
        Shortage(
            field=name,
            limit=getattr(limits, name),
            reserved=_reserved(kept, name),
            needed=number * _of_pod(function, name),
        )
        for name in _CAPACITY
    ]
    return tuple(each for each in found if each.reserved + each.needed > each.limit)


def _reserved(kept: Iterable[OwnFunction], name: str) -> int:
    return sum(other.min_scale * _of_pod(other, name) for other in kept)


def _of_pod(function: OwnFunction, name: str) -> int:
    """What one pod takes of a limit."""
    return 1 if name == "pods" else int(getattr(function, name))


def _image_rejection(function: OwnFunction, spec: TenantSpec, platform: Platform) -> Rejection | None:
    builds = platform.builds
    if builds and function.image.startswith(f"{builds.registry}/"):
        # A node that has an image of another project gives it to every pod that names it, without asking the registry.
        own = f"{builds.registry}/{spec.project_id}/"
        if function.image.startswith(own):
            return None
        message = f"in the registry {builds.registry}, a project may run images of its own repositories {own}… only"
        return Rejection("ImageNotAllowed", message)
    if is_allowed(function.image, platform.own_function_images):
        return None
    allowed = ", ".join(platform.own_function_images)
    repository = function.image.partition("@")[0]
    if not allowed:
        message = f"the image {repository} is not allowed: the operator allows no images of projects"
    else:
        message = f"the image {repository} is not allowed; allowed registries and repositories: {allowed}"
    return Rejection("ImageNotAllowed", message)


def _need(function: OwnFunction, number: int) -> str:
    needed = f"{number * function.cpu_millis} millicores and {number * function.memory_mib} MiB"
    return f"{function.name} {'needs' if number == 1 else 'need'} {needed}"


def _limits(limits: Limits) -> str:
    return f"the project's limits are {limits.pods} pods, {limits.cpu_millis} millicores and {limits.memory_mib} MiB"
