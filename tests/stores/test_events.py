"""Notifications of the stores themselves, from the written object to the digest beside it: once, and in no loop."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from urllib.parse import urlencode

import httpx
import pytest
import stores
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from conftest import content_of
from filler import S3Filler
from relay import relay

from localcloud.services import Service, free_ports
from localcloud.stack import gateway_service, running, write_tenants
from tests.machine import scaled, wait_until

# More of them at length: EVENT_OBJECTS=10000.
OBJECTS = int(os.environ.get("EVENT_OBJECTS", "60"))
SECRET = "secret-of-the-webhook"
SENDERS = ("rgw-s3", "rgw-account", "minio", "versitygw")
# Ceph looks for new topics every 30 seconds, and gives one of a gateway that ended to another after 90.
PATIENCE_SECONDS = 200


class Chain:
    """A store, a forwarder, a gateway and a function, with the wire to the function."""

    bucket: str

    def __init__(self, store, gateway: Service, forwarder: Service, wire, access: tuple[str, str]) -> None:
        self.store = store
        self.gateway = gateway
        self.forwarder = forwarder
        self.wire = wire
        self.access = access
        self.filler = S3Filler(store.url, *access)

    def with_digest(self, bucket: str, contents: dict[str, bytes]) -> int:
        """How many of the objects have their digest beside them."""
        found = 0
        for name, data in contents.items():
            value = self.filler.metadata(bucket, name).get("adler32")
            assert value in {None, content_of(data).digests["adler32"]}, name
            found += value is not None
        return found

    def wait_for_digests(self, bucket: str, contents: dict[str, bytes]) -> None:
        wait_until(
            lambda: self.with_digest(bucket, contents) == len(contents),
            seconds=PATIENCE_SECONDS + len(contents) / 10,
            what="the last digest",
        )


@contextlib.contextmanager
def chain(name: str, cloud, function, request) -> Iterator[Chain]:
    gateway_port, forwarder_port = free_ports(2)
    hook = f"http://127.0.0.1:{forwarder_port}"
    with contextlib.ExitStack() as stack:
        if name in stores.OF_CEPH:
            store = stack.enter_context(stores.OF_CEPH[name](cloud, request.getfixturevalue("ceph")))
        elif name == "minio":
            queue = cloud.state / f"queue-{forwarder_port}"
            settings = {"ENABLE": "on", "ENDPOINT": hook, "AUTH_TOKEN": SECRET, "QUEUE_DIR": str(queue)}
            env = {f"MINIO_NOTIFY_WEBHOOK_{key}_OSFAAS": value for key, value in settings.items()}
            store = stack.enter_context(stores.minio(cloud, env=env))
        else:
            store = None
        secret = cloud.state / f"secret-{forwarder_port}"
        secret.write_text(SECRET, encoding="ascii")
        credential = {"OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml), "OS_CLOUD": "alice"}
        command = [sys.executable, "-m", "client.cli", "events", "forward", "-e", f"http://127.0.0.1:{gateway_port}"]
        command += ["--port", str(forwarder_port), "--algorithm", "adler32", "--secret-file", str(secret)]
        forwarder = Service(f"forwarder-{forwarder_port}", command, forwarder_port, cloud.state, credential)
        stack.enter_context(running(forwarder))
        if store is None:
            store = stack.enter_context(stores.versitygw(cloud, options=("--event-webhook-url", f"{hook}/{SECRET}")))
        wire = stack.enter_context(relay(function.port))
        tenants = cloud.state / f"tenants-{gateway_port}.yaml"
        write_tenants(tenants, {cloud.users["alice"].project_id: f"http://127.0.0.1:{wire.port}"})
        service = gateway_service(
            cloud, tenants=tenants, name=f"gateway-{gateway_port}", port=gateway_port, env=dict(store.settings)
        )
        gateway = stack.enter_context(running(service))
        yield Chain(store, gateway, forwarder, wire, tuple(cloud.seed.ec2))


def subscribe(made: Chain) -> str:
    """A bucket whose events are sent to the forwarder; its name."""
    bucket = f"events-{made.store.name}"
    made.filler.make(bucket)
    name = made.store.name
    if name == "versitygw":
        return bucket
    if name == "minio":
        kind, arn = "Queue", "arn:minio:sqs::OSFAAS:webhook"
    else:
        attributes = {"push-endpoint": f"http://127.0.0.1:{made.forwarder.port}/{SECRET}"}
        if name == "rgw-s3":
            attributes["persistent"] = "true"
        kind, arn = "Topic", topic(made, bucket, attributes)
    wanted = [{"Id": "osfaas", f"{kind}Arn": arn, "Events": ["s3:ObjectCreated:*"]}]
    made.filler.client.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={f"{kind}Configurations": wanted}
    )
    return bucket


def topic(made: Chain, name: str, attributes: dict[str, str]) -> str:
    """Makes a topic; its ARN. Signed as for S3: Keystone rejects signatures for `sns`."""
    fields = {"Action": "CreateTopic", "Name": name}
    for number, (key, value) in enumerate(attributes.items(), 1):
        fields |= {f"Attributes.entry.{number}.key": key, f"Attributes.entry.{number}.value": value}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    request = AWSRequest("POST", f"{made.store.url}/", headers=form, data=urlencode(fields).encode())
    SigV4Auth(Credentials(*made.access), "s3", "default").add_auth(request)
    response = httpx.post(request.url, headers=dict(request.headers), content=request.data, timeout=scaled(60))
    assert response.status_code == 200, response.text
    return response.text.partition("<TopicArn>")[2].partition("</TopicArn>")[0]


@pytest.fixture(scope="module", params=SENDERS)
def made(request, cloud, function):
    with chain(request.param, cloud, function, request) as running_chain:
        running_chain.bucket = subscribe(running_chain)
        yield running_chain


@pytest.fixture(autouse=True)
def counted(request, made) -> None:
    request.node.user_properties.append(("store", made.store.name))


def test_written_object_gets_its_digest_once_and_the_copy_that_stores_it_starts_no_loop(made):
    bucket = made.bucket
    contents = {f"run {number}/ü+%41.root": f"{made.store.name} {number}".encode() for number in range(OBJECTS)}
    before = made.wire.calls
    begun = time.monotonic()
    for name, data in contents.items():
        made.filler.put(bucket, name, data, {"colour": "blue"})
    made.wait_for_digests(bucket, contents)
    print(f"{made.store.name}: {OBJECTS} objects, the last digest after {time.monotonic() - begun:.1f} s")
    # The events of the copies have come too, and nothing follows.
    time.sleep(scaled(2))
    changed = {name: made.filler.field(bucket, name, "last-modified") for name in contents}
    time.sleep(scaled(2))
    assert {name: made.filler.field(bucket, name, "last-modified") for name in contents} == changed
    assert made.wire.calls - before == OBJECTS
    assert {made.filler.metadata(bucket, name)["colour"] for name in contents} == {"blue"}


@pytest.mark.parametrize("part", ["forwarder", "gateway", "store"])
def test_event_survives_the_restart_of_each_part(made, part):
    """The store keeps what was not accepted, and delivers it again."""
    for feature in ("event kept while the receiver is down", f"event kept when the {part} is killed"):
        if feature in made.store.lacks:
            pytest.skip(f"{feature}: {made.store.lacks[feature]}")
    bucket = made.bucket
    contents = {f"{part}-{number}": f"{part} {number}".encode() for number in range(OBJECTS // 2)}
    names = list(contents)
    service = made.store.services["front"] if part == "store" else getattr(made, part)
    for number, name in enumerate(names):
        if number == len(names) // 3:
            service.kill()
            if part == "store":
                service.restart()
                wait_until(lambda: serves(made, bucket), what="the store")
        if number == 2 * len(names) // 3 and part != "store":
            service.restart()
        made.filler.put(bucket, name, contents[name])
    made.wait_for_digests(bucket, contents)


def serves(made: Chain, bucket: str) -> bool:
    try:
        made.filler.client.head_bucket(Bucket=bucket)
    except Exception:  # noqa: BLE001 - whatever it is, it passes
        return False
    return True
