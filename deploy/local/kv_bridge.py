"""Lets workerd's key-value binding read a real Workers KV namespace, by Cloudflare's REST API.

`python -m deploy.local.kv_bridge --port PORT`; the rest comes from Cloudflare's own variables.
It only reads: the edge never writes.
"""

import argparse
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import quote

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.local.settings import HOST

CLOUDFLARE_API: Final = "https://api.cloudflare.com/client/v4"
VARIABLES: Final = ("CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_KV_NAMESPACE_ID")

_TIMEOUT_SECONDS: Final = 5.0
_PASSED_ON: Final = frozenset({httpx.codes.OK, httpx.codes.NOT_FOUND})


def bridge(
    environ: Mapping[str, str], transport: httpx.AsyncBaseTransport | None = None
) -> Starlette:
    """The application: `GET /<key>` answers with the key's value, 404 without one.

    Whatever else Cloudflare says becomes 502, upon which the edge asks the API instead.

    Args:
        environ: Holds `VARIABLES`, and `CLOUDFLARE_API_URL` where it is not Cloudflare's.
        transport: How Cloudflare is reached; sockets when left out.
    """
    token, account, namespace = (environ[name] for name in VARIABLES)
    base = (environ.get("CLOUDFLARE_API_URL") or CLOUDFLARE_API).rstrip("/")
    values = f"{base}/accounts/{account}/storage/kv/namespaces/{namespace}/values"
    client = httpx.AsyncClient(
        headers={"Authorization": f"Bearer {token}"}, timeout=_TIMEOUT_SECONDS, transport=transport
    )

    async def read(request: Request) -> Response:
        key = quote(request.path_params["key"], safe="")
        try:
            answer = await client.get(f"{values}/{key}")
        except httpx.HTTPError:
            return Response(status_code=httpx.codes.BAD_GATEWAY)
        if answer.status_code not in _PASSED_ON:
            return Response(status_code=httpx.codes.BAD_GATEWAY)
        return Response(answer.content, answer.status_code)

    async def alive(_: Request) -> Response:
        return Response()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with client:
            yield

    return Starlette(routes=[Route("/", alive), Route("/{key:path}", read)], lifespan=lifespan)


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.kv_bridge")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    if missing := [name for name in VARIABLES if not os.environ.get(name)]:
        sys.exit("\n".join(f"{name}: is not set" for name in missing))
    uvicorn.run(
        bridge(os.environ), host=HOST, port=options.port, log_level="warning", access_log=False
    )


if __name__ == "__main__":
    main()
