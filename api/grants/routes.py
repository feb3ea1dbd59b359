"""To DigitalOcean and back, and the end of it."""

from __future__ import annotations

import secrets as random
from contextlib import suppress
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.answers import answer
from api.context import Api, api_of
from api.grants.models import Brought, Connection
from api.grants.pages import button, link, page, paged, wants_page
from api.grants.views import connection_of
from api.grants.visitors import Visitor, visited
from api.observe import request_id
from api.problems import Problem
from api.requests import read_query, store_of
from api.rows import revise, stamped
from api.sessions import came_by_https, set_cookie
from api.vps.admission import making
from api.vps.wishes import check_unused
from crds.account import Account
from crds.cloud_connection import DIGITALOCEAN, CloudConnection, CloudConnectionSpec
from crds.errors import AlreadyExistsError, NotFoundError
from crds.grant_states import STATE_LIFETIME, Return
from crds.grants import SCOPES, Consent, challenge_of, read_consent
from crds.secrets import Secrets

BROWSER: Final = "control_grant"
"""The cookie by which the browser that comes back is known to be the one that was sent out."""
CONNECTION_PATH: Final = "/auth/do/connection"
AGAIN_SECONDS: Final = 2


@paged
@visited
async def begin_grant(request: Request, visitor: Visitor) -> Response:
    """Send the browser to DigitalOcean, to ask its user for their consent."""
    api, account = api_of(request), visitor.identity.account
    _check_configured(api)
    if await api.store.find(Account, account) is None:
        raise Problem(403, "no-account", "There is no account yet: sign up first.")
    found = await api.store.find(CloudConnection, DIGITALOCEAN, account)
    if found is not None and connection_of(found).state in ("connected", "refreshing"):
        detail = "You are connected already. Disconnect first to connect another account."
        raise Problem(409, "already-connected", detail)
    if found is not None and found.deleting:
        raise Problem(409, "busy", "The former connection is being removed.", retry_after=5)
    state = api.sessions.random_state()
    # What another tab was sent out with is to be good as well.
    browser = request.cookies.get(_browser_cookie(request)) or random.token_urlsafe(32)
    await api.grant_states.begin(state, browser, account)
    response = RedirectResponse(_authorize_url(api, state), 302, {"Cache-Control": "no-store"})
    set_cookie(request, response, _browser_cookie(request), browser, STATE_LIFETIME)
    return response


@paged
async def end_grant(request: Request) -> Response:
    """Take what DigitalOcean sent the browser back with; every consent is good for one time."""
    api = api_of(request)
    _check_configured(api)
    brought = read_query(request, Brought)
    session = await api.sessions.find(request)
    consent = None
    if brought.code is not None and brought.error is None:
        verifier = api.sessions.verifier_of(brought.state)
        consent = Consent(brought.code, verifier, api.store.clock.now())
    came = await api.grant_states.consume(
        brought.state,
        request.cookies.get(_browser_cookie(request), ""),
        consent,
        account=None if session is None else session.account,
    )
    if came is None:
        detail = (
            "This way back is over: it is older than ten minutes, or was begun in another browser "
            "or by somebody else. Look whether you are connected, or begin again."
        )
        raise Problem(400, "stale-state", detail)
    if brought.error is not None:
        detail = "DigitalOcean was not given your consent, so nothing is connected."
        raise Problem(403, "consent-denied", detail)
    if consent is None:
        raise Problem(400, "no-code", "DigitalOcean sent you back without a code: begin again.")
    await _wish_for(api, came)
    return RedirectResponse(CONNECTION_PATH, 303, {"Cache-Control": "no-store"})


@paged
@visited
async def get_connection(request: Request, visitor: Visitor) -> Response:
    """What has become of the connection."""
    account = visitor.identity.account
    found = await api_of(request).store.find(CloudConnection, DIGITALOCEAN, account)
    told = connection_of(found)
    if wants_page(request):
        return _shown(told, api_of(request).settings.front_url)
    return answer(told)


@paged
@visited
async def disconnect(request: Request, visitor: Visitor) -> Response:
    """Have the grant revoked at DigitalOcean, and its tokens forgotten, if nothing needs it."""
    api, identity = api_of(request), visitor.identity
    store = api.store.acting_as(identity.actor("api", request_id()))

    def change(row: CloudConnection) -> bool:
        moved = row.spec.state != "Disconnected"
        row.spec.state = "Disconnected"
        return moved

    async with making(store, identity.account):
        found = await store.find(CloudConnection, DIGITALOCEAN, identity.account)
        if found is not None and found.spec.state != "Disconnected":
            await check_unused(store, identity.account)
            with suppress(NotFoundError):
                found = await revise(store, CloudConnection, DIGITALOCEAN, identity.account, change)
    if wants_page(request):
        return RedirectResponse(CONNECTION_PATH, 303, {"Cache-Control": "no-store"})
    return answer(connection_of(found), 202)


async def _wish_for(api: Api, came: Return) -> None:
    """Write the wish that a consent stands for.

    Whoever comes back once more makes sure of that, as long as nobody has exchanged it.
    """
    secrets = Secrets(api.store, api.cipher)
    consent = await read_consent(secrets, came.account, DIGITALOCEAN)
    if consent is None:
        return
    store, moment = store_of(api, came.account), consent.given_at

    def change(row: CloudConnection) -> bool:
        moved = (row.spec.state, row.spec.connected_at) != ("Connected", moment)
        row.spec.state, row.spec.connected_at = "Connected", moment
        return moved

    with suppress(AlreadyExistsError):
        spec = CloudConnectionSpec(connected_at=moment)
        meta = stamped(DIGITALOCEAN, came.account)
        await store.create(CloudConnection(metadata=meta, spec=spec))
        return
    await revise(store, CloudConnection, DIGITALOCEAN, came.account, change)


def _check_configured(api: Api) -> None:
    if not api.settings.digitalocean_client_id:
        detail = "Nobody can connect here: no application at DigitalOcean is configured."
        raise Problem(501, "not-configured", detail)


def _authorize_url(api: Api, state: str) -> str:
    settings = api.settings
    asked = {
        "response_type": "code",
        "client_id": settings.digitalocean_client_id,
        "redirect_uri": settings.digitalocean_redirect_url or "",
        "scope": " ".join(SCOPES),
        "state": state,
        "code_challenge": challenge_of(api.sessions.verifier_of(state)),
        "code_challenge_method": "S256",
    }
    return f"{settings.digitalocean_oauth_url}/authorize?{urlencode(asked)}"


def _shown(told: Connection, front_url: str) -> Response:
    under_way = told.state in ("connecting", "disconnecting")
    if told.state in ("connected", "refreshing"):
        more = link("Your VPSs", f"{front_url}/terminal/")
        more += button("Disconnect", "/auth/do/disconnect")
    else:
        more = "" if under_way else link("Connect DigitalOcean", "/auth/do")
    again = AGAIN_SECONDS if under_way else 0
    return page("Your DigitalOcean account", told.message, more=more, again=again)


def _browser_cookie(request: Request) -> str:
    return f"__Host-{BROWSER}" if came_by_https(request) else BROWSER
