"""A gateway: the program in a droplet, as the hub sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from uuid import UUID

from deploy.local.simulators.gateways.hub import Hub
from deploy.local.simulators.gateways.link import Link, NotTakenError
from deploy.local.simulators.gateways.machine import Machine, RefusedError, Shell
from deploy.local.simulators.gateways.words import (
    ANSWERS,
    GONE,
    HEALTH_SECONDS,
    PROTOCOL,
    UNKNOWN,
    Message,
    problem,
)

GIB: Final = 1024**3
Fate = Literal["kept", "lost", "forgotten"]
"""What becomes of sessions when a gateway's program begins anew: it has them still,
it knows that it had them and says so, or it knows of nothing."""


@dataclass(slots=True)
class Timings:
    """How long things take, in seconds."""

    answer_seconds: float = 0.01
    restart_seconds: float = 1.0
    install_seconds: float = 5.0
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 30.0


@dataclass(slots=True)
class Faults:
    """What is wrong with a gateway; nothing by default.

    Attributes:
        silent: It sends nothing, not even its health, and is connected all the same.
        deaf: What it is told never arrives; its health goes on.
        lost_answers: So many answers more are lost, after it did what it was told.
        refusing: The types of commands that it refuses, with the code that it gives.
        slow_seconds: So much longer it takes before it does what it is told.
        failing_agents: Agents whose installation fails.
        failing_sessions: The code with which new sessions go wrong after they were taken on.
    """

    silent: bool = False
    deaf: bool = False
    lost_answers: int = 0
    refusing: dict[str, str] = field(default_factory=dict)
    slow_seconds: float = 0.0
    failing_agents: set[str] = field(default_factory=set)
    failing_sessions: str | None = None


class SimulatedGateway:
    """Obeys docs/protocols.md from `start` to `stop`.

    Args:
        hub: What it connects to.
        uid: Its Vps' uid.
        token: What it shows.
        machine: What it looks after.
        version: Its program's version.
        timings: How long things take.

    Attributes:
        faults: What is wrong with it.
        refused: The status with which the hub last took no connection; None when it did.
    """

    def __init__(
        self,
        hub: Hub,
        uid: UUID,
        token: str,
        *,
        machine: Machine | None = None,
        version: str = "1.0.0",
        timings: Timings | None = None,
    ) -> None:
        self.uid = uid
        self.version = version
        self.machine = machine or Machine(hub.now)
        self.timings = timings or Timings()
        self.faults = Faults()
        self.refused: int | None = None
        self._hub = hub
        self._token = token
        self._link: Link | None = None
        self._plugged = asyncio.Event()
        self._plugged.set()
        # What happened while nobody could be told; told behind the next hello.
        self._untold: list[Message] = []
        self._life: asyncio.Task[None] | None = None
        self._work: set[asyncio.Task[None]] = set()
        self._done: dict[str, Message] = {}

    # Its life

    def start(self) -> None:
        """Begin to run."""
        self._life = asyncio.get_running_loop().create_task(self._live())

    async def stop(self, code: int = GONE) -> None:
        """End at once; what is in the machine's memory is left as it is."""
        tasks = [*self._work, *([] if self._life is None else [self._life])]
        self._life = None
        for task in tasks:
            task.cancel()
        self._cut(code)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def restart(self, sessions: Fate = "kept") -> None:
        """End and begin anew."""
        await self.stop()
        self._done.clear()
        if sessions != "kept":
            had, self.machine.sessions = list(self.machine.sessions), {}
            if sessions == "lost":
                self._untold += [_ended(session, "lost", None) for session in had]
        await asyncio.sleep(self.timings.restart_seconds)
        self.start()

    def unplug(self) -> None:
        """Break its network."""
        self._plugged.clear()
        self._cut(GONE)

    def plug(self) -> None:
        """Mend its network."""
        self._plugged.set()

    # What happens in its machine

    def exit(self, session: UUID, exit_code: int = 0) -> None:
        """Have a session's program end by itself."""
        del self.machine.sessions[str(session)]
        self._tell_surely(_ended(str(session), "exited", exit_code))

    def lose(self, session: UUID) -> None:
        """Take a session from it."""
        del self.machine.sessions[str(session)]
        self._tell_surely(_ended(str(session), "lost", None))

    def shell(self, session: UUID) -> Shell | None:
        """A session's program, if it runs."""
        return self.machine.sessions.get(str(session))

    # How it speaks

    async def _live(self) -> None:
        wait = self.timings.first_wait_seconds
        while True:
            await self._plugged.wait()
            try:
                self._link = await self._hub.connect(self.uid, self._token)
            except NotTakenError as error:
                self.refused = error.status
            else:
                self.refused = None
                began = self._hub.now()
                await self._serve(self._link)
                if self._link.code == UNKNOWN:
                    return
                if self._hub.now() - began > self.timings.longest_wait_seconds:
                    wait = self.timings.first_wait_seconds
            await asyncio.sleep(wait)
            wait = min(self.timings.longest_wait_seconds, wait * 2)

    async def _serve(self, link: Link) -> None:
        """Greet, and do what is told until the connection ends."""
        self._greet(link)
        health = self._spawn(self._send_health())
        try:
            while (command := await link.inbox.get()) is not None:
                if not self.faults.deaf:
                    await asyncio.sleep(self.timings.answer_seconds + self.faults.slow_seconds)
                    self._obey(command)
        finally:
            health.cancel()
            link.end(GONE)

    def _greet(self, link: Link) -> None:
        if self.faults.silent:
            return
        sessions = [
            {"session_id": session, "sequence": shell.sequence}
            for session, shell in self.machine.sessions.items()
        ]
        hello = {"protocol": PROTOCOL, "version": self.version, "sessions": sessions}
        link.to_hub({"type": "gateway.hello", **hello})
        untold, self._untold = self._untold, []
        for message in untold:
            link.to_hub(message)

    async def _send_health(self) -> None:
        began = self._hub.now()
        while True:
            self._tell(
                {
                    "type": "gateway.health",
                    "cpu_percent": 1.5 + 2.0 * len(self.machine.sessions),
                    "memory_used_bytes": GIB // 4,
                    "memory_total_bytes": GIB,
                    "disk_used_bytes": 3 * GIB,
                    "disk_total_bytes": 25 * GIB,
                    "uptime_seconds": self._hub.now() - began,
                }
            )
            await asyncio.sleep(HEALTH_SECONDS)

    def _tell(self, message: Message) -> bool:
        if self.faults.silent or self._link is None:
            return False
        return self._link.to_hub(message)

    def _tell_surely(self, message: Message) -> None:
        """Say it now, or behind the next hello."""
        if not self._tell(message):
            self._untold.append(message)

    def _obey(self, command: Message) -> None:
        """Do what is told once for its id, and answer."""
        if command["type"] not in ANSWERS:
            return
        if command["id"] not in self._done:
            self._done[command["id"]] = self._answer(command)
        if self.faults.lost_answers:
            self.faults.lost_answers -= 1
        else:
            self._tell(self._done[command["id"]])

    def _answer(self, command: Message) -> Message:
        try:
            self._check(command["type"])
            more = self._do(command)
        except RefusedError as error:
            told = problem(error.code, str(error))
            return {"type": "ack", "id": command["id"], "ok": False, "error": told}
        if more is None:
            return {"type": "ack", "id": command["id"], "ok": True}
        return {"type": ANSWERS[command["type"]], "id": command["id"], **more}

    def _check(self, type_: str) -> None:
        if code := self.faults.refusing.get(type_):
            raise RefusedError(code, "the gateway refuses")

    def _do(self, command: Message) -> Message | None:
        """Carry out a command; returns what its own answer says, None for an ack.

        Raises:
            RefusedError: It is not carried out.
        """
        match command["type"]:
            case "session.create":
                self._create(command)
            case "session.end":
                self._end(command["session_id"])
            case "session.snapshot.request":
                return self._snapshot(command["session_id"])
            case "ssh.authorize":
                self.machine.authorize(command)
            case "ssh.revoke":
                self.machine.revoke(command["fingerprint"])
            case "ssh.list":
                return {"keys": self._keys()}
            case "agent.install":
                self._spawn(self._install(command))
            case "gateway.update":
                self._spawn(self._update(command["version"]))
            case _:
                raise RefusedError("unsupported", "there are no files here")
        return None

    def _create(self, command: Message) -> None:
        session = command["session_id"]
        if code := self.faults.failing_sessions:
            error = problem(code, "the session did not begin")
            self._later(lambda: self._session_error(session, error))
        elif self.machine.create(command):
            self._later(lambda: self._started(session))

    def _session_error(self, session: str, error: Message) -> None:
        self._tell_surely({"type": "session.error", "session_id": session, "error": error})

    def _started(self, session: str) -> None:
        shell = self.machine.sessions.get(session)
        if shell is not None:
            size = {"columns": shell.wish.get("columns", 80), "rows": shell.wish.get("rows", 24)}
            told = {"type": "session.started", "session_id": session, "sequence": 0, **size}
            # Who is not connected tells by the next hello.
            self._tell(told)

    def _end(self, session: str) -> None:
        if self.machine.sessions.pop(session, None) is not None:
            self._later(lambda: self._tell_surely(_ended(session, "ended", None)))

    def _snapshot(self, session: str) -> Message:
        shell = self.machine.sessions.get(session)
        if shell is None:
            raise RefusedError("no-such-session", "there is no such session")
        return {
            "session_id": session,
            "sequence": shell.sequence,
            "columns": shell.wish.get("columns", 80),
            "rows": shell.wish.get("rows", 24),
            "data": shell.screen,
        }

    def _keys(self) -> list[Message]:
        return [
            {"fingerprint": name, "label": key.label, "expires_at": key.expires_at}
            for name, key in self.machine.keys.items()
        ]

    async def _install(self, command: Message) -> None:
        await asyncio.sleep(self.timings.install_seconds)
        agent, version = command["agent"], command.get("version", "1.0.0")
        told: Message = {"type": "agent.installed", "agent": agent}
        if agent in self.faults.failing_agents:
            self._tell_surely({**told, "ok": False, "error": problem("no-space", "no room")})
        else:
            self.machine.agents[agent] = version
            self._tell_surely({**told, "ok": True, "version": version})

    async def _update(self, version: str) -> None:
        """Run another version from the next connection on; sessions outlive it."""
        await asyncio.sleep(self.timings.restart_seconds)
        previous, self.version = self.version, version
        told = {"type": "gateway.updated", "version": version, "previous_version": previous}
        self._untold.append(told)
        self._cut(GONE)

    # Its tasks

    def _later(self, what: Callable[[], None]) -> None:
        """Do something right behind the answer to the present command."""
        asyncio.get_running_loop().call_soon(what)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return task

    def _cut(self, code: int) -> None:
        if self._link is not None:
            self._link.end(code)


def _ended(session: str, reason: str, exit_code: int | None) -> Message:
    told = {"session_id": session, "reason": reason, "exit_code": exit_code}
    return {"type": "session.ended", **told}
