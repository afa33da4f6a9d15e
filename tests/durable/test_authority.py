"""What workers may do: by a trust with the roles that are needed, for as long as it is needed."""

from tests.machine import wait_until


def trusts(cloud, user="alice"):
    session, known = cloud.session(user), cloud.users[user]
    url = f"{cloud.auth_url}/OS-TRUST/trusts?trustor_user_id={known.id}"
    return session.get(url).json()["trusts"]


def test_trust_has_only_the_roles_needed_and_ends_with_the_operations(durable, cloud):
    token = cloud.token("alice-member")
    before = {each["id"] for each in trusts(cloud, "alice-member")}
    locations = [durable.accepted(token) for _ in range(3)]
    made = [each for each in trusts(cloud, "alice-member") if each["id"] not in before]
    assert len(made) == 1
    url = f"{cloud.auth_url}/OS-TRUST/trusts/{made[0]['id']}"
    found = cloud.session("alice-member").get(url).json()["trust"]
    assert [role["name"] for role in found["roles"]] == ["member"]
    assert found["trustee_user_id"] == cloud.users["osfaas"].id
    with durable.worker(OSFAAS_WORKER_TRUST_IDLE_SECONDS="0"):
        for location in locations:
            assert durable.ended(token, location)["state"] == "succeeded"
        wait_until(
            lambda: made[0]["id"] not in {each["id"] for each in trusts(cloud, "alice-member")},
            what="the end of the trust",
        )


def test_deleted_trust_stops_the_operation_with_the_sentence(durable, cloud, backend):
    token = cloud.token("bob")
    location = durable.accepted(token)
    before = len(backend.seen)
    for trust in trusts(cloud, "bob"):
        cloud.session("bob").delete(f"{cloud.auth_url}/OS-TRUST/trusts/{trust['id']}")
    with durable.worker():
        document = durable.ended(token, location)
        assert (document["state"], document["error"]["code"]) == ("failed", "operation.authority_lost")
        assert len(backend.seen) == before
        assert durable.gateway.call("POST", f"{location}/retry", token).status_code == 202
        assert durable.ended(token, location)["state"] == "succeeded"
