"""A large object of which a segment is gone: Swift's HEAD finds it, and its GET never gives all of it."""

import pytest
from conftest import content_of

JSON = {"Accept": "application/json"}
MIB = 1 << 20


@pytest.fixture(params=["first", "later"])
def broken(bucket, request):
    """The name of a static large object whose first or second segment was put anew after its manifest."""
    url = bucket.url + "_parts"
    bucket.session.put(url)
    sizes = (2 * MIB, MIB)
    for number, size in enumerate(sizes):
        bucket.session.put(f"{url}/{request.param}/{number}", data=bytes([65 + number]) * size)
    container = url.rpartition("/")[2]
    name = f"broken-{request.param}"
    bucket.put_large(name, [f"{container}/{request.param}/{number}" for number in range(2)])
    which = 0 if request.param == "first" else 1
    bucket.session.put(f"{url}/{request.param}/{which}", data=b"z" * sizes[which])
    assert bucket.session.head(f"{bucket.url}/{name}").status_code == 200
    return name


@pytest.mark.parametrize("capability", ["tempurl", "stream"])
def test_large_object_with_a_broken_segment_is_not_to_be_asked_for_again(
    start_gateway, bucket, alice, broken, capability
):
    """Neither "did not answer" nor "ask again": it will be the same until its owner mends it."""
    account = bucket.url.rpartition("/")[0]
    bucket.session.post(account, headers={"X-Account-Meta-Temp-Url-Key": "account-key"})
    try:
        with start_gateway(OSFAAS_CAPABILITIES=capability) as gateway:
            response = gateway.get(bucket.path(broken) + "?algorithm=sha256", alice, headers=JSON)
            assert (response.status_code, response.json()["errors"][0]["code"]) == (422, "object.unsupported")
            assert "segment" in response.json()["error"]["message"]
            assert "Retry-After" not in response.headers
            assert gateway.metric("osfaas_computations_total", capability="tempurl", outcome="refused") == 0
    finally:
        bucket.session.post(account, headers={"X-Account-Meta-Temp-Url-Key": ""})


def test_the_same_object_is_read_when_its_segment_is_back(gateway, bucket, alice, broken):
    """The positive control, and the check that no refusal is remembered."""
    number, size = (0, 2 * MIB) if broken == "broken-first" else (1, MIB)
    path = bucket.path(broken) + "?algorithm=sha256&force=true"
    assert gateway.get(path, alice, headers=JSON).status_code == 422
    bucket.session.put(
        f"{bucket.url}_parts/{broken.removeprefix('broken-')}/{number}", data=bytes([65 + number]) * size
    )
    whole = content_of(b"A" * 2 * MIB + b"B" * MIB)
    assert gateway.get(path, alice).json()["digests"]["sha256"] == whole.digests["sha256"]
