"""Triggers by object events: real Keystone trusts, real Swift, and a function that is told what to do.

What counts: the function runs once, with the object, as the user of the trust; and whoever may not act reads nothing.
"""

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field

import httpx
import pytest
import yaml
from conftest import Bucket, Gateway
from echo import Echo, echo, plainly, say_what_came
from keystoneauth1.exceptions import Unauthorized
from test_inputs_and_outputs import EMPTY, documents, use

from gateway.identity.trusts import TrustOrder, Trusts
from localcloud import LocalCloud
from tests.machine import scaled

STRUCTURED = {"Content-Type": "application/cloudevents+json", "Accept": "application/json"}
OWNER = "alice-member"


@dataclass
class Stage:
    """A gateway, a function of alice's project, and triggers that the test defines."""

    gateway: Gateway
    backend: Echo
    cloud: LocalCloud
    bucket: Bucket
    triggers: list[dict] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    def trust(self, user: str = OWNER, roles: tuple[str, ...] = ("member", "manager")) -> str:
        """A real trust of the user for the gateway's."""
        owner = self.cloud.users[user]

        async def make() -> str:
            async with httpx.AsyncClient(timeout=scaled(60)) as client:
                order = TrustOrder(
                    trustor_id=owner.id,
                    trustee_id=self.cloud.session("osfaas").get_user_id(),
                    project_id=owner.project_id,
                    roles=roles,
                )
                return await Trusts(client, self.cloud.auth_url).create(self.cloud.token(user), order)

        return asyncio.run(make())

    def define(self, *triggers: dict, project: str = "alice") -> None:
        """Replaces the triggers."""
        function = {"url": self.backend.url, "callable": True, "objects": True}
        ids = {self.cloud.users[user].project_id for user in ("alice", "bob")}
        own = self.cloud.users[project].project_id
        tenants = [
            {
                "project_id": each,
                "functions": {"resize": function},
                "triggers": list(triggers) if each == own else [],
            }
            for each in ids
        ]
        self.gateway.tenants.write_text(yaml.safe_dump({"tenants": tenants}))
        time.sleep(1.2)

    def trigger(self, prefix: str, **more: object) -> dict:
        """A trigger of objects in the bucket."""
        fields = {"function": "resize", "name": "t", "container": self.bucket.name, "prefix": prefix}
        owner = {"user_id": self.cloud.users[OWNER].id}
        return {**fields, **owner, **({} if "trust_id" in more else {"trust_id": self.trust()}), **more}

    def send(
        self, *keys: str, token: str | None = None, event: str = "ObjectCreated:Put", **entry: str
    ) -> httpx.Response:
        """An event about objects of the bucket, from a member who is not the triggers' user."""
        records = [
            {"eventName": event, "s3": {"bucket": {"name": self.bucket.name}, "object": {"key": key, **entry}}}
            for key in keys
        ]
        document = {"specversion": "1.0", "type": "x", "source": "s", "id": "1", "data": {"Records": records}}
        body = json.dumps(document).encode()
        path = "/v1/events?checksums=false"
        return self.gateway.call("POST", path, token or self.cloud.token("alice"), content=body, headers=STRUCTURED)

    def words(self, *keys: str, **more: str) -> list[str]:
        """The outcomes of the triggers that an event fired."""
        answer = self.send(*keys, **more)
        assert answer.status_code == 200, answer.text
        return [each["outcome"] for each in answer.json().get("triggers", [])]

    def content(self, name: str) -> bytes | None:
        response = self.bucket.session.get(f"{self.bucket.url}/{name}", raise_exc=False)
        return response.content if response.status_code == 200 else None

    def answer(self, connection, seen) -> None:
        """Reads the input and writes it, reversed, to the output, if there is one."""
        (given,) = documents(seen, "Osfaas-Input")
        self.ran.append(given["object"])
        self.ids.extend(value.decode() for value in seen.all("Ce-Id"))
        read = use(given)
        for output in documents(seen, "Osfaas-Output"):
            use(output, read.content[::-1])
        connection.sendall(EMPTY)


@contextlib.contextmanager
def manager(cloud: LocalCloud):
    """The owner of the triggers has the role for which this Swift lets users into accounts, too."""
    admin, user, url = cloud.session("admin"), cloud.users[OWNER], cloud.auth_url
    roles = {each["name"]: each["id"] for each in admin.get(f"{url}/roles").json()["roles"]}
    grant = f"{url}/projects/{user.project_id}/users/{user.id}/roles/{roles['manager']}"
    admin.put(grant)
    yield
    admin.delete(grant)


@pytest.fixture(scope="module")
def whole(start_gateway, cloud):
    settings = {"OSFAAS_TEMPURL_SET_KEY": "true", "OSFAAS_RETRY_SECONDS": "0.5", "OSFAAS_TOKEN_CACHE_SECONDS": "1"}
    with echo() as backend, start_gateway(**settings) as gateway:
        stage = Stage(gateway, backend, cloud, Bucket(cloud, "uploads"))
        with manager(cloud):
            yield stage


