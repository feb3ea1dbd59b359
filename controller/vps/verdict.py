"""Verdict: what all the steps come to, for people and for programs."""

from __future__ import annotations

from controller.vps.tools import VpsScope, Wait
from crds.account import Account

# What each wish looks like when it has come true.
REACHED = {"Running": "Running", "Stopped": "Off"}


def give_verdict(scope: VpsScope, account: Account, wait: Wait | None) -> None:
    """Ready means: the wish came true, and nothing about it was refused.

    Args:
        scope: The Vps.
        account: Whose it is.
        wait: What is waited for, if the steps are not through.
    """
    status = scope.object.status
    reached = wait is None and status.phase == REACHED[scope.power]
    if account.spec.state != "Active":
        status.phase = account.spec.state
    if status.phase != scope.phase_before:
        scope.event("PhaseChanged", f"{status.phase}, was {scope.phase_before}")
    if fixed := _differences(scope):
        message = f"a droplet stays as it was made: {fixed}; wish for that, or make another VPS"
        scope.condition("Ready", status=False, reason="DropletIsFixed", message=message)
    elif not reached:
        why = f"waits for {wait.why}" if wait is not None else f"wants {scope.power}"
        scope.condition("Ready", status=False, reason=status.phase, message=why)
    elif missing := _agents_missing(scope):
        scope.condition("Ready", status=False, reason="AgentsMissing", message=missing)
    else:
        scope.condition("Ready", status=True, reason=status.phase)


def _differences(scope: VpsScope) -> str:
    """In words, what is wished for otherwise than the droplet is."""
    spec, droplet = scope.object.spec, scope.object.status.droplet
    if droplet is None:
        return ""
    pairs = {
        "region": (droplet.region, spec.region),
        "size": (droplet.size, spec.size),
        "image": (droplet.image, spec.image),
    }
    return ", ".join(f"its {name} is {is_}" for name, (is_, wish) in pairs.items() if is_ != wish)


def _agents_missing(scope: VpsScope) -> str:
    """In words, the agents that are not installed; a droplet that is off is asked for none."""
    if scope.power == "Stopped":
        return ""
    missing = [each for each in scope.object.status.agents if each.state != "Installed"]
    return ", ".join(f"{each.name}: {each.message or each.state.lower()}" for each in missing)
