"""The alerts and the dashboard speak of metrics that there are, with the labels and values that these have."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import promql_parser
import pytest
import yaml

from gateway.http.metrics import Metrics
from gateway.limits.model import NAMES
from gateway.telemetry.outcome import Outcome
from operations.metrics import WorkerMetrics
from tenancy.controller.metrics import ControllerMetrics
from tests.unit.manifests.rendered import CHECKOUT, MANIFESTS

FOLDER = MANIFESTS / "monitoring"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
PANELS: list[dict[str, Any]] = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
SHOWN = [target["expr"] for panel in PANELS for target in panel["targets"]]
EXPRESSIONS = [*(rule["expr"] for rule in RULES), *SHOWN]
_NAME = re.compile(r"\bosfaas_[a-z_]+")
_SELECTOR = re.compile(r"(osfaas_[a-z_]+)\{([^}]*)\}")
_MATCHER = re.compile(r'([a-z_]+)(=~|!~|!=|=)"([^"]*)"')
# Values of labels that are a closed list.
VALUES = {
    ("osfaas_request_outcomes_total", "outcome"): {str(outcome) for outcome in Outcome},
    ("osfaas_limit_decisions_total", "outcome"): {"granted", "waited", "rejected"},
    ("osfaas_limit_decisions_total", "limit"): set(NAMES),
    ("osfaas_token_validations_total", "result"): {"accepted", "rejected", "unknown"},
    ("osfaas_token_validations_total", "source"): {"cache", "keystone", "outage"},
}


def exposed() -> Mapping[str, frozenset[str]]:
    """The labels of every time series of all processes, by name."""
    found: dict[str, frozenset[str]] = {}
    for registry in (Metrics().registry, ControllerMetrics().registry, WorkerMetrics().registry):
        for collector in registry._collector_to_names:
            labels = frozenset(collector._labelnames)  # type: ignore[attr-defined]
            for name in registry._collector_to_names[collector]:
                found[name] = labels | ({"le"} if name.endswith("_bucket") else set())
    return found


def grouped(expression: str) -> Iterator[str]:
    for words in re.findall(r"\bby \(([^)]*)\)", expression):
        yield from (word.strip() for word in words.split(","))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_is_one_that_the_code_has(expression: str) -> None:
    named = set(_NAME.findall(expression))
    assert named
    assert named <= set(exposed())


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_label_is_one_that_its_metric_has(expression: str) -> None:
    known = exposed()
    for name, selector in _SELECTOR.findall(expression):
        for label, operator, value in _MATCHER.findall(selector):
            assert label in known[name], (name, label)
            if operator == "=" and (name, label) in VALUES:
                assert value in VALUES[name, label]
    for label in grouped(expression):
        assert any(label in known[name] for name in _NAME.findall(expression)), label


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_expression_is_promql(expression: str) -> None:
    """By Prometheus' grammar. Grafana puts a duration in the place of its variable."""
    promql_parser.parse(expression.replace("$__rate_interval", "5m"))


@pytest.mark.parametrize(
    "expression", ["sum(rate(osfaas_requests_total))", "osfaas_requests_total[5m", "sum by x (up)"]
)
def test_what_prometheus_would_not_load_is_noticed(expression: str) -> None:
    """A rate of no range, a bracket that stays open, labels without brackets."""
    with pytest.raises(ValueError, match=r"."):
        promql_parser.parse(expression)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_says_how_bad_it_is_and_is_explained_to_the_operator(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"]["summary"]
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert f"`{rule['alert']}`" in (CHECKOUT / "docs" / "how-to" / "monitor.md").read_text(encoding="utf-8")
    used = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert used <= set(grouped(rule["expr"]))


def test_alerts_have_names_of_their_own_and_panels_ids() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES) > 10
    assert len({panel["id"] for panel in PANELS}) == len(PANELS) > 10


def test_every_metric_of_the_gateway_is_in_the_reference() -> None:
    guide = (CHECKOUT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    for metric in Metrics().registry.collect():
        assert f"`{metric.name}" in guide, metric.name


def test_a_metric_that_is_not_there_would_be_noticed() -> None:
    assert "osfaas_no_such_total" not in exposed()
    assert "osfaas_requests_total" in exposed()
    assert "osfaas_request_duration_seconds_bucket" in exposed()
