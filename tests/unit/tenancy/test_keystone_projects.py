"""Keystone's answers over real HTTP, with faults that a real Keystone does not show when asked to."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import openstack
import pytest
from keystoneauth1.session import Session
from keystoneauth1.token_endpoint import Token

from policies.names import ProjectId
from tenancy.controller.project_states import ProjectStates
from tenancy.keystone_projects import KeystoneProjects, Project
from tenancy.model.errors import NoSuchProjectError, ProjectsError
from tenancy.model.record import ProjectState

OWN, A, B = (ProjectId(character * 32) for character in "0ab")


class OurToken(Token):  # type: ignore[misc]
    """A credential that is scoped to our own project."""

    def get_project_id(self, session: Any, **kwargs: Any) -> str:
        return OWN


class Keystone:
    """Answers what a test puts in; anything else is not found."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[str] = []
        keystone = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                keystone.asked.append(self.path)
                status, body = keystone.answers.get(self.path, (404, {"error": {"message": "not found", "code": 404}}))
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v3"
        links = [{"rel": "self", "href": self.url}]
        self.answers["/v3/auth/projects"] = 200, {"projects": [entry(OWN)]}
        self.answers["/v3"] = 200, {"version": {"id": "v3.14", "status": "stable", "links": links}}
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def has(self, *projects: dict[str, Any], path: str = "/v3/projects", **more: Any) -> None:
        self.answers[path] = 200, {"projects": projects, "links": {"next": None}, **more}


@pytest.fixture
def keystone() -> Iterator[Keystone]:
    """A server of one's own."""
    server = Keystone()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def projects(keystone: Keystone) -> KeystoneProjects:
    """The adapter, by the real SDK."""
    session = Session(OurToken(keystone.url, "token"))
    override = {"identity_endpoint_override": keystone.url, "identity_api_version": "3"}
    return KeystoneProjects(openstack.connection.Connection(session=session, **override))


def entry(project: str, name: str = "p", **more: Any) -> dict[str, Any]:
    return {"id": project, "name": name, "enabled": True, "domain_id": "default", **more}


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"projects": []}),
        (200, {"projects": [entry(A)]}),
        (200, {"projects": [entry(OWN)], "truncated": True}),
        (200, {"projects": [{"id": A}]}),
        (200, {}),
        (200, []),
        (200, b"<html>"),
        (403, {"error": {"message": "forbidden", "code": 403}}),
        (500, {"error": {"message": "broken", "code": 500}}),
        (200, {"projects": [entry(OWN)], "links": {"next": "/gone"}}),
    ],
)
def test_a_list_that_is_not_whole_is_an_error_and_changes_nothing(
    keystone: Keystone, projects: KeystoneProjects, answer: tuple[int, Any]
) -> None:
    """What was known stays known."""
    keystone.has(entry(OWN), entry(A, "atlas"))
    states = ProjectStates(projects)
    states.refresh([A])
    keystone.answers["/v3/projects"] = answer
    with pytest.raises(ProjectsError):
        states.refresh([A])
    assert states.of(A) == (ProjectState.ENABLED, "atlas", "default")


def test_a_project_that_is_absent_is_deleted_only_when_keystone_says_so(
    keystone: Keystone, projects: KeystoneProjects
) -> None:
    """Asked for by its id: there, not there, no answer."""
    states = ProjectStates(projects)
    keystone.has(entry(OWN))
    keystone.answers[f"/v3/projects/{A}"] = 200, {"project": entry(A, enabled=False)}
    keystone.answers[f"/v3/projects/{B}"] = 503, {}
    with pytest.raises(ProjectsError):
        states.refresh([A, B])
    assert states.of(A) is None
    del keystone.answers[f"/v3/projects/{B}"]
    assert states.refresh([A, B]) == {A, B}
    assert states.of(A) == (ProjectState.DISABLED, "p", "default")
    assert states.of(B) == (ProjectState.DELETED, "", "")
    keystone.has(entry(OWN))
    del keystone.answers[f"/v3/projects/{A}"]
    assert states.refresh([A, B]) == {A}
    assert states.of(A) == (ProjectState.DELETED, "p", "default")


def test_keystone_that_does_not_know_our_own_credential_says_nothing_of_projects(
    keystone: Keystone, projects: KeystoneProjects
) -> None:
    """Whose own project is disabled gets a 404 for everything."""
    del keystone.answers["/v3/auth/projects"]
    states = ProjectStates(projects)
    with pytest.raises(ProjectsError):
        states.refresh_one(A)
    assert states.of(A) is None


def test_only_changes_are_news(keystone: Keystone, projects: KeystoneProjects) -> None:
    """A second look at the same list names no project."""
    states = ProjectStates(projects)
    keystone.has(entry(OWN), entry(A), entry(B))
    assert states.refresh([A, B]) == {A, B}
    keystone.has(entry(OWN), entry(A), entry(B, enabled=False))
    assert states.refresh([A, B]) == {B}


def test_all_pages_are_read(keystone: Keystone, projects: KeystoneProjects) -> None:
    """By the links in the answers."""
    keystone.has(entry(OWN), links={"next": f"{keystone.url}/projects?page=2"})
    keystone.has(entry(A), path="/v3/projects?page=2")
    assert set(projects.everything()) == {OWN, A}


def test_an_unknown_id_is_no_such_project(keystone: Keystone, projects: KeystoneProjects) -> None:
    """And an id with a slash asks for no other resource."""
    with pytest.raises(NoSuchProjectError):
        projects.by_id(A)
    with pytest.raises(NoSuchProjectError):
        projects.by_id(ProjectId("../users"))
    assert keystone.asked[-2] == "/v3/projects/..%2Fusers"


@pytest.mark.parametrize("body", [b"<h1>Not Found</h1>", {}, {"error": {"code": 503}}, {"error": "not found"}, [404]])
def test_a_404_that_is_not_keystones_says_nothing_of_a_project(
    keystone: Keystone, projects: KeystoneProjects, body: Any
) -> None:
    """A load balancer whose Keystone is not there gives one too: no project is deleted by that."""
    keystone.answers[f"/v3/projects/{A}"] = 404, body
    with pytest.raises(ProjectsError) as caught:
        projects.by_id(A)
    assert not isinstance(caught.value, NoSuchProjectError)


def test_a_name_counts_in_its_domain_only(keystone: Keystone, projects: KeystoneProjects) -> None:
    """Even if the server ignores the filter."""
    keystone.answers["/v3/domains?name=physics"] = 200, {"domains": [{"id": "d1", "name": "physics"}]}
    path = "/v3/projects?name=atlas&domain_id=d1"
    keystone.has(entry(A, "atlas"), entry(B, "cms", domain_id="d1"), path=path)
    with pytest.raises(NoSuchProjectError, match="no project named 'atlas' in the domain 'physics'"):
        projects.by_name("atlas", "physics")
    keystone.has(entry(A, "atlas"), entry(B, "atlas", domain_id="d1"), path=path)
    assert projects.by_name("atlas", "physics") == Project(B, "atlas", True, "d1")
    keystone.answers["/v3/domains?name=nowhere"] = 200, {"domains": []}
    with pytest.raises(NoSuchProjectError, match="no domain 'nowhere'"):
        projects.by_name("atlas", "nowhere")
