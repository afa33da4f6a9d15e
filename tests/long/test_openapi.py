"""The OpenAPI document is true: Schemathesis calls all of it, with a user's token, an administrator's, none."""

import contextlib
import random
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from conftest import Gateway
from echo import echo
from known_operations import SWEEP, KnownOperations, accept_operations
from openapi_calls import Document, Known, Tally, call_everything, operations_of
from schemathesis import GenerationMode
from schemathesis.openapi.checks import JsonSchemaError, UndefinedContentType, UndefinedStatusCode

from operations.store.database import Database
from operations.store.upgrade import upgrade

CONTAINER, OBJECT = "data", "documented"
USERS = ("alice", "admin")


@dataclass(frozen=True)
class Documented:
    """A gateway, and what its users have in its database."""

    gateway: Gateway
    operations: Mapping[str, KnownOperations]


@contextlib.contextmanager
def documented_gateway(start_gateway, cloud, function, folder: Path) -> Iterator[Documented]:
    """A gateway where every operation has something to work on: for alice, and for the cloud's administrator."""
    url = f"sqlite:///{folder}/operations.db"
    settings = {"OSFAAS_DATABASE_URL": url, "OSFAAS_OPERATION_ROLES": "member,admin", "OSFAAS_CALLBACK_KEYS": "k" * 40}
    with contextlib.closing(Database(url, connections=1)) as database:
        upgrade(database.engine)
        with echo() as backend, start_gateway(**settings) as gateway:
            prepare(gateway, cloud, function, backend)
            tokens = {user: cloud.token(user) for user in USERS}
            yield Documented(gateway, accept_operations(gateway, tokens, database))


def prepare(gateway: Gateway, cloud, function, backend) -> None:
    """Functions and an object for each user."""
    functions = {
        "checksums": {"url": f"http://127.0.0.1:{function.port}"},
        "echo": {"url": backend.url, "callable": True},
    }
    projects = [cloud.users[user].project_id for user in USERS]
    tenants = [{"project_id": project, "functions": functions} for project in projects]
    gateway.tenants.write_text(yaml.safe_dump({"tenants": tenants}), encoding="utf-8")
    time.sleep(1.1)
    for user in USERS:
        session = cloud.session(user)
        session.put(f"{cloud.account_url(user)}/{CONTAINER}")
        session.put(f"{cloud.account_url(user)}/{CONTAINER}/{OBJECT}", data=b"content")


def known_things(operations: KnownOperations | None) -> Known:
    """Requests that name the object, the function and the operations."""
    named = {"path_parameters": {"container": CONTAINER, "object": OBJECT}}
    queried = {"query": {"bucket": CONTAINER, "file": OBJECT, "algorithm": "md5", "force": "true", "store": "true"}}
    record = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": CONTAINER}, "object": {"key": OBJECT}}}
    return {
        **{f"{method}_digests_by_object": named for method in ("get", "head")},
        **{f"{method}_digests_by_{way}": queried for method in ("get", "head") for way in ("query", "original")},
        **{
            f"invoke_{method}": {"path_parameters": {"function": "echo", "path": "a"}}
            for method in ("get", "head", "post", "put", "patch", "delete", "options")
        },
        "bulk_digests": {"body": {"objects": [{"container": CONTAINER, "object": OBJECT}], "algorithms": ["md5"]}},
        "receive_events": {
            "query": {"algorithm": "md5", "checksums": "true"},
            "body": {"Records": [record]},
            "media_type": "application/json",
        },
        "create_sweep": {"body": SWEEP},
        **(known_operations(operations) if operations else {}),
    }


def known_operations(ids: KnownOperations) -> Known:
    named = {
        "show_operation": ids.answered,
        "get_operation_result": ids.answered,
        "cancel_operation": ids.queued,
        "retry_operation": ids.failed,
        "show_sweep": ids.sweep,
    }
    return {name: {"path_parameters": {"operation": each}} for name, each in named.items()}


@pytest.fixture(scope="module")
def documented(start_gateway, cloud, function, tmp_path_factory):
    with documented_gateway(start_gateway, cloud, function, tmp_path_factory.mktemp("database")) as made:
        yield made


def document_of(gateway: Gateway) -> Document:
    return gateway.get("/v1/openapi.json").json()


def token_of(cloud, who: str | None) -> str | None:
    return None if who is None else cloud.token(who)


def check(tally: Tally, gateway: Gateway, who: str | None) -> None:
    """Nothing was left out, and who may do something has been seen to do it."""
    everything = operations_of(document_of(gateway))
    print(f"{who}: {tally.calls} calls of {len(tally.statuses)} operations")
    assert set(tally.statuses) == everything
    assert all(sum(counted.values()) for counted in tally.statuses.values())
    if who is None:
        assert tally.reached() == tally.open_operations
        for name in everything - tally.open_operations:
            # A name that no function can have is no route, whoever asks.
            assert set(tally.statuses[name]) <= {400, 401, *([404] if name.startswith("invoke_") else [])}, name
    else:
        assert tally.reached() == everything


@pytest.mark.parametrize(
    ("examples", "modes", "seed"),
    [
        pytest.param(8, [GenerationMode.POSITIVE], 1, id="moment"),
        pytest.param(
            200,
            [GenerationMode.POSITIVE, GenerationMode.NEGATIVE],
            random.randrange(2**32),
            id="at-length",
            marks=pytest.mark.long,
        ),
    ],
)
@pytest.mark.parametrize("who", [None, "alice", "admin"])
@pytest.mark.timeout(1_500)
def test_every_documented_operation_answers_as_documented(documented, cloud, who, examples, modes, seed):
    print(f"seed {seed}")
    gateway, known = documented.gateway, known_things(documented.operations.get(who))
    token, document = token_of(cloud, who), document_of(gateway)
    tally = call_everything(gateway, document, token, known, examples=examples, seed=seed, modes=modes)
    check(tally, gateway, who)


@pytest.mark.parametrize(
    ("change", "failure"),
    [
        (lambda responses: responses.pop("401"), UndefinedStatusCode),
        (lambda responses: responses["401"].update(content={"text/html": {}}), UndefinedContentType),
        (
            lambda responses: responses["401"].update(content={"application/json": {"schema": {"type": "array"}}}),
            JsonSchemaError,
        ),
    ],
    ids=["status", "media-type", "body"],
)
def test_answer_that_the_document_does_not_have_is_seen(documented, change, failure):
    document = document_of(documented.gateway)
    document["paths"] = {"/v1/limits": document["paths"]["/v1/limits"]}
    change(document["paths"]["/v1/limits"]["get"]["responses"])
    with pytest.raises(BaseExceptionGroup) as caught:
        call_everything(documented.gateway, document, None, {}, examples=1, seed=1)
    assert failure.__name__ in "".join(traceback.format_exception(caught.value))
