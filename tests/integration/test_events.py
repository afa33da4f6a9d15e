"""Object events over sockets: each object is computed once, counted at the function, and nothing goes in circles."""

import contextlib
import json
import random
import sys
import time

import httpx
import pytest
from conftest import Bucket, content_of
from relay import relay
from test_bulk import resident_kib

from localcloud.ports import free_ports
from localcloud.services import Service
from localcloud.stack import running, write_tenants
from tests.machine import scaled

BATCH = {"Content-Type": "application/cloudevents-batch+json"}
STRUCTURED = {"Content-Type": "application/cloudevents+json"}


def record(bucket: Bucket, key: str, *, name: str = "ObjectCreated:Put", sequencer: str = "1", **more: str) -> dict:
    entry = {"key": key, "size": 7, "eTag": "", "sequencer": sequencer, **more}
    return {"eventName": name, "s3": {"bucket": {"name": bucket.name}, "object": entry}}


def cloud_event(data: object, number: int = 0) -> dict:
    return {
        "specversion": "1.0",
        "type": "com.amazonaws.s3:ObjectCreated:Put",
        "source": "ceph:s3.default.data",
        "id": str(number),
        "data": data,
    }


def post(gateway, token: str | None, document: object, headers: dict[str, str], query: str = "") -> httpx.Response:
    body = json.dumps(document).encode()
    return gateway.call("POST", f"/v1/events{query}", token, content=body, headers=headers)


def outcomes(gateway, token: str, document: object) -> dict[str, int]:
    answer = post(gateway, token, document, {**STRUCTURED, "Accept": "application/json"})
    assert answer.status_code == 200, answer.text
    return answer.json()["outcomes"]


@pytest.fixture(scope="module")
def counted(start_gateway, cloud, function):
    """A gateway, and the wire to the function."""
    with relay(function.port) as wire:
        functions = {cloud.users["alice"].project_id: f"http://127.0.0.1:{wire.port}"}
        with start_gateway(functions=functions) as gateway:
            yield gateway, wire


def test_events_need_a_token_and_a_role(counted, cloud, bucket):
    gateway, _ = counted
    event = cloud_event(record(bucket, "x"))
    assert post(gateway, None, event, STRUCTURED).status_code == 401
    assert post(gateway, cloud.token("alice-reader"), event, STRUCTURED).status_code == 403
    refused = post(gateway, cloud.application_credential_token("get-only"), event, STRUCTURED)
    assert refused.json()["errors"][0]["code"] == "access.denied_by_rule"


def test_events_of_a_bucket_reach_only_the_project_of_the_token(counted, start_gateway, cloud, bucket):
    bucket.put("not-bobs", b"content")
    with start_gateway() as gateway:
        answer = post(gateway, cloud.token("bob"), cloud_event(record(bucket, "not-bobs")), STRUCTURED)
        assert answer.status_code == 204
        assert gateway.metric("osfaas_events_total", outcome="gone") == 1
    assert "x-object-meta-adler32" not in {name.lower() for name in bucket.head("not-bobs")}


def test_body_that_is_no_event_is_refused(counted, alice):
    gateway, _ = counted
    assert post(gateway, alice, {"x": 1}, STRUCTURED).status_code == 400
    assert gateway.call("GET", "/v1/events", alice).status_code == 405


def test_marks_longer_than_s3s_are_refused_and_stay_in_no_memory(start_gateway, alice, bucket):
    """20 events of 2 MB; a character beyond the BMP makes four bytes of each in memory."""
    with start_gateway() as gateway:
        post(gateway, alice, cloud_event(record(bucket, "none")), STRUCTURED)
        before, answers = resident_kib(gateway.service.pid), []
        for number in range(20):
            long = record(bucket, "none", versionId="\U0001f600" + "v" * 2_000_000, sequencer=str(number))
            answers.append(post(gateway, alice, cloud_event(long), STRUCTURED).status_code)
        grown = resident_kib(gateway.service.pid) - before
    print(f"20 events of 2 MB: +{grown // 1024} MiB")
    assert answers == [400] * 20
    assert grown < 40 * 1024


