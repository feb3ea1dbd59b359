"""The transport of production, and what its failures say about the request.

A stock httpx pool costs ten times the CPU at a hundred calls at once (PERFORMANCE.md), so the
requests go through aiohttp.
"""

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

CONNECTIONS = 256
IDLE = 30.0

NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
    httpx.InvalidURL,
)


def was_sent(error: Exception) -> bool | None:
    """Return False when a request cannot have reached the provider, None when it may have.

    Args:
        error: What the transport raised.
    """
    if not isinstance(error, NEVER_SENT):
        return True if isinstance(error, httpx.ReadError | httpx.RemoteProtocolError) else None
    cause = error.__cause__
    # httpx-aiohttp turns every lost connection into a ConnectTimeout, one that broke after
    # the request was sent included; only the cause tells them apart.
    broke = isinstance(cause, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)
    return broke and not isinstance(cause, aiohttp.ClientConnectorError)


async def _once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a PUT or DELETE again when a kept connection breaks.

    It would do so by itself, past the guard; under an error that it does not know it stops.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise httpx.ReadError(type(error).__name__) from error


def aiohttp_transport(*, connections: int = CONNECTIONS) -> httpx.AsyncBaseTransport:
    """Return the transport for real providers.

    Args:
        connections: How many may be open at once.
    """

    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=connections, keepalive_timeout=IDLE, ssl=transport.ssl_context
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_once,),
        )

    transport = AiohttpTransport(client=session)
    return transport
