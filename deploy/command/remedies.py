"""What every reason means and what to do about it: the table of docs/operations.md, as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from crds.meta import Condition, RetryKind, Status
from crds.vps import GATEWAY
from deploy.command.remedies_of_connections import OF_CONNECTIONS
from deploy.command.remedies_of_devenvs import OF_DEVENVS
from deploy.command.remedies_of_vps import OF_VPSES
from deploy.command.remedy import Remedy

HEADINGS = ("condition or reason", "means", "remedy")


REMEDIES: tuple[Remedy, ...] = (
    Remedy(
        "`NoAccount`",
        "the namespace has no account",
        "create it, or delete what is in its namespace",
    ),
    Remedy(
        "`QuotaReached`, `FleetCapReached`, `SpendCapReached`",
        "a cap of the account or the platform",
        "raise the cap (`UPDATE platforms …`), or wait",
    ),
    Remedy(
        "`SubdomainTaken`",
        "the name is another account's",
        "another name",
    ),
    Remedy(
        "`NameTaken`",
        "a Fly app name belongs to somebody else",
        "none needed: the next name is taken; a service's name is fixed, so whoever has it (the "
        "message names it) must give it up (`fly apps destroy`, if it is yours): looked at again "
        "every 5 minutes",
    ),
    Remedy(
        "`NoCapacity`",
        "no room in the region or on the host",
        "retried every minute; a volume that was never used is given up for another host",
    ),
    Remedy(
        "`RegionRefused`",
        "volumes cannot move",
        "`recreate: OnRegionChange` begins anew with an empty volume",
    ),
    Remedy(
        "`ShrinkRefused`",
        "volumes only grow",
        "ask for the present size",
    ),
    Remedy(
        "`HostUnreachable`",
        "Fly lost the host",
        "it may come back; restore a snapshot by hand if it does not",
    ),
    Remedy(
        "`NotCollecting` (event on the platform)",
        "things with our mark that this database never knew, or too many orphans",
        'see "What the collector removes"',
    ),
    Remedy(
        "`Missing` (`AppMissing`, `VolumeMissing`, `MachineMissing`)",
        "direct reads answer 404",
        "none: after 5 minutes, and once a complete list agrees, it counts as lost "
        "(`AppLost`, `VolumeLost`, `MachineLost`) and is made anew, a lost volume from "
        "nothing; a droplet after 2 minutes (`DropletLost`), without what was on it; pause the "
        "machine or the VPS to stop that",
    ),
    Remedy(
        "`Replacing` (event `Replaced`)",
        "the machine cannot be helped and is made anew on its volume",
        "none",
    ),
    Remedy(
        "`Stuck`",
        "a transition took longer than Fly's own threshold, or DigitalOcean has been at work on a "
        "droplet for ten minutes",
        "a machine is nudged by itself three times (destroyed again, started, or killed), then "
        "it is replaced on its volume; a destruction that stays stuck is for Fly's support; a "
        "droplet is looked at once a minute until DigitalOcean is through: look at its panel",
    ),
    Remedy(
        "`Crashed`",
        "the process ended by itself, or failed to start",
        "restarted (replaced, if Fly says `failed`) after 5 s, doubling to 5 min; "
        "forgotten after 10 healthy minutes, and with any new wish",
    ),
    Remedy(
        "`CrashLoop` (`GaveUp`)",
        "50 crashes, or a day of them: the machine is stopped",
        "find out why from its log; another image or size, `restartAt`, or a start by its"
        " user tries again",
    ),
    Remedy(
        "`Reachable` = False",
        "no answer for 5 minutes",
        "at 10 minutes it counts as stopped and is restarted",
    ),
    Remedy(
        "`InvalidSpec`",
        "an edit by SQL broke a rule; the message names the field",
        "correct the field; meanwhile nothing is done for it, except that a quarantined "
        "or suspended account's machine is stopped",
    ),
    Remedy(
        "`ProviderDown`",
        "the breaker is open",
        "the incident page is up; nothing is destroyed; recovery is by itself",
    ),
    Remedy(
        "`ProviderRefusesToken`",
        "the provider's token is bad",
        "replace it and restart the controller",
    ),
    Remedy(
        "`RateLimited`, `ProviderUnavailable`, `ProviderConflict`, `NotReady`, "
        "`LeaseHeld`, `VersionConflict`, `AlreadyExists`, `NotFound`, `VolumeClaimed`, "
        "`VolumeBound`",
        "the provider is busy with it, or with others",
        "none: tried again by itself, at the time in `retry.nextAt`",
    ),
    Remedy(
        "`AwaitingEvidence`, `AppNotVisible`, `MachineNotVisible`",
        "something may have taken effect and does not show yet",
        "none: looked at again once it must show",
    ),
    Remedy(
        "`Forbidden`, `NotOurs`",
        "something of ours is in somebody else's hands",
        "look at it at the provider; nothing that is not ours is touched",
    ),
    Remedy(
        "`ProviderQuotaReached`",
        "the organisation's limit at the provider",
        "have the provider raise it; looked at again every 10 minutes",
    ),
    Remedy(
        "`ProviderRefuses`",
        "the provider calls the request invalid",
        "read its words: mostly the image or the size; tried again every 10 minutes",
    ),
    Remedy(
        "`InvalidNeighbour`",
        "a row that it depends on breaks its kind's rules",
        "correct that row; the message names it",
    ),
    Remedy(
        "`Deleting`",
        "it is being deleted; the message says what that waits for",
        'see "A deletion that does not end"',
    ),
    Remedy(
        "`MachineDeleting`",
        "its machine is still being deleted",
        "none: made anew when the old one is gone",
    ),
    Remedy(
        "`InternalError`, `ReconcileTimeout`",
        "a bug of ours, or a reconcile that hung",
        "read the controller's log; tried again by itself",
    ),
    *OF_DEVENVS,
    *OF_CONNECTIONS,
    *OF_VPSES,
)
BY_REASON = {reason: remedy for remedy in REMEDIES for reason in remedy.reasons}

# Conditions that tell of trouble while they are False; the others do while they are True.
GOOD = frozenset(
    {"Ready", "Healthy", "Reachable", "Routed", "Prerequisites", "NetlifyCurrent", "Granted"}
    | {GATEWAY, "Addressed"}
)
# What is as wished although something is not there: the gateway of a droplet that is off.
QUIET = frozenset({"PoweredOff"})
# What tells of something under way while it is True, and of trouble while it is False.
EITHER = frozenset({"Moving"})

# What to do about a reason that has no row of its own.
OTHERWISE: dict[RetryKind, str] = {
    "Retry": "nothing: it is tried again by itself",
    "Blocked": "something has to change before it goes on: the message says what",
    "Terminal": "correct the wish: the message names the field",
    "Conflict": "nothing: somebody else wrote to it, and it is tried again",
}


def remedies_for(status: Status) -> list[str]:
    """What to do about an object, the most pressing first; empty when nothing ails it."""
    found = [BY_REASON[reason].remedy for reason in _reasons(status) if reason in BY_REASON]
    if not found and status.retry is not None:
        found = [OTHERWISE[status.retry.kind]]
    return list(dict.fromkeys(found))


def troubles(conditions: Iterable[Condition]) -> Iterator[Condition]:
    """The conditions that tell of trouble."""
    for condition in conditions:
        bad = "False" if condition.type in GOOD else "True"
        if condition.reason in QUIET:
            continue
        if condition.type in EITHER or condition.status == bad:
            yield condition


def _reasons(status: Status) -> Iterator[str]:
    if status.retry is not None:
        yield status.retry.reason
    for condition in troubles(status.conditions):
        yield condition.type
        yield condition.reason
