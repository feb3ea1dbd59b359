"""The API, or the least that could stand in its place, on a socket: `HOW URL KEYS`."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import uvicorn
from cryptography.fernet import Fernet
from psycopg.types.json import Jsonb
from pydantic import TypeAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from api.app import build
from api.models import Start
from api.settings import Settings
from tests.bench.floors import bare_database
from tests.bench.stage import run

SUPABASE_URL = "https://invoker.supabase.co"
POOL = 8
ACCEPTED = 202
BARE = TypeAdapter(Start)
INSERT = "INSERT INTO wishes VALUES (%s, %s)"


def ours(url: str, keys: str) -> Starlette:
    """The API, with Supabase reduced to its public keys."""

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=json.loads(keys))

    texts: dict[str, Any] = {
        "database_url": url,
        "domain": "invoker.test",
        "supabase_url": SUPABASE_URL,
        "supabase_anon_key": "anon",
        "edge_token": "edge-token-of-the-bench",
        "encryption_keys": Fernet.generate_key().decode(),
    }
    return build(Settings(**texts), transport=httpx.MockTransport(answer))


def bare(url: str) -> Starlette:
    """Starlette, a TypeAdapter, one insert."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with bare_database(url, POOL) as database:
            app.state.database = database
            yield

    async def start(request: Request) -> JSONResponse:
        wish = BARE.validate_json(await request.body())
        row = {"subdomain": wish.subdomain}
        await request.app.state.database.execute(INSERT, uuid4(), Jsonb(row))
        return JSONResponse(row, ACCEPTED)

    return Starlette(routes=[Route("/api/vm/start", start, methods=["POST"])], lifespan=lifespan)


async def main(how: str, url: str, keys: str) -> None:
    """Serve until killed; says the port."""
    app = ours(url, keys) if how == "ours" else bare(url)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, access_log=False, http="httptools")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listener]))
    while not server.started:
        await asyncio.sleep(0.01)
        if serving.done():
            serving.result()
    sys.stdout.write(f"ready\n{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    await serving


if __name__ == "__main__":
    run(main(*sys.argv[1:]))
