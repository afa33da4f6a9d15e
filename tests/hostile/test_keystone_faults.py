"""Family 9: Keystone is down, refuses, is slow, talks nonsense. Nobody unknown gets in; who was known stays known."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from faulty import AUTHENTICATION, VALIDATION, code, made_faulty, outlast_the_cache
from fronts import alternating, drip, hang_up, only, pass_on, reset, says, silence, status

from tests.machine import scaled

# Refused right after the caller is known.
NO_OBJECT = "/v1/checksums/"
FAR = json.dumps({"token": {"user": {"id": "u", "name": "u"}, "project": {"id": "p", "name": "p"}}}).encode()


def token_until(expires_at: str) -> bytes:
    """An answer that is complete, for a token that ends at a time."""
    named = {"id": "u", "name": "u"}
    project = {**named, "domain": named}
    body = {"user": named, "project": project, "roles": [{"name": "member"}], "expires_at": expires_at, "catalog": []}
    return json.dumps({"token": body}).encode()


NO_PROJECT = json.dumps(
    {"error": {"code": 404, "title": "Not Found", "message": "Unable to validate token because project p is disabled"}}
).encode()
# Faults that say nothing of the token: who was known a moment ago stays known.
OUTAGES = {
    "hangs up": hang_up,
    "reset": reset,
    "half a head": says(b"HTTP/1.1 200 OK\r\nContent-"),
    "half a body": says(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"),
    "no HTTP": says(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "silent": silence(scaled(2)),
    "drips": drip(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + FAR, scaled(0.1)),
    "refuses us": status(401),
    "forbids us": status(403),
    "proxy's 404": status(404, b"<h1>nginx</h1>"),
    "404 without a word": status(404),
    "our own project is disabled": status(404, NO_PROJECT),
    "429": status(429, b"", "Retry-After: 7"),
    "500": status(500),
    "502": status(502),
    "503": status(503, b"", "Retry-After: soon"),
    "504": status(504),
    "redirect": status(302, b"", "Location: http://169.254.169.254/"),
}
# Answers that speak of the token, but not as Keystone would: they let nobody in.
NONSENSE = {
    "empty": status(200),
    "no JSON": status(200, b"<html>"),
    "a list": status(200, b"[]"),
    "deep": status(200, b"[" * 60_000),
    "no project's id": status(200, FAR.replace(b'"id": "p"', b'"id": ""')),
    "no roles": status(200, FAR),
    "no date": status(200, token_until("tomorrow")),
    "another token's": status(200, token_until("2999-01-01T00:00:00Z"), "X-Subject-Token: gAAAAA-other"),
}


@pytest.mark.parametrize("fault", [*OUTAGES.values(), *NONSENSE.values()], ids=[*OUTAGES, *NONSENSE])
def test_nobody_unknown_gets_in_and_afterwards_everybody_does(faulty, fault):
    """Never a yes on doubt, never a no either; readiness does not flap."""
    token, asked = faulty.fresh(), len(faulty.store.seen)
    faulty.keystone.fault = only(VALIDATION, fault)
    response = faulty.get(faulty.path, token)
    assert (response.status_code, code(response)) == (503, "keystone.unavailable")
    assert 0 < int(response.headers["Retry-After"]) <= 300
    assert len(faulty.store.seen) == asked
    assert faulty.get("/readyz", None).status_code == 200
    faulty.calm()
    time.sleep(0.15)
    assert faulty.get(faulty.path, token).status_code == 200


@pytest.mark.parametrize("fault", OUTAGES.values(), ids=OUTAGES)
def test_who_was_known_stays_known(faulty, fault):
    """Past the half second of the cache, within the bound."""
    token = faulty.fresh()
    assert faulty.get(faulty.path, token).status_code == 200
    outlast_the_cache()
    faulty.keystone.fault = only(VALIDATION, fault)
    assert faulty.get(faulty.path, token).status_code == 200


@pytest.mark.parametrize("fault", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_about_a_token_does_not_keep_it_alive(faulty, fault):
    token = faulty.fresh()
    assert faulty.get(faulty.path, token).status_code == 200
    outlast_the_cache()
    faulty.keystone.fault = only(VALIDATION, fault)
    response = faulty.get(faulty.path, token)
    assert (response.status_code, code(response)) == (503, "keystone.unavailable")


def test_revoked_token_that_was_seen_to_be_stays_out_when_keystone_goes_down(faulty):
    token = faulty.fresh()
    assert faulty.get(faulty.path, token).status_code == 200
    faulty.cloud.revoke(token)
    outlast_the_cache()
    assert faulty.get(faulty.path, token).status_code == 401
    faulty.keystone.fault = hang_up
    assert faulty.get(faulty.path, token).status_code in {401, 503}


def test_own_project_of_the_gateway_that_is_disabled_puts_nobody_out(faulty):
    """By the real Keystone, which then answers every question about a token as if that token were bad."""
    cloud = faulty.cloud
    admin, project = cloud.session("admin"), f"{cloud.auth_url}/projects/{cloud.users['osfaas'].project_id}"
    known, unknown = faulty.fresh(), faulty.fresh()
    assert faulty.get(NO_OBJECT, known).status_code == 400
    admin.patch(project, json={"project": {"enabled": False}})
    try:
        outlast_the_cache()
        assert faulty.get(NO_OBJECT, known).status_code == 400
        assert faulty.get(NO_OBJECT, unknown).status_code == 503
    finally:
        admin.patch(project, json={"project": {"enabled": True}})
    time.sleep(0.15)
    assert faulty.get(NO_OBJECT, unknown).status_code == 400


def test_our_own_token_that_is_refused_is_renewed_once_however_many_ask(faulty):
    """The first question of each of many callers is refused; all of them cost one authentication."""
    tokens = [faulty.fresh() for _ in range(8)]
    assert faulty.get(NO_OBJECT, faulty.fresh()).status_code == 400  # from here on it has a token
    refused: set[str] = set()

    def refuse_the_first(connection, request) -> bool:
        own = request.fields["x-auth-token"]
        if not refused or own in refused:
            refused.add(own)
            return status(401)(connection, request)
        return False

    before = faulty.keystone.count(AUTHENTICATION)
    faulty.keystone.fault = only(VALIDATION, refuse_the_first)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda token: faulty.get(NO_OBJECT, token).status_code, tokens))
    assert set(answers) == {400}, answers
    assert faulty.keystone.count(AUTHENTICATION) == before + 1


def test_credential_that_is_refused_for_good_is_tried_once_for_each_call(faulty):
    """Passwords are not tried again and again: Keystone locks accounts out for that."""
    assert faulty.get(NO_OBJECT, faulty.fresh()).status_code == 400  # from here on it has a token
    before, asked = faulty.keystone.count(AUTHENTICATION), faulty.keystone.count(VALIDATION)
    faulty.keystone.fault = only(VALIDATION, status(401))
    assert faulty.get(faulty.path, faulty.fresh()).status_code == 503
    assert faulty.keystone.count(AUTHENTICATION) == before + 1
    assert faulty.keystone.count(VALIDATION) == asked + 2


def test_keystone_that_flaps_lets_in_whom_it_knows_and_nobody_else(faulty):
    token = faulty.fresh()
    forged = token[:-6] + ("AAAAAA" if token[-6:] != "AAAAAA" else "BBBBBB")
    faulty.keystone.fault = only(VALIDATION, alternating(reset, pass_on))
    answers = [faulty.get(faulty.path, each).status_code for _ in range(4) for each in (token, forged)]
    assert set(answers[::2]) <= {200, 503}
    assert set(answers[1::2]) <= {401, 503}


@pytest.mark.parametrize("minutes", [-10, -1])
def test_clock_that_is_ahead_ends_a_token_early_and_never_late(faulty, minutes):
    """Keystone says until when; if that is over by our clock, nobody gets in."""
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60 * minutes))
    faulty.keystone.fault = only(VALIDATION, status(200, token_until(until)))
    response = faulty.get(faulty.path, faulty.fresh())
    assert (response.status_code, code(response)) == (401, "token.invalid")


def test_catalog_that_is_missing_is_told_as_such(start_gateway, cloud, function, bucket):
    """Without an endpoint of the operator's there is no store to ask."""
    with made_faulty(start_gateway, cloud, function, bucket, OSFAAS_SWIFT_ENDPOINT=None) as made:

        def without_catalog(connection, request) -> bool:
            project = b'"project": {"id": "%s"' % cloud.users["alice"].project_id.encode()
            body = token_until("2999-01-01T00:00:00Z").replace(b'"project": {"id": "u"', project)
            return status(200, body)(connection, request)

        made.keystone.fault = only(VALIDATION, without_catalog)
        response = made.get(made.path, made.fresh())
        assert (response.status_code, code(response)) == (422, "object.unsupported")