def test_more_records_than_one_request_may_have_are_refused(start_gateway, alice, bucket):
    with start_gateway(OSFAAS_BULK_MAX_OBJECTS="5") as gateway:
        six = cloud_event({"Records": [record(bucket, f"none-{number}") for number in range(6)]})
        assert post(gateway, alice, six, STRUCTURED).status_code == 400
        assert gateway.metric("osfaas_events_total", outcome="gone") == 0
        six["data"]["Records"].pop()
        assert post(gateway, alice, six, STRUCTURED).status_code == 204


def test_event_that_overtakes_its_object_is_worked_off_when_it_comes_again(counted, alice, bucket):
    gateway, _ = counted
    content = content_of(b"overtaken")
    event = cloud_event(record(bucket, "overtaken", eTag=content.digests["md5"]))
    assert outcomes(gateway, alice, event) == {"gone": 1}
    bucket.put("overtaken", content.data)
    assert outcomes(gateway, alice, event) == {"computed": 1}
    assert bucket.head("overtaken")["X-Object-Meta-Adler32"] == content.digests["adler32"]
    assert outcomes(gateway, alice, event) == {"duplicate": 1}


@pytest.mark.parametrize("sequencers", [("", ""), ("1", "2")], ids=["without-sequencer", "with-sequencer"])
def test_content_that_is_uploaded_again_gets_its_digests_again(counted, alice, bucket, sequencers):
    gateway, _ = counted
    content = content_of(f"again and again {sequencers}".encode())
    name = f"re-upload{''.join(sequencers)}"
    for sequencer in sequencers:
        bucket.put(name, content.data)
        assert "X-Object-Meta-Adler32" not in bucket.head(name)
        outcomes(gateway, alice, cloud_event(record(bucket, name, sequencer=sequencer, eTag=content.digests["md5"])))
        assert bucket.head(name)["X-Object-Meta-Adler32"] == content.digests["adler32"]


def test_event_about_content_that_is_not_there_yet_does_not_count_as_done(counted, alice, bucket):
    """A store that still shows the content of before: it is the event's own content that has to have digests."""
    gateway, _ = counted
    old, new = content_of(b"content of before"), content_of(b"content of now")
    bucket.put("early", old.data)
    event = cloud_event(record(bucket, "early", sequencer="9", eTag=new.digests["md5"]))
    assert outcomes(gateway, alice, event) == {"computed": 1}
    bucket.put("early", new.data)
    assert outcomes(gateway, alice, event) == {"computed": 1}
    assert bucket.head("early")["X-Object-Meta-Adler32"] == new.digests["adler32"]


def test_answer_has_no_body_and_the_digests_lie_with_the_object(counted, alice, bucket):
    gateway, wire = counted
    content = content_of(b"content of an event")
    bucket.put("run 1/ü+.root", content.data)
    before = wire.calls
    answer = post(gateway, alice, {"Records": [record(bucket, "run+1/%C3%BC%2B.root")]}, {
        "Content-Type": "application/json", "ce-specversion": "1.0", "ce-type": "com.amazonaws.ObjectCreated:Put",
        "ce-id": "1.2", "ce-source": "ceph:s3.default.data", "ce-subject": "run 1",
    })  # fmt: skip
    assert (answer.status_code, answer.content) == (204, b"")
    assert bucket.head("run 1/ü+.root")["X-Object-Meta-Adler32"] == content.digests["adler32"]
    assert wire.calls - before == 1


def test_digests_can_be_chosen(counted, alice, bucket):
    gateway, _ = counted
    content = content_of(b"chosen")
    bucket.put("chosen", content.data)
    event = cloud_event(record(bucket, "chosen"))
    assert post(gateway, alice, event, STRUCTURED, "?algorithm=sha256").status_code == 204
    assert bucket.head("chosen")["X-Object-Meta-Sha256"] == content.digests["sha256"]
    assert post(gateway, alice, event, STRUCTURED, "?algorithm=md6").status_code == 400


def test_failure_that_may_pass_is_answered_so_that_the_event_comes_again(start_gateway, cloud, function, alice, bucket):
    bucket.put("again", b"content")
    event = cloud_event(record(bucket, "again"))
    project = cloud.users["alice"].project_id
    with start_gateway(functions={project: "http://127.0.0.1:9"}) as gateway:
        answer = post(gateway, alice, event, STRUCTURED)
        assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (503, True)
        write_tenants(gateway.tenants, {project: f"http://127.0.0.1:{function.port}"})
        time.sleep(1.5)  # the directory is looked at again after a second
        answer = post(gateway, alice, event, {**STRUCTURED, "Accept": "application/json"})
        assert answer.json() == {"outcomes": {"computed": 1}}


