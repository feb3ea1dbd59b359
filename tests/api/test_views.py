"""The user's word for the state of their machine."""

from datetime import UTC, datetime
from typing import Any

import pytest

from api.models import VmState
from api.views import STATES, Facts, vm_state
from crds.account import Account, AccountSpec
from crds.machine import InstanceStatus, Machine, MachineSpec, MachineStatus, Restarts
from crds.meta import Condition, ObjectMeta, Retry
from crds.workspace import Workspace, WorkspaceSpec, WorkspaceStatus

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def workspace(power: str = "Running", *, deleting: bool = False, **status: Any) -> Workspace:
    """A workspace."""
    return Workspace(
        metadata=ObjectMeta(name="main", deletion_timestamp=NOW if deleting else None),
        spec=WorkspaceSpec(power=power, subdomain="alice"),
        status=WorkspaceStatus(**status),
    )


def machine(phase: str, power: str = "Running", *, made: bool = True, **status: Any) -> Machine:
    """A machine."""
    return Machine(
        metadata=ObjectMeta(name="main"),
        spec=MachineSpec(account="a", image="i", power=power),
        status=MachineStatus(
            phase=phase, instance=InstanceStatus(id="m", since=NOW) if made else None, **status
        ),
    )


def account(state: str) -> Account:
    """An account."""
    spec = AccountSpec(email="a@example.com", state=state)
    return Account(metadata=ObjectMeta(name="a"), spec=spec)


TERMINAL = Retry(kind="Terminal", reason="ImageNotFound")
UNHEALTHY = Condition(type="Healthy", status="False", reason="NotYet", last_transition_time=NOW)
BLOCKED = Retry(kind="Blocked", reason="BreakerOpen")
CASES: list[tuple[VmState, Facts]] = [
    ("none", Facts(None, None, None)),
    ("deleting", Facts(None, workspace(deleting=True), machine("Running"))),
    ("deleting", Facts(None, None, machine("Stopped"))),
    ("creating", Facts(None, workspace(), None)),
    ("creating", Facts(None, workspace(), machine("Pending", made=False))),
    ("creating", Facts(None, workspace(retry=BLOCKED), machine("Pending", made=False))),
    ("starting", Facts(None, workspace(), machine("Starting"))),
    ("starting", Facts(None, workspace(), machine("Stopped", "Stopped"))),
    ("starting", Facts(None, workspace(), machine("Asleep", "Running"))),
    ("running", Facts(None, workspace(), machine("Running"))),
    ("running", Facts(None, workspace(), machine("Running", "Asleep"))),
    ("starting", Facts(None, workspace(), machine("Running", conditions=[UNHEALTHY]))),
    ("asleep", Facts(None, workspace(), machine("Asleep", "Asleep"))),
    ("stopping", Facts(None, workspace(), machine("Stopping", "Asleep"))),
    ("stopping", Facts(None, workspace("Stopped"), machine("Running", "Stopped"))),
    ("stopped", Facts(None, workspace("Stopped"), machine("Stopped", "Stopped"))),
    ("stopped", Facts(None, workspace("Stopped"), machine("Asleep", "Asleep"))),
    ("stopped", Facts(None, workspace("Stopped"), None)),
    ("stopped", Facts(account("Suspended"), workspace(), machine("Stopped", "Stopped"))),
    ("stopping", Facts(account("Quarantined"), workspace(), machine("Running"))),
    ("crashed", Facts(None, workspace(), machine("Crashed"))),
    ("crashed", Facts(None, workspace(), machine("Starting", restarts=Restarts(next_at=NOW)))),
    ("error", Facts(None, workspace(), machine("Unreachable"))),
    ("error", Facts(None, workspace(retry=TERMINAL), None)),
    ("error", Facts(None, workspace(), machine("Pending", made=False, retry=TERMINAL))),
]


@pytest.mark.parametrize(("expected", "facts"), CASES)
def test_state(expected: VmState, facts: Facts) -> None:
    """Every combination that means something to a user has its word."""
    assert vm_state(facts) == expected


def test_every_state_has_a_case() -> None:
    """No line of the table is untested."""
    assert {state for state, _ in STATES} == {state for state, _ in CASES}
