"""The words that labels may have: whatever else comes up shares one, so that series are bounded."""

from __future__ import annotations

from typing import Final, get_args

from crds.devenv import SUFFIXES, Connection, MoveStep
from crds.registry import KINDS

OTHER: Final = "Other"
PHASES: Final = frozenset(
    "Active Asleep Authorized Blocked Booting Connected Crashed Creating Degraded Deleting "
    "Disconnected Ended Expired Failed Incident Moving Off Offline Pending PoweringOff PoweringOn "
    "Provisioning ProvisioningTimeout Quarantined Ready Recreating Redirect Refreshing Reserved "
    "Revoked Running Starting Stopped Stopping Suspended Unreachable Updating Waiting".split()
)
RETRIES: Final = frozenset({"Blocked", "Conflict", "Retry", "Terminal"})
# What is worth counting among the events: losses, adoptions, and what hurts a user.
REASONS: Final = frozenset(
    "ActionFailed Adopted AppLost Collected ConsentRefused CopyFailed Crashed CreateFailed "
    "Degraded DidNotComeUp DropletLost Duplicate FrontEndFailed GrantRevoked HostUnreachable "
    "IdleUnknown KeysRotated MachineLost MoveGivenUp Moved NoCapacity NotCollecting Offline "
    "Ownerless ProvisioningTimeout Published Restarted RlsDrift ShutdownIgnored StuckTransition "
    "Unreachable VolumeLost Woken".split()
)
# By what the name of a service's app ends in.
SERVICES: Final = {suffix: str(service) for service, suffix in SUFFIXES.items()}
CONNECTIONS: Final = frozenset(get_args(Connection))
STEPS: Final = frozenset(get_args(MoveStep))


def kind_label(kind: str) -> str:
    """An object's kind as a label."""
    return kind if kind in KINDS else OTHER


def phase_label(phase: str | None) -> str:
    """A status's phase as a label; an object that nobody looked at yet is pending."""
    return (phase or "Pending") if (phase or "Pending") in PHASES else OTHER


def retry_label(retry: str | None) -> str:
    """The kind of the error that an object waits for, or `None`."""
    if retry is None:
        return "None"
    return retry if retry in RETRIES else OTHER


def reason_label(reason: str) -> str:
    """An event's reason as a label."""
    return reason if reason in REASONS else OTHER


def service_label(suffix: str) -> str:
    """A service of dev environments as a label, by what its app's name ends in."""
    return SERVICES.get(suffix, OTHER)


def connection_label(connection: str | None) -> str:
    """What a dev environment's users are told; nothing, as long as nobody has looked after it."""
    return (connection or "None") if (connection or "None") in CONNECTIONS else OTHER


def step_label(step: str) -> str:
    """What is being done of a move."""
    return step if step in STEPS else OTHER
