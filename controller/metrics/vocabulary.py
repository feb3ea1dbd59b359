"""The words that labels may have: whatever else comes up shares one, so that series are bounded."""

from __future__ import annotations

from typing import Final

from crds.registry import KINDS

OTHER: Final = "Other"
PHASES: Final = frozenset(
    "Active Asleep Blocked Booting Crashed Creating Deleting Failed Incident Pending Provisioning "
    "Quarantined Ready Recreating Redirect Reserved Running Starting Stopped Stopping Suspended "
    "Unreachable Updating".split()
)
RETRIES: Final = frozenset({"Blocked", "Conflict", "Retry", "Terminal"})
# What is worth counting among the events: losses, adoptions, and what hurts a user.
REASONS: Final = frozenset(
    "Adopted AppLost Collected Crashed HostUnreachable MachineLost NoCapacity NotCollecting "
    "Ownerless Published Restarted StuckTransition Unreachable VolumeLost Woken".split()
)


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
