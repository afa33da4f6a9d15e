"""A tenant's own function: the values of a `Function` object from which its Knative Service is built.

An own function is code of the tenant. It runs from level L3 on, from an image that the operator allows, within the
project's limits. A function of the catalogue is code of the operator (`policies.model.CatalogueFunction`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

# A revision's name is the function's, a dash and eight digits; a tag's host is the tag, a dash and the function's name.
# Both must be DNS labels.
MAX_NAME = 40
MAX_TAG = 20
# Any image can read its files as this user if they are readable for all.
DEFAULT_USER = 65_532


@dataclass(frozen=True, slots=True)
class TrafficTarget:
    """A share of a function's calls.

    Attributes:
        percent: of the calls without a tag.
        revision: name of the revision; None: the latest one that became ready.
        tag: name under which this revision can be called by itself, or None.
    """

    percent: int
    revision: str | None = None
    tag: str | None = None


ALL_TO_LATEST = (TrafficTarget(100),)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnFunction:
    """The specification of a tenant's own function.

    Attributes:
        name: a DNS label of at most `MAX_NAME` characters.
        image: `host/repository@sha256:…`; "" for a function that is built from its source.
        source: digest of the archive from which it is built, in the project's repository; "" for one with an image.
        command, args: replace those of the image; empty: the image's own.
        port: where it listens ($PORT is set by Knative).
        health_path: of the readiness probe; None: a connection to the port is enough.
        run_as_user: numeric user of the container; never root.
        environment: variables of the container.
        cpu_millis, memory_mib: request and limit of one pod's function container.
        concurrency: concurrent calls per pod (Knative's containerConcurrency).
        timeout_seconds: maximum duration of a call.
        min_scale: pods that are kept while nobody calls.
        max_scale: maximum number of pods, capped by the tenant's limits.
        secrets: names of the project's secrets that its pods mount as files.
        objects: whether it takes objects as inputs and outputs (`/v1/invoke/…?input=…&output=…`).
        attempt: another number makes another revision of the same specification.
        traffic: shares of the revisions, 100 percent together.
    """

    name: str
    image: str = ""
    source: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    port: int = 8080
    health_path: str | None = None
    run_as_user: int = DEFAULT_USER
    environment: Mapping[str, str] = field(default_factory=dict)
    cpu_millis: int = 250
    memory_mib: int = 256
    concurrency: int = 8
    timeout_seconds: int = 300
    min_scale: int = 0
    max_scale: int = 5
    secrets: tuple[str, ...] = ()
    objects: bool = False
    attempt: int = 0
    traffic: tuple[TrafficTarget, ...] = ALL_TO_LATEST


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryCredentials:
    """Passwords for the registry, limited to the repositories of one project."""

    pull: str = field(repr=False)
    push: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OwnBuilds:
    """The builds of a tenant's functions.

    Attributes:
        images: result of each build that succeeded, by function.
        wanted: functions that need a Job which does not exist yet.
        jobs: names of existing Jobs that stay.
        running: whether a Job needs the credential to push.
        credentials: for the registry; None: neither Jobs nor Secrets are made now.
    """

    images: Mapping[str, str] = field(default_factory=dict)
    wanted: frozenset[str] = frozenset()
    jobs: frozenset[str] = frozenset()
    running: bool = False
    credentials: RegistryCredentials | None = None


@dataclass(frozen=True, slots=True)
class OwnFunctions:
    """The own functions of a tenant, as its `Function` objects say.

    Attributes:
        functions: the well-formed ones, by name.
        malformed: names of the others, whose Knative Services stay as they are.
        revisions: names of the existing revisions in the namespace; None: not known, then all are taken to exist.
        secrets: the current version of each of the project's secrets.
        builds: of those with a source.
    """

    functions: tuple[OwnFunction, ...] = ()
    malformed: frozenset[str] = frozenset()
    revisions: frozenset[str] | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)
    builds: OwnBuilds = field(default_factory=OwnBuilds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """A limit that the pods of a function would exceed.

    Attributes:
        field: of `Limits`.
        limit: its number.
        reserved: what pods of other functions keep of it.
        needed: what the pods of this one need.
    """

    field: str
    limit: int
    reserved: int
    needed: int


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an own function is not built.

    Attributes:
        reason: one CamelCase word.
        message: a sentence with the remedy.
        stops: whether a Knative Service that was built earlier must go; otherwise it stays as it is.
        over: the limits that its pods exceed.
    """

    reason: str
    message: str
    stops: bool = False
    over: tuple[Shortage, ...] = ()
