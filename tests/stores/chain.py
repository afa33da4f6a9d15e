"""A store that sends its events, a forwarder, a gateway and a function; the wires between them are counted."""

import contextlib
import sys
from collections.abc import Iterator
from urllib.parse import urlencode

import httpx
import stores
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from conftest import content_of, long_timeouts
from counting import counting
from filler import S3Filler

from localcloud.ports import free_ports
from localcloud.services import Service
from localcloud.stack import gateway_service, running, write_tenants
from tests.machine import scaled, wait_until

SECRET = "secret-of-the-webhook"
# Ceph looks for new topics every 30 seconds, and gives one of a gateway that ended to another after 90.
WAIT_SECONDS = 200


class Chain:
    """Store, forwarder and gateway, with the wires from the gateway to the function and to the store."""

    bucket: str

    def __init__(self, store, gateway: Service, forwarder: Service, *, wire, front, access: tuple[str, str]) -> None:
        self.store = store
        self.gateway = gateway
        self.forwarder = forwarder
        self.wire = wire
        self.front = front
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
            seconds=WAIT_SECONDS + len(contents) / 10,
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
            hooked = {"ENABLE": "on", "ENDPOINT": hook, "AUTH_TOKEN": SECRET, "QUEUE_DIR": str(queue)}
            env = {f"MINIO_NOTIFY_WEBHOOK_{key}_OSFAAS": value for key, value in hooked.items()}
            # Uploads are answered when their events are kept, and accepted when it knows of which events to tell.
            env |= {"MINIO_API_SYNC_EVENTS": "on", "MINIO_SYNC_BOOT": "on"}
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
        wire = stack.enter_context(counting(function.port))
        front = stack.enter_context(counting(int(store.url.rpartition(":")[2])))
        through = f"http://127.0.0.1:{front.port}"
        settings = {key: value.replace(store.url, through) for key, value in store.settings.items()}
        tenants = cloud.state / f"tenants-{gateway_port}.yaml"
        write_tenants(tenants, {cloud.users["alice"].project_id: f"http://127.0.0.1:{wire.port}"})
        service = gateway_service(
            cloud,
            tenants=tenants,
            name=f"gateway-{gateway_port}",
            port=gateway_port,
            env={**long_timeouts(), **settings},
        )
        gateway = stack.enter_context(running(service))
        yield Chain(store, gateway, forwarder, wire=wire, front=front, access=tuple(cloud.seed.ec2))


def subscribe(made: Chain, bucket: str) -> None:
    """Makes a bucket whose events are sent to the forwarder."""
    made.filler.make(bucket)
    name = made.store.name
    if name == "versitygw":
        return
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


def serves(made: Chain, bucket: str) -> bool:
    try:
        made.filler.client.head_bucket(Bucket=bucket)
    except Exception:  # noqa: BLE001 - whatever it is, it passes
        return False
    return True
