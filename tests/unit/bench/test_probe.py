"""What is said about a missed goal comes from samples, and from the time of the processes that take part."""

import os
import sys
from pathlib import Path

import pytest

import gateway
from tests.bench import probe as probes
from tests.bench.measure import Probe
from tests.bench.probe import as_text, by_function, by_package, explain, read_stacks

OWN = Path(gateway.__file__).parent
STACKS = f"""\
main (/opt/x/main.py:1);Runner.run (/usr/lib/python3.11/asyncio/runners.py:9) 50
main (/opt/x/main.py:1);stat (/v/lib/python3.11/site-packages/aiohttp/client.py:7) 30
main (/opt/x/main.py:1);stat ({OWN}/objects/swift.py:3) 10
main (/opt/x/main.py:1);dumps (/usr/lib/python3.11/json/__init__.py:3) 5
main (/opt/x/main.py:1);sleep (/usr/lib/python3.11/time.py:3) 5
no number
"""


def test_samples_count_for_the_package_of_the_innermost_frame_and_waiting_for_none() -> None:
    stacks = read_stacks(STACKS)
    assert len(stacks) == 5
    assert by_package(stacks) == {"aiohttp": 0.6, "gateway.objects": 0.2, "json": 0.1, "time": 0.1}
    assert by_function(stacks)["stat (aiohttp)"] == 0.6


def test_frames_of_python_itself_have_the_name_of_their_module() -> None:
    frames = ["_find_spec (<frozen importlib._bootstrap>:9)", "getattr (<string>:2)", "no frame"]
    assert [next(iter(by_package([([frame], 1)]))) for frame in frames] == ["importlib", "<string>", "no frame"]


def test_text_has_the_largest_shares_and_not_the_smallest() -> None:
    shares = {"b": 0.1, "a": 0.5, "c": 0.001, **{f"n{number}": 0.03 for number in range(9)}}
    assert as_text(shares) == "a 50%, b 10%, n0 3%, n1 3%, n2 3%, n3 3%"


def test_processes_that_take_part_are_named_with_their_share_and_the_bound_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probes, "_py_spy", lambda: None)
    done: list[int] = []
    said = explain(Probe(lambda: done.append(sum(range(3_000_000))), ("this one", os.getpid()), bound="arithmetic"))
    assert len(done) == 1
    assert said[0].startswith("processors: ")
    assert "this one" in said[0]
    assert said[-2:] == ["this one: no profile (py-spy may not look in)", "bound: arithmetic"]


def test_program_without_a_profiler_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_py_spy", lambda: None)
    said = explain(Probe(command=([sys.executable, "-c", "pass"], {})))
    assert said == ["the program: no profile (py-spy may not look in)"]