def test_thousand_events_compute_each_object_once_and_start_no_loop(counted, alice, bucket):
    """200 objects; each written once, delivered three times, and then the copies that our write-back makes."""
    gateway, wire = counted
    objects, before = 200, wire.calls
    contents = {f"loop/{number}": content_of(f"loop {number}".encode()) for number in range(objects)}
    for name, content in contents.items():
        bucket.put(name, content.data)
    written = [record(bucket, name, sequencer="1") for name in contents for _ in range(3)]
    copied = [record(bucket, name, name="ObjectCreated:Copy", sequencer=s) for name in contents for s in "23"]
    random.Random(1).shuffle(written)
    answers = [0, 0]
    for events in (written, copied):
        for start in range(0, len(events), 100):
            batch = [cloud_event({"Records": [each]}, n) for n, each in enumerate(events[start : start + 100])]
            answer = post(gateway, alice, batch, BATCH)
            assert answer.status_code == 204, answer.text
            answers[events is copied] += len(batch)
    assert answers == [600, 400]
    assert wire.calls - before == objects
    heads = {name: bucket.head(name) for name in contents}
    assert {name: head["X-Object-Meta-Adler32"] for name, head in heads.items()} == {
        name: content.digests["adler32"] for name, content in contents.items()
    }
    stamps = {name: head["X-Timestamp"] for name, head in heads.items()}
    again = [cloud_event({"Records": copied})]
    assert post(gateway, alice, again, BATCH).status_code == 204
    assert {name: bucket.head(name)["X-Timestamp"] for name in contents} == stamps
    assert wire.calls - before == objects


@contextlib.contextmanager
def forwarder(cloud, gateway, *arguments: str):
    """`osfaas events forward` with alice's credential; its URL."""
    port = free_ports(1)[0]
    env = {"OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml), "OS_CLOUD": "alice"}
    command = [sys.executable, "-m", "client.cli", "events", "forward", "-e", gateway.url, "--port", str(port)]
    with running(Service(f"forwarder-{port}", [*command, *arguments], port, cloud.state, env)):
        yield f"http://127.0.0.1:{port}"


def test_forwarder_turns_away_senders_without_the_secret(counted, cloud, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n", encoding="ascii")
    with forwarder(cloud, counted[0], "--secret-file", str(secret)) as url:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic s3cret"}):
            assert httpx.post(url, json={"Records": []}, headers=headers, timeout=scaled(60)).status_code == 401
        known = {"Authorization": "Bearer s3cret"}
        assert httpx.post(url, json={"Records": []}, headers=known, timeout=scaled(60)).status_code == 204


def test_forwarder_brings_a_token_along_and_gives_the_gateways_status_back(counted, cloud, bucket):
    gateway, _ = counted
    content = content_of(b"forwarded")
    bucket.put("forwarded ü", content.data)
    with forwarder(cloud, gateway, "--algorithm", "sha256") as url:
        headers = {
            "Content-Type": "application/json",
            "ce-specversion": "1.0",
            "ce-type": "com.amazonaws.ObjectCreated:Put",
            "ce-id": "1",
            "ce-source": "ceph:s3.default.data",
            "X-Auth-Token": "forged",
            "Host": "elsewhere.test",
            "ce-subject": "forwarded ü".encode(),  # as RGW writes it
        }
        answer = httpx.post(url, json=record(bucket, "forwarded ü"), headers=headers, timeout=scaled(60))
        assert (answer.status_code, answer.content) == (204, b"")
        assert bucket.head("forwarded ü")["X-Object-Meta-Sha256"] == content.digests["sha256"]
        refused = httpx.post(url, json={"no": "records"}, headers=headers, timeout=scaled(60))
        assert refused.status_code == 400
        assert refused.json()["errors"][0]["code"] == "request.malformed"
        assert httpx.get(f"{url}/healthz", timeout=scaled(60)).text == "ok"


def test_forwarder_without_a_gateway_asks_to_be_tried_again(cloud):
    class Nowhere:
        url = "http://127.0.0.1:9"

    with forwarder(cloud, Nowhere) as url:
        answer = httpx.post(url, json={"Records": []}, timeout=scaled(60))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
