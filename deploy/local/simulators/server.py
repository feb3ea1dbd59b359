"""The simulators on sockets: one process each, state on disk."""

import argparse
import asyncio
import contextlib
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from deploy.local.simulators.auth import SupabaseAuth, auth_api
from deploy.local.simulators.auth.users import DEFAULT_ANON_KEY, DEFAULT_SERVICE_KEY
from deploy.local.simulators.digitalocean import (
    DigitalOceanCloud,
    DropletLimits,
    OAuthApp,
    digitalocean_api,
)
from deploy.local.simulators.digitalocean.boot import booted
from deploy.local.simulators.fly.api import fly_api
from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.core import DEFAULT_ORG
from deploy.local.simulators.fly.core import DEFAULT_TOKEN as FLY_TOKEN
from deploy.local.simulators.fly.front import Front
from deploy.local.simulators.fly.process import ProcessRuntime
from deploy.local.simulators.fly.proxy import FlyProxy
from deploy.local.simulators.fly.relays import Relays
from deploy.local.simulators.kv import KV, kv_binding
from deploy.local.simulators.kv.store import DEFAULT_ACCOUNT, DEFAULT_NAMESPACE
from deploy.local.simulators.kv.store import DEFAULT_TOKEN as KV_TOKEN
from deploy.local.simulators.limits import AuthLimits, CloudflareLimits, FlyLimits
from deploy.local.simulators.netlify import NetlifyLimits, NetlifyTeam, netlify_api
from deploy.local.simulators.netlify.team import DEFAULT_TOKEN as NETLIFY_TOKEN
from deploy.local.simulators.persistence import StateFile

HOST = "127.0.0.1"
_KEPT_EFFECTS = 1000


def main(arguments: list[str] | None = None) -> None:
    """Run one simulator until SIGTERM or SIGINT."""
    options = _parser().parse_args(arguments)
    runs = {
        "fly": run_fly,
        "kv": run_kv,
        "auth": run_auth,
        "netlify": run_netlify,
        "digitalocean": run_digitalocean,
    }
    run = runs[options.simulator]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(options))


async def run_fly(options: argparse.Namespace) -> None:
    """Serve the Machines API and the proxy, machines as local processes."""
    runtime = ProcessRuntime(options.state / "fly")
    runtime.end_leftovers()
    limits = FlyLimits(enabled=options.limits)
    cloud = FlyCloud(org=options.org, token=options.token, runtime=runtime, limits=limits)
    cloud.effects.kept = _KEPT_EFFECTS
    runtime.secrets = lambda app: dict(cloud.apps[app].secrets)
    saved = StateFile(options.state / "fly" / "state.json", cloud)
    saved.open()
    proxy = FlyProxy(cloud)
    relays = Relays(proxy)
    runtime.names = relays.named
    cloud.resume()
    cloud.spawn(proxy.run_autostop())
    front = Front(proxy)
    await front.start(HOST, options.proxy_port)
    try:
        async with _serving(fly_api(cloud), options.port) as ended:
            _ready("fly", f"api http://{HOST}:{options.port} proxy {HOST}:{options.proxy_port}")
            await ended.wait()
    finally:
        # Saved first: the machines that run now are those to boot next time.
        saved.close()
        await front.aclose()
        await relays.aclose()
        await cloud.aclose()
        await runtime.aclose()


async def run_kv(options: argparse.Namespace) -> None:
    """Serve the REST API and workerd's binding of one namespace on one port."""
    kv = KV(
        account=options.account,
        token=options.token,
        namespace=options.namespace,
        limits=CloudflareLimits(enabled=options.limits),
    )
    kv.effects.kept = _KEPT_EFFECTS
    await _run_saved(kv, options, kv_binding(kv), "kv")


async def run_auth(options: argparse.Namespace) -> None:
    """Serve Supabase Auth under `/auth/v1`."""
    auth = SupabaseAuth(
        rng=random.Random(),  # noqa: S311 - keys of its own for every state directory
        anon_key=options.anon_key,
        service_key=options.service_key,
        issuer=options.issuer or f"http://{HOST}:{options.port}/auth/v1",
        autoconfirm=not options.confirm,
        limits=AuthLimits(enabled=options.limits),
    )
    await _run_saved(auth, options, auth_api(auth), "auth")


