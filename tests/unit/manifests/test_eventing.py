"""The pieces of the eventing manifests find each other, and the trigger lets through what the gateway understands."""

from tests.unit.manifests.rendered import one, rendered

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


def test_forwarder_takes_the_command_that_there_is():
    from client.event_commands import events

    (container,) = one(OBJECTS, "Deployment", "osfaas-events")["spec"]["template"]["spec"]["containers"]
    group, *words = container["args"]
    assert group == events.name
    command = events.commands[words[0]]
    assert command.make_context(words[0], words[1:]).params["host"] == "0.0.0.0"
