"""The sessions that run, and what becomes of them."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine
from typing import Any, Final
from uuid import UUID

from deploy.gateway.flow import Flow
from deploy.gateway.outbound import Outbound
from deploy.gateway.problems import RefusedError, refusal
from deploy.gateway.protocol import Message
from deploy.gateway.sessions.terminal import (
    COLUMNS,
    ROWS,
    Listener,
    Multiplexer,
    Start,
    Terminal,
    TerminalError,
)
from deploy.gateway.snapshot import Picture, draw
from deploy.gateway.state import SessionRecord, Store

MOST: Final = 64
"""Sessions at once; a hello has room for 256."""

log = logging.getLogger(__name__)

Furnish = Callable[[Message], Start]
"""Says what a `session.create` is to run; raises RefusedError."""


class _Session:
    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.terminal: Terminal | None = None


class Sessions:
    """Starts and ends sessions, and passes on what they put out.

    Args:
        multiplexer: What keeps them.
        store: Where they are remembered.
        outbound: Where what is said of them goes.
        furnish: Says what to run.
    """

    def __init__(
        self, multiplexer: Multiplexer, store: Store, outbound: Outbound, furnish: Furnish
    ) -> None:
        self._multiplexer = multiplexer
        self._store = store
        self._outbound = outbound
        self._furnish = furnish
        self._sessions: dict[str, _Session] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: set[asyncio.Task[None]] = set()

    async def recover(self) -> None:
        """Take over what has outlived an earlier gateway, and say what has not."""
        survivors = await self._multiplexer.survivors()
        records = self._store.state.sessions
        for uid in survivors - records.keys():
            await self._multiplexer.discard(uid)
        for uid, record in list(records.items()):
            session = _Session(Flow(UUID(uid), record.sequence))
            try:
                session.terminal = await self._multiplexer.adopt(uid, self._listener(uid, session))
            except TerminalError:
                self._forget(uid)
                self._say_ended(uid, "lost", None)
            else:
                self._sessions[uid] = session

    def hello(self) -> list[dict[str, Any]]:
        """Return the sessions as a hello names them, whose output begins there."""
        for session in self._sessions.values():
            session.flow.open()
        return [
            {"session_id": uid, "sequence": session.flow.sequence}
            for uid, session in self._sessions.items()
        ]

    def pause(self) -> None:
        """Hold nothing back for a connection that is gone."""
        for session in self._sessions.values():
            session.flow.close()

    async def create(self, message: Message) -> None:
        """Start a session; one that is there is left as it is.

        Raises:
            RefusedError: It does not start; whoever watches is told too.
        """
        uid = message["session_id"]
        async with self._locks[uid]:
            if uid in self._sessions:
                return
            try:
                await self._start(uid, message)
            except RefusedError as error:
                self._say_error(uid, error)
                raise

    async def end(self, uid: str) -> None:
        """End a session; one that is not there is ended."""
        async with self._locks[uid]:
            session = self._sessions.get(uid)
            if session is not None:
                await self._finish(uid, session, "ended", None)

    async def snapshot(self, message: Message) -> None:
        """Say what a session shows.

        Raises:
            RefusedError: It is not there, or does not tell.
        """
        uid = message["session_id"]
        session = self._sessions.get(uid)
        if session is None or session.terminal is None:
            raise RefusedError("no-such-session", "There is no such session.")

        def told(picture: Picture) -> None:
            # Who watches already gets no snapshot, and needs what this one shows.
            self._outbound.flush(session.flow)
            self._outbound.say(
                {
                    "type": "session.snapshot",
                    "id": message["id"],
                    "session_id": uid,
                    "sequence": session.flow.snapshot(),
                    "columns": picture.columns,
                    "rows": picture.rows,
                    "data": draw(picture),
                }
            )

        try:
            await session.terminal.picture(told)
        except TerminalError as error:
            raise RefusedError("no-snapshot", str(error)) from None

    def type(self, uid: str, data: bytes) -> None:
        """Type into a session; nobody reads what is typed into one that is gone."""
        terminal = self._terminal(uid)
        try:
            if terminal is not None:
                terminal.write(data)
        except TerminalError as error:
            self._say_error(uid, RefusedError("not-read", str(error)))

    def resize(self, uid: str, columns: int, rows: int) -> None:
        """Change a session's size."""
        terminal = self._terminal(uid)
        if terminal is not None and terminal.size != (columns, rows):
            terminal.resize(columns, rows)

    def ack(self, uid: str, sequence: int) -> None:
        """Note how far a session has been shown."""
        session = self._sessions.get(uid)
        if session is not None:
            session.flow.ack(sequence)
            self._outbound.wake(session.flow)

    async def aclose(self) -> None:
        """Let go of all sessions, and note where they are; the store is not saved yet."""
        terminals = [each.terminal for each in self._sessions.values() if each.terminal is not None]
        await asyncio.gather(*(each.leave() for each in terminals))
        # Those that had ended just before.
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for uid, session in self._sessions.items():
            self._store.state.sessions[uid].sequence = session.flow.sequence

    # Steps

    def _terminal(self, uid: str) -> Terminal | None:
        session = self._sessions.get(uid)
        return None if session is None else session.terminal

    async def _start(self, uid: str, message: Message) -> None:
        if len(self._sessions) >= MOST:
            raise RefusedError("too-many-sessions", f"{MOST} sessions run already.")
        start = self._furnish(message)
        session = _Session(Flow(UUID(uid)))
        record = SessionRecord(message["title"], message["agent_type"], message["workdir"])
        self._store.state.sessions[uid] = record
        # Written first: what runs must be known to whoever comes after a crash.
        self._save()
        self._sessions[uid] = session
        if self._outbound.is_open:
            session.flow.open()
        try:
            session.terminal = await self._multiplexer.start(start, self._listener(uid, session))
        except TerminalError as error:
            self._forget(uid)
            raise RefusedError("not-started", str(error)) from None
        columns, rows = session.terminal.size
        self._outbound.say(
            {
                "type": "session.started",
                "session_id": uid,
                "sequence": 0,
                "columns": columns,
                "rows": rows,
            },
            lasting=True,
        )

    def _listener(self, uid: str, session: _Session) -> Listener:
        def output(data: bytes) -> None:
            session.flow.feed(data)
            self._outbound.wake(session.flow)

        return Listener(
            output=output,
            exited=lambda code: self._spawn(self._exited(uid, session, code)),
            missed=session.flow.skip,
        )

    async def _exited(self, uid: str, session: _Session, code: int | None) -> None:
        async with self._locks[uid]:
            if self._sessions.get(uid) is session:
                reason = "lost" if code is None else "exited"
                await self._finish(uid, session, reason, code)

    async def _finish(self, uid: str, session: _Session, reason: str, code: int | None) -> None:
        if session.terminal is not None:
            await session.terminal.end()
        self._outbound.flush(session.flow)
        self._forget(uid)
        self._say_ended(uid, reason, code)

    def _forget(self, uid: str) -> None:
        self._sessions.pop(uid, None)
        self._store.state.sessions.pop(uid, None)
        try:
            self._save()
        except RefusedError:
            log.warning("the state is not saved")

    def _save(self) -> None:
        try:
            self._store.save()
        except OSError as error:
            raise refusal(error) from error

    def _say_ended(self, uid: str, reason: str, code: int | None) -> None:
        ended = {"type": "session.ended", "session_id": uid, "reason": reason, "exit_code": code}
        self._outbound.say(ended, lasting=True)

    def _say_error(self, uid: str, error: RefusedError) -> None:
        told = {"type": "session.error", "session_id": uid, "error": error.problem()}
        self._outbound.say(told, lasting=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def size_of(message: Message) -> tuple[int, int]:
    """Return the size that a `session.create` asks for."""
    return message.get("columns", COLUMNS), message.get("rows", ROWS)
