"""The routes about dev environments."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from api.access import Identity
from api.answers import answer
from api.context import api_of
from api.observe import request_id
from api.problems import Problem
from api.requests import check_idempotency_key, identified, read_body, read_query
from api.silo import context, views, wishes
from api.silo.access import check_may
from api.silo.finding import get
from api.silo.models import NamedSilo, StartSilo
from crds.store import Actor, Store

VIA = "api"


async def start_silo(request: Request) -> Response:
    """Start a dev environment; who may make one and says how makes it when there is none."""
    identity = await identified(request)
    check_idempotency_key(request)
    wish = await read_body(request, StartSilo)
    devenv, made = await wishes.start(_store(request, identity), identity, wish)
    return answer(views.silo_wish(devenv, made=made), 202)


async def stop_silo(request: Request) -> Response:
    """Stop a dev environment; its data stays, and it stays stopped until started."""
    identity = await identified(request)
    check_idempotency_key(request)
    wish = await read_body(request, NamedSilo)
    return answer(
        views.silo_wish(await wishes.stop(_store(request, identity), identity, wish)), 202
    )


async def rotate_keys(request: Request) -> Response:
    """Give a dev environment new keys; the old ones are void when its services have them."""
    identity = await identified(request)
    check_idempotency_key(request)
    wish = await read_body(request, NamedSilo)
    devenv = await wishes.rotate(_store(request, identity), identity, wish)
    return answer(views.silo_wish(devenv), 202)


async def silo_status(request: Request) -> Response:
    """What a dev environment and its services do."""
    identity = await identified(request)
    check_may(identity, "status")
    of = read_query(request, NamedSilo)
    store = api_of(request).store
    devenv = await get(store, identity, of.silo_id, of.account)
    return answer(views.silo_status(await views.facts_of(store, devenv)))


async def app_context(request: Request) -> Response:
    """What connects to a dev environment, as far as the role is told; every request is audited."""
    try:
        return await _app_context(request)
    except Problem as refusal:
        refusal.headers.setdefault("Cache-Control", "no-store")
        raise


async def _app_context(request: Request) -> Response:
    identity = await identified(request)
    of = read_query(request, NamedSilo)
    api = api_of(request)
    found = await context.read(api.store, api.cipher, _actor(identity), identity, of)
    return answer(found, without={name for name, value in found if value is None})


def _actor(identity: Identity) -> Actor:
    return identity.actor(VIA, request_id())


def _store(request: Request, identity: Identity) -> Store:
    return api_of(request).store.acting_as(_actor(identity))
