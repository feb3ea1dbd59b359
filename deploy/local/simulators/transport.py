"""The simulators as an httpx transport: no sockets, no ASGI, one call deep."""

from collections.abc import Mapping
from urllib.parse import parse_qs

import httpx

from deploy.local.simulators.auth import AuthAPI, SupabaseAuth
from deploy.local.simulators.fly.api import FlyAPI
from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.proxy import FlyProxy
from deploy.local.simulators.kv import KV, KVRest
from deploy.local.simulators.wire import Call, Handler

FLY_HOST = "api.machines.dev"
FLY_METRICS_HOST = "api.fly.io"
CLOUDFLARE_HOST = "api.cloudflare.com"
AUTH_HOST = "invoker.supabase.co"


class SimulatorTransport(httpx.AsyncBaseTransport):
    """Dispatches by host.

    `api.machines.dev` is the Machines API, `api.fly.io/prometheus` its metrics,
    `*.fly.dev` and `*.flycast` the proxy, `api.cloudflare.com` Workers KV,
    and `*.supabase.co` Supabase Auth.

    Args:
        fly: the cloud behind the first three.
        kv: the store behind the next.
        auth: the users behind the last.
        hosts: handlers of further hosts, or instead of these.
    """

    def __init__(
        self,
        *,
        fly: FlyCloud | None = None,
        kv: KV | None = None,
        auth: SupabaseAuth | None = None,
        hosts: Mapping[str, Handler] | None = None,
    ) -> None:
        self.hosts: dict[str, Handler] = {}
        self.proxy = FlyProxy(fly) if fly else None
        if fly:
            self.hosts[FLY_HOST] = self.hosts[FLY_METRICS_HOST] = FlyAPI(fly)
        if kv:
            self.hosts[CLOUDFLARE_HOST] = KVRest(kv)
        self._auth = AuthAPI(auth) if auth else None
        self.hosts.update(hosts or {})

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request.

        Raises:
            httpx.ConnectError: nobody answers at that host.
        """
        host = request.url.host
        handler = self.hosts.get(host)
        if handler is None and self._auth and host.endswith(".supabase.co"):
            handler = self._auth
        if handler is None:
            return await self._proxied(request)
        answer = await handler(await call_of(request))
        return httpx.Response(
            answer.status, headers=answer.headers, content=answer.content, request=request
        )

    async def _proxied(self, request: httpx.Request) -> httpx.Response:
        if self.proxy is None or not self.proxy.resolves(request.url.host):
            raise httpx.ConnectError("[Errno -2] Name or service not known", request=request)
        return await self.proxy.handle(request)


async def call_of(request: httpx.Request) -> Call:
    """Return an httpx request as the simulators take it."""
    path, _, query = request.url.raw_path.decode("ascii").partition("?")
    return Call(
        method=request.method,
        path=path,
        query=parse_qs(query, keep_blank_values=True) if query else {},
        headers=request.headers,
        body=await request.aread(),
    )
