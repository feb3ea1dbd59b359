"""200 gateways and 1,000 viewers on one workerd: how late, how large, and who waits for whom.

Beside it a room that does nothing but pass on: a Durable Object on a workerd of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
from pydantic import SecretStr

from deploy.local.edge import BUNDLE, EdgeSettings, binary, command, environment, render_config
from tests.bench.edge import _free_ports, _listening
from tests.bench.harness import (
    BYTES_PER_PAGE,
    Measurement,
    Reference,
    median,
    percentile,
    skipped,
)
from tests.bench.hub_crowd import DOMAIN, Crowd, Door, Pace, Turn, serve_api
from tests.bench.stage import Stage, run
from tests.bench.tokens import Issuer

GATEWAYS: Final = 200
VIEWERS: Final = 5
"""Of each gateway."""
FRAMES: Final = 8
# More than a viewer's window, so that whoever does not read is behind from then on; at a pace at
# which those who read stay within it, 1,000 of them.
FLOOD_SECONDS: Final = 0.8
FLOOD_LEAST_SECONDS: Final = 0.1
WINDOW: Final = 262_144
"""What a viewer is sent beyond its last ack, in bytes: docs/protocols.md, "The viewer"."""

FLOOR_WORKER: Final = """
import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  viewers = new Set();
  async fetch(request) {
    const { 0: client, 1: server } = new WebSocketPair();
    server.binaryType = "arraybuffer";
    server.accept();
    if (request.url.endsWith("/gateway")) {
      server.addEventListener("message", ({ data }) => {
        for (const viewer of this.viewers) viewer.send(data);
      });
    } else {
      this.viewers.add(server);
      server.addEventListener("close", () => this.viewers.delete(server));
    }
    return new Response(null, { status: 101, webSocket: client });
  }
}
export default {
  fetch(request, env) {
    const name = new URL(request.url).pathname.split("/")[1];
    return env.ROOMS.get(env.ROOMS.idFromName(name)).fetch(request);
  },
};
"""
FLOOR_CONFIG: Final = """
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "floor", worker = .floor)],
  sockets = [(name = "http", address = "127.0.0.1:{port}", http = (), service = "floor")],
);
const floor :Workerd.Worker = (
  modules = [(name = "floor.js", esModule = embed {module})],
  compatibilityDate = "2026-08-01",
  durableObjectNamespaces = [(className = "Room", uniqueKey = "room")],
  durableObjectStorage = (inMemory = void),
  bindings = [(name = "ROOMS", durableObjectNamespace = "Room")],
);
"""


def measure(stage: Stage) -> list[Measurement]:
    """Run the bench."""
    try:
        binary()
    except FileNotFoundError as error:
        return [skipped("hub", str(error))]
    if not BUNDLE.is_file():
        return [skipped("hub", f"no bundle at {BUNDLE.name}: run `npm run build` in worker/")]
    return run(_measure(stage))


async def _measure(stage: Stage) -> list[Measurement]:
    gateways = stage.size(GATEWAYS, 4)
    usual = _usual(stage)
    async with (
        _doors(stage.folder) as (hub, bare),
        # Without a limit: every one of the connections stays.
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        empty = [each.memory() for each in (hub, bare)]
        ours = await Crowd.gather(hub.door, gateways, VIEWERS, http)
        floor = await Crowd.gather(bare.door, gateways, VIEWERS, http)
        full = [each.memory() for each in (hub, bare)]
        turns = [(await ours.talk(usual), await floor.talk(usual)) for _ in _turns(stage)][1:]
        connections = ours.connections
        await ours.slow_down()
        await ours.talk(_flood(stage))
        slowed = [await ours.talk(usual) for _ in _turns(stage)][1:]
        busy = hub.memory()
        unread = await ours.most_unread()
    ours_turns, bare_turns = [turn[0] for turn in turns], [turn[1] for turn in turns]
    return [
        *_late(ours_turns, bare_turns),
        *_slow(ours_turns, slowed, unread),
        *_memory(connections, empty, full, busy),
    ]


def _usual(stage: Stage) -> Pace:
    """A few lines, twice a second."""
    return Pace(frames=stage.size(FRAMES, 2), size=512, every=0.5)


def _flood(stage: Stage) -> Pace:
    every = max(FLOOD_LEAST_SECONDS, FLOOD_SECONDS * stage.scale)
    return Pace(frames=10, size=32_768, every=every)


def _turns(stage: Stage) -> range:
    """One more than counts: nothing is warm in the first."""
    return range(stage.runs + 1)


def _late(ours: Sequence[Turn], floor: Sequence[Turn]) -> list[Measurement]:
    def at(turns: Sequence[Turn], percent: float) -> float:
        return _middle([turn.every for turn in turns], percent)

    return [
        Measurement(
            name,
            at(ours, percent),
            "ms",
            Reference("bare fan-out in a Durable Object", at(floor, percent)),
        )
        for name, percent in (("hub: gateway to viewer, p50", 50), ("  p99", 99))
    ]


def _slow(without: Sequence[Turn], with_slow: Sequence[Turn], unread: int) -> list[Measurement]:
    def at(turns: Sequence[Turn], percent: float) -> float:
        return _middle([turn.others for turn in turns], percent)

    late = [
        Measurement(
            f"  one of {VIEWERS} never reads: the others' p{percent}",
            at(with_slow, percent),
            "ms",
            Reference("all of them read", at(without, percent)),
        )
        for percent in (50, 99)
    ]
    waits = Reference("a viewer's window", WINDOW / 1e3)
    return [*late, Measurement("  most that waits for who never reads", unread / 1e3, "kB", waits)]


def _memory(connections: int, empty: list[int], full: list[int], busy: int) -> list[Measurement]:
    ours, bare = (
        (after - before) / connections / 1e3 for before, after in zip(empty, full, strict=True)
    )
    return [
        Measurement(
            f"  workerd with {connections:,} connections",
            full[0] / 1e6,
            "MB",
            Reference("before they came", empty[0] / 1e6),
        ),
        Measurement("  memory of a connection", ours, "kB", Reference("bare fan-out", bare)),
        Measurement("  workerd in the end", busy / 1e6, "MB"),
    ]


def _middle(turns: Sequence[list[float]], percent: float) -> float:
    """Milliseconds: the median over the turns of a percentile."""
    return median(percentile(turn, percent) for turn in turns) * 1e3


@dataclass(frozen=True)
class Process:
    """A workerd, and where a crowd goes in."""

    door: Door
    pid: int

    def memory(self) -> int:
        """The bytes of it that are in memory."""
        resident = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(resident) * BYTES_PER_PAGE


@asynccontextmanager
async def _doors(folder: Path) -> AsyncIterator[tuple[Process, Process]]:
    """Run our Worker, and one that does nothing but pass on."""
    runner, api = await serve_api()
    hub, bare = _free_ports(2)
    settings = _settings(folder, hub, api)
    ours, floor = folder / "hub.capnp", folder / "floor.capnp"
    ours.write_text(render_config(settings))
    floor.write_text(_floor_config(folder, bare))
    log = folder / "hub.log"
    secrets = environment(settings)
    try:
        with _workerd(ours, secrets, log) as first, _workerd(floor, {}, log) as second:
            for port in (hub, bare):
                await _listening(port)
            await _warm(hub)
            yield Process(Door(hub, ours=True), first), Process(Door(bare, ours=False), second)
    finally:
        await runner.cleanup()


def _settings(folder: Path, port: int, api: int) -> EdgeSettings:
    address = f"http://127.0.0.1:{api}"
    storage = folder / "hub-objects"
    storage.mkdir()
    return EdgeSettings(
        port=port,
        domain=DOMAIN,
        api_url=address,
        kv_url=address,
        jwks_url=f"{address}/keys",
        jwt_issuer=address,
        machines_url=address,
        rate_limit_per_minute=0,
        storage=storage,
        edge_token=SecretStr("edge-token-of-the-bench"),
        edge_signing_key=SecretStr(Issuer(address).private_key()),
    )


def _floor_config(folder: Path, port: int) -> str:
    module = folder / "floor.js"
    module.write_text(FLOOR_WORKER)
    return FLOOR_CONFIG.replace("{port}", str(port)).replace("{module}", json.dumps(str(module)))


@contextmanager
def _workerd(config: Path, secrets: dict[str, str], log: Path) -> Iterator[int]:
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own binary
            command(config), env=os.environ | secrets, stdout=output, stderr=output
        )
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


async def _warm(port: int) -> None:
    """Have the Worker loaded before its memory is looked at."""
    address = f"http://127.0.0.1:{port}/"
    async with (
        aiohttp.ClientSession() as http,
        http.get(address, headers={"host": DOMAIN}) as answer,
    ):
        answer.raise_for_status()
