"""The system namespace: nothing flows but what is named, and every flow names its ports."""

import ipaddress

import pytest

from tests.unit.manifests.rendered import kustomizations, one, rendered

DOCUMENTATION = ipaddress.ip_network("192.0.2.0/24")


def policies(folder: str):
    return [item for item in rendered(folder) if item["kind"] == "NetworkPolicy"]


def test_everything_is_denied_first():
    """Both ways, for all pods of the namespace."""
    policy = one(rendered("manifests/system"), "NetworkPolicy", "default-deny")
    assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert policy["metadata"]["namespace"] == "osfaas-system"


@pytest.mark.parametrize("folder", kustomizations())
def test_every_rule_names_its_peers_and_its_ports(folder: str):
    """A rule without `from`, `to` or `ports` opens all of them."""
    for policy in policies(folder):
        for rule in policy["spec"].get("ingress", []):
            assert rule.get("from"), policy["metadata"]["name"]
            assert rule.get("ports"), policy["metadata"]["name"]
        for rule in policy["spec"].get("egress", []):
            assert rule.get("to"), policy["metadata"]["name"]
            assert rule.get("ports"), policy["metadata"]["name"]


@pytest.mark.parametrize("folder", kustomizations())
def test_no_block_is_the_whole_world(folder: str):
    """Neither is a metadata service (169.254.169.254) reached by any."""
    metadata = ipaddress.ip_address("169.254.169.254")
    for policy in policies(folder):
        for rule in policy["spec"].get("egress", []):
            for peer in rule["to"]:
                if block := peer.get("ipBlock"):
                    network = ipaddress.ip_network(block["cidr"])
                    assert network.prefixlen >= 8
                    assert metadata not in network


def test_the_bases_reach_neither_kubernetes_nor_openstack_before_an_overlay_says_where():
    """Addresses of documentation: wrong in the safe direction."""
    for name in ("allow-kubernetes-api", "allow-openstack"):
        (rule,) = one(rendered("manifests/system"), "NetworkPolicy", name)["spec"]["egress"]
        for peer in rule["to"]:
            assert ipaddress.ip_network(peer["ipBlock"]["cidr"]).subnet_of(DOCUMENTATION)
    for policy in policies("manifests/overlays/example"):
        for rule in policy["spec"].get("egress", []):
            for peer in rule["to"]:
                block = peer.get("ipBlock", {}).get("cidr", "10.0.0.0/8")
                assert not ipaddress.ip_network(block).subnet_of(DOCUMENTATION)


def test_the_controller_takes_no_call_from_the_edge():
    """Only monitoring reads it."""
    ingress = one(rendered("manifests/controller"), "NetworkPolicy", "controller-metrics")["spec"]["ingress"]
    (rule,) = ingress
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"osfaas.dev/monitoring": "true"}}}]


def test_whatever_reads_the_database_may_reach_it_and_nothing_else_may():
    """Each has a policy of its own, for the ports of PostgreSQL and MariaDB."""
    seen = 0
    for folder in kustomizations():
        items = rendered(folder)
        readers = {
            item["metadata"]["name"]
            for item in items
            if item["kind"] == "Deployment" and "osfaas-database" in str(item)
        }
        allowed = {
            policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/name"]: policy["spec"]["egress"][0]["ports"]
            for policy in policies(folder)
            if policy["metadata"]["name"].endswith("-to-database")
        }
        assert set(allowed) == readers, folder
        assert all({port["port"] for port in ports} == {5432, 3306} for ports in allowed.values())
        seen += len(readers)
    assert seen >= 3
