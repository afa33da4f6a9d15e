"""Creates the arena once per run, and leaves the cluster as it was."""

from __future__ import annotations

import contextlib
import secrets
import time
from typing import TYPE_CHECKING, Any, TypedDict

import pytest
from kubernetes.client import ApiClient

from policies.labels import MANAGED_BY
from policies.platform import platform_manifests
from policies.tenant import tenant_manifests
from tenancy.isolation.attacks import all_attacks
from tenancy.isolation.discovery import discover_targets
from tenancy.isolation.pods import build_pod, decoy_pod, probe_pod
from tenancy.isolation.runners import PodName
from tenancy.isolation.targets import Context, Victim
from tenancy.kubernetes.client import Cluster, load_configuration, ref_of
from tenancy.model.errors import ClusterError
from tests.cluster.commands import run
from tests.cluster.node.facts import OPENSTACK_ADDRESS
from tests.cluster.platform_objects import platform_objects
from tests.cluster.probes import serve_command
from tests.cluster.product import installed_controller_stopped
from tests.cluster.progress import step
from tests.isolation.arena import (
    BOXED,
    IMAGE,
    INDEX_PORT,
    KEYSTONE_PORT,
    LOW,
    PLATFORM,
    STORE_PORT,
    TENANT,
    TOP,
    VICTIM,
    Arena,
    Place,
    applicable,
    edit_binding,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from policies.model import Manifest, TenantSpec
    from tests.cluster.testbed import Testbed

_PROBE, _DECOY, _BUILD = "probe", "decoy", "build"
_WORD = secrets.token_hex(8)
# A store that has room for many connections at once: one task for each, and no thread.
_STORE = """
import asyncio, sys
async def answer(reader, writer):
    try:
        await reader.readuntil(b"\\r\\n\\r\\n")
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\nConnection: close\\r\\n\\r\\nstore")
    except (asyncio.IncompleteReadError, OSError):
        pass
    finally:
        writer.close()
async def serve():
    server = await asyncio.start_server(answer, "", int(sys.argv[1]), backlog=4096)
    await server.serve_forever()
asyncio.run(serve())
"""


@pytest.fixture(scope="session")
def arena(cluster: Testbed) -> Iterator[Arena]:
    """The fixtures, with every attack of the tenant run once while all defences are in place."""
    configuration = load_configuration(cluster.running.layout.host_kubeconfig)
    objects = Cluster(ApiClient(configuration))
    with contextlib.ExitStack() as ending:
        with step("the arena of the isolation tests"):
            ending.enter_context(installed_controller_stopped(cluster))
            ending.enter_context(_replaced(objects, platform_manifests(PLATFORM)))
            ending.enter_context(platform_objects(objects, platform_manifests(PLATFORM)))
            for spec in (TENANT, LOW, TOP, BOXED, VICTIM):
                ending.callback(cluster.kubectl, "delete", "namespace", spec.namespace, "--wait=false")
                _onboard(objects, spec)
            outside = ending.enter_context(cluster.namespace("iso-outside"))
            ending.enter_context(_openstack(cluster))
            places = _places(cluster, outside)
            targets = discover_targets(objects, PLATFORM, (OPENSTACK_ADDRESS, KEYSTONE_PORT), None)
            arena = Arena(cluster, objects, configuration, targets, **places)
            context = Context(TENANT, PLATFORM, arena.tenant.victim, targets)
            arena.defended = arena.find([each.name for each in all_attacks(context)], arena.tenant)
        yield arena


@contextlib.contextmanager
def _replaced(objects: Cluster, manifests: Iterable[Manifest]) -> Iterator[None]:
    """The objects that an installed product has under the same names: its platform file has no sandbox, say."""
    found = [(each, before) for each in manifests if (before := objects.get(ref_of(each)))]
    try:
        for manifest, _ in found:
            objects.apply(manifest, force=True)
        yield
    finally:
        for _, before in found:
            objects.apply(applicable(before), force=True)


def _onboard(objects: Cluster, spec: TenantSpec) -> None:
    """As the controller would; a new namespace is not ready for everything at once, so patiently."""
    for manifest in (*tenant_manifests(spec, PLATFORM), edit_binding(spec)):
        _patiently(objects, manifest)


def _patiently(objects: Cluster, manifest: Manifest) -> None:
    # The quota of a kind that a new cluster has just learned of is unknown for up to half a minute.
    for _ in range(300):
        try:
            objects.apply(manifest, force=True)
        except ClusterError as error:
            problem = error
            time.sleep(0.25)
        else:
            return
    raise problem


@contextlib.contextmanager
def _openstack(cluster: Testbed) -> Iterator[None]:
    """A store, a Keystone and a metadata service, as far as it matters who can connect to them."""
    address = ("169.254.169.254/32", "dev", "lo")
    servers = serve_command(KEYSTONE_PORT, INDEX_PORT, 80)
    with cluster.openstack_server(servers), cluster.openstack_server(["python3", "-c", _STORE, str(STORE_PORT)]):
        run(cluster.running.on_openstack_side("ip", "address", "replace", *address))
        try:
            yield
        finally:
            run(cluster.running.on_openstack_side("ip", "address", "delete", *address))


class _Places(TypedDict):
    """The fields of `Arena` that are places."""

    tenant: Place
    low: Place
    outsider: Place
    top: Place
    boxed: Place
    low_victim: Place


def _places(cluster: Testbed, outside: str) -> _Places:
    pods = [
        probe_pod(TENANT.namespace, _PROBE, IMAGE),
        probe_pod(LOW.namespace, _PROBE, IMAGE),
        probe_pod(BOXED.namespace, _PROBE, IMAGE),
        careless(probe_pod(outside, _PROBE, IMAGE)),
        build_pod(TENANT.namespace, _BUILD, IMAGE),
        build_pod(LOW.namespace, _BUILD, IMAGE),
        build_pod(BOXED.namespace, _BUILD, IMAGE),
        decoy_pod(LOW.namespace, _DECOY, IMAGE, _WORD),
        decoy_pod(VICTIM.namespace, _DECOY, IMAGE, _WORD),
    ]
    for pod in pods:
        # They outlive a single replay, and a replay must not take them for its own leftovers.
        pod["spec"].pop("activeDeadlineSeconds")
        pod["metadata"]["labels"].pop(MANAGED_BY)
        if pod["metadata"]["name"] != _DECOY:
            pod["spec"]["containers"][0]["command"] = ["python3", "-c", "import time; time.sleep(86_400)"]
    cluster.kubectl.apply(*pods)
    for pod in pods:
        _await(cluster, f"pod/{pod['metadata']['name']}", pod["metadata"]["namespace"])
    _await(cluster, "ksvc/checksums", VICTIM.namespace)
    victim, decoy = _victim(cluster, VICTIM), PodName(VICTIM.namespace, _DECOY)
    build, low_build = PodName(TENANT.namespace, _BUILD), PodName(LOW.namespace, _BUILD)
    low_victim, low_decoy = _victim(cluster, LOW), PodName(LOW.namespace, _DECOY)
    return {
        "tenant": Place(TENANT, PodName(TENANT.namespace, _PROBE), victim, decoy, build),
        "low": Place(LOW, PodName(LOW.namespace, _PROBE), victim, decoy, low_build),
        "outsider": Place(LOW, PodName(outside, _PROBE), low_victim, low_decoy),
        "top": Place(TOP, PodName(TOP.namespace, "none"), victim, decoy),
        "boxed": Place(BOXED, PodName(BOXED.namespace, _PROBE), victim, decoy, PodName(BOXED.namespace, _BUILD)),
        "low_victim": Place(TENANT, PodName(TENANT.namespace, _PROBE), low_victim, low_decoy, build),
    }


def careless(pod: Manifest) -> Manifest:
    """The same pod as somebody makes it who does not care."""
    pod["spec"]["containers"][0].pop("securityContext")
    return pod


def _victim(cluster: Testbed, spec: TenantSpec) -> Victim:
    found: dict[str, Any] = cluster.kubectl.get("pod", _DECOY, "-n", spec.namespace)
    return Victim(spec.namespace, "checksums", found["status"]["podIP"], _WORD)


def _await(cluster: Testbed, what: str, namespace: str) -> None:
    cluster.kubectl("wait", "--for=condition=Ready", what, "-n", namespace, "--timeout=300s")
