"""Terminal sessions on VPSs."""

from __future__ import annotations

from contextlib import suppress
from typing import Final
from uuid import uuid4

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from api.answers import answer
from api.context import api_of
from api.grants.visitors import Visitor, visited
from api.problems import Problem, unavailable
from api.requests import read_body
from api.vps.admission import (
    active,
    check_present,
    check_room,
    check_same,
    digest_of,
    free_name,
    given,
    making,
    metadata_of,
    repeated,
)
from api.vps.finding import get_on, list_on
from api.vps.models import MakeSession, SessionList, SessionState, SessionView, Snapshot
from api.vps.routes import acting, named
from api.vps.views import sentence
from crds.errors import NotFoundError
from crds.gateway_hub import CommandError, CommandRefusedError, CommandUnknownError
from crds.session import Session, SessionSpec
from crds.store import Store
from crds.store.rows import to_object
from crds.vps import Vps

STEM: Final = "session"
MOST: Final = 32
"""Of a VPS; what its gateway says of its sessions has to fit in one message."""
STATES: Final[dict[str, SessionState]] = {
    "Waiting": "waiting",
    "Running": "running",
    "Ended": "ended",
    "Failed": "failed",
}
MESSAGES: Final[dict[SessionState, str]] = {
    "starting": "It is being begun.",
    "waiting": "It begins by itself when its VPS is connected.",
    "running": "It runs.",
    "ended": "It has ended.",
    "failed": "It could not be begun.",
}
TIMEOUT: Final = "gateway-timeout"


@visited
async def list_sessions(request: Request, visitor: Visitor) -> Response:
    """The sessions of a VPS, the oldest first."""
    vps = await named(request, visitor)
    found = await list_on(api_of(request).store, Session, vps)
    return answer(SessionList(sessions=[session_view(vps, each) for each in found]))


@visited
async def make_session(request: Request, visitor: Visitor) -> Response:
    """Begin a terminal session on a VPS, as soon as it is connected."""
    digest, wish = digest_of(request), await read_body(request, MakeSession, optional=True)
    vps = await named(request, visitor)
    return answer(session_view(vps, await _make(acting(request, visitor), vps, wish, digest)), 202)


@visited
async def delete_session(request: Request, visitor: Visitor) -> Response:
    """End a session and forget it."""
    digest_of(request)
    store, vps = acting(request, visitor), await named(request, visitor)
    found = await get_on(store, Session, vps, request.path_params["session"])
    meta = found.metadata
    with suppress(NotFoundError):
        await store.delete(Session, meta.name, meta.namespace, uid=found.uid)
    meta.deletion_timestamp = meta.deletion_timestamp or store.clock.now()
    return answer(session_view(vps, found), 202)


@visited
async def get_snapshot(request: Request, visitor: Visitor) -> Response:
    """What a session's terminal shows at this moment; its gateway is asked."""
    vps = await named(request, visitor)
    api, account = api_of(request), visitor.identity.account
    found = await get_on(api.store, Session, vps, request.path_params["session"])
    await active(api.store, account)
    if state_of(found) != "running" or found.deleting:
        raise _not_running(message_of(found))
    command = {
        "type": "session.snapshot.request",
        "id": f"snapshot.{uuid4().hex}",
        "session_id": str(found.uid),
    }
    try:
        brought = Snapshot.model_validate(await api.gateway_hub.send(vps.uid, command))
    except CommandError as error:
        raise _no_snapshot(error) from None
    except ValidationError:
        raise _unreadable() from None
    if brought.session_id != found.uid:
        raise _unreadable()
    return answer(brought)


def session_view(vps: Vps, session: Session) -> SessionView:
    """Everything about a session."""
    meta, spec, status = session.metadata, session.spec, session.status
    return SessionView(
        session_id=session.uid,
        name=meta.name,
        vps_id=vps.uid,
        title=spec.title,
        agent_type=spec.agent_type,
        workdir=spec.workdir,
        status=state_of(session),
        message=message_of(session),
        created_at=meta.creation_timestamp,
        started_at=status.started_at,
        ended_at=status.ended_at,
        exit_code=status.exit_code,
    )


def state_of(session: Session) -> SessionState:
    """The word for how it is."""
    return STATES.get(session.status.phase, "starting")


def message_of(session: Session) -> str:
    """How it is, in sentences."""
    status, state = session.status, state_of(session)
    if session.deleting:
        return "It is being ended."
    if state == "ended" and status.reason == "exited" and status.exit_code is not None:
        return f"It has ended by itself, with code {status.exit_code}."
    if state == "failed" and status.problem is not None:
        return f"{MESSAGES[state]} {sentence(status.problem.message or status.problem.code)}"
    if status.retry is not None and status.retry.message:
        return f"{MESSAGES[state]} {sentence(status.retry.message)}"
    return MESSAGES[state]


async def _make(store: Store, vps: Vps, wish: MakeSession, digest: str | None) -> Session:
    """There shall be such a session.

    Raises:
        Problem: The account may not, the VPS goes or is full, or another has the name.
    """
    owner = vps.metadata.namespace
    await active(store, owner)
    check_present(vps)
    async with making(store, owner):
        rows = await store.rows(Session, namespace=owner)
        if (row := repeated(rows, digest, wish.name)) is not None:
            found = to_object(Session, row)
            check_same(found, wish, vps=vps.metadata.name)
            return found
        there = sum(row["spec"].get("vps") == vps.metadata.name for row in rows)
        check_room(there, MOST, "too-many-sessions", f"A VPS has at most {MOST} sessions")
        meta = metadata_of(wish.name or free_name(STEM, rows), owner, digest)
        meta.owner_references = [vps.owner_reference()]
        spec = SessionSpec(vps=vps.metadata.name, **given(wish, "name"))
        return await store.create(Session(metadata=meta, spec=spec))


def _no_snapshot(error: CommandError) -> Problem:
    if isinstance(error, CommandRefusedError):
        return _not_running("Its gateway does not show it.")
    if error.code == TIMEOUT:
        detail = "The gateway did not answer within 10 seconds."
        return Problem(504, TIMEOUT, detail, retry_after=5)
    if isinstance(error, CommandUnknownError):
        return unavailable("gateway-unavailable", "The gateway cannot be asked at present.")
    return unavailable("gateway-offline", "The gateway is not connected.")


def _not_running(why: str) -> Problem:
    return Problem(409, "not-running", f"The session does not run. {why}")


def _unreadable() -> Problem:
    return unavailable("gateway-unreadable", "The gateway's answer was not understood.")
