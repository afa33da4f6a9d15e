"""Recording is loaded only where it is configured."""

import subprocess
import sys

import pytest

from gateway.settings import Settings
from gateway.telemetry.recording import recorder_of


def test_nothing_is_recorded_unless_it_is_configured() -> None:
    assert recorder_of(Settings()) is None


def test_opentelemetry_and_redis_are_not_loaded_unless_they_are_configured() -> None:
    program = (
        "import sys, gateway.server.serve\n"
        "print([name for name in sys.modules if name.partition('.')[0] in {'opentelemetry', 'redis', 'valkey'}])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_configured_without_the_extra_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "gateway.telemetry.otel", raising=False)
    with pytest.raises(ValueError, match="extra 'otel'"):
        recorder_of(Settings(otlp_endpoint="http://127.0.0.1:4318/v1/traces"))