@pytest.fixture
def stage(whole):
    whole.ran.clear()
    whole.ids.clear()
    whole.backend.answer = whole.answer
    yield whole
    whole.backend.answer = say_what_came


def test_object_that_is_created_runs_the_function_once_and_its_output_is_written(stage):
    stage.define(stage.trigger("a/", output=f"{stage.bucket.name}/done/{{rest}}"))
    stage.bucket.put("a/1 ü", b"content")
    stage.bucket.put("b/1", b"content")
    assert stage.words("a/1+%C3%BC") == ["fired"]
    assert stage.words("b/1") == []
    assert (stage.ran, stage.content("done/1%20%C3%BC")) == (["a/1 ü"], b"tnetnoc")


def test_function_acts_as_the_user_of_the_trust_and_gets_no_token(stage, cloud):
    heads = []

    def look(connection, seen):
        heads.append(seen)
        connection.sendall(EMPTY)

    stage.backend.answer = look
    stage.define(stage.trigger("who/"))
    stage.bucket.put("who/1", b"x")
    assert stage.words("who/1") == ["fired"]
    (seen,) = heads
    assert seen.all("X-User-Id") == [cloud.users[OWNER].id.encode()]
    assert seen.all("Ce-Source") == [b"/v1/functions/resize/triggers/t"]
    assert not seen.all("X-Auth-Token") + seen.all("Authorization")


def test_deliveries_of_one_version_are_one_run_whoever_sends_them_and_in_whatever_form(stage, cloud):
    stage.define(stage.trigger("dup/", output=f"{stage.bucket.name}/dup-done/{{rest}}"))
    stage.bucket.put("dup/1", b"one")
    assert stage.words("dup/1", "dup/1", sequencer="1") in (["fired", "duplicate"], ["duplicate", "fired"])
    assert stage.words("dup/1", sequencer="2") == ["duplicate"]
    assert stage.words("dup/1", token=cloud.token(OWNER)) == ["duplicate"]
    assert stage.words("dup/1", event="s3:ObjectCreated:Copy") == ["duplicate"]
    assert stage.ran == ["dup/1"]


def test_new_version_runs_again_but_does_not_replace_an_output_unless_it_may(stage):
    trigger = stage.trigger("again/", output=f"{stage.bucket.name}/again-done/{{rest}}")
    stage.define(trigger)
    for content in (b"one", b"two"):
        stage.bucket.put("again/1", content)
        stage.words("again/1")
    assert (stage.ran, stage.content("again-done/1")) == (["again/1"], b"eno")
    stage.define({**trigger, "overwrite": True})
    stage.bucket.put("again/1", b"three")
    assert stage.words("again/1") == ["fired"]
    assert stage.content("again-done/1") == b"eerht"


def test_restarted_gateway_gives_the_same_id_and_the_output_stands(stage, start_gateway):
    """The memory is gone; the output is the witness."""
    stage.define(stage.trigger("re/", output=f"{stage.bucket.name}/re-done/{{rest}}"), stage.trigger("re/", name="log"))
    stage.bucket.put("re/1", b"x")
    assert stage.words("re/1") == ["fired", "fired"]
    first = sorted(stage.ids)
    stage.gateway.service.stop()
    stage.gateway.service.start()
    stage.gateway.service.wait()
    # By name: "log" has no output, so its function gets the same id again and must tell.
    assert stage.words("re/1") == ["fired", "output_exists"]
    assert stage.ids[2:] == [first_id for first_id in first if first_id in stage.ids[2:]]
    assert len(stage.ids) == 3


def test_failing_function_makes_the_sender_deliver_again_and_what_succeeded_is_not_repeated(stage):
    stage.define(stage.trigger("fail/", name="bad"), stage.trigger("fail/1", name="good"))
    stage.bucket.put("fail/1", b"x")
    calls = []

    def answer(connection, seen):
        calls.append(seen.all("Ce-Source")[0].decode().rpartition("/")[2])
        failing = calls[-1] == "bad" and calls.count("bad") == 1
        connection.sendall(EMPTY.replace(b"200 OK", b"500 Broken") if failing else EMPTY)

    stage.backend.answer = answer
    refused = stage.send("fail/1")
    assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (502, True)
    assert sorted(stage.words("fail/1")) == ["duplicate", "fired"]
    assert sorted(calls) == ["bad", "bad", "good"]


def test_function_that_rejects_an_object_is_not_asked_again(stage):
    stage.define(stage.trigger("no/"))
    stage.bucket.put("no/1", b"x")
    stage.backend.answer = plainly(b"HTTP/1.1 422 No\r\nContent-Length: 2\r\n\r\nno")
    assert stage.words("no/1") == ["rejected"]
    assert stage.words("no/1") == ["duplicate"]


