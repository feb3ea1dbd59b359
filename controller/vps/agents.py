"""Agents: the coding agents that are wished for are installed, one after the other if need be."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from controller.vps.commands import command_id, send
from controller.vps.tools import VpsScope, VpsTools, Wait
from crds.gateway_hub import CommandError, CommandRefusedError
from crds.store.observations import Observation, agent_subject
from crds.vps import AgentStatus

# Programs are fetched and unpacked; whoever has said nothing by then has lost the order.
INSTALL_WITHIN: Final = timedelta(minutes=15)
# Until an order is given again whose outcome nobody knows.
AGAIN_SECONDS: Final = 30.0


async def install_agents(scope: VpsScope, tools: VpsTools) -> Wait | None:
    """Have every agent that is wished for; what fails is tried again when the gateway comes back.

    Nobody takes away what is wished for no more: there is no order for that.
    """
    status, wished = scope.object.status, scope.object.spec.agents
    known = {each.name: each for each in status.agents}
    status.agents = [known.get(name) or AgentStatus(name=name) for name in wished]
    if not status.gateway.connected or not wished:
        return None
    subjects = [agent_subject(name) for name in wished]
    told = await scope.store.observations.of(scope.uid, *subjects)
    for agent in status.agents:
        _note(scope, agent, told)
        if agent.state == "Wished":
            await _order(scope, tools, agent)
    return None


def _note(scope: VpsScope, agent: AgentStatus, told: Mapping[str, Observation]) -> None:
    """Write down how far it is, by what the gateway told and when it was asked."""
    seen = told.get(agent_subject(agent.name))
    message = (seen.message or {}) if seen is not None else {}
    if message.get("ok"):
        agent.state, agent.message = "Installed", ""
        agent.version = str(message.get("version", ""))
    elif seen is not None and seen.sequence > scope.object.status.gateway.hello:
        agent.state, agent.message = "Failed", _words(message)
    elif agent.state == "Failed" and _is_older(scope, agent):
        agent.state = "Wished"
    elif agent.state == "Installing" and agent.asked_at is not None:
        _await_result(scope, agent)


def _words(message: Mapping[str, object]) -> str:
    problem = message.get("error")
    return str(problem.get("message", "")) if isinstance(problem, dict) else "it failed"


def _is_older(scope: VpsScope, agent: AgentStatus) -> bool:
    """Whether the gateway has come back since it was asked: that is another chance."""
    return agent.hello != scope.object.status.gateway.hello


def _await_result(scope: VpsScope, agent: AgentStatus) -> None:
    """An order whose result never came has failed; one of an earlier connection is given again."""
    if _is_older(scope, agent):
        agent.state = "Wished"
        return
    left = ((agent.asked_at or scope.now) + INSTALL_WITHIN - scope.now).total_seconds()
    if left > 0:
        scope.look_again(left)
        return
    agent.state, agent.message = "Failed", "the gateway never said how its installation went"


async def _order(scope: VpsScope, tools: VpsTools, agent: AgentStatus) -> None:
    order = {
        "type": "agent.install",
        "id": command_id(scope, "install", agent.name),
        "agent": agent.name,
    }
    agent.asked_at, agent.hello = scope.now, scope.object.status.gateway.hello
    # On record before it is asked for; who dies in between asks for the same by the same name.
    await scope.save_if_unmoved()
    try:
        await send(scope, tools, order)
    except CommandRefusedError as error:
        agent.state = "Failed"
        agent.message = error.detail or error.code
        scope.event("AgentRefused", f"{agent.name}: {agent.message}", warning=True)
    except CommandError as error:
        agent.message = error.detail or error.code
        scope.look_again(AGAIN_SECONDS)
    else:
        agent.state, agent.message = "Installing", ""
        scope.look_again(INSTALL_WITHIN.total_seconds())
