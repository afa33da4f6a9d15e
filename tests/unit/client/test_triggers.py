"""`osfaas function trigger …` against a server of HTTP that remembers what it was asked."""

from typing import Any

import pytest
from click.testing import CliRunner, Result

from client.functions.cli import function
from tests.unit.client.test_functions import Service, error, service

__all__ = ["service"]
PATH = "/v1/functions/thumbnail/triggers"
CREATED = {"container": "photos", "prefix": "in/", "output": "photos/small/{rest}", "overwrite": False}


def shown(**changes: Any) -> dict[str, Any]:
    ready = {"type": "Ready", "status": False, "reason": "TrustRefused", "message": "the trust\x1b is gone"}
    last = {"outcome": "Succeeded", "message": "", "id": "1", "at": "2026-11-29T12:00:00Z"}
    return {
        "name": "uploads",
        "function": "thumbnail",
        "user_id": "u",
        "created_at": "",
        "next_at": None,
        "object_created": CREATED,
        "status": {"current": True, "last_firing": last, "conditions": [ready]},
        **changes,
    }


def run(*words: str) -> Result:
    return CliRunner().invoke(function, ["trigger", *words], catch_exceptions=False)


def written(service: Service) -> tuple[dict[str, str], Any]:
    fields, body = next((fields, body) for method, _, fields, body in service.asked if method == "PUT")
    return fields, body


def test_trigger_of_objects_is_created(service: Service) -> None:
    service.answers[f"PUT {PATH}/uploads"] = (201, {"trigger": shown(), "changed": True})
    words = ("--container", "photos", "--prefix", "in/", "--output", "photos/small/{rest}")
    result = run("create", "thumbnail", "uploads", *words)
    assert result.exit_code == 0, result.output
    fields, body = written(service)
    assert fields["If-None-Match"] == "*"
    assert body == {"trigger": {"object_created": {key: CREATED[key] for key in ("container", "prefix", "output")}}}
    assert "TrustRefused: the trust\N{REPLACEMENT CHARACTER} is gone" in result.output


def test_schedule_is_created(service: Service) -> None:
    schedule = {"cron": "0 3 * * *", "time_zone": "Europe/Zurich"}
    made = shown(object_created=None, schedule=schedule, next_at="2026-11-30T02:00:00Z")
    service.answers[f"PUT {PATH}/nightly"] = (201, {"trigger": made, "changed": True})
    result = run("create", "thumbnail", "nightly", "--cron", "0 3 * * *", "--time-zone", "Europe/Zurich")
    assert result.exit_code == 0, result.output
    assert written(service)[1] == {"trigger": {"schedule": schedule}}
    assert "2026-11-30T02:00:00Z" in result.output


@pytest.mark.parametrize(
    "words", [(), ("--prefix", "in/"), ("--time-zone", "UTC"), ("--container", "c", "--cron", "x")]
)
def test_half_a_trigger_is_refused_before_anything_is_asked(service: Service, words: tuple[str, ...]) -> None:
    assert run("create", "thumbnail", "t", *words).exit_code == 2
    assert not service.asked


def test_set_changes_what_is_given_of_the_version_that_was_read(service: Service) -> None:
    service.answers[f"GET {PATH}/uploads"] = (200, {"trigger": shown()})
    service.answers[f"PUT {PATH}/uploads"] = (200, {"trigger": shown(), "changed": True, "remains": "A trust remains."})
    result = run("set", "thumbnail", "uploads", "--overwrite")
    fields, body = written(service)
    assert fields["If-Match"] == '"u-1"'
    assert body == {"trigger": {"object_created": {**CREATED, "overwrite": True}}}
    assert "A trust remains." in result.output


def test_list_shows_why_a_trigger_does_not_fire(service: Service) -> None:
    service.answers[f"GET {PATH}"] = (200, {"triggers": [shown()]})
    result = run("list", "thumbnail")
    assert "uploads" in result.output
    assert "TrustRefused" in result.output


def test_deletion_says_what_remains(service: Service) -> None:
    service.answers[f"DELETE {PATH}/a"] = (204, None)
    service.answers[f"DELETE {PATH}/b"] = (200, {"remains": "A trust remains."})
    assert "remains" not in run("delete", "thumbnail", "a", "--yes").output
    assert "A trust remains." in run("delete", "thumbnail", "b", "--yes").output


def test_refusal_is_printed_with_its_sentence(service: Service) -> None:
    service.answers[f"PUT {PATH}/t"] = (403, error(403, "This token may make none."))
    result = run("create", "thumbnail", "t", "--cron", "* * * * *")
    assert (result.exit_code, "This token may make none." in result.output) == (1, True)
