"""The process of a worker: settings, credential, database, and the loop until SIGTERM."""

import asyncio
import contextlib
import os
import signal
import sys

import httpx
import openstack.exceptions
from keystoneauth1 import exceptions as ksa_exceptions
from sqlalchemy.exc import SQLAlchemyError

from gateway.identity.credential import IdentityService, find_identity_service
from gateway.identity.keystone import Keystone
from gateway.identity.trusts import NO_LOGIN, Trustee, Trusts, TrustTokens
from gateway.objects.containers import SwiftContainers
from gateway.objects.http import StoreClient
from gateway.operations.checks import check_operations
from gateway.operations.objects import OperationObjects
from gateway.operations.service import SWEEP
from gateway.server.clients import keystone_client, store_origins, store_session
from gateway.settings import Settings, settings_from
from gateway.telemetry.logs import configure_logging
from operations.authority import TrustCallers
from operations.callbacks import Callbacks, callback_session
from operations.execution import Execution
from operations.gateway_client import GatewayClient
from operations.long_bodies import LongBodies
from operations.metrics import WorkerMetrics
from operations.store.database import Database
from operations.store.errors import SchemaError
from operations.store.upgrade import check
from operations.sweeps.kind import open_sweeps
from operations.worker import Worker


def main() -> int:
    """Runs a worker until SIGTERM; returns 0, or 2 after an error of the configuration or the tables on stderr."""
    configure_logging()
    try:
        settings = settings_from(os.environ)
        configure_logging(settings.log_format)
        check_operations(settings)
        database = database_of(settings)
        identity = find_identity_service(timeout_seconds=settings.keystone_timeout_seconds)
        trustee = trustee_of(identity)
        with database.engine.connect() as connection:
            check(connection)
    except (ValueError, SchemaError) as error:
        return refuse(str(error))
    except SQLAlchemyError as error:
        return refuse(f"the database does not answer: {str(error.__cause__ or error).strip().splitlines()[0][:200]}")
    except (openstack.exceptions.SDKException, ksa_exceptions.ClientException) as error:
        return refuse(f"no usable OpenStack credential: {error}")
    try:
        asyncio.run(work(settings, identity, trustee, database))
    except SchemaError as error:
        return refuse(str(error))
    return 0


def trustee_of(identity: IdentityService) -> Trustee:
    """Our user, to whom trusts are given.

    Raises:
        ValueError: the credential is no user's password.
    """
    if identity.trustee is None:
        raise ValueError(f"a worker needs the password of its user (OS_USERNAME, OS_PASSWORD): {NO_LOGIN}")
    return identity.trustee


def database_of(settings: Settings) -> Database:
    """The database of the settings.

    Raises:
        ValueError: they name none.
    """
    if settings.database_url is None:
        raise ValueError("OSFAAS_DATABASE_URL is not set")
    return Database(
        settings.database_url.get_secret_value(),
        connections=settings.database_connections,
        retry_seconds=settings.database_retry_seconds,
    )


def refuse(sentence: str) -> int:
    """Says why nothing runs."""
    print(f"osfaas: {sentence}", file=sys.stderr)  # noqa: T201 - before the work begins, errors go to stderr
    return 2


async def work(settings: Settings, identity: IdentityService, trustee: Trustee, database: Database) -> None:
    """Works until SIGTERM or SIGINT.

    Raises:
        SchemaError: the tables cannot be used any more.
    """
    metrics = WorkerMetrics()
    if settings.worker_metrics_port:
        metrics.listen(settings.worker_metrics_host, settings.worker_metrics_port)
    tokens, allowlist = TrustTokens(trustee, settings), store_origins(settings)
    if settings.sweep_scratch_dir is not None:
        # Where SQLite sorts.
        os.environ["SQLITE_TMPDIR"] = settings.sweep_scratch_dir
    try:
        async with (
            keystone_client(settings, identity) as keystone,
            callback_session(settings) as session,
            store_session(settings, allowlist) as store,
            contextlib.AsyncExitStack() as stack,
        ):
            client = StoreClient(store, timeout_seconds=settings.store_timeout_seconds, allowlist=allowlist)
            containers, callers = SwiftContainers(client, settings), callers_of(settings, identity, keystone, tokens)
            objects = OperationObjects(containers, settings)
            gateway = await stack.enter_async_context(gateway_client(settings, objects))
            sweeps = await stack.enter_async_context(open_sweeps(settings, database, callers, containers))
            execution = Execution(
                database=database,
                gateway=gateway,
                tokens=tokens,
                max_attempts=settings.worker_attempts,
                bodies=LongBodies(objects, callers),
                kinds={SWEEP: sweeps.attempt},
            )
            callbacks = Callbacks(database, session, settings)
            trusts = Trusts(keystone, identity.auth_url)
            worker = Worker(database, execution, callbacks, trusts, settings, metrics=metrics, give_back=sweeps.stop)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                with contextlib.suppress(NotImplementedError):
                    loop.add_signal_handler(number, worker.stop)
            await worker.run()
    finally:
        database.close()


def callers_of(
    settings: Settings, identity: IdentityService, keystone: httpx.AsyncClient, tokens: TrustTokens
) -> TrustCallers:
    """The callers of operations, by their trusts."""
    validating = Keystone(
        keystone,
        auth_url=identity.auth_url,
        credential=identity.credential,
        timeout_seconds=settings.keystone_timeout_seconds,
    )
    return TrustCallers(tokens, validating)


def gateway_client(settings: Settings, objects: OperationObjects) -> GatewayClient:
    """The client of the gateway."""
    return GatewayClient(
        settings.worker_gateway_url,
        cafile=settings.worker_gateway_cafile,
        memory_bytes=settings.operation_body_max_bytes,
        max_bytes=objects.max_bytes,
    )
