"""Follows the output of functions' containers: one HTTP response each, read as it comes and closed with its reader."""

import asyncio
from collections.abc import AsyncIterator

import httpx

from policies.names import NamespaceName
from tenancy.function_repository import CONTAINER, FunctionRepository, LogContainer
from tenancy.kubernetes.client import Cluster, Ref
from tenancy.kubernetes.kinds import POD
from tenancy.model.errors import NoSuchFunctionError, NotFoundError, UnavailableError

_CONNECT_SECONDS = 5.0
_MAX_CONNECTIONS = 400


class KubernetesLogs:
    """Reads the output of containers over the Kubernetes API."""

    def __init__(self, cluster: Cluster, functions: FunctionRepository) -> None:
        self._cluster = cluster
        self._functions = functions
        # A container may be silent for ever; the reader bounds the time.
        timeout = httpx.Timeout(_CONNECT_SECONDS, read=None)
        limits = httpx.Limits(max_connections=_MAX_CONNECTIONS, max_keepalive_connections=0)
        self._http = httpx.AsyncClient(verify=cluster.ssl_context(), timeout=timeout, limits=limits, trust_env=False)

    def containers(self, namespace: NamespaceName, name: str) -> tuple[LogContainer, ...]:
        """The containers of a function that run, and the one that ended last in each pod. Blocks.

        Raises:
            NoSuchFunctionError: there is no such function.
            ClusterError, RecordError: they cannot be read.
        """
        if self._functions.get(namespace, name) is None:
            raise NoSuchFunctionError(f"the project has no function {name}")
        return self._functions.containers(namespace, name)

    async def output(self, namespace: NamespaceName, container: LogContainer, *, lines: int) -> AsyncIterator[bytes]:
        """The last lines of a container's output, then what follows, until it ends.

        Raises:
            ClusterError: the output cannot be read.
        """
        query = {"container": CONTAINER, "tailLines": str(lines), "follow": str(not container.previous).lower()}
        if container.previous:
            query["previous"] = "true"
        ref = Ref(POD, namespace, container.pod)
        # The credential may have to be read anew from its file.
        url, headers = await asyncio.to_thread(self._cluster.log_request, ref, query)
        try:
            async with self._http.stream("GET", url, headers=headers) as response:
                if response.status_code != httpx.codes.OK:
                    raise NotFoundError(f"the log of {ref}: {response.status_code}")
                async for piece in response.aiter_bytes():
                    yield piece
        except httpx.HTTPError as error:
            raise UnavailableError(f"the log of {ref}: {error}") from error
