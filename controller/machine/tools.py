"""What the steps of a machine's life work with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, TypeVar

from controller.machine.agent import AgentClient
from controller.observer import Observer
from controller.providers.fly import Fly, FlyMachine
from controller.scope import Scope
from crds.credentials import MachineTokens
from crds.machine import AppStatus, InstanceStatus, Machine, VolumeStatus
from crds.secrets import Secrets

# A 404 is not believed for so long after something was created: it may not be visible yet.
ABSENCE_GRACE = timedelta(seconds=30)
# A list's silence is not believed for so long after something may have been created: lists are
# stale by up to a minute, and a request that timed out can still arrive.
LISTING_GRACE = timedelta(seconds=90)


T = TypeVar("T")


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
        secrets: Where services' secret variables are.
    """

    fly: Fly
    agent: AgentClient
    observer: Observer
    tokens: MachineTokens
    installation: str
    agent_env: Mapping[str, str]
    secrets: Secrets


class MachineScope(Scope[Machine]):
    """A machine during one reconcile.

    Attributes:
        seen: The Fly machine as read in this reconcile; None when nothing had to be read.
    """

    seen: FlyMachine | None = None

    @property
    def app_status(self) -> AppStatus:
        """What is known of the app, once it is decided on."""
        return _there(self.object.status.app)

    @property
    def app(self) -> str:
        """The app's name."""
        return self.app_status.name

    @property
    def volume(self) -> VolumeStatus:
        """What is known of the volume, once there is one."""
        return _there(self.object.status.volume)

    @property
    def instance(self) -> InstanceStatus:
        """What is known of the Fly machine, once there is one."""
        return _there(self.object.status.instance)

    @property
    def fly_machine(self) -> FlyMachine:
        """The Fly machine, in a step behind the one that reads it."""
        return _there(self.seen)


def _there(value: T | None) -> T:
    """What an earlier step saw to."""
    if value is None:
        raise RuntimeError("the steps of a machine's life ran out of order")
    return value
