"""The pieces of the eventing manifests find each other, and the trigger lets through what the gateway understands."""

import re
import subprocess
from pathlib import Path

import yaml

from tests.machine import scaled
from tests.unit.manifests.rendered import CHECKOUT, KUBECTL, one, rendered

OBJECTS = rendered("manifests/eventing")


def test_trigger_listens_to_the_broker_and_calls_the_forwarder():
    trigger = one(OBJECTS, "Trigger", "osfaas-checksums")["spec"]
    assert one(OBJECTS, "Broker", trigger["broker"])
    service = one(OBJECTS, "Service", trigger["subscriber"]["ref"]["name"])["spec"]
    pod = one(OBJECTS, "Deployment", "osfaas-events")["spec"]["template"]
    assert service["selector"].items() <= pod["metadata"]["labels"].items()
    (container,) = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert service["ports"][0]["targetPort"] in ports
    assert str(ports["http"]) in container["args"]


def test_every_spelling_of_a_creation_passes_the_trigger():
    (filters,) = one(OBJECTS, "Trigger", "osfaas-checksums")["spec"]["filters"]
    prefixes = tuple(each["prefix"]["type"] for each in filters["any"] if "prefix" in each)
    for spelling in ("com.amazonaws.", "com.amazonaws.s3:", "com.amazonaws.s3."):
        assert f"{spelling}ObjectCreated:Put".startswith(prefixes)


def test_only_knatives_brokers_reach_the_forwarder():
    policy = one(OBJECTS, "NetworkPolicy", "osfaas-events")["spec"]
    pod = one(OBJECTS, "Deployment", "osfaas-events")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= pod.items()
    (rule,) = policy["ingress"]
    assert [peer["namespaceSelector"]["matchLabels"] for peer in rule["from"]] == [
        {"kubernetes.io/metadata.name": "knative-eventing"}
    ]


def test_forwarder_wants_the_secret_that_only_its_own_trigger_has():
    """The broker delivers for the Triggers of every namespace, and to the network they look alike."""
    spec = one(OBJECTS, "Deployment", "osfaas-events")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    file = container["args"][container["args"].index("--secret-file") + 1]
    (mount,) = (each for each in container["volumeMounts"] if file.startswith(each["mountPath"] + "/"))
    (volume,) = (each for each in spec["volumes"] if each["name"] == mount["name"])
    assert volume["secret"]["secretName"] == "osfaas-events-secret"
    assert file == f"{mount['mountPath']}/secret"


def test_forwarder_takes_the_command_that_there_is():
    from client.event_commands import events

    (container,) = one(OBJECTS, "Deployment", "osfaas-events")["spec"]["template"]["spec"]["containers"]
    group, *words = container["args"]
    assert group == events.name
    command = events.commands[words[0]]
    secret = words.index("--secret-file") + 1
    words[secret] = __file__  # a file that exists here
    assert command.make_context(words[0], words[1:]).params["host"] == "0.0.0.0"


def test_overlay_of_the_page_renders_and_gives_dead_letters_a_place(tmp_path: Path):
    page = (CHECKOUT / "docs/how-to/checksums-by-event.md").read_text(encoding="utf-8")
    (overlay,) = re.findall(r"my-events/kustomization.yaml <<'EOF'\n(.*?) *EOF\n", page, re.DOTALL)
    (tmp_path / "manifests").symlink_to(CHECKOUT / "manifests")
    folder = tmp_path / "my-events"
    folder.mkdir()
    (folder / "kustomization.yaml").write_text(re.sub("^   ", "", overlay, flags=re.MULTILINE), encoding="utf-8")
    words = [str(KUBECTL), "kustomize", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=scaled(60))
    assert done.returncode == 0, done.stderr
    objects = [item for item in yaml.safe_load_all(done.stdout) if item]
    assert {item["metadata"]["namespace"] for item in objects} == {"my-events"}
    delivery = one(objects, "Trigger", "osfaas-checksums")["spec"]["delivery"]
    assert delivery.pop("deadLetterSink") == {"ref": {"apiVersion": "v1", "kind": "Service", "name": "dead-letters"}}
    assert delivery == one(OBJECTS, "Trigger", "osfaas-checksums")["spec"]["delivery"]
    (container,) = one(objects, "Deployment", "osfaas-events")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example.org/osfaas-gateway:1.0"
