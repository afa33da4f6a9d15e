"""The list of all attacks on one scene. Pure."""

from tenancy.isolation.attack import Attack
from tenancy.isolation.container_attacks import inside_attacks
from tenancy.isolation.network_attacks import network_attacks
from tenancy.isolation.targets import Scene
from tenancy.isolation.tenant_pod_attacks import tenant_pod_attacks
from tenancy.isolation.tenant_user_attacks import tenant_user_attacks


def all_attacks(scene: Scene) -> tuple[Attack, ...]:
    """Every attack, in the order in which they are told."""
    return (*network_attacks(scene), *inside_attacks(), *tenant_user_attacks(scene), *tenant_pod_attacks(scene))
