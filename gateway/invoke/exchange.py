"""One HTTP exchange with a tenant's function, through the ingress that knows it by its Host."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import yarl

from gateway.errors import GatewayError, Kind
from tenancy.directory import FunctionAddress

# What an ingress, an activator or a queue-proxy answers when there is nobody behind it.
NOBODY_THERE = frozenset([502, 503, 504])


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited: for a connection, for a sign of life, in all (seconds)."""

    connect_seconds: float
    silence_seconds: float
    total_seconds: float


class FunctionClient:
    """Sends requests to functions. Nothing of the caller's request goes along but what is given here."""

    def __init__(self, session: aiohttp.ClientSession, patience: Patience) -> None:
        self._session = session
        self._patience = patience
        self._timeout = aiohttp.ClientTimeout(
            total=patience.total_seconds,
            connect=patience.connect_seconds,
            sock_connect=patience.connect_seconds,
            sock_read=patience.silence_seconds,
        )

    @contextlib.asynccontextmanager
    async def post(
        self, address: FunctionAddress, headers: Mapping[str, str], body: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to a POST; leaving the block before its end closes the connection.

        Raises:
            GatewayError: FUNCTION_UNREACHABLE, FUNCTION_TIMEOUT, FUNCTION_FAILED.
        """
        fields = {**headers, **({"Host": address.host} if address.host else {})}
        try:
            async with self._session.post(
                yarl.URL(f"{address.url}/", encoded=True),
                headers=fields,
                data=body,
                allow_redirects=False,
                timeout=self._timeout,
            ) as response:
                yield response
        except aiohttp.ConnectionTimeoutError as error:
            raise GatewayError(Kind.FUNCTION_UNREACHABLE) from error
        except TimeoutError as error:
            raise GatewayError(Kind.FUNCTION_TIMEOUT, seconds=self._patience.total_seconds) from error
        except aiohttp.ClientPayloadError as error:
            raise GatewayError(Kind.FUNCTION_FAILED, why="its answer broke off") from error
        except aiohttp.ClientConnectionError as error:
            raise GatewayError(Kind.FUNCTION_UNREACHABLE) from error
        except aiohttp.ClientError as error:
            raise GatewayError(Kind.FUNCTION_FAILED, why="its answer is not HTTP as it should be") from error
