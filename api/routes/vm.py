"""The user's machine."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from api import wishes
from api.answers import answer
from api.context import Api, api_of
from api.models import Rename, Start
from api.requests import check_idempotency_key, owning, read_body, store_of
from api.views import Facts, vm_status, vm_wish
from crds.account import Account
from crds.machine import Machine
from crds.workspace import WORKSPACE, Workspace


async def start(request: Request) -> Response:
    """Make the user's machine, or start it; with another subdomain than the present one, rename."""
    person = await owning(request)
    check_idempotency_key(request)
    body = await read_body(request, Start, optional=True)
    api = api_of(request)
    workspace = await wishes.start(store_of(api, person.id), person, body.subdomain)
    return await _wished(api, person.id, workspace)


async def status(request: Request) -> Response:
    """What the user's machine does."""
    person = await owning(request)
    api = api_of(request)
    return answer(vm_status(await facts_of(api, person.id), api.settings.public_url))


async def stop(request: Request) -> Response:
    """Stop the user's machine; it stays stopped until started."""
    person = await owning(request)
    check_idempotency_key(request)
    api = api_of(request)
    return await _wished(api, person.id, await wishes.stop(store_of(api, person.id), person.id))


async def delete(request: Request) -> Response:
    """Delete the user's machine with its disk."""
    person = await owning(request)
    check_idempotency_key(request)
    api = api_of(request)
    return await _wished(api, person.id, await wishes.delete(store_of(api, person.id), person.id))


async def rename(request: Request) -> Response:
    """Give the user's machine another subdomain; the old one redirects for a while."""
    person = await owning(request)
    check_idempotency_key(request)
    body = await read_body(request, Rename)
    api = api_of(request)
    return await _wished(
        api, person.id, await wishes.rename(store_of(api, person.id), person, body.subdomain)
    )


async def facts_of(api: Api, account: str) -> Facts:
    """Read everything about one user's machine."""
    return Facts(
        *await asyncio.gather(
            api.store.find(Account, account),
            api.store.find(Workspace, WORKSPACE, account),
            api.store.find(Machine, WORKSPACE, account),
        )
    )


async def _wished(api: Api, account: str, workspace: Workspace | None) -> Response:
    owner, machine = await asyncio.gather(
        api.store.find(Account, account), api.store.find(Machine, WORKSPACE, account)
    )
    return answer(vm_wish(Facts(owner, workspace, machine), api.settings.public_url), 202)
