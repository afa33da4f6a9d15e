"""The platform file: what is refused, and what becomes of what is accepted."""

from pathlib import Path

import pytest

from policies.model import Destination, Platform
from tenancy.model.errors import PlatformFileError
from tenancy.platform.platform_file import read_platform

IMAGE = "registry.example.org/osfaas/checksums@sha256:00"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "platform.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("functions: [", "platform.yaml"),
        ("[]", "functions"),
        ("{}", "functions"),
        ("functions: {checksums: {}}", "functions.checksums.image"),
        ("functions: {checksums: x}", "functions.checksums"),
        ("functions: {checksums: {image: i, cpumillis: 5}}", "functions.checksums.cpumillis"),
        ("functions: {checksums: {image: i, name: other}}", "functions.checksums.name"),
        ("functions: {checksums: {image: i, cpu_millis: '5'}}", "functions.checksums.cpu_millis"),
        ("functions: {checksums: {image: i, max_scale: 0}}", "functions.checksums.max_scale"),
        ("functions: {checksums: {image: i, port: 70000}}", "functions.checksums.port"),
        ("functions: {Check.sums: {image: i}}", "functions.Check.sums"),
        ("functions: {1: {image: i}}", "functions.1"),
        ("functions: {}\ndestination: []", "destination"),
        ("functions: {}\ndestinations: [{cidr: 192.0.2.1/24, ports: [443]}]", "destination 1"),
        ("functions: {}\ndestinations: [{cidr: 192.0.2.0/24, ports: []}]", "destination 1"),
        ("functions: {}\ndestinations: [{cidr: 192.0.2.0/24, ports: [0]}]", "destination 1"),
        ("functions: {}\nown_function_images: ['']", "own_function_images"),
        ("functions: {}\nown_function_images: ['https://registry.example.org']", "own_function_images"),
        ("functions: {}\nown_function_images: [registry.example.org/]", "own_function_images"),
        ("functions: {}\nown_function_images: ['registry.example.org/hello:1']", "own_function_images"),
        ("functions: {}\nown_function_images: registry.example.org", "own_function_images"),
        ("functions: {}\nsidecars: sometimes", "sidecars"),
        ("functions: {}\ndns_labels: {a: 1}", "dns_labels.a"),
        ("functions: {}\nsystem_namespace: 2026-11-24", "date"),
    ],
)
def test_refuses_and_names_what_is_wrong(tmp_path: Path, text: str, named: str) -> None:
    """A file that is not as it should be is refused with the name of the field."""
    with pytest.raises(PlatformFileError, match=named.replace(".", r"\.")):
        read_platform(write(tmp_path, text))


def test_refuses_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(PlatformFileError, match="nowhere"):
        read_platform(tmp_path / "nowhere.yaml")


def test_what_is_left_out_has_the_default(tmp_path: Path) -> None:
    """A catalogue of one image is enough."""
    platform = read_platform(write(tmp_path, f"functions: {{checksums: {{image: '{IMAGE}'}}}}"))
    assert platform == Platform(functions=platform.functions)
    assert (platform.functions["checksums"].name, platform.functions["checksums"].image) == ("checksums", IMAGE)
    assert platform.functions["checksums"].concurrency == 8


def test_what_is_given_counts(tmp_path: Path) -> None:
    """Nested fields become the values of the model."""
    text = """
functions:
  checksums: {image: i, window_seconds: 30, environment: {MAX_STREAMS: "8"}}
destinations: [{cidr: 10.10.0.1/32, ports: [8080, 443]}]
dns_labels: {app: dns}
sandbox_runtime_class: gvisor
"""
    platform = read_platform(write(tmp_path, text))
    assert platform.functions["checksums"].window_seconds == 30
    assert platform.functions["checksums"].environment == {"MAX_STREAMS": "8"}
    assert platform.destinations == (Destination("10.10.0.1/32", (8080, 443)),)
    assert platform.dns_labels == {"app": "dns"}
    assert platform.sandbox_runtime_class == "gvisor"
