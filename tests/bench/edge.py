"""What the edge adds to a request, beside a null Worker with one KV read in the same workerd."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import aiohttp
from pydantic import SecretStr

from deploy.local.edge import BUNDLE, EdgeSettings, binary, command, environment, render_config
from tests.bench.harness import Measurement, Reference, median, percentile, ratio_at_most, skipped
from tests.bench.stage import Stage, child, run, said
from tests.bench.tokens import Issuer

REQUESTS = 600
DOMAIN = "localhost"
ISSUER = "http://127.0.0.1/auth/v1"
USER = str(UUID(int=7))
START_SECONDS = 15.0
OK = 200
NULL_WORKER = """
export default {
  async fetch(request, env) {
    const entry = await env.ROUTES.get("route:alice", { type: "json", cacheTtl: 30 });
    return fetch(new Request(entry.target + new URL(request.url).pathname, request));
  },
};
"""
NULL_CONFIG = """
const null :Workerd.Worker = (
  modules = [(name = "null.js", esModule = embed {module})],
  compatibilityDate = "2026-08-01",
  globalOutbound = "machines",
  bindings = [(name = "ROUTES", kvNamespace = "kv")],
);
"""


def measure(stage: Stage) -> list[Measurement]:
    """Run the bench."""
    try:
        binary()
    except FileNotFoundError as error:
        return [skipped("edge", str(error))]
    if not BUNDLE.is_file():
        return [skipped("edge", f"no bundle at {BUNDLE.name}: run `npm run build` in worker/")]
    return run(_measure(stage))


async def _measure(stage: Stage) -> list[Measurement]:
    issuer = Issuer(ISSUER)
    entry = {
        "version": 1,
        "stamp": 1,
        "route": str(UUID(int=1)),
        "account": USER,
        "state": "running",
        "target": "http://app.fly.dev",
        "machine": str(UUID(int=2)),
        "instance": "3d8d9930b46189",
        "redirect": None,
    }
    async with (
        child("loopback", '{"hello": "world"}') as machine,
        child("loopback", json.dumps(entry)) as kv,
        child("loopback", issuer.key_set()) as keys,
        _workerd(
            stage.folder, issuer, *[await said(each) for each in (machine, kv, keys)]
        ) as ports,
        aiohttp.ClientSession() as session,
    ):
        token = issuer.token(USER)
        count = stage.size(REQUESTS, 50)
        turns = [
            [await _p50(session, port, token, count) for port in ports]
            for _ in range(stage.runs + 1)
        ][1:]
    direct, null, ours = (median(turn[which] for turn in turns) for which in range(3))
    return [
        Measurement(
            "edge: added p50",
            ours - direct,
            "ms",
            Reference("null Worker with one KV read", null - direct),
            ratio_at_most(1.5),
        ),
        Measurement("  through the edge, p50", ours, "ms", Reference("the same workerd", direct)),
    ]


@asynccontextmanager
async def _workerd(
    folder: Path, issuer: Issuer, machine: str, kv: str, keys: str
) -> AsyncIterator[list[int]]:
    """Serve the machine as it is, behind the null Worker, and behind ours; yields the ports."""
    direct, null, ours = _free_ports(3)
    storage = folder / "objects"
    storage.mkdir()
    settings = EdgeSettings(
        port=ours,
        domain=DOMAIN,
        api_url=f"http://127.0.0.1:{kv}",
        kv_url=f"http://127.0.0.1:{kv}",
        jwks_url=f"http://127.0.0.1:{keys}/keys",
        jwt_issuer=ISSUER,
        machines_url=f"http://127.0.0.1:{machine}",
        rate_limit_per_minute=0,
        storage=storage,
        edge_token=SecretStr("edge-token-of-the-bench"),
        edge_signing_key=SecretStr(issuer.private_key()),
    )
    config = folder / "edge.capnp"
    config.write_text(_with_null_worker(render_config(settings), folder, direct, null))
    with (folder / "workerd.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own binary, started once
            command(config), env=os.environ | environment(settings), stdout=log, stderr=log
        )
    try:
        await _listening(ours)
        yield [direct, null, ours]
    finally:
        process.kill()
        process.wait()


def _with_null_worker(config: str, folder: Path, direct: int, null: int) -> str:
    module = folder / "null.js"
    module.write_text(NULL_WORKER)
    services = 'services = [\n    (name = "null", worker = .null),'
    sockets = (
        "sockets = [\n"
        f'    (name = "direct", address = "127.0.0.1:{direct}", http = (), service = "machines"),\n'
        f'    (name = "null", address = "127.0.0.1:{null}", http = (), service = "null"),\n   '
    )
    config = config.replace("services = [", services, 1).replace("sockets = [", sockets, 1)
    return config + NULL_CONFIG.format(module=json.dumps(str(module)))


def _free_ports(number: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports: list[int] = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


async def _listening(port: int) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def _p50(session: aiohttp.ClientSession, port: int, token: str, count: int) -> float:
    """Milliseconds of a request, one at a time; every answer must be the machine's."""
    headers = {"authorization": f"Bearer {token}", "host": f"alice.{DOMAIN}"}
    took: list[float] = []
    for _ in range(count):
        started = time.perf_counter()
        async with session.get(f"http://127.0.0.1:{port}/hello", headers=headers) as answer:
            body = await answer.read()
        took.append(time.perf_counter() - started)
        if answer.status != OK or b"world" not in body:
            raise RuntimeError(f"port {port} answered {answer.status}: {body[:200]!r}")
    return percentile(took, 50) * 1e3
