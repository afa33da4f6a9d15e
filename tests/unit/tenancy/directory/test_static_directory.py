"""The directory in a file: wrong ones are refused, and never replace a good one."""

import logging
from pathlib import Path

import pytest

from policies.names import ProjectId
from tenancy.directory.protocol import FunctionAddress
from tenancy.directory.static_directory import RECHECK_SECONDS, StaticDirectory, read_tenants
from tenancy.model.errors import DirectoryError, NotOnboardedError

GOOD = "tenants: [{project_id: aaaa, functions: {checksums: {url: 'http://127.0.0.1:8081'}}}]"
TWO = "tenants: [{project_id: aaaa}, {project_id: bbbb, suspended: unpaid}]"
BROKEN = [
    pytest.param("", id="empty"),
    pytest.param("tenants: [", id="not-yaml"),
    pytest.param("[]", id="list"),
    pytest.param("tenants: {}", id="tenants-not-a-list"),
    pytest.param("tenants:", id="tenants-null"),
    pytest.param("tenants: []\nmore: 1", id="unknown-key"),
    pytest.param("tenants: [1]", id="tenant-not-a-mapping"),
    pytest.param("tenants: [null]", id="tenant-null"),
    pytest.param("tenants: [{}]", id="no-project-id"),
    pytest.param("tenants: [{project_id: a, functoins: {}}]", id="unknown-field"),
    pytest.param("tenants: [{project_id: a}, {project_id: a}]", id="project-twice"),
    pytest.param("tenants: [{project_id: 01234567012345670123456701234567}]", id="project-id-octal"),
    pytest.param("tenants: [{project_id: 1_0}]", id="project-id-number"),
    pytest.param("tenants: [{project_id: true}]", id="project-id-true"),
    pytest.param("tenants: [{project_id: null}]", id="project-id-null"),
    pytest.param("tenants: [{project_id: ''}]", id="project-id-empty"),
    pytest.param("tenants: [{project_id: a, functions: {c: {url: 'http://x', hots: y}}}]", id="address-unknown-field"),
    pytest.param("tenants: [{project_id: a, functions: {c: {url: 'http://x', host: 5}}}]", id="host-number"),
    pytest.param("tenants: [{project_id: a, functions: {c: {url: 5}}}]", id="url-number"),
    pytest.param("tenants: [{project_id: a, functions: {checksums: {}}}]", id="function-without-url"),
    pytest.param("tenants: [{project_id: a, functions: {checksums: 'http://x'}}]", id="function-not-a-mapping"),
    pytest.param("tenants: [{project_id: a, functions: [1]}]", id="functions-not-a-mapping"),
    pytest.param("tenants: !!python/object/apply:os.getcwd []", id="python-object"),
    pytest.param(b"tenants: [{project_id: \xff}]", id="not-utf8"),
]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def write(path: Path, text: str | bytes) -> None:
    """Replaces the file, as a ConfigMap or an editor does."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(text if isinstance(text, bytes) else text.encode())
    fresh.replace(path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tenants.yaml"
    write(path, GOOD)
    return path


def test_unknown_project_is_not_onboarded(file: Path) -> None:
    directory = StaticDirectory(file)
    for unknown in ("bbbb", "aaa", "aaaaa", "AAAA", "", "aaaa\n"):
        with pytest.raises(NotOnboardedError):
            directory.tenant_of(ProjectId(unknown))


@pytest.mark.parametrize("text", BROKEN)
def test_broken_file_is_refused_at_the_start_and_the_message_names_it(file: Path, text: str | bytes) -> None:
    write(file, text)
    with pytest.raises(DirectoryError, match=r"tenants\.yaml"):
        StaticDirectory(file)


def test_missing_file_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(DirectoryError, match=r"none\.yaml"):
        StaticDirectory(tmp_path / "none.yaml")


@pytest.mark.parametrize("text", BROKEN)
def test_broken_file_leaves_the_last_good_one_in_force(
    file: Path, text: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    directory = StaticDirectory(file, clock=clock)
    write(file, text)
    clock.now += RECHECK_SECONDS
    with caplog.at_level(logging.ERROR):
        assert directory.tenant_of(ProjectId("aaaa")).project_id == "aaaa"
    assert "unchanged" in caplog.text
    write(file, TWO)
    clock.now += RECHECK_SECONDS
    assert directory.tenant_of(ProjectId("bbbb")).suspended == "unpaid"


def test_file_that_vanishes_leaves_the_last_good_one_in_force(file: Path) -> None:
    clock = Clock()
    directory = StaticDirectory(file, clock=clock)
    file.unlink()
    clock.now += RECHECK_SECONDS
    assert directory.tenant_of(ProjectId("aaaa")).project_id == "aaaa"


def test_new_tenant_is_served_without_a_restart_but_the_file_is_not_read_on_every_call(file: Path) -> None:
    clock = Clock()
    directory = StaticDirectory(file, clock=clock)
    write(file, TWO)
    clock.now += RECHECK_SECONDS - 0.01
    with pytest.raises(NotOnboardedError):
        directory.tenant_of(ProjectId("bbbb"))
    clock.now += 0.01
    assert directory.tenant_of(ProjectId("bbbb")).namespace == "faas-bbbb"


def test_tenant_that_is_taken_out_is_no_longer_served(file: Path) -> None:
    clock = Clock()
    directory = StaticDirectory(file, clock=clock)
    write(file, "tenants: []")
    clock.now += RECHECK_SECONDS
    with pytest.raises(NotOnboardedError):
        directory.tenant_of(ProjectId("aaaa"))


def test_tenant_has_what_the_file_says(file: Path) -> None:
    write(
        file,
        """
        tenants:
          - project_id: aaaa
            suspended: unpaid
            functions:
              checksums: {url: "http://127.0.0.1:8081/", host: checksums.faas-aaaa.svc.cluster.local}
              other: {url: "http://127.0.0.1:8082"}
              thumbnail: {url: "http://127.0.0.1:8083", callable: true, objects: true}
        """,
    )
    tenant = read_tenants(file)[ProjectId("aaaa")]
    assert tenant.namespace == "faas-aaaa"
    assert tenant.suspended == "unpaid"
    assert tenant.functions == {
        "checksums": FunctionAddress("http://127.0.0.1:8081", "checksums.faas-aaaa.svc.cluster.local"),
        "other": FunctionAddress("http://127.0.0.1:8082"),
        "thumbnail": FunctionAddress("http://127.0.0.1:8083", callable=True, objects=True),
    }


def test_tenant_needs_no_functions_and_is_not_suspended_unless_said(file: Path) -> None:
    write(file, "tenants: [{project_id: aaaa}]")
    tenant = read_tenants(file)[ProjectId("aaaa")]
    assert tenant.functions == {}
    assert tenant.suspended is None
