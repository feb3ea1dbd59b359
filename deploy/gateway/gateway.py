"""The gateway: everything put together."""

import asyncio
import base64
import binascii
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from deploy.gateway import release
from deploy.gateway.agents import SHELL, Agents
from deploy.gateway.commands import Commands
from deploy.gateway.connection import Connection, Dial
from deploy.gateway.environment import environment, prefix, shell
from deploy.gateway.files import Files
from deploy.gateway.health import EVERY_SECONDS, Health
from deploy.gateway.journal import Journal
from deploy.gateway.keys import Keys
from deploy.gateway.outbound import Outbound
from deploy.gateway.paths import Paths
from deploy.gateway.problems import RefusedError, refusal
from deploy.gateway.protocol import PROTOCOL, Message, MisunderstoodError, protocol
from deploy.gateway.sessions.manager import Sessions, size_of
from deploy.gateway.sessions.pty import Pty
from deploy.gateway.sessions.terminal import Multiplexer, Start
from deploy.gateway.sessions.tmux import Tmux, find_tmux
from deploy.gateway.settings import Settings
from deploy.gateway.state import Store
from deploy.gateway.updates import Updates
from deploy.gateway.waits import Waits

_STATE: Final = "state.json"
_RUN: Final = "run"

log = logging.getLogger(__name__)


class Gateway:
    """A gateway.

    Args:
        settings: What it was told.
        dial: Opens a connection to the hub.
        now: The wall's clock, unix seconds.
        waits: How long to wait between connections.

    Attributes:
        sessions: Its terminal sessions.
        keys: Its SSH keys.
        stop: Set when it shall end.
        restarts: Whether it shall begin anew then, as another version.
    """

    def __init__(
        self,
        settings: Settings,
        dial: Dial,
        *,
        now: Callable[[], float] = time.time,
        waits: Waits | None = None,
    ) -> None:
        self._settings = settings
        self._paths = Paths(settings.root)
        self._environment = environment(settings, self._paths)
        self._paths.find(settings.home).mkdir(parents=True, exist_ok=True)
        self._folder = self._paths.find(settings.state)
        self._store = Store(self._folder / _STATE)
        self._outbound = Outbound()
        self._take_over_words()
        self.stop = asyncio.Event()
        self.restarts = False
        self.sessions = Sessions(self._multiplexer(), self._store, self._outbound, self._furnish)
        self.keys = Keys(self._store, self._paths, settings.home, now)
        self._agents = Agents(
            self._outbound,
            self._environment,
            prefix(self._paths),
            own_machine=settings.root is None,
        )
        self._commands = Commands(
            Journal(self._store, now),
            sessions=self.sessions,
            keys=self.keys,
            files=Files(self._paths),
            agents=self._agents,
            updates=Updates(self._store, release.program(), settings.version, self._restart),
        )
        self._health = Health(self._paths.find("/"))
        self._connection = Connection(dial, self._outbound, self, waits or Waits())
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> bool:
        """Run until `stop` is set or the gateway is no more; return whether it is no more."""
        await self.sessions.recover()
        await self._say_updated()
        connected = asyncio.create_task(self._connection.run())
        endless = [asyncio.create_task(self.keys.run()), asyncio.create_task(self._tell_health())]
        stopped = asyncio.create_task(self.stop.wait())
        running = [connected, stopped, *endless]
        try:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            return connected in done
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, *self._tasks, return_exceptions=True)
            await self._agents.aclose()
            await self.sessions.aclose()
            self._store.state.unsaid = self._outbound.unsaid()
            self._store.save()

    # What the connection asks of us

    def greet(self) -> Message:
        """Return the hello."""
        # A health comes right behind it.
        asyncio.get_running_loop().call_soon(self._say_health)
        return {
            "type": "gateway.hello",
            "protocol": PROTOCOL,
            "version": self._settings.version,
            "sessions": self.sessions.hello(),
        }

    def hear(self, text: str) -> None:
        """Take a message from the hub."""
        try:
            message = protocol().parse(text)
        except MisunderstoodError as error:
            self._outbound.say(error.error())
            return
        type_ = message["type"]
        if self._commands.knows(type_):
            self._spawn(self._answer(message))
        elif type_ == "session.input":
            self._type(message)
        elif type_ == "session.resize":
            self.sessions.resize(message["session_id"], message["columns"], message["rows"])
        elif type_ == "session.ack":
            self.sessions.ack(message["session_id"], message["sequence"])
        elif type_ == "error":
            log.warning(
                "the hub complains: %s about %s", message["error"]["code"], message.get("about")
            )

    def lost(self) -> None:
        """Note that the connection is gone."""
        self.sessions.pause()

    # Steps

    async def _answer(self, command: Message) -> None:
        answer = await self._commands.answer(command)
        if answer is not None:
            self._outbound.say(answer)

    def _type(self, message: Message) -> None:
        data = message["data"].encode(errors="replace")
        if message.get("encoding") == "base64":
            try:
                data = base64.b64decode(data, validate=True)
            except binascii.Error:
                wrong = MisunderstoodError("malformed", "data: is not base64", message["type"])
                self._outbound.say(wrong.error())
                return
        self.sessions.type(message["session_id"], data)

    def _furnish(self, message: Message) -> Start:
        agent = message["agent_type"]
        login = [shell()] if self._settings.root is not None else [shell(), "-l"]
        command = login if agent == SHELL else [self._agents.command(agent)]
        folder = self._paths.find(message["workdir"])
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise RefusedError("not-a-folder", "The working directory is no folder.") from None
        except OSError as error:
            raise refusal(error) from error
        columns, rows = size_of(message)
        return Start(message["session_id"], command, folder, self._environment, columns, rows)

    def _take_over_words(self) -> None:
        """Say what an earlier program could not, once: later it may be true no longer."""
        unsaid, self._store.state.unsaid = self._store.state.unsaid, []
        if unsaid:
            self._outbound.restore(unsaid)
            self._store.save()

    def _multiplexer(self) -> Multiplexer:
        tmux = None if self._settings.multiplexer == "pty" else find_tmux()
        if tmux is not None:
            return Tmux(self._folder / _RUN, tmux, self._environment)
        if self._settings.multiplexer == "tmux":
            raise RefusedError("no-tmux", "GATEWAY_MULTIPLEXER is tmux, and there is none.")
        log.info("no tmux: sessions end with this program")
        return Pty()

    async def _say_updated(self) -> None:
        before, self._store.state.updated_from = self._store.state.updated_from, None
        if before is None or before == self._settings.version:
            return
        told = {"version": self._settings.version, "previous_version": before}
        self._outbound.say({"type": "gateway.updated", **told}, lasting=True)
        self._store.save()

    async def _tell_health(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            self._say_health()

    def _say_health(self) -> None:
        try:
            self._outbound.say(self._health.measure())
        except (OSError, ValueError, KeyError, IndexError):
            log.exception("the machine's health cannot be measured")
            # The hub ends a connection that is silent.
            self._outbound.say({"type": "ping"})

    def _restart(self) -> None:
        self.restarts = True
        # Behind the answer, which is on its way then.
        asyncio.get_running_loop().call_later(0.5, self.stop.set)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
