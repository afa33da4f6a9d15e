"""Audit records are what OpenStack's own library takes for CADF events."""

import datetime as dt
import json
import subprocess

import pytest

from control.administrator import Administrator
from control.audit import audit_event
from gateway.checksums.audit import service_event
from gateway.http.context import LogFields, RequestContext
from gateway.identity.caller import Caller
from gateway.objects.model import ObjectRef
from gateway.telemetry.cadf import cadf_event
from policies.names import ProjectId
from tests.machine import scaled

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
# Runs where Keystone is installed, which brings pycadf.
PROGRAM = """
import json, sys
from pycadf import attachment, cadftaxonomy, event, reason, resource
def of(fields):
    return resource.Resource(**{name: fields[name] for name in ("id", "typeURI", "name") if name in fields})
for line in sys.stdin:
    found = json.loads(line)
    assert cadftaxonomy.is_valid_action(found["action"]), found
    assert cadftaxonomy.is_valid_outcome(found["outcome"]), found
    for end in ("initiator", "target", "observer"):
        assert cadftaxonomy.is_valid_resource(found[end]["typeURI"]), found
        assert of(found[end]).is_valid(), found
    made = event.Event(
        **{name: found[name] for name in ("eventType", "id", "eventTime", "action", "outcome")},
        initiator=of(found["initiator"]), target=of(found["target"]), observer=of(found["observer"]),
        reason=reason.Reason(**found["reason"]),
    )
    for each in found.get("attachments", []):
        made.add_attachment(attachment.Attachment(**each))
    for tag in found["tags"]:
        made.add_tag(tag)
    assert made.is_valid(), found
    assert set(found) <= set(event.EVENT_KEYNAMES), set(found) - set(event.EVENT_KEYNAMES)
    print("valid")
"""


def validated(cloud, events: list[dict]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(cloud.bin / "python"), "-c", PROGRAM],
        input="\n".join(map(json.dumps, events)),
        capture_output=True,
        text=True,
        timeout=scaled(60),
        check=False,
    )


@pytest.fixture
def events() -> list[dict]:
    caller = Caller("t", "u", "dynafed", ProjectId("p"), "demo", frozenset(["service"]), 0)
    context = RequestContext(log=LogFields(sources={"md5": "native"}))
    admin = Administrator("u", "root", "system")
    calls = [("GET", None, 200), ("GET", "p", 404), ("PUT", "p", 201), ("PATCH", "p", 409), ("DELETE", "p", 202)]
    events = [audit_event(who, *call, request_id="req-1", parameters={}) for call in calls for who in (admin, None)]
    return [
        service_event(caller, context, ObjectRef("c", "o"), status=200, now=NOW),
        service_event(caller, RequestContext(), None, status=403, now=NOW),
        *(cadf_event(event, now=NOW) for event in events),
    ]


def test_every_kind_of_record_is_a_valid_cadf_event(cloud, events):
    done = validated(cloud, events)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["valid"] * len(events)


def test_a_record_that_is_none_would_be_noticed(cloud, events):
    for name, value in (("action", "frobnicate"), ("outcome", "maybe"), ("target", {"id": "x", "typeURI": "no/such"})):
        assert validated(cloud, [{**events[0], name: value}]).returncode != 0
