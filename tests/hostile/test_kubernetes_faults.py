"""Family 10: a Kubernetes API that is down, refuses, lies or forgets. Where each case is shown:

- down: `tests/unit/tenancy/directory/test_kubernetes_directory.py` (what is known stays), `test_execute.py` (the round
  ends), `test_leadership.py` (the leader stops in time), `tests/cluster/test_gateway_directory.py` (one that goes away)
- 409 storm: `tests/cluster/test_tenancy_cluster.py` (one writes at a time), `test_plan.py`, `test_leadership.py`
- 410 Gone: `test_informer.py` (a new list), `test_tenancy_cluster.py` (the real one says it)
- watch silently dead: the pauses and the relisting in `test_informer.py`; over a real socket not shown
- partial list: `test_tenancy_cluster.py` (a list is whole though it comes in pages), `test_tenancy_lifecycle.py` (an
  empty list of projects changes nothing); here, a list that breaks off
- quota denied: `test_execute.py` (one refusal does not keep the others back), `test_function_status.py`
- object owned by others: `test_plan.py`, `test_tenancy_lifecycle.py` (what it did not make is not touched)
- namespace Terminating: `test_plan.py` (it is waited for)
"""

import time

import pytest
from fronts import Front, hang_up, reset, says, status

from tenancy.directory.kubernetes_directory import KubernetesDirectory
from tenancy.model.errors import DirectoryError
from tests.machine import scaled

FAULTS = {
    "hangs up": hang_up,
    "reset": reset,
    "401": status(401),
    "403": status(403),
    "404": status(404),
    "409": status(409),
    "410": status(410, b'{"kind":"Status","code":410,"reason":"Expired"}'),
    "429": status(429, b"", "Retry-After: 1"),
    "500": status(500),
    "no JSON": status(200, b"<html>", "Content-Type: application/json"),
    "list that breaks off": says(
        b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{"items":['
    ),
}


@pytest.fixture
def kubeconfig(tmp_path):
    """Of an API server behind a front that a test breaks."""
    made = Front(target_port=1)
    path = tmp_path / "kubeconfig"
    path.write_text(
        f"""\
apiVersion: v1
kind: Config
current-context: c
clusters: [{{name: c, cluster: {{server: "http://127.0.0.1:{made.port}"}}}}]
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
users: [{{name: u, user: {{token: t}}}}]
"""
    )
    yield made, path
    made.close()


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_nobody_is_called_unknown_or_known_while_the_api_server_fails(kubeconfig, fault):
    """Neither a tenant nor a stranger: not known yet, which is a 503."""
    from tenancy.kubernetes.client import connect

    made, path = kubeconfig
    made.fault = fault
    directory = KubernetesDirectory(connect(path), local_gateway_url="http://ingress.test")
    directory.start()
    deadline = time.monotonic() + scaled(10)
    while not made.seen and time.monotonic() < deadline:
        time.sleep(0.02)
    assert made.seen
    with pytest.raises(DirectoryError):
        directory.tenant_of("p")
    assert directory.sync_age_seconds() is None
