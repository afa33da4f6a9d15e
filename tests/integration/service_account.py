"""The account of a storage federation, as an operator makes it: see docs/how-to/federation-credential.md."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from keystoneauth1.identity import v3
from keystoneauth1.session import Session

RULES = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "access-rules" / "dynafed.json"


def restricted_token(cloud) -> str:
    """A token of an application credential of the user `dynafed`, with the access rules that the guide ships."""
    user = cloud.users["dynafed"]
    url = f"{cloud.auth_url}/users/{user.id}/application_credentials"
    session = cloud.session("dynafed")
    known = [entry for entry in session.get(url).json()["application_credentials"] if entry["name"] == "guide"]
    for entry in known:
        session.delete(f"{url}/{entry['id']}")
    wanted = {
        "name": "guide",
        "roles": [{"name": "service"}, {"name": "reader"}],
        "access_rules": json.loads(RULES.read_text()),
    }
    made = session.post(url, json={"application_credential": wanted}).json()["application_credential"]
    plugin = v3.ApplicationCredential(
        cloud.auth_url, application_credential_id=made["id"], application_credential_secret=made["secret"]
    )
    token = Session(plugin).get_token()
    assert token is not None
    return token


@contextlib.contextmanager
def readable(bucket, cloud) -> Iterator[None]:
    """The bucket may be read by the federation's user, who owns nothing of it."""
    with bucket.readable_by(cloud.users["dynafed"]):
        yield
