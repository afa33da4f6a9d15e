"""Asks the gateways whether they have a route yet, as net-istio does before it calls an Ingress ready.

Each route gets a twin that only probes meet: it matches `K-Network-Hash: override` and replaces that by the hash of the
Ingress. What answers behind it (queue-proxy or the activator) gives the hash back to `K-Network-Probe: probe`. A
gateway that does so has this very version of the Ingress. (knative.dev/networking, `pkg/ingress` and `pkg/status`.)
"""

from __future__ import annotations

import hashlib
import json
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any

from tests.cluster.standins.gateways import service_of

if TYPE_CHECKING:
    from collections.abc import Iterator

HASH_HEADER = "K-Network-Hash"
HASH_OVERRIDE = "override"
_SECONDS = 2.0


def hash_of(ingress: dict[str, Any]) -> str:
    """A word for this version of an Ingress."""
    return hashlib.sha256(json.dumps(ingress["spec"], sort_keys=True).encode()).hexdigest()


def wanted_probes(ingress: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Each (Service of the gateway, host, path) that has to answer."""
    for rule in ingress["spec"].get("rules", []):
        for host in rule["hosts"]:
            for path in rule["http"]["paths"]:
                yield service_of(rule), host, path.get("path") or "/"


def addresses_of(endpoints: dict[str, Any], port_name: str) -> tuple[tuple[str, int], ...]:
    """The (IP, port) of every ready pod behind a Service, by the Endpoints object of the Service."""
    return tuple(
        (address["ip"], port["port"])
        for subset in endpoints.get("subsets") or ()
        for port in subset.get("ports") or ()
        if (port.get("name") or "") == port_name
        for address in subset.get("addresses") or ()
    )


def answers_with(address: tuple[str, int], host: str, path: str, wanted: str) -> bool:
    """Whether the gateway at an address leads this host's path by the wanted version."""
    headers = {
        "Host": host,
        "User-Agent": "Knative-Ingress-Probe",
        "K-Network-Probe": "probe",
        HASH_HEADER: HASH_OVERRIDE,
    }
    connection = HTTPConnection(*address, timeout=_SECONDS)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status == 200 and response.getheader(HASH_HEADER) == wanted
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