def test_object_that_is_not_there_is_gone_and_fires_when_it_comes(stage):
    stage.define(stage.trigger("late/"))
    assert stage.words("late/1") == ["gone"]
    stage.bucket.put("late/1", b"x")
    assert stage.words("late/1") == ["fired"]


@pytest.mark.parametrize("output", ["{b}/loop/{{basename}}", "{b}/{{basename}}", "{b}/loop/deeper/{{stem}}.x"])
def test_output_under_the_own_prefix_never_fires(stage, output):
    stage.define(stage.trigger("loop/", output=output.format(b=stage.bucket.name)))
    stage.bucket.put("loop/1", b"x")
    assert stage.words("loop/1") == ["refused"]
    assert stage.ran == []


def test_triggers_that_lead_back_to_each_other_never_fire_and_a_chain_does(stage):
    name = stage.bucket.name
    there = stage.trigger("ping/", name="there", output=f"{name}/pong/{{rest}}")
    back = stage.trigger("pong/", name="back", output=f"{name}/ping/{{rest}}")
    stage.define(there, back)
    stage.bucket.put("ping/1", b"x")
    assert stage.words("ping/1") == ["refused"]
    assert stage.ran == []
    stage.define(there, {**back, "output": f"{name}/end/{{rest}}"})
    assert stage.words("ping/1") == ["fired"]
    assert stage.words("pong/1") == ["fired"]
    assert stage.words("end/1") == []
    assert stage.content("end/1") == b"x"


def test_event_of_another_project_fires_nothing(stage, cloud):
    stage.define(stage.trigger("mine/"))
    stage.bucket.put("mine/1", b"x")
    assert stage.words("mine/1", token=cloud.token("bob")) == []
    assert stage.ran == []


def test_trust_of_another_user_or_project_is_refused(stage, cloud):
    """A writer of records names the trust of somebody who trusts us for something else."""
    stage.bucket.put("foreign/1", b"x")
    for user in ("alice", "bob"):
        stage.define(stage.trigger("foreign/", trust_id=stage.trust(user)))
        assert stage.words("foreign/1") == ["refused"]
    # A user id that fits does not help: the project does not.
    stage.define(stage.trigger("foreign/", trust_id=stage.trust("bob"), user_id=cloud.users["bob"].id))
    assert stage.words("foreign/1") == ["refused"]
    assert stage.ran == []


def test_object_that_the_user_of_the_trust_may_not_read_is_refused(stage, cloud):
    """The sender may read it; the trigger acts as its own user."""
    # The role is enough for calls, and not for this Swift.
    stage.define(stage.trigger("secret/", trust_id=stage.trust(OWNER, ("member",))))
    stage.bucket.put("secret/1", b"x")
    assert stage.words("secret/1") == ["refused"]
    assert stage.ran == []


@contextlib.contextmanager
def undone(cloud, what: str, trust: str):
    """The authority of the trust's user is taken away, and given back."""
    admin, user = cloud.session("admin"), cloud.users[OWNER]
    url = cloud.auth_url
    roles = {each["name"]: each["id"] for each in admin.get(f"{url}/roles").json()["roles"]}
    # It implies the role of members, which could not be withdrawn alone.
    role = f"{url}/projects/{user.project_id}/users/{user.id}/roles/{roles['manager']}"
    try:
        if what == "trust":
            cloud.session(OWNER).delete(f"{url}/OS-TRUST/trusts/{trust}")
        elif what == "role":
            admin.delete(role)
        else:
            admin.patch(f"{url}/users/{user.id}", json={"user": {"enabled": False}})
        yield
    finally:
        if what == "role":
            admin.put(role)
        admin.patch(f"{url}/users/{user.id}", json={"user": {"enabled": True}})
        await_tokens(cloud)


def await_tokens(cloud):
    """Keystone revokes by whole seconds: also a token of the same second that was issued after the revocation."""
    session, deadline = cloud.session(OWNER), time.monotonic() + scaled(30)
    while True:
        session.invalidate()
        try:
            session.get(f"{cloud.auth_url}/OS-TRUST/trusts?trustor_user_id={cloud.users[OWNER].id}")
        except Unauthorized:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


@pytest.mark.parametrize("what", ["trust", "role", "user"])
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_authority_that_is_gone_reads_nothing(stage, cloud, what, warm):
    """Also when the trust's token is in the cache: it is as old as a token's validation may be."""
    trust = stage.trust()
    stage.define(stage.trigger("revoked/", trust_id=trust))
    stage.bucket.put("revoked/0", b"x")
    if warm:
        stage.bucket.put("revoked/0", b"x")
        assert stage.words("revoked/0") == ["fired"]
    stage.ran.clear()
    with undone(cloud, what, trust):
        name = f"revoked/{what}-{warm}"
        stage.bucket.put(name, b"x")
        time.sleep(2.5)
        assert stage.words(name) == ["refused"]
    assert stage.ran == []
