"""The audit record of a service caller's call."""

import dataclasses
import datetime as dt
import json
import logging

import pytest

from gateway.checksums.audit import record_service_call, service_event
from gateway.http.context import LogFields, RequestContext
from gateway.identity.caller import Caller
from gateway.objects.model import ObjectRef
from policies.names import ProjectId

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
CALLER = Caller("secret-token", "u", "dynafed", ProjectId("p"), "demo", frozenset(["service"]), 0)
REF = ObjectRef("c", "a b/ü")


def test_call_of_a_user_leaves_no_record(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="gateway.audit"):
        record_service_call(RequestContext(), REF, 200)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("status", "outcome"), [(200, "success"), (403, "failure"), (499, "failure"), (504, "failure")]
)
def test_each_call_of_a_service_leaves_one_record_without_its_token(
    caplog: pytest.LogCaptureFixture, status: int, outcome: str
) -> None:
    with caplog.at_level(logging.INFO, logger="gateway.audit"):
        record_service_call(RequestContext(service_caller=CALLER), REF, status)
    (record,) = caplog.records
    event = json.loads(record.getMessage())
    assert (event["outcome"], event["reason"]["reasonCode"]) == (outcome, str(status))
    assert "secret-token" not in record.getMessage()


def test_record_says_who_asked_about_what_in_the_form_of_cadf() -> None:
    context = RequestContext(request_id="req-1", log=LogFields(sources={"adler32": "computed"}))
    caller = dataclasses.replace(CALLER, application_credential_id="ac")
    event = service_event(caller, context, REF, status=200, now=NOW)
    assert {name: value for name, value in event.items() if name != "id"} == {
        "typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event",
        "eventType": "activity",
        "eventTime": "2026-01-02T03:04:05.000+00:00",
        "action": "read/checksum",
        "outcome": "success",
        "reason": {"reasonType": "HTTP", "reasonCode": "200"},
        "initiator": {
            "id": "u",
            "typeURI": "service/security/account/user",
            "name": "dynafed",
            "project_id": "p",
            "application_credential_id": "ac",
        },
        "target": {"id": "p/c/a b/ü", "typeURI": "storage/object", "name": "c/a b/ü"},
        "observer": {"id": "osfaas-gateway", "typeURI": "service/function"},
        "tags": ["request_id=req-1"],
        "attachments": [{"typeURI": "application/json", "name": "sources", "content": {"adler32": "computed"}}],
    }


def test_request_that_names_no_object_is_recorded_against_the_project() -> None:
    event = service_event(CALLER, RequestContext(), None, status=400, now=NOW)
    assert event["target"] == {"id": "p", "typeURI": "storage"}
