"""gophercloud, the library of Go programs, finds the gateway in the catalog and calls it as any other service."""

import json

from programs import HOME, run


def test_gophercloud_discovers_authenticates_and_calls_the_gateway(gateway, cloud):
    user = cloud.users["alice"]
    env = {
        "OS_AUTH_URL": cloud.auth_url,
        "OS_USERID": user.id,
        "OS_PASSWORD": user.password,
        "OS_PROJECT_ID": user.project_id,
        "OS_REGION_NAME": cloud.region,
    }
    outcome = run(HOME / "gophercloud-limits", env=env)
    assert outcome.status == 0, outcome.err
    found = json.loads(outcome.out)
    assert found["endpoint"] == f"{gateway.url}/"
    assert found["microversion"] == "function 1.0"
    assert found["concurrency"] == 32
    assert found["refused"] == 406
    assert "1.0 to 1.0" in found["message"]
