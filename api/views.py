"""What users are told of their machine, derived from the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from api.models import Condition, MachineView, Retry, VmState, VmStatus, VmWish
from crds import meta
from crds.account import Account
from crds.machine import Machine
from crds.store import HeartbeatRecord
from crds.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Facts:
    """The rows of one user, and what they say together."""

    account: Account | None
    workspace: Workspace | None
    machine: Machine | None

    @property
    def deleting(self) -> bool:
        """Whether it is on its way out."""
        return self.workspace is None or self.workspace.deleting

    @property
    def wanted_off(self) -> bool:
        """Whether nothing should run: by the owner's wish, or because of the account."""
        active = self.account is None or self.account.spec.state == "Active"
        return not active or (self.workspace is not None and self.workspace.spec.power == "Stopped")

    @property
    def phase(self) -> str:
        """The controller's word for the machine."""
        return "Pending" if self.machine is None else self.machine.status.phase

    @property
    def at_rest(self) -> bool:
        """Whether nothing runs."""
        return self.machine is None or self.phase in ("Stopped", "Asleep")

    @property
    def power(self) -> str:
        """What the controller wants of the machine."""
        return "Stopped" if self.machine is None else self.machine.spec.power

    @property
    def retry(self) -> meta.Retry | None:
        """What stands in the way."""
        found = self.workspace.status.retry if self.workspace else None
        return found or (self.machine.status.retry if self.machine else None)

    @property
    def given_up(self) -> bool:
        """Whether nothing more happens without somebody doing something."""
        terminal = self.retry is not None and self.retry.kind == "Terminal"
        return terminal or self.phase in ("Failed", "Unreachable")

    @property
    def crashing(self) -> bool:
        """Whether it restarts with backoff."""
        waits = self.machine is not None and self.machine.status.restarts.next_at is not None
        return waits or self.phase == "Crashed"

    @property
    def unhealthy(self) -> bool:
        """Whether it runs without answering."""
        healthy = self.machine.status.condition("Healthy") if self.machine else None
        return healthy is not None and healthy.status == "False"

    @property
    def made(self) -> bool:
        """Whether the provider has made the machine."""
        return self.machine is not None and self.machine.status.instance is not None


# The first line that holds is the answer.
STATES: tuple[tuple[VmState, Callable[[Facts], bool]], ...] = (
    ("none", lambda it: it.workspace is None and it.machine is None),
    ("deleting", lambda it: it.deleting),
    ("stopped", lambda it: it.wanted_off and it.at_rest),
    ("stopping", lambda it: it.wanted_off),
    ("error", lambda it: it.given_up),
    ("crashed", lambda it: it.crashing),
    ("creating", lambda it: not it.made),
    ("stopping", lambda it: it.phase == "Stopping" and it.power == "Asleep"),
    ("asleep", lambda it: it.phase == "Asleep" and it.power == "Asleep"),
    ("running", lambda it: it.phase == "Running" and it.power != "Stopped" and not it.unhealthy),
    ("starting", lambda _: True),
)


def vm_state(facts: Facts) -> VmState:
    """The user's word for the state of their machine."""
    return next(state for state, holds in STATES if holds(facts))


def vm_wish(facts: Facts, public_url: Callable[[str], str]) -> VmWish:
    """The short answer to a wish."""
    name = facts.workspace.spec.subdomain if facts.workspace else None
    url = public_url(name) if name else None
    return VmWish(status=vm_state(facts), url=url, subdomain=name)


def vm_status(facts: Facts, public_url: Callable[[str], str]) -> VmStatus:
    """Everything about the user's machine."""
    conditions = facts.workspace.status.conditions if facts.workspace else []
    return VmStatus(
        **dict(vm_wish(facts, public_url)),
        conditions=[_condition(condition) for condition in conditions],
        retry=_retry(facts.retry) if facts.retry else None,
    )


def _condition(condition: meta.Condition) -> Condition:
    return Condition(**condition.model_dump(exclude={"observed_generation"}))


def _retry(retry: meta.Retry) -> Retry:
    return Retry(**retry.model_dump())


def machine_view(facts: Facts, machine: Machine, beat: HeartbeatRecord | None) -> MachineView:
    """A machine's line in the registry."""
    status = machine.status
    created_at = machine.metadata.creation_timestamp
    if created_at is None:
        raise ValueError(f"{machine.key} was never stored")
    moments: list[datetime | None] = [
        created_at,
        status.instance.since if status.instance else None,
        beat.last_seen_at if beat else None,
    ]
    return MachineView(
        id=machine.uid,
        user_id=machine.spec.account,
        fly_machine_id=status.instance.id if status.instance else None,
        status=vm_state(facts),
        subdomain=facts.workspace.spec.subdomain if facts.workspace else None,
        public_url=status.url,
        region=machine.spec.region,
        created_at=created_at,
        last_seen_at=max(moment for moment in moments if moment is not None),
        last_heartbeat_at=beat.last_heartbeat_at if beat else None,
    )
