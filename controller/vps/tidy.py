"""Tidy: what a gateway came back with and nobody wishes for any more is taken away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from controller.vps.commands import command_id, log, send
from controller.vps.tools import VpsScope, VpsTools, Wait
from crds.authorized_key import AuthorizedKey, fingerprint_of
from crds.gateway_hub import CommandError, CommandRefusedError
from crds.session import Session
from crds.store.observations import HELLO

AGAIN_SECONDS: Final = 30.0
# A gateway may have hundreds of each. What was done is known by its id, and answered at once when
# it is asked for again, so that each time gets further.
LONGEST_SECONDS: Final = 10.0
GO_ON_SECONDS: Final = 5.0


async def tidy(scope: VpsScope, tools: VpsTools) -> Wait | None:
    """Once for each hello, end sessions and revoke keys whose rows went while it was away."""
    status = scope.object.status
    if not status.gateway.connected or status.tidied == status.gateway.hello:
        return None
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            await _end_sessions(scope, tools)
            await _revoke_keys(scope, tools)
    except TimeoutError:
        scope.look_again(GO_ON_SECONDS)
        return None
    except CommandError as error:
        log.info("cannot tidy", code=error.code)
        scope.look_again(AGAIN_SECONDS)
        return None
    status.tidied = status.gateway.hello
    return None


async def _end_sessions(scope: VpsScope, tools: VpsTools) -> None:
    """The rows are read after the hello, so every session of a live row is among them."""
    hello = scope.heard.get(HELLO)
    sessions = (hello.message or {}).get("sessions", []) if hello is not None else []
    there = [str(each.get("session_id", "")) for each in sessions]
    if not there:
        return
    live = {str(row["uid"]) for row in await _live(scope, Session)}
    for session in there:
        if session not in live:
            await _take_away(scope, tools, "session.end", session, {"session_id": session})


async def _revoke_keys(scope: VpsScope, tools: VpsTools) -> None:
    """The keys are listed before the rows are read, for the same reason."""
    order = {"type": "ssh.list", "id": command_id(scope, "list", "keys")}
    answer = await send(scope, tools, order)
    there = [str(each.get("fingerprint", "")) for each in answer.get("keys", [])]
    if not there:
        return
    live = {_fingerprint(row) for row in await _live(scope, AuthorizedKey)}
    for fingerprint in there:
        if fingerprint not in live:
            await _take_away(scope, tools, "ssh.revoke", fingerprint, {"fingerprint": fingerprint})


async def _live(scope: VpsScope, kind: type[Session | AuthorizedKey]) -> Sequence[dict[str, Any]]:
    """The rows of a kind that are of this Vps and shall stay."""
    rows = await scope.store.rows(kind, namespace=scope.namespace, spec={"vps": scope.name})
    return [row for row in rows if row["deletion_timestamp"] is None]


def _fingerprint(row: dict[str, Any]) -> str:
    """A key's fingerprint; empty for a row that an edit by plain SQL broke."""
    try:
        return fingerprint_of(str(row["spec"].get("publicKey", "")))
    except ValueError:
        return str(row["status"].get("fingerprint", ""))


async def _take_away(
    scope: VpsScope, tools: VpsTools, type_: str, subject: str, more: dict[str, str]
) -> None:
    """Send one order; what the gateway refuses is told, and not asked for again."""
    order = {"type": type_, "id": command_id(scope, type_, subject), **more}
    try:
        await send(scope, tools, order)
    except CommandRefusedError as error:
        scope.event("NotTidied", f"{type_} {subject}: {error.code}", warning=True)
