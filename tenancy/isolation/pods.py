"""The pods of a replay: a probe in the tenant's namespace and a decoy in the victim's. Pure."""

from pathlib import Path

from policies.labels import BUILD, MANAGED_BY
from policies.model import Manifest
from tenancy.isolation.targets import FUNCTION_PORTS, OWN_PORT

# A killed replay leaves its pods: they end by themselves, and the next replay removes them by this label.
VERIFY_LABEL = {MANAGED_BY: "osfaas-verify"}
_LIFETIME_SECONDS = 300
_PROGRAM_VARIABLE = "OSFAAS_PROBE"
_PROGRAM = Path(__file__).with_name("probe_program.py")


def probe_command(*words: str) -> list[str]:
    """The command line that runs the probe program, which all pods built here carry."""
    return ["python3", "-c", f"import os; exec(os.environ['{_PROGRAM_VARIABLE}'])", *words]


def probe_pod(namespace: str, name: str, image: str) -> Manifest:
    """A pod that waits for probes."""
    return restricted_pod(namespace, name, image, ["python3", "-c", f"import time; time.sleep({_LIFETIME_SECONDS})"])


def build_pod(namespace: str, name: str, image: str) -> Manifest:
    """A pod that waits for probes, and that policies take for a build's."""
    pod = probe_pod(namespace, name, image)
    labels = {key: value for key, value in pod["metadata"]["labels"].items() if "knative" not in key}
    pod["metadata"]["labels"] = {**labels, BUILD: name}
    return pod


def decoy_pod(namespace: str, name: str, image: str, word: str) -> Manifest:
    """A pod that listens on every port of a function pod and answers with a secret word."""
    ports = [*FUNCTION_PORTS, OWN_PORT]
    pod = restricted_pod(namespace, name, image, probe_command("serve", word, *map(str, ports)))
    pod["spec"]["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": ports[0]}, "periodSeconds": 1}
    return pod


def restricted_pod(namespace: str, name: str, image: str, command: list[str]) -> Manifest:
    """A pod that satisfies Pod Security `restricted` and has the labels of a function's pod.

    The additions of levels (user namespaces, read-only root, runtime class) are left to the cluster's admission:
    setting them here would hide that they are not enforced. No sidecar: an attacker would not request one.
    """
    # The kernel of a sandbox counts as the pod's memory: gVisor was killed with 48 MiB, and slow with 50m. Enough for
    # the threads of the fork bomb, which is to fail for their number and not for their memory.
    requested, limits = {"cpu": "50m", "memory": "160Mi"}, {"cpu": "200m", "memory": "160Mi"}
    container: Manifest = {
        "name": "probe",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "env": [{"name": _PROGRAM_VARIABLE, "value": _PROGRAM.read_text(encoding="utf-8")}],
        "resources": {"requests": requested, "limits": limits},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    knative = {f"serving.knative.dev/{kind}": name for kind in ("service", "configuration", "revision")}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {**VERIFY_LABEL, **knative, "sidecar.istio.io/inject": "false"},
        },
        "spec": {
            "containers": [container],
            "restartPolicy": "Never",
            "activeDeadlineSeconds": _LIFETIME_SECONDS,
            "terminationGracePeriodSeconds": 0,
            "enableServiceLinks": False,
        },
    }
