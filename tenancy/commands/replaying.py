"""What `osfaas tenant verify` and `openstack function tenant verify` do alike."""

import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

from policies.model import IsolationLevel, Platform, TenantSpec
from tenancy import use_cases
from tenancy.commands.access import Access
from tenancy.model.errors import NotOnboardedError

# The official client of Kubernetes takes half a second to load.
if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenancy.isolation.verdict import Finding

_PORTS = {"http": 80, "https": 443}

# Options that both commands have, with their help.
AGAINST = "Project (name or ID) whose tenant is attacked. Default: the first other tenant."
LEVEL = "Isolation level to test. Default: that of the tenant."
IMAGE = "Image of the probe pods, with python3. Default: that of the platform's first function."
KEYSTONE = "Keystone, which functions must not reach: HOST:PORT or URL."
STORE = "Object store, which functions may reach: HOST:PORT or URL. Default: a destination with a single address."


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyRequest:
    """What is to be verified.

    Attributes:
        project, against: tenants by the id or name of their projects; `against` is attacked.
        domain: of the names of both.
        level: None: the tenant's own.
        keystone, store: host and port.
    """

    project: str
    domain: str | None
    against: str | None
    level: IsolationLevel | None
    image: str | None
    keystone: tuple[str, int] | None
    store: tuple[str, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What was found, and the namespaces of both tenants."""

    findings: "Sequence[Finding]"
    tenant: str
    victim: str
    level: IsolationLevel


def address_of(value: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT` or a URL; a URL without a port has its scheme's default.

    Raises:
        ValueError: there is no host or no port.
    """
    parts = urlsplit(value if "//" in value else f"//{value}")
    try:
        port = parts.port or _PORTS[parts.scheme]
    except (KeyError, ValueError):
        raise ValueError(f"{value!r} has no port. Use HOST:PORT or a URL.") from None
    if not parts.hostname:
        raise ValueError(f"{value!r} has no host. Use HOST:PORT or a URL.")
    return parts.hostname, port


def replayed(access: Access, platform: Platform, wanted: VerifyRequest) -> Replayed:
    """Replays the attacks.

    Raises:
        TenancyError, PolicyError: the replay is not possible.
    """
    # A signal becomes an exception, so that the pods are removed.
    signal.signal(signal.SIGTERM, _end)
    from tenancy.isolation.replay import ReplayRequest, replay
    from tenancy.kubernetes.client import load_configuration

    attacker = use_cases.get_tenant(access.tenants, access.tenant_id(wanted.project, wanted.domain)).spec
    victim = _victim(access, attacker, wanted)
    order = ReplayRequest(
        tenant=attacker,
        victim=victim,
        platform=platform,
        level=wanted.level or attacker.isolation,
        image=wanted.image or next(iter(platform.functions.values())).image,
        keystone=wanted.keystone,
        store=wanted.store,
    )
    findings = replay(load_configuration(access.kubeconfig, context=access.context), order)
    return Replayed(findings=findings, tenant=attacker.namespace, victim=victim.namespace, level=order.level)


def _victim(access: Access, attacker: TenantSpec, wanted: VerifyRequest) -> TenantSpec:
    """The given tenant, or the first one that is not the attacker."""
    project = access.tenant_id(wanted.against, wanted.domain) if wanted.against else None
    for record in use_cases.list_tenants(access.tenants):
        if record.spec.project_id != attacker.project_id and project in {None, record.spec.project_id}:
            return record.spec
    raise NotOnboardedError("there is no other tenant to attack: onboard a second one, or name one with --against")


def _end(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)
