"""The list of all attacks on one scene. Pure."""

from tenancy.verify.attack import Attack
from tenancy.verify.inside import inside_attacks
from tenancy.verify.network import network_attacks
from tenancy.verify.targets import Scene
from tenancy.verify.tenant_pods import tenant_pod_attacks
from tenancy.verify.tenant_user import tenant_user_attacks


def all_attacks(scene: Scene) -> tuple[Attack, ...]:
    """Every attack, in the order in which they are told."""
    return (*network_attacks(scene), *inside_attacks(), *tenant_user_attacks(scene), *tenant_pod_attacks(scene))
