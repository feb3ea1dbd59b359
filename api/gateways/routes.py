"""The routes for the hub of the gateways (docs/protocols.md, "What the Worker asks the API")."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import wraps
from typing import Any, Final
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from api.answers import answer
from api.context import Api, api_of
from api.gateways.models import (
    AgentInstalled,
    GatewayHealth,
    GatewayHello,
    GatewayUpdated,
    Observed,
    Report,
    SessionEnded,
    SessionError,
    SessionStarted,
    Shown,
    TerminalGrant,
    TerminalWish,
)
from api.problems import Problem, unauthenticated
from api.requests import read_body
from api.vps.admission import active
from api.vps.finding import get_on, get_vps, missing
from crds.credentials import bears
from crds.gateways import Credentials, read_credentials
from crds.meta import Key
from crds.secrets import Secrets
from crds.session import Session
from crds.store import Store
from crds.store.observations import (
    CONNECTION,
    HEALTH,
    HELLO,
    UPDATE,
    Observation,
    agent_subject,
    session_error_subject,
    session_subject,
)
from crds.vps import Vps

Handler = Callable[[Request], Awaitable[Response]]
OF_GATEWAY: Final = {"gateway.hello": HELLO, "gateway.health": HEALTH, "gateway.updated": UPDATE}
# A report has 262,144 characters at most; each has up to three bytes.
REPORT_BYTES: Final = 1024 * 1024
# What the hub keeps at a socket has little room.
MOST_CHARACTERS: Final = 128


def from_worker(handler: Handler) -> Handler:
    """Let in nobody but the Worker.

    Not 401: these answers are about whom the Worker asks for, and a gateway that is told 401 has
    a wrong token.
    """

    @wraps(handler)
    async def entered(request: Request) -> Response:
        token = api_of(request).settings.edge_token
        if not bears(request.headers.get("authorization"), token):
            raise Problem(403, "not-the-edge", "This is for the edge alone.")
        return await handler(request)

    return entered


@from_worker
async def authenticate_gateway(request: Request) -> Response:
    """Whether a token is the gateway's."""
    gateway = gateway_of(request)
    api, shown = api_of(request), await read_body(request, Shown)
    row = await row_of(api.store, gateway)
    held = await _held(api, row)
    # Looked at whether there is a gateway or not, so that both take the same time.
    right = api.gateway_tokens.verify(gateway, shown.token, [each.digest for each in held.held])
    if row is None or row["deletion_timestamp"] is not None:
        raise no_such_gateway()
    if not right:
        raise unauthenticated("The token is not this gateway's.")
    return Response(status_code=204)


@from_worker
async def authorize_terminal(request: Request) -> Response:
    """Whether a browser may see a terminal, by its session's cookie."""
    api, wish = api_of(request), await read_body(request, TerminalWish)
    visitor = await api.sessions.of_header(wish.cookie)
    if visitor is None:
        raise unauthenticated("There is no session here, or it has ended.", "no-session")
    await active(api.store, visitor.account)
    vps = await get_vps(api.store, visitor.account, wish.vps)
    session = await get_on(api.store, Session, vps, wish.session)
    if vps.deleting or session.deleting:
        raise missing(Session)
    return answer(
        TerminalGrant(
            gateway=vps.uid,
            session=session.uid,
            viewer=visitor.subject[:MOST_CHARACTERS],
            account=visitor.account,
        )
    )


@from_worker
async def take_observations(request: Request) -> Response:
    """Note what the hub saw of a gateway; the controllers wake by it."""
    gateway, store = gateway_of(request), api_of(request).store
    report = await read_body(request, Report, limit=REPORT_BYTES)
    vps = await store.project_one(Vps.KIND, gateway, agents="spec.agents")
    if vps is None:
        raise no_such_gateway()
    now = store.clock.now()
    wished = await _wished(store, vps, report)
    seen = [_observation(gateway, each, now) for each in report.observations if wished(each)]
    if seen:
        await store.observations.record(seen, now)
    # Somebody may be waiting for a terminal to begin; health comes all the time, and wakes nobody.
    if any(each.subject != HEALTH for each in seen):
        store.doorbell.ring()
    return Response(status_code=204)


def gateway_of(request: Request) -> UUID:
    """The gateway that the path names.

    Raises:
        Problem: It is not a gateway's id.
    """
    try:
        return UUID(request.path_params["gateway"])
    except ValueError:
        raise no_such_gateway() from None


async def row_of(store: Store, gateway: UUID) -> Mapping[str, Any] | None:
    """The row of a gateway's Vps as it is, valid or not."""
    known = await store.project_one(Vps.KIND, gateway)
    if known is None:
        return None
    row = await store.find_row(Key(Vps.KIND, known["namespace"], known["name"]))
    return row if row is not None and row["uid"] == gateway else None


def subject_of(seen: Observed) -> str:
    """What an observation is about: of each subject the newest is kept."""
    match seen.message:
        case None:
            return CONNECTION
        case GatewayHello() | GatewayHealth() | GatewayUpdated() as message:
            return OF_GATEWAY[message.type]
        case AgentInstalled(agent=agent):
            return agent_subject(agent)
        case SessionError(session_id=session):
            return session_error_subject(session)
        case SessionStarted(session_id=session) | SessionEnded(session_id=session):
            return session_subject(session)


def no_such_gateway() -> Problem:
    """404."""
    return Problem(404, "no-such-gateway", "There is no such gateway.")


def _observation(gateway: UUID, seen: Observed, now: datetime) -> Observation:
    message = seen.message
    return Observation(
        gateway=gateway,
        subject=subject_of(seen),
        sequence=seen.sequence,
        kind=seen.kind,
        # A hub whose clock is ahead must not let a gateway look alive when it is long gone.
        observed_at=min(seen.observed_at, now),
        message=None if message is None else message.model_dump(mode="json", exclude_unset=True),
    )


async def _wished(
    store: Store, vps: Mapping[str, Any], report: Report
) -> Callable[[Observed], bool]:
    """Whether something that was seen is about what anybody wishes for.

    A gateway can tell of as many sessions and agents as it likes; what nobody wishes for would be
    kept for as long as its Vps, and no step of ours reads it.
    """
    told = [each.message for each in report.observations]
    sessions = {
        each.session_id
        for each in told
        if isinstance(each, SessionStarted | SessionEnded | SessionError)
    }
    keys = await store.keys_of(sessions) if sessions else {}
    agents = set(json.loads(vps["agents"] or "[]"))

    def is_wished(seen: Observed) -> bool:
        match seen.message:
            case AgentInstalled(agent=agent):
                return agent in agents
            case SessionStarted() | SessionEnded() | SessionError() as message:
                key = keys.get(message.session_id)
                return key is not None and key[:2] == (Session.KIND, vps["namespace"])
        return True

    return is_wished


async def _held(api: Api, row: Mapping[str, Any] | None) -> Credentials:
    namespace, name = ("", "") if row is None else (row["namespace"], row["name"])
    found = await read_credentials(Secrets(api.store, api.cipher), namespace, name)
    return found or Credentials()
