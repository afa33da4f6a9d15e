"""The list of all attacks. Pure."""

from tenancy.isolation.attack import Attack
from tenancy.isolation.container_attacks import container_attacks
from tenancy.isolation.kernel_attacks import kernel_attacks
from tenancy.isolation.network_attacks import network_attacks
from tenancy.isolation.own_code_attacks import own_code_attacks
from tenancy.isolation.targets import Context
from tenancy.isolation.tenant_pod_attacks import tenant_pod_attacks
from tenancy.isolation.tenant_user_attacks import tenant_user_attacks


def all_attacks(context: Context) -> tuple[Attack, ...]:
    """Every attack, in the order of the report."""
    return (
        *network_attacks(context),
        *container_attacks(context),
        *kernel_attacks(context),
        *own_code_attacks(context),
        *tenant_user_attacks(context),
        *tenant_pod_attacks(context),
    )