@pytest.fixture(scope="module")
def unforgiving(start_gateway, cloud, function, bucket):
    """A gateway without the bound, whose circuit stays open."""
    settings = {"OSFAAS_TOKEN_STALE_SECONDS": "0", "OSFAAS_CIRCUIT_SECONDS": "60", "OSFAAS_CIRCUIT_FAILURES": "3"}
    with made_faulty(start_gateway, cloud, function, bucket, **settings) as made:
        yield made


def test_without_the_bound_an_outage_puts_out_everybody(unforgiving):
    """The positive control: no time after the cache, so a caller who was known gets 503."""
    token = unforgiving.fresh()
    assert unforgiving.get(NO_OBJECT, token).status_code == 400
    outlast_the_cache()
    unforgiving.keystone.fault = only(VALIDATION, hang_up)
    assert unforgiving.get(NO_OBJECT, token).status_code == 503


def test_keystone_that_is_silent_is_not_asked_by_everybody(unforgiving):
    """The circuit: after a few silences the next calls are refused without a question."""
    token = unforgiving.fresh()
    unforgiving.keystone.fault = only(VALIDATION, silence(scaled(2)))
    before = unforgiving.keystone.count(VALIDATION)
    for number in range(10):
        response = unforgiving.get(NO_OBJECT, f"{token[:-8]}{number:08d}")
        assert (response.status_code, code(response)) == (503, "keystone.unavailable")
    assert 1 <= unforgiving.keystone.count(VALIDATION) - before <= 3
