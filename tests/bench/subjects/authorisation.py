"""`python authorisation.py CALLS`: prints the CPU seconds of so many admissions with a token that is cached.

The services are those of the gateway, built from the same settings; Keystone is asked once, in the beginning.
"""

import asyncio
import os
import sys
import time

from gateway.admission import admit
from gateway.http.context import RequestContext
from gateway.http.head import RequestHead
from gateway.http.metrics import Metrics
from gateway.identity.credential import find_identity_service
from gateway.server.clients import keystone_client
from gateway.server.serve import open_directory
from gateway.server.settings import settings_from
from gateway.server.wiring import build_authenticator


async def main(calls: int) -> None:
    settings = settings_from(os.environ)
    service = find_identity_service(timeout_seconds=settings.keystone_timeout_seconds)
    directory = open_directory(settings)
    fields = ((b"host", b"127.0.0.1"), (b"accept", b"*/*"), (b"x-auth-token", os.environ["BENCH_TOKEN"].encode()))
    head = RequestHead("HEAD", b"/v1/checksums/bench/object-1", b"", fields)
    async with keystone_client(settings, service) as keystone_http:
        authenticator = build_authenticator(settings, service, Metrics(), keystone_http)
        for _ in range(50):
            await admit(authenticator, directory, head, RequestContext())
        context = RequestContext()
        started = time.process_time()
        for _ in range(calls):
            await admit(authenticator, directory, head, context)
        print(time.process_time() - started)


asyncio.run(main(int(sys.argv[1])))
