"""What the routes share, made once when the API starts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import httpx
import psycopg
import structlog
from httpx_aiohttp import AiohttpTransport
from starlette.requests import Request

from api.access import Authenticator
from api.access.issuer import open_id_connect
from api.hub import Hub
from api.keys import KeySet
from api.kubernetes.feed import Feed
from api.routing import RoutingCache
from api.sessions import Sessions
from api.settings import Settings
from api.supabase import Supabase
from api.tokens import Verifier
from crds.access import AccessTokens
from crds.clock import Clock
from crds.credentials import GatewayTokens, MachineTokens
from crds.errors import AlreadyExistsError
from crds.gateway_hub import GatewayHub
from crds.grant_states import GrantStates
from crds.meta import ObjectMeta
from crds.platform import PLATFORM, Platform
from crds.secrets import Cipher, Secrets
from crds.store import Store, migrate

log = structlog.get_logger(__name__)

DATABASE_PATIENCE_SECONDS = 30.0
RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Api:
    """Everything a request may need."""

    settings: Settings
    store: Store
    supabase: Supabase
    verifier: Verifier
    routing: RoutingCache
    hub: Hub
    authenticator: Authenticator
    feed: Feed
    cipher: Cipher
    sessions: Sessions
    grant_states: GrantStates
    gateway_tokens: GatewayTokens
    gateway_hub: GatewayHub


def api_of(request: Request) -> Api:
    """The context of the application that a request came to."""
    api: Api = request.app.state.api
    return api


@asynccontextmanager
async def opened(
    settings: Settings,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    worker: httpx.AsyncBaseTransport | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Api]:
    """Bring the database up to date and open everything, closing it again at the end.

    Args:
        settings: The settings.
        transport: How Supabase is reached; sockets when left out.
        worker: How the Worker is reached; sockets when left out.
        clock: The wall time; the machine's when left out.
    """
    url = settings.database_url.get_secret_value()
    await _migrate(url)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(Store.opened(url, clock=clock))
        with suppress(AlreadyExistsError):
            await store.create(Platform(metadata=ObjectMeta(name=PLATFORM)))
        supabase = Supabase.at(
            settings.supabase_url,
            settings.supabase_anon_key.get_secret_value(),
            # httpx's own pool looks through all connections at every request.
            transport or AiohttpTransport(),
        )
        stack.push_async_callback(supabase.aclose)
        cipher = Cipher.from_keys(settings.encryption_keys.get_secret_value())
        secrets = Secrets(store, cipher)
        gateway_hub = GatewayHub(
            worker or AiohttpTransport(), base_url=settings.hub_url, token=settings.edge_token
        )
        stack.push_async_callback(gateway_hub.aclose)
        hub = Hub(store, await MachineTokens.load(store, cipher))
        routing = RoutingCache(store)
        await stack.enter_async_context(routing.following())
        verifier = _verifier(settings, supabase, store)
        oidc = await stack.enter_async_context(open_id_connect(settings, store.clock, transport))
        authenticator = Authenticator(store, AccessTokens(store), verifier, oidc)
        yield Api(
            settings=settings,
            store=store,
            supabase=supabase,
            verifier=verifier,
            routing=routing,
            hub=hub,
            authenticator=authenticator,
            feed=await stack.enter_async_context(Feed(store).running()),
            cipher=cipher,
            sessions=await Sessions.load(secrets, authenticator, store.clock),
            grant_states=GrantStates(store, cipher),
            gateway_tokens=await GatewayTokens.load(secrets),
            gateway_hub=gateway_hub,
        )


async def _migrate(url: str) -> None:
    """Bring the database up to date; one that is just starting is waited for."""
    deadline = Clock.monotonic() + DATABASE_PATIENCE_SECONDS
    while True:
        try:
            await migrate(url)
        except psycopg.OperationalError as error:
            if Clock.monotonic() >= deadline:
                raise
            log.warning("the database does not answer yet", error=type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return


def _verifier(settings: Settings, supabase: Supabase, store: Store) -> Verifier:
    secret = settings.supabase_jwt_secret
    return Verifier(
        KeySet(supabase.keys),
        store.clock,
        settings.issuer,
        None if secret is None else secret.get_secret_value(),
    )
