"""The configuration of Envoy: each limit is the gateway's, and nothing of a caller is trusted or rewritten."""

import json
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from gateway.commands import envoy_config
from gateway.envoy.bootstrap import build_config
from gateway.envoy.connection_manager import EXACT_PATHS, PATH_PREFIXES
from gateway.envoy.options import Address, Certificate, EnvoyOptions, address_of, gateway_address
from gateway.settings import Settings

CHECKOUT = Path(__file__).resolve().parents[3]
LISTEN, GATEWAY = Address("0.0.0.0", 443), Address("127.0.0.1", 8788)
OPTIONS = EnvoyOptions(listen=LISTEN, gateways=(GATEWAY,))


def config(options: EnvoyOptions = OPTIONS, **settings: object) -> dict:
    return build_config(Settings(**settings), options)


def listener(made: dict) -> dict:
    (only,) = made["static_resources"]["listeners"]
    return only


def manager(made: dict) -> dict:
    return listener(made)["filter_chains"][0]["filters"][0]["typed_config"]


def cluster(made: dict) -> dict:
    (only,) = made["static_resources"]["clusters"]
    return only


def monitor(made: dict, name: str) -> dict:
    found = {each["name"]: each["typed_config"] for each in made["overload_manager"]["resource_monitors"]}
    return found[f"envoy.resource_monitors.{name}"]


def test_paths_arrive_as_they_were_sent():
    made = manager(config())
    assert (made["normalize_path"], made["merge_slashes"]) == (False, False)
    assert made["path_with_escaped_slashes_action"] == "KEEP_UNCHANGED"


def test_nothing_that_a_caller_says_about_itself_is_trusted():
    made = manager(config())
    assert made["use_remote_address"]
    assert made["xff_num_trusted_hops"] == 0
    assert made["internal_address_config"] == {}
    assert made["forward_client_cert_details"] == "SANITIZE"
    assert made["common_http_protocol_options"]["headers_with_underscores_action"] == "REJECT_REQUEST"
    removed = set(made["route_config"]["request_headers_to_remove"])
    assert {"x-forwarded-for", "x-forwarded-proto", "x-request-id", "x-envoy-external-address"} <= removed


def test_limits_of_a_head_are_the_gateways():
    made = manager(config(head_max_bytes=40_000, head_max_fields=42, head_timeout_seconds=3.5))
    assert made["max_request_headers_kb"] == 40  # of 1,024 bytes: none that the gateway takes is too large
    assert made["common_http_protocol_options"]["max_headers_count"] == 42
    assert made["request_headers_timeout"] == "3.500s"


def test_head_limit_of_the_gateway_may_be_larger_than_envoys_largest():
    assert manager(config(head_max_bytes=1 << 30))["max_request_headers_kb"] == 8_192


@pytest.mark.parametrize(("function", "response"), [(1_800, 1_770), (60, 1_770), (7_200, 30)])
def test_a_silent_computation_is_not_cut_off(function: float, response: float):
    """The gateway answers first, a minute before."""
    made = manager(config(function_timeout_seconds=function, response_timeout_seconds=response))
    wanted = f"{max(function, response) + 60:.3f}s"
    assert made["stream_idle_timeout"] == made["common_http_protocol_options"]["max_stream_duration"] == wanted
    assert made["request_timeout"] == f"{function:.3f}s"
    routes = made["route_config"]["virtual_hosts"][0]["routes"]
    assert {route["route"]["timeout"] for route in routes} == {"0s"}


def test_idle_connection_to_a_gateway_ends_before_the_gateway_ends_it():
    """Otherwise a call is sent into a connection that is being closed, and fails."""
    protocol = cluster(config(keep_alive_seconds=10))["typed_extension_protocol_options"]
    (options,) = protocol.values()
    assert options["common_http_protocol_options"]["idle_timeout"] == "8.000s"
    assert options["explicit_http_config"] == {"http_protocol_options": {}}


def test_no_call_is_sent_twice():
    text = json.dumps(config())
    assert "retry" not in text.lower().replace("retry-after", "").replace("max_retries", "")
    assert cluster(config())["circuit_breakers"]["thresholds"][0]["max_retries"] == 0


def test_connections_are_limited_by_the_gateways_settings():
    two = EnvoyOptions(listen=LISTEN, gateways=(GATEWAY, Address("127.0.0.1", 8789)))
    made = config(two, max_connections=100)
    assert monitor(made, "global_downstream_max_connections")["max_active_downstream_connections"] == 200
    # The rest stays free for probes and metrics.
    assert cluster(made)["circuit_breakers"]["thresholds"][0]["max_connections"] == 200 - 2 * 16
    assert monitor(made, "fixed_heap")["max_heap_size_bytes"] == (64 << 20) + 200 * 131_072


