"""Names of what belongs to a tenant."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.names import PREFIX, ProjectId, function_host, namespace_of

LABEL = re.compile(r"[a-z0-9]([a-z0-9\-]{0,61}[a-z0-9])?")
ids = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=80),
    st.from_regex(r"[a-z0-9]{1,80}", fullmatch=True),
    st.from_regex(r"h-?[0-9a-f]{38,42}", fullmatch=True),
    st.uuids().map(lambda uuid: uuid.hex),
    st.uuids().map(str),
)


@pytest.mark.parametrize(
    "project_id",
    ["", "UPPER", "a-b", "a_b", "a.b", "a/b", "../kube-system", "a\n", "\na", "ä", "a" * 51, "\u0661", "h-" + "0" * 40],
)
def test_id_that_does_not_fit_a_label_is_hashed(project_id: str) -> None:
    assert re.fullmatch(r"faas-h-[0-9a-f]{40}", namespace_of(ProjectId(project_id)))


def test_id_of_keystones_own_form_stays_readable() -> None:
    project_id = "3d1f0c5ab2f54ad5a7a2ab0e51b2a1c9"
    assert namespace_of(ProjectId(project_id)) == f"faas-{project_id}"
    assert namespace_of(ProjectId("a" * 50)) == "faas-" + "a" * 50


def test_names_are_frozen_because_namespaces_carry_them() -> None:
    assert namespace_of(ProjectId("Project-1")) == "faas-h-641dc6a18d7c8d2128fb19cec3dbffd81e0a7537"


@given(ids)
def test_namespace_is_a_dns_label_with_our_prefix(project_id: str) -> None:
    name = namespace_of(ProjectId(project_id))
    assert LABEL.fullmatch(name)
    assert len(name) <= 63
    assert name.startswith(PREFIX)
    assert name == namespace_of(ProjectId(project_id))


@given(ids, ids)
def test_two_projects_never_share_a_namespace(one: str, other: str) -> None:
    assert (namespace_of(ProjectId(one)) == namespace_of(ProjectId(other))) == (one == other)


@given(ids)
def test_plain_and_hashed_names_cannot_meet(project_id: str) -> None:
    hashed = "-" in namespace_of(ProjectId(project_id)).removeprefix(PREFIX)
    assert hashed == (re.fullmatch(r"[a-z0-9]{1,50}", project_id) is None)


def test_function_is_known_by_its_local_host() -> None:
    namespace = namespace_of(ProjectId("abc"))
    assert function_host("checksums", namespace) == "checksums.faas-abc.svc.cluster.local"
