"""The cloud as JSON and back."""

from dataclasses import asdict
from typing import Any

from deploy.local.simulators.fly.lifecycle import Lifecycle
from deploy.local.simulators.fly.state import (
    TERMINAL,
    Address,
    App,
    Event,
    Lease,
    Machine,
    Snapshot,
    Volume,
)
from deploy.local.simulators.fly.volumes import Volumes

_REMEMBERED_SECONDS = 86_400  # how long a destroyed machine can be read by its ID


class Saved(Volumes, Lifecycle):
    """What persistence needs of the cloud."""

    def dump(self) -> dict[str, Any]:
        """Return everything as JSON; machines in the order of their last change."""
        recent = self.now() - _REMEMBERED_SECONDS
        known = [m for m in self.machines.values() if _kept(m, recent)]
        machines = sorted(known, key=lambda machine: machine.updated_at)
        return {
            "apps": [asdict(app) for app in self.apps.values()],
            "volumes": [asdict(volume) for volume in self.volumes.values()],
            "machines": [asdict(machine) for machine in machines],
            "rng": self.ids.dump(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `dump` returned; `resume` then goes on with it."""
        self.ids.load(state["rng"])
        for saved in state["apps"]:
            app = App(**saved | {"addresses": [Address(**a) for a in saved["addresses"]]})
            self.apps[app.name] = app
            self.show_app(app)
        for saved in state["volumes"]:
            snapshots = [Snapshot(**snapshot) for snapshot in saved["snapshots"]]
            volume = Volume(**saved | {"snapshots": snapshots})
            self.volumes[volume.id] = volume
            self.show_volume(volume)
        for saved in state["machines"]:
            machine = _machine(saved)
            self.machines[machine.id] = machine
            self.show_machine(machine)

    def resume(self) -> None:
        """Boot the machines that ran, and finish what was under way."""
        # Forks first: a machine waits at its boot for what is still copied to its volume.
        for volume in list(self.volumes.values()):
            if volume.state == "hydrating":
                self.spawn(self.hydrate(volume))
            elif volume.state == "pending_destroy":
                self.forget_volume(volume)
        for machine in list(self.machines.values()):
            self.resume_work(machine)


def _kept(machine: Machine, recent: float) -> bool:
    return machine.state not in TERMINAL or machine.updated_at > recent


def _machine(saved: dict[str, Any]) -> Machine:
    parts: dict[str, Any] = {
        "lease": Lease(**saved["lease"]) if saved["lease"] else None,
        "events": [Event(**event) for event in saved["events"]],
        "checks": {},  # it boots anew
        "versions": [(version, config) for version, config in saved["versions"]],
    }
    return Machine(**saved | parts)
