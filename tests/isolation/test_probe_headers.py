"""Headers and a User-Agent by which Knative's own probes are told apart make queue-proxy answer for the function."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.commands import wait_until
from tests.isolation.arena import authorization

if TYPE_CHECKING:
    from tests.cluster.probes import Reply
    from tests.isolation.arena import Arena


_FAKE = ("User-Agent: kube-probe/1.36", "K-Kubelet-Probe: queue", "Knative-Activator-Probe: activator")
_REFUSED = "RBAC: access denied"


@pytest.mark.parametrize("header", [*_FAKE, "Knative-Serving-Revision: checksums-00001", "K-Original-Host: other"])
def test_the_gateway_refuses_it(arena: Arena, header: str) -> None:
    """Even from where no network policy stops anybody, and without it the function itself answers."""
    assert _ask(arena, "Accept: */*").status == 404  # the function knows no such path
    reply = _ask(arena, header)
    assert (reply.status, reply.body) == (403, _REFUSED), reply


def test_without_the_rule_the_function_seems_to_have_answered(arena: Arena) -> None:
    """A 200 for a path that the function does not know."""
    with arena.without(authorization("istio-system", "osfaas-forged-headers")):
        wait_until("a fake 200", lambda: _ask(arena, _FAKE[0]).status == 200, seconds=20)


def _ask(arena: Arena, header: str) -> Reply:
    host = f"Host: {arena.tenant.victim.host}"
    url = f"http://{arena.targets.local_gateway}/no-such-path"
    return arena.cluster.curl_from_node(url, "-H", host, "-H", header, seconds=30)
