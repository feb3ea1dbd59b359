"""`python -m controller`: run one replica."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import uvicorn
import uvloop
from opentelemetry import trace
from prometheus_client import CollectorRegistry

from controller.assembly import Clouds, Replica
from controller.grants import Application
from controller.machine.agent import AgentClient
from controller.providers import Breaker, Gear, ProviderMetrics, aiohttp_transport
from controller.providers.cloudflare import WorkersKV
from controller.providers.digitalocean import DigitalOcean, DigitalOceanOAuth
from controller.providers.fly import Fly
from controller.providers.fly.metrics import FlyMetrics
from controller.providers.netlify import Netlify
from controller.settings import Settings
from controller.status_page import status_app
from controller.vps.tools import GatewayRelease, Gateways
from crds.credentials import Fingerprinter, GatewayTokens, MachineTokens
from crds.gateway_hub import GatewayHub
from crds.logs import configure
from crds.secrets import Cipher, Secrets
from crds.settings import SettingsError
from crds.store import Store, migrate
from crds.tracing import tracing


@asynccontextmanager
async def connected(
    settings: Settings, store: Store, registry: CollectorRegistry
) -> AsyncIterator[Clouds]:
    """The clouds that the settings name, over real connections."""
    metrics = ProviderMetrics(registry)
    cipher = Cipher.from_keys(settings.encryption_keys.get_secret_value())
    async with AsyncExitStack() as stack:
        fly = await stack.enter_async_context(
            Fly(
                aiohttp_transport(),
                token=settings.fly_token.get_secret_value(),
                org=settings.fly_org,
                base_url=settings.fly_url,
                gear=Gear(breaker=Breaker(), metrics=metrics),
            )
        )
        kv = await stack.enter_async_context(
            WorkersKV(
                aiohttp_transport(),
                token=settings.cloudflare_token.get_secret_value(),
                account=settings.cloudflare_account,
                namespace=settings.cloudflare_namespace,
                base_url=settings.cloudflare_url,
                gear=Gear(breaker=Breaker(), metrics=metrics),
            )
        )
        agent = await stack.enter_async_context(
            AgentClient(aiohttp_transport(), gateway=settings.machine_gateway or "")
        )
        netlify = None
        if settings.netlify_token is not None:
            netlify = await stack.enter_async_context(
                Netlify(
                    aiohttp_transport(),
                    token=settings.netlify_token.get_secret_value(),
                    base_url=settings.netlify_url,
                    gear=Gear(breaker=Breaker(), metrics=metrics),
                )
            )
        fly_metrics = await stack.enter_async_context(
            FlyMetrics(
                aiohttp_transport(),
                token=settings.fly_token.get_secret_value(),
                org=settings.fly_org,
                base_url=settings.fly_metrics_url,
                gear=Gear(breaker=Breaker(), metrics=metrics),
            )
        )
        digitalocean = None
        if settings.digitalocean_client_id:
            digitalocean = await stack.enter_async_context(_application(settings, metrics))
        secrets = Secrets(store, cipher)
        hub = GatewayHub(aiohttp_transport(), base_url=settings.hub_url, token=settings.edge_token)
        stack.push_async_callback(hub.aclose)
        yield Clouds(
            fly=fly,
            kv=kv,
            agent=agent,
            tokens=await MachineTokens.load(store, cipher),
            installation=settings.installation,
            agent_env=settings.agent_env,
            secrets=secrets,
            fingerprint=(await Fingerprinter.load(secrets)).of,
            netlify=netlify,
            metrics=fly_metrics,
            digitalocean=digitalocean,
            gateways=Gateways(
                hub=hub,
                tokens=await GatewayTokens.load(secrets),
                release=GatewayRelease(
                    url=settings.gateway_releases or f"{settings.front_url}/gateway",
                    version=settings.gateway_version,
                    connect_to=settings.gateway_url,
                ),
            ),
        )


@asynccontextmanager
async def _application(settings: Settings, metrics: ProviderMetrics) -> AsyncIterator[Application]:
    """DigitalOcean, as the configured application sees it."""
    secret = settings.digitalocean_client_secret
    async with (
        DigitalOceanOAuth(
            aiohttp_transport(),
            client_id=settings.digitalocean_client_id,
            client_secret="" if secret is None else secret.get_secret_value(),
            redirect_uri=settings.digitalocean_redirect_url or "",
            base_url=settings.digitalocean_oauth_url,
            gear=Gear(breaker=Breaker(), metrics=metrics),
        ) as oauth,
        DigitalOcean(
            aiohttp_transport(),
            base_url=settings.digitalocean_url,
            gear=Gear(breaker=Breaker(), metrics=metrics),
        ) as api,
    ):
        yield Application(oauth, api)


async def serve(settings: Settings) -> None:
    """Run one replica with its metrics and health endpoints until told to stop."""
    url = settings.database_url.get_secret_value()
    await migrate(url)
    registry = CollectorRegistry()
    replica_name = f"{settings.replica}-{uuid.uuid4().hex[:8]}"
    with tracing(
        settings.otlp_endpoint, service="invoker-controller", instance=replica_name
    ) as provider:
        if settings.otlp_endpoint is not None:
            # The providers' clients take their tracer from here.
            trace.set_tracer_provider(provider)
        async with (
            Store.opened(url) as store,
            connected(settings, store, registry) as clouds,
        ):
            replica = Replica(
                store,
                clouds,
                name=replica_name,
                public_url=settings.public_url,
                rng=random.Random(),  # noqa: S311 - jitter, not a secret
                workers=settings.workers,
                tracer=trace.get_tracer("invoker.controller"),
                registry=registry,
            )
            await _run(settings, replica, registry)


async def _run(settings: Settings, replica: Replica, registry: CollectorRegistry) -> None:
    """The replica beside its status page; the first that ends, or a signal, ends both."""
    server = uvicorn.Server(
        uvicorn.Config(
            status_app(replica.manager, registry, settings.metrics_token),
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
        )
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, replica.manager.stop)
    # The signals are ours: uvicorn must not take them over.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    serving = asyncio.create_task(server.serve())
    try:
        await replica.run()
    finally:
        server.should_exit = True
        await serving


def main() -> int:
    """Serve until told to stop.

    Returns:
        The exit code: 2 when the settings are wrong.
    """
    try:
        settings = Settings.load()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    configure(settings.log_format, settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