def test_several_gateways_are_checked_and_one_alone_is_not():
    """A single one that is busy has nobody to replace it."""
    two = EnvoyOptions(listen=LISTEN, gateways=(GATEWAY, Address("127.0.0.1", 8789)))
    assert cluster(config(two))["health_checks"][0]["http_health_check"]["path"] == "/healthcheck"
    assert "health_checks" not in cluster(config())


def test_tls_is_version_1_2_at_least_and_offers_http_2():
    made = config(EnvoyOptions(listen=LISTEN, gateways=(GATEWAY,), certificate=Certificate(Path("/c"), Path("/k"))))
    chain = listener(made)["filter_chains"][0]
    context = chain["transport_socket"]["typed_config"]["common_tls_context"]
    assert context["tls_params"]["tls_minimum_protocol_version"] == "TLSv1_2"
    assert context["alpn_protocols"] == ["h2", "http/1.1"]
    assert context["tls_certificates"] == [{"certificate_chain": {"filename": "/c"}, "private_key": {"filename": "/k"}}]
    assert chain["transport_socket_connect_timeout"] == "10.000s"
    assert "Strict-Transport-Security" in json.dumps(manager(made)["route_config"]["response_headers_to_add"])
    assert "transport_socket" not in listener(config())["filter_chains"][0]


def test_administration_is_off_unless_asked_for():
    assert "admin" not in config()
    made = config(EnvoyOptions(listen=LISTEN, gateways=(GATEWAY,), admin=Address("127.0.0.1", 9901)))
    assert made["admin"]["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 9901}


def test_log_has_no_query_and_no_field_of_a_request():
    (log,) = manager(config())["access_log"]
    text = log["typed_config"]["log_format"]["text_format_source"]["inline_string"]
    assert "%PATH(NQ)%" in text
    assert re.findall(r"%REQ\((.*?)\)%", text) == [":METHOD"]


def test_same_paths_are_open_as_on_a_cluster():
    """Those of manifests/gateway/edge.yaml, where the APIs of the control plane have routes of their own."""
    edge = yaml.safe_load_all((CHECKOUT / "manifests/gateway/edge.yaml").read_text(encoding="utf-8"))
    routes = next(each for each in edge if each["kind"] == "VirtualService")["spec"]["http"]
    elsewhere = {"projects", "functions", "registry-tokens"}
    uris = [match["uri"] for route in routes if route["name"] not in elsewhere for match in route["match"]]
    assert {uri["exact"] for uri in uris if "exact" in uri} == set(EXACT_PATHS)
    assert {uri["prefix"] for uri in uris if "prefix" in uri} == set(PATH_PREFIXES)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:80", "127.0.0.1", 80), ("[::1]:443", "::1", 443), ("gateway.example:8788", "gateway.example", 8788)],
)
def test_address_is_a_host_and_a_port(text: str, host: str, port: int):
    assert address_of(text) == Address(host, port)
    assert str(address_of(text)) == text


@pytest.mark.parametrize("text", ["", "localhost", ":80", "::1:80", "a:b", "a:80/", "a:99999", "u@a:80", "a:80?b"])
def test_anything_else_is_no_address(text: str):
    with pytest.raises(ValueError, match="not an address"):
        address_of(text)


@pytest.mark.parametrize(("listen", "host"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("10.0.0.5", "10.0.0.5")])
def test_gateway_of_the_settings_is_reached_where_it_listens(listen: str, host: str):
    assert gateway_address(Settings(listen_host=listen, listen_port=1234)) == Address(host, 1234)


def test_names_of_gateways_are_resolved():
    named = EnvoyOptions(listen=LISTEN, gateways=(Address("gateway.example", 8788),))
    assert (cluster(config(named))["type"], cluster(config())["type"]) == ("STRICT_DNS", "STATIC")


def test_command_prints_what_is_built_from_the_environment():
    done = CliRunner(env={"OSFAAS_HEAD_MAX_FIELDS": "64"}).invoke(
        envoy_config, ["--listen", "0.0.0.0:443", "--gateway", "127.0.0.1:8788"]
    )
    assert done.exit_code == 0
    assert yaml.safe_load(done.output) == config(head_max_fields=64)
    assert "&id" not in done.output  # aliases are hard to read


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["--certificate", "c.pem"], {}, "belong together"),
        (["--listen", "localhost"], {}, "not an address"),
        ([], {"OSFAAS_HEAD_MAX_FIELDS": "none"}, "OSFAAS_HEAD_MAX_FIELDS"),
    ],
)
def test_what_is_wrong_is_said(arguments: list[str], environment: dict[str, str], said: str):
    done = CliRunner(env=environment).invoke(envoy_config, arguments)
    assert done.exit_code == 2
    assert said in done.output