async def run_netlify(options: argparse.Namespace) -> None:
    """Serve Netlify's API under `/api/v1`; the named sites are there from the start."""
    team = NetlifyTeam(token=options.token, limits=NetlifyLimits(enabled=options.limits))
    team.effects.kept = _KEPT_EFFECTS
    saved = StateFile(options.state / "netlify" / "state.json", team)
    saved.open()
    for name in options.site:
        if name not in team.sites:
            team.add_site(name, name)
    await _run_opened(saved, options, netlify_api(team), "netlify")


async def run_digitalocean(options: argparse.Namespace) -> None:
    """Serve the API for droplets and the authorisation server on one port."""
    app = OAuthApp(options.client_id, options.client_secret, tuple(options.redirect_uri))
    cloud = DigitalOceanCloud(
        app=app,
        rng=random.Random(),  # noqa: S311 - tokens of its own for every state directory
        limits=DropletLimits(enabled=options.limits),
    )
    cloud.ignored_shutdowns = options.ignored_shutdowns
    cloud.effects.kept = _KEPT_EFFECTS
    saved = StateFile(options.state / "digitalocean" / "state.json", cloud)
    saved.open()
    async with booted(cloud, options.state / "digitalocean"):
        cloud.resume()
        try:
            async with _serving(digitalocean_api(cloud), options.port) as ended:
                _ready("digitalocean", f"http://{HOST}:{options.port}")
                await ended.wait()
        finally:
            # Saved first: the droplets that run now are those to boot next time.
            saved.close()


async def _run_saved(
    subject: KV | SupabaseAuth, options: argparse.Namespace, app: ASGIApp, name: str
) -> None:
    saved = StateFile(options.state / name / "state.json", subject)
    saved.open()
    await _run_opened(saved, options, app, name)


async def _run_opened(
    saved: StateFile, options: argparse.Namespace, app: ASGIApp, name: str
) -> None:
    try:
        async with _serving(app, options.port) as ended:
            _ready(name, f"http://{HOST}:{options.port}")
            await ended.wait()
    finally:
        saved.close()


class _Server(uvicorn.Server):
    """Says when it listens, and leaves the signals to us."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()


@contextlib.asynccontextmanager
async def _serving(app: ASGIApp, port: int) -> AsyncIterator[asyncio.Event]:
    """Serve an application; yields what is set when it is time to end."""
    config = uvicorn.Config(app, HOST, port, log_level="warning", access_log=False, lifespan="off")
    server, ended = _Server(config), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    task = loop.create_task(server.serve())
    listens = loop.create_task(server.listens.wait())
    await asyncio.wait({task, listens}, return_when=asyncio.FIRST_COMPLETED)
    try:
        yield ended
    finally:
        listens.cancel()
        server.should_exit = server.force_exit = True
        await task


def _ready(name: str, where: str) -> None:
    sys.stdout.write(f"ready {name} {where}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.local.simulators")
    simulators = parser.add_subparsers(dest="simulator", required=True)
    names = ("fly", "kv", "auth", "netlify", "digitalocean")
    fly, kv, auth, netlify, droplets = parsers = [simulators.add_parser(name) for name in names]
    for each, port in zip(parsers, (4280, 4281, 4282, 4284, 4285), strict=True):
        each.add_argument("--state", type=Path, required=True, help="directory of the state")
        each.add_argument("--port", type=int, default=port)
        each.add_argument("--no-limits", dest="limits", action="store_false")
    fly.add_argument("--proxy-port", type=int, default=4283)
    fly.add_argument("--org", default=DEFAULT_ORG)
    fly.add_argument("--token", default=FLY_TOKEN)
    kv.add_argument("--account", default=DEFAULT_ACCOUNT)
    kv.add_argument("--namespace", default=DEFAULT_NAMESPACE)
    kv.add_argument("--token", default=KV_TOKEN)
    auth.add_argument("--anon-key", default=DEFAULT_ANON_KEY)
    auth.add_argument("--service-key", default=DEFAULT_SERVICE_KEY)
    auth.add_argument("--issuer", default="")
    auth.add_argument("--confirm", action="store_true", help="e-mails must be confirmed")
    netlify.add_argument("--token", default=NETLIFY_TOKEN)
    netlify.add_argument("--site", action="append", default=[], help="a site's ID and name")
    _add_droplets(droplets)
    return parser


def _add_droplets(parser: argparse.ArgumentParser) -> None:
    app = OAuthApp()
    parser.add_argument("--client-id", default=app.client_id)
    parser.add_argument("--client-secret", default=app.client_secret)
    parser.add_argument("--redirect-uri", nargs="+", default=app.redirect_uris)
    parser.add_argument("--ignored-shutdowns", type=float, default=0.0, help="a share, 0 to 1")
