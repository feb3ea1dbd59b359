"""Session: begun where its gateway does not have it, ended with its row, over when it ended."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Final, Literal

from controller.engine import EventRecorder, Result
from controller.gateways.reach import (
    AWAY,
    Connected,
    command,
    connected,
    gateway_of,
    take_back,
    vps_of,
)
from controller.kind import KindReconciler
from controller.scope import Scope
from crds.gateway_hub import CommandRefusedError, GatewayHub
from crds.meta import Resource
from crds.session import Session, SessionProblem
from crds.store import Store
from crds.store.observations import HELLO, Observation, session_error_subject, session_subject

SessionScope = Scope[Session]
Standing = Literal["running", "ended", "lost", "missing"]

# What ended while a gateway was away is told right behind its hello.
SETTLE_SECONDS: Final = 2.0
# What is lost so soon would be lost again.
SHORT_SECONDS: Final = 10.0
LOST: Final = SessionProblem(code="lost", message="it was lost as soon as it had begun")


class SessionReconciler(KindReconciler[Session]):
    """Has a session run in its Vps' gateway for as long as there is its row.

    Args:
        store: Where the rows are, and what gateways report.
        recorder: Where events go.
        hub: Carries commands to gateways.
    """

    kind: ClassVar[type[Resource]] = Session

    def __init__(self, store: Store, recorder: EventRecorder, hub: GatewayHub) -> None:
        super().__init__(store, recorder)
        self._hub = hub

    async def converge(self, scope: SessionScope) -> Result:
        """Begin it unless its gateway has it, it was begun, or it has ended by itself."""
        if scope.object.status.ended_at is not None:
            _tell_end(scope)
            return Result()
        subjects = (session_subject(scope.uid), session_error_subject(scope.uid))
        vps = await vps_of(scope, scope.object.spec.vps)
        seen = await connected(scope, vps, *subjects)
        if seen is None:
            _wait(scope)
            return Result()
        told = seen.told.get(subjects[0])
        match _standing(scope, seen, told):
            case "running":
                _run(scope, seen, told)
            case "ended" if told is not None:
                _end(scope, told)
            case standing:
                return await self._begin(scope, seen, standing)
        return Result()

    async def remove(self, scope: SessionScope) -> Result | None:
        """End it; in a gateway that is away it is ended when that comes back."""
        status, gateway = scope.object.status, await gateway_of(scope)
        if gateway is None or not status.hello:
            return None
        status.phase = "Deleting"
        if status.ended_at is None:
            session = {"session_id": str(scope.uid)}
            order = {"type": "session.end", "id": f"end.{scope.uid.hex}", **session}
            await take_back(scope, self._hub, gateway, order)
        await scope.store.observations.forget_subjects(
            gateway, session_subject(scope.uid), session_error_subject(scope.uid)
        )
        return None

    async def _begin(self, scope: SessionScope, seen: Connected, standing: Standing) -> Result:
        """Have it begin, unless that went wrong before and nothing has changed since."""
        status = scope.object.status
        told = seen.told.get(session_subject(scope.uid))
        # The newest word that it is not there; it is asked for once behind each.
        mark = told.sequence if told is not None and standing == "lost" else seen.hello
        edited = status.observed_generation != scope.object.metadata.generation
        if standing == "lost" and seen.hello <= status.hello < mark and _is_short(scope):
            status.hello = mark
            _fail(scope, LOST)
        elif status.hello == mark and not edited and (problem := _problem(scope, seen)):
            _fail(scope, problem)
        elif status.hello != mark and (left := _unsettled(scope, seen, standing)):
            return Result(requeue_after=left)
        else:
            await self._ask(scope, seen, mark)
        return Result()

    async def _ask(self, scope: SessionScope, seen: Connected, mark: int) -> None:
        """Ask for it, once it is on record that it is asked for; its gateway tells when it runs."""
        status = scope.object.status
        before = status.model_copy(deep=True)
        error = session_error_subject(scope.uid)
        if error in seen.told:
            await scope.store.observations.forget_subjects(seen.gateway, error)
        if status.hello != mark and status.started_at is not None:
            status.starts += 1
            scope.event("BegunAnew", "its gateway no longer had it", warning=True)
        status.hello, status.phase, status.problem = mark, "Starting", None
        scope.condition("Ready", status=False, reason="Starting")
        if status != before:
            await scope.save_if_unmoved()
        try:
            await command(scope, self._hub, seen.gateway, _order(scope, mark))
        except CommandRefusedError as error:
            _fail(scope, SessionProblem(code=error.code, message=error.detail))


def _standing(scope: SessionScope, seen: Connected, told: Observation | None) -> Standing:
    """How it stands with the session by the newest word: its own, or the gateway's hello."""
    over = told is not None and (told.message or {}).get("reason") in ("exited", "ended")
    if told is not None and told.sequence > seen.hello:
        if told.kind == "session.started":
            return "running"
        return "ended" if over else "lost"
    if str(scope.uid) in seen.sessions:
        return "running"
    return "ended" if over else "missing"


