"""`python authorisation.py CALLS`: prints the CPU seconds of so many admissions with a token that is cached.

The components are those of the gateway, made from the same settings; Keystone is asked once, in the beginning.
"""

import asyncio
import os
import sys
import time

from gateway.calls.admission import Admission
from gateway.http.context import RequestContext
from gateway.http.head import RequestHead
from gateway.http.metrics import Metrics
from gateway.identity.credential import find_identity_service
from gateway.limits.backend import InMemoryLimitBackend
from gateway.limits.limiter import ProjectLimiter
from gateway.policy.names import Rule
from gateway.policy.policy import Policy
from gateway.server.clients import keystone_client
from gateway.server.serve import open_directory
from gateway.server.wiring import build_authenticator
from gateway.settings import settings_from


async def main(calls: int) -> None:
    settings = settings_from(os.environ)
    service = find_identity_service(timeout_seconds=settings.keystone_timeout_seconds)
    directory = open_directory(settings)
    fields = ((b"host", b"127.0.0.1"), (b"accept", b"*/*"), (b"x-auth-token", os.environ["BENCH_TOKEN"].encode()))
    head = RequestHead("HEAD", b"/v1/checksums/bench/object-1", b"", fields)
    async with keystone_client(settings, service) as keystone_http:
        metrics = Metrics()
        authenticator = build_authenticator(settings, service, metrics, keystone_http, Policy(settings.policy_file))
        limiter = ProjectLimiter(InMemoryLimitBackend(), settings, metrics)
        admission = Admission(authenticator, directory, limiter)
        context = RequestContext(head=head)
        for _ in range(50):
            await admission.admit(context, Rule.CHECKSUMS_GET, counted=False)
        started = time.process_time()
        for _ in range(calls):
            await admission.admit(context, Rule.CHECKSUMS_GET, counted=False)
        print(time.process_time() - started)


asyncio.run(main(int(sys.argv[1])))
