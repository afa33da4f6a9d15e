"""Family 3, headers: nobody says who they are but with a token, and no line end gets into a field."""

import controls
import pytest
from heads import get
from starlette.responses import Response
from wire import say

FORGED = [
    b"X-User-Id", b"X-User-Name", b"X-User-Domain-Id", b"X-User", b"X-Roles", b"X-Role", b"X-Project-Id",
    b"X-Project-Name", b"X-Project-Domain-Id", b"X-Tenant-Id", b"X-Tenant", b"X-Domain-Id", b"X-Identity-Status",
    b"X-Service-Token", b"X-Service-Roles", b"X-Service-User-Id", b"X-Is-Admin-Project", b"OpenStack-System-Scope",
    b"K-Original-Host", b"K-Network-Probe", b"K-Kubelet-Probe", b"Knative-Serving-Revision",
    b"Knative-Serving-Namespace", b"X-Forwarded-For", b"X-Forwarded-Host", b"X-Forwarded-Proto",
    b"X-Forwarded-Client-Cert", b"Forwarded", b"X-Envoy-Original-Path", b"X-Envoy-Force-Trace", b"X-Original-URL",
    b"X-Rewrite-URL", b"X-HTTP-Method-Override", b"Remote-User", b"X_Project_Id", b"X_User_Id", b"X-Project_Id",
    b"x_auth_token", b"X_Roles",
]  # fmt: skip

BROKEN = {
    "cr": b"X-Note: a\rb\r\n",
    "lf": b"X-Note: a\nb\r\n",
    "lf-and-field": b"X-Note: a\nX-Project-Id: b\r\n",
    "nul": b"X-Note: a\x00b\r\n",
    "nul-in-name": b"X-No\x00te: a\r\n",
    "escape": b"X-Note: a\x1bb\r\n",
    "fold": b"X-Note: a\r\n X-Project-Id: b\r\n",
    "blank-in-name": b"X Note: a\r\n",
    "blank-before-colon": b"X-Project-Id : a\r\n",
    "umlaut-in-name": "X-Nöte: a\r\n".encode(),
    "dropped-but-broken": b"X_Note: a\x00b\r\n",
}


@pytest.fixture(scope="module")
def strict_port():
    with controls.strict() as port:
        yield port


@pytest.fixture(scope="module")
def open_port():
    with controls.serving(controls.echo) as port:
        yield port


@pytest.mark.parametrize("name", FORGED)
def test_claim_of_an_identity_goes_no_further_and_would_without_the_defence(strict_port, open_port, name):
    request = get(name + b": forged\r\n", b"Accept: */*\r\n")
    kept = [field for field, _ in controls.understood(say(strict_port, request, answers=1).data)["fields"]]
    assert kept == ["host", "accept"]
    assert b"forged" in say(open_port, request, answers=1).data


def test_nominating_a_claim_as_hop_by_hop_changes_nothing(strict_port):
    request = get(b"Connection: X-Project-Id, keep-alive\r\n", b"X-Project-Id: forged\r\n")
    assert b"forged" not in say(strict_port, request, answers=1).data


@pytest.mark.parametrize("name", BROKEN)
def test_field_with_a_line_end_or_a_control_character_is_refused(gateway, name):
    heard = say(gateway.service.port, get(BROKEN[name]))
    assert heard.refused, heard


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "a\x00b"])
def test_line_end_in_an_answer_does_not_get_out(value):
    async def inject(scope, receive, send):
        await Response("x", headers={"X-Note": value})(scope, receive, send)

    with controls.serving(inject) as port:
        heard = say(port, get(), seconds=2)
    assert b"Set-Cookie" not in heard.data
    assert heard.statuses in ([500], [])