def _is_short(scope: SessionScope) -> bool:
    """Whether what is lost had hardly begun."""
    status, ready = scope.object.status, scope.object.status.condition("Ready")
    if status.phase != "Running" or ready is None:
        return status.phase == "Starting"
    return (scope.now - ready.last_transition_time).total_seconds() < SHORT_SECONDS


def _problem(scope: SessionScope, seen: Connected) -> SessionProblem | None:
    """What stood in the way when it was last asked for."""
    error = seen.told.get(session_error_subject(scope.uid))
    if error is None or error.sequence < scope.object.status.hello:
        return scope.object.status.problem
    return SessionProblem.model_validate((error.message or {}).get("error", {"code": "unknown"}))


def _unsettled(scope: SessionScope, seen: Connected, standing: Standing) -> float | None:
    """Seconds until a hello without a session that ran says that it is gone.

    The hub's clock need not be ours: what lies further off than it can is not waited for.
    """
    if standing != "missing" or scope.object.status.started_at is None:
        return None
    since: datetime = seen.told[HELLO].observed_at
    left = SETTLE_SECONDS - (scope.now - since).total_seconds()
    return left if 0 < left <= SETTLE_SECONDS else None


def _order(scope: SessionScope, mark: int) -> dict[str, Any]:
    spec, generation = scope.object.spec, scope.object.metadata.generation
    return {
        "type": "session.create",
        "id": f"create.{scope.uid.hex}.{mark}.{generation}",
        "session_id": str(scope.uid),
        "title": spec.title,
        "agent_type": spec.agent_type,
        "workdir": spec.workdir,
        "columns": spec.columns,
        "rows": spec.rows,
    }


def _wait(scope: SessionScope) -> None:
    scope.object.status.phase = "Waiting"
    scope.condition("Ready", status=False, reason="GatewayAway", message=AWAY)


def _run(scope: SessionScope, seen: Connected, told: Observation | None) -> None:
    status = scope.object.status
    if status.started_at is None:
        status.started_at = scope.now if told is None else told.observed_at
        scope.event("Begun", "it runs")
    status.hello, status.phase, status.problem = seen.hello, "Running", None
    scope.condition("Ready", status=True, reason="Running")


def _end(scope: SessionScope, told: Observation) -> None:
    """It is over for good."""
    status, message = scope.object.status, told.message or {}
    status.ended_at, status.problem = told.observed_at, None
    status.reason, status.exit_code = message.get("reason"), message.get("exit_code")
    scope.event("Ended", _tell_end(scope))


def _tell_end(scope: SessionScope) -> str:
    status = scope.object.status
    by_itself = status.reason == "exited"
    text = f"its program returned {status.exit_code}" if by_itself else "it was ended"
    status.phase = "Ended"
    scope.condition("Ready", status=False, reason="Ended", message=text)
    return text


def _fail(scope: SessionScope, problem: SessionProblem) -> None:
    """It cannot run; it is tried again when its gateway comes back, or its row is edited."""
    status = scope.object.status
    if status.phase != "Failed" or status.problem != problem:
        scope.event("NotBegun", f"{problem.code}: {problem.message}", warning=True)
    status.phase, status.problem = "Failed", problem
    text = problem.message or problem.code
    scope.condition("Ready", status=False, reason="Failed", message=text)
