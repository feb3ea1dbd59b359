"""Agents: installed with npm, in time, and without a word of what npm said."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from deploy.gateway import agents as agents_module
from deploy.gateway.agents import AGENTS, Agent, Agents
from deploy.gateway.outbound import Outbound
from deploy.gateway.problems import RefusedError
from deploy.gateway.sessions import processes

pytestmark = pytest.mark.anyio

TABLE = {"robot": Agent("@acme/robot", "robot")}
INSTALL = """#!/bin/sh
echo "$@" > "$HOME/arguments"
for each; do case $each in --prefix=*) prefix=${each#--prefix=};; esac; done
mkdir -p "$prefix/bin"
printf '#!/bin/sh\\necho robot version 1.2.3-beta\\n' > "$prefix/bin/robot"
chmod +x "$prefix/bin/robot"
"""


class _Machine:
    def __init__(self, root: Path, npm: str | None) -> None:
        self.root = root
        self.outbound = Outbound()
        self.outbound.begin({"type": "hello"})
        tools = root / "tools"
        tools.mkdir()
        if npm is not None:
            (tools / "npm").write_text(npm)
            (tools / "npm").chmod(0o755)
        path = f"{root}/usr/local/bin:{tools}:/usr/bin:/bin" if npm else str(tools)
        environment = {"HOME": str(root), "PATH": path}
        self.agents = Agents(
            self.outbound, environment, root / "usr/local", own_machine=False, table=TABLE
        )

    async def told(self) -> dict[str, Any]:
        """Return what was said when all was over."""
        await asyncio.gather(*self.agents._tasks.values())
        last = self.outbound._queue[-1]
        told: dict[str, Any] = json.loads(last.content)  # type: ignore[union-attr]
        return told


async def test_an_agent_is_installed_below_the_root(root: Path) -> None:
    """In the version that was wished for; told is the one that it says it is."""
    machine = _Machine(root, INSTALL)
    machine.agents.install("robot", "1.2.3")
    machine.agents.install("robot", "1.2.3")
    told = await machine.told()

    assert {
        "type": "agent.installed",
        "agent": "robot",
        "ok": True,
        "version": "1.2.3-beta",
    } == told
    assert str(root / "usr/local/bin/robot") == machine.agents.command("robot")
    assert "@acme/robot@1.2.3" in (root / "arguments").read_text()


@pytest.mark.parametrize(
    ("npm", "code", "message"),
    [
        (
            "echo npm ERR! code E404; echo secret; exit 1",
            "install-failed",
            "npm ended with 1 (E404).",
        ),
        ("echo secret >&2; exit 7", "install-failed", "npm ended with 7."),
        ("echo npm error code ENOSPC >&2; exit 1", "no-space", "The disk is full."),
        ("exit 0", "no-such-agent", "robot is not installed."),
    ],
)
async def test_a_failure_is_told_without_npm_s_words(
    root: Path, npm: str, code: str, message: str
) -> None:
    """Only the kind of npm's error is."""
    machine = _Machine(root, f"#!/bin/sh\n{npm}\n")
    machine.agents.install("robot", None)
    told = await machine.told()

    assert {"code": code, "message": message} == told["error"]
    assert told["ok"] is False


async def test_an_installation_ends_in_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With everything that it has started."""
    monkeypatch.setattr(agents_module, "INSTALL_SECONDS", 0.2)
    machine = _Machine(root, '#!/bin/sh\necho $$ > "$HOME/pid"\nsleep 1000 & sleep 1000\n')
    machine.agents.install("robot", None)
    told = await machine.told()

    assert "timeout" == told["error"]["code"]
    assert [] == processes.members(int((root / "pid").read_text()))


async def test_without_npm_nothing_is_installed_on_a_foreign_machine(root: Path) -> None:
    """Only a machine of its own gets it."""
    machine = _Machine(root, None)
    machine.agents.install("robot", None)
    told = await machine.told()

    assert "no-npm" == told["error"]["code"]


async def test_a_shell_is_always_there(root: Path) -> None:
    """And an agent that nobody knows never."""
    machine = _Machine(root, None)
    machine.agents.install("shell", None)
    told = await machine.told()
    with pytest.raises(RefusedError) as refused:
        machine.agents.install("nobody", None)

    assert {"type": "agent.installed", "agent": "shell", "ok": True} == told
    assert "no-such-agent" == refused.value.code
    assert {"claude-code", "codex", "gemini"} <= AGENTS.keys()
