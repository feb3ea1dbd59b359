"""Coding agents: how each is installed, and started."""

import asyncio
import logging
import os
import re
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.gateway.outbound import Outbound
from deploy.gateway.problems import RefusedError
from deploy.gateway.protocol import Message
from deploy.gateway.sessions import processes

SHELL: Final = "shell"
"""The agent that is none: a shell."""
INSTALL_SECONDS: Final = 600.0
"""How long an installation may take, all of its steps together."""

_VERSION: Final = re.compile(rb"[0-9]+(?:\.[0-9]+)+[0-9A-Za-z.+-]*")
_VERSION_SECONDS: Final = 20.0
_MOST_VERSION: Final = 64
_MOST_TOLD: Final = 4096
_NPM_ERROR: Final = re.compile(rb"npm (?:ERR!|error) code (E[A-Z0-9]{2,20})")
_NO_SPACE: Final = b"ENOSPC"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Agent:
    """A coding agent.

    Attributes:
        package: Its package at npm.
        command: What starts it.
    """

    package: str
    command: str


AGENTS: Final[Mapping[str, Agent]] = {
    "claude-code": Agent("@anthropic-ai/claude-code", "claude"),
    "codex": Agent("@openai/codex", "codex"),
    "gemini": Agent("@google/gemini-cli", "gemini"),
    "opencode": Agent("opencode-ai", "opencode"),
}


class Agents:
    """Installs agents, one at a time, and finds them.

    Args:
        outbound: Where it is said how that went.
        environment: What installers find around them.
        folder: Where agents are installed.
        own_machine: Whether the machine is the gateway's, to install whatever is needed; otherwise
            npm has to be there.
        table: The agents that there are.
    """

    def __init__(
        self,
        outbound: Outbound,
        environment: Mapping[str, str],
        folder: Path,
        *,
        own_machine: bool,
        table: Mapping[str, Agent] = AGENTS,
    ) -> None:
        self._outbound = outbound
        self._environment = environment
        self._folder = folder
        self._own_machine = own_machine
        self._table = table
        self._turn = asyncio.Lock()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def command(self, agent: str) -> str:
        """Return the program of an agent that is installed.

        Raises:
            RefusedError: It is not, or there is none of that name.
        """
        known = self._known(agent)
        found = shutil.which(known.command, path=self._environment["PATH"])
        if found is None:
            raise RefusedError("no-such-agent", f"{agent} is not installed.")
        return found

    def install(self, agent: str, version: str | None) -> None:
        """Begin to install an agent; what comes of it is said later.

        Raises:
            RefusedError: There is no such agent.
        """
        if agent == SHELL:
            self._outbound.say(
                {"type": "agent.installed", "agent": agent, "ok": True}, lasting=True
            )
            return
        known = self._known(agent)
        if agent not in self._tasks:
            task = asyncio.create_task(self._install(agent, known, version))
            self._tasks[agent] = task
            task.add_done_callback(lambda _: self._tasks.pop(agent, None))

    async def aclose(self) -> None:
        """End what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _known(self, agent: str) -> Agent:
        if agent not in self._table:
            raise RefusedError("no-such-agent", f"There is no agent {agent}.")
        return self._table[agent]

    async def _install(self, name: str, agent: Agent, version: str | None) -> None:
        told: Message = {"type": "agent.installed", "agent": name}
        try:
            async with self._turn, asyncio.timeout(INSTALL_SECONDS):
                for step in self._steps(agent, version):
                    await self._run(step)
                found = await self._version(self.command(name))
        except RefusedError as error:
            told |= {"ok": False, "error": error.problem()}
        except TimeoutError:
            problem = RefusedError("timeout", f"It took more than {INSTALL_SECONDS:.0f} s.")
            told |= {"ok": False, "error": problem.problem()}
        except Exception:
            log.exception("an installation failed")
            problem = RefusedError("failed", "The installation failed.")
            told |= {"ok": False, "error": problem.problem()}
        else:
            told |= {"ok": True} | ({"version": found or version} if found or version else {})
        self._outbound.say(told, lasting=True)

    def _steps(self, agent: Agent, version: str | None) -> list[Sequence[str]]:
        package = f"{agent.package}@{version or 'latest'}"
        quiet = ("--no-fund", "--no-audit", "--no-update-notifier", "--loglevel=error")
        npm = ("npm", "install", "--global", f"--prefix={self._folder}", *quiet, package)
        if shutil.which("npm", path=self._environment["PATH"]):
            return [npm]
        if not self._own_machine or not shutil.which("apt-get", path=self._environment["PATH"]):
            raise RefusedError("no-npm", "There is no npm on this machine.")
        apt = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120")
        return [(*apt, "update"), (*apt, "install", "--yes", "nodejs", "npm"), npm]

    async def _run(self, command: Sequence[str]) -> None:
        """Run an installer; of what it puts out only the kind of error is told."""
        code, out = await self._output(command)
        if code == 0:
            return
        kind = _NPM_ERROR.search(out)
        if _NO_SPACE in out:
            raise RefusedError("no-space", "The disk is full.")
        why = f" ({kind[1].decode()})" if kind else ""
        raise RefusedError("install-failed", f"{command[0]} ended with {code}{why}.")

    async def _version(self, program: str) -> str | None:
        try:
            async with asyncio.timeout(_VERSION_SECONDS):
                code, out = await self._output((program, "--version"))
        except TimeoutError:
            return None
        found = _VERSION.search(out) if code == 0 else None
        return found[0][:_MOST_VERSION].decode() if found else None

    async def _output(self, command: Sequence[str]) -> tuple[int, bytes]:
        """Run a program; return how it ended and the end of what it put out."""
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=self._environment["HOME"],
                env={**self._environment, "DEBIAN_FRONTEND": "noninteractive", "CI": "1"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError:
            raise RefusedError("install-failed", f"{command[0]} does not start.") from None
        try:
            return await _ended(process)
        except asyncio.CancelledError:
            os.killpg(process.pid, signal.SIGKILL)
            await asyncio.shield(processes.end(process.pid, grace=0.0))
            await process.wait()
            raise


async def _ended(process: asyncio.subprocess.Process) -> tuple[int, bytes]:
    told = b""
    while process.stdout is not None and (data := await process.stdout.read(_MOST_TOLD)):
        told = (told + data)[-_MOST_TOLD:]
    return await process.wait(), told
