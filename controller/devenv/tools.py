"""What the steps of a dev environment's life work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from controller.providers.fly import Fly
from controller.providers.netlify import Netlify
from controller.scope import Scope
from crds.connection import Keys
from crds.devenv import SUFFIXES, DevEnv, Service
from crds.machine import Machine
from crds.secrets import Secrets

SERVICE_LABEL: Final = "invoker.dev/service"


class Wait(NamedTuple):
    """A step is not through.

    Attributes:
        seconds: Come back after so many; None: something that is watched will say so.
        why: What is waited for, in words.
    """

    seconds: float | None
    why: str


@dataclass(frozen=True, slots=True)
class Tools:
    """The outside world of a dev environment.

    Attributes:
        fly: The provider of its machines.
        secrets: Where its keys are.
        netlify: Where its front end is built; None where no team's token is configured.
        installation: Which installation's marks we put and heed.
        public_url: The public address of an app.
        random: So many random bytes, from a source fit for keys.
        fingerprint: A keyed hash of a value that may stand in a row in place of it.
    """

    fly: Fly
    secrets: Secrets
    netlify: Netlify | None
    installation: str
    public_url: Callable[[str], str]
    random: Callable[[int], bytes]
    fingerprint: Callable[[bytes], str]


@dataclass(slots=True)
class Known:
    """What one reconcile has found out so far.

    Attributes:
        machines: The environment's Machines by name, those on their way out included.
        broken: The names of those whose specs an edit by plain SQL broke.
        keys: Its keys, once a step has seen to them.
    """

    machines: dict[str, Machine] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    keys: Keys | None = None


class DevEnvScope(Scope[DevEnv]):
    """A dev environment during one reconcile."""

    known: Known

    @property
    def namespace(self) -> str:
        """Where it and everything of its own are: its account."""
        return self.object.metadata.namespace

    @property
    def name(self) -> str:
        """Its name."""
        return self.object.metadata.name

    @property
    def keys(self) -> Keys:
        """Its keys, in a step behind the one that sees to them."""
        if self.known.keys is None:
            raise RuntimeError("the steps of a dev environment's life ran out of order")
        return self.known.keys

    def machine_name(self, service: Service) -> str:
        """The name of the Machine that is a service at present.

        A status that was lost is no reason to begin anew beside what is there.
        """
        if (found := self.object.status.service(service)) is not None:
            return found.machine
        there = [
            name
            for name, machine in self.known.machines.items()
            if machine.metadata.labels.get(SERVICE_LABEL) == service
        ]
        return there[0] if len(there) == 1 else f"{self.name}-{SUFFIXES[service]}"

    def machine(self, service: Service) -> Machine | None:
        """The Machine that is a service at present, if it was made."""
        return self.known.machines.get(self.machine_name(service))
