"""Our own token: asked for once at a time, and renewed once however many were refused with it."""

import asyncio
import json
import logging
import ssl
import threading
from pathlib import Path

import certifi
import pytest
from keystoneauth1 import exceptions as ksa_exceptions

from gateway.identity.credential import ServiceCredential, find_identity_service, v3_url
from gateway.identity.outage import OutageError


class Session:
    """keystoneauth's session, as far as it is used: a new token after each `invalidate`.

    As keystoneauth's it may be asked by several threads, but `invalidate` beside one of them fails that one.
    """

    def __init__(self) -> None:
        self.renewed = 0
        self.asked = 0
        self.asks, self.answers = threading.Event(), threading.Event()
        self.answers.set()
        self._asking = 0

    def get_token(self) -> str:
        self.asked += 1
        self._asking += 1
        token = f"token-{self.renewed}"
        self.asks.set()
        assert self.answers.wait(10)
        self._asking -= 1
        return token

    def invalidate(self) -> None:
        assert not self._asking
        self.renewed += 1


async def test_late_refusal_of_an_old_token_does_not_throw_away_the_new_one() -> None:
    session = Session()
    credential = ServiceCredential(session)
    old = await credential.token()
    new = await credential.token(refused=old)
    assert {await credential.token(refused=old) for _ in range(5)} == {new, await credential.token()}
    assert session.renewed == 1


async def test_many_at_once_who_were_refused_renew_it_once() -> None:
    session = Session()
    credential = ServiceCredential(session)
    old = await credential.token()
    assert set(await asyncio.gather(*(credential.token(refused=old) for _ in range(100)))) == {"token-1"}
    assert (session.renewed, session.asked) == (1, 3)


async def test_who_was_refused_does_not_get_the_same_token_from_a_question_that_was_under_way() -> None:
    session = Session()
    credential = ServiceCredential(session)
    old = await credential.token()
    session.answers.clear()
    session.asks.clear()
    others = asyncio.ensure_future(credential.token())
    assert await asyncio.to_thread(session.asks.wait, 10)
    refused = asyncio.ensure_future(credential.token(refused=old))
    await asyncio.sleep(0.02)
    session.answers.set()
    assert (await others, await refused) == ("token-0", "token-1")


async def test_refused_credential_is_an_outage_whose_reason_the_operator_finds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Refused(Session):
        def get_token(self) -> str:
            raise ksa_exceptions.Unauthorized("wrong password")

    with caplog.at_level(logging.ERROR), pytest.raises(OutageError) as caught:
        await ServiceCredential(Refused()).token()
    assert isinstance(caught.value.__cause__, ksa_exceptions.Unauthorized)
    assert caplog.messages == ["Keystone issued no token for the gateway's credential: wrong password (HTTP 401)"]


async def test_refusal_of_somebody_elses_token_renews_nothing() -> None:
    session = Session()
    assert await ServiceCredential(session).token(refused="another") == "token-0"
    assert session.renewed == 0


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("http://k.test", "http://k.test/v3"),
        ("http://k.test/", "http://k.test/v3"),
        ("http://k.test/identity//", "http://k.test/identity/v3"),
        ("http://k.test/v3", "http://k.test/v3"),
        ("http://k.test/v3/", "http://k.test/v3"),
        ("http://k.test/V3", "http://k.test/V3/v3"),
    ],
)
def test_url_of_keystone_ends_in_its_version_however_it_is_written(written: str, url: str) -> None:
    assert v3_url(written) == url


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A credential in variables, and no files of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in {
        "AUTH_URL": "https://keystone.test/identity/",
        "USERNAME": "osfaas",
        "PASSWORD": "secret",
        "PROJECT_NAME": "service",
        "USER_DOMAIN_ID": "default",
        "PROJECT_DOMAIN_ID": "default",
    }.items():
        monkeypatch.setenv(f"OS_{name}", value)
    return monkeypatch


def test_identity_service_is_the_one_of_the_environment(environment: pytest.MonkeyPatch) -> None:
    service = find_identity_service(timeout_seconds=7)
    session = service.credential._session
    assert service.auth_url == "https://keystone.test/identity/v3"
    assert service.verify is True
    assert (session.timeout, session.redirect, session.app_name) == (7, False, "osfaas")


def test_own_authority_of_the_cloud_is_trusted_and_no_other(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("OS_CACERT", certifi.where())
    verify = find_identity_service(timeout_seconds=7).verify
    assert isinstance(verify, ssl.SSLContext)
    assert verify.verify_mode is ssl.CERT_REQUIRED
    assert verify.get_ca_certs()


def test_verification_is_off_only_where_the_operator_says_so(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    user = {"username": "u", "password": "p", "user_domain_id": "d"}
    auth = {"auth_url": "https://k.test", "project_name": "s", "project_domain_id": "d", **user}
    clouds = {"clouds": {"open": {"verify": False, "auth": auth}}}
    (tmp_path / "clouds.yaml").write_text(json.dumps(clouds), encoding="utf-8")
    environment.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    for name in ("AUTH_URL", "USERNAME", "PASSWORD", "PROJECT_NAME", "USER_DOMAIN_ID", "PROJECT_DOMAIN_ID"):
        environment.delenv(f"OS_{name}")
    environment.setenv("OS_CLOUD", "open")
    service = find_identity_service(timeout_seconds=7)
    assert (service.verify, service.auth_url) == (False, "https://k.test/v3")
