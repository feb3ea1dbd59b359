"""What the steps of a machine's life work with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from controller.machine.agent import AgentClient
from controller.observer import Observer
from controller.providers.fly import Fly, FlyMachine
from controller.scope import Scope
from crds.credentials import MachineTokens
from crds.machine import Machine

# "Absent" is not believed for so long after something may have been created: lists are stale, and
# a request that timed out can still arrive.
ABSENCE_GRACE = timedelta(seconds=30)


class Wait(NamedTuple):
    """A step is not through: come back after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Tools:
    """The outside world of a machine.

    Attributes:
        fly: The provider.
        agent: Talks to the agents in the machines.
        observer: What the last look over the whole organisation saw.
        tokens: Issues the machines' tokens.
        installation: Which installation's marks we put and heed.
        agent_env: What every machine's agent is told besides who it is.
    """

    fly: Fly
    agent: AgentClient
    observer: Observer
    tokens: MachineTokens
    installation: str
    agent_env: Mapping[str, str]


class MachineScope(Scope[Machine]):
    """A machine during one reconcile.

    Attributes:
        seen: The Fly machine as read in this reconcile; None when nothing had to be read.
    """

    seen: FlyMachine | None = None

    @property
    def app(self) -> str:
        """The Fly app's name."""
        assert self.object.status.app is not None
        return self.object.status.app.name

    @property
    def instance_id(self) -> str:
        """The Fly machine's id."""
        assert self.object.status.instance is not None
        return self.object.status.instance.id
