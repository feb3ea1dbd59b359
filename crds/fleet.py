"""What the fleet amounts to, for its caps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

from pydantic import TypeAdapter, ValidationError

from crds.compute import MachineSize, monthly_cost_usd
from crds.platform import PlatformSpec
from crds.store import Store
from crds.store.ledger import Ledger, Sort
from crds.workspace import Workspace, WorkspaceSpec

SIZE: Final = TypeAdapter[MachineSize](MachineSize)
WORKSPACES: Final = "kind = 'Workspace'"
# What a workspace costs follows from these; an edit by plain SQL may have left anything there.
SIZED: Final = {
    "size": "(spec->'size')::text",
    "volume": "CASE jsonb_typeof(spec->'volumeGb') WHEN 'number' "
    "THEN (spec->>'volumeGb')::numeric END",
}
# A workspace comes before another one if it is older; of the same age, if its uid is smaller.
OLDER = (
    " AND (creation_timestamp, uid) < (SELECT creation_timestamp, uid FROM objects WHERE uid = %s)"
)
_ledgers: WeakKeyDictionary[Store, Ledger] = WeakKeyDictionary()


class Tally(NamedTuple):
    """A number of machines, and what they cost a month when they are always on."""

    machines: int
    monthly_usd: float

    def plus(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(self.machines + other.machines, round(self.monthly_usd + other.monthly_usd, 2))


async def tally(
    store: Store, platform: PlatformSpec, *, older_than: Workspace | None = None
) -> Tally:
    """Count workspaces, those on their way out included: they still cost.

    The cost of asking follows the changes since the last time, not the size of the fleet.

    Args:
        store: The rows.
        platform: The defaults of those that name no size, and the caps.
        older_than: Count only those that come before this one.
            While the whole fleet is within the caps, all others are counted: an upper bound that
            decides the same, without looking at anybody's age.
    """
    fleet = _sum(await _ledger(store).read(), platform)
    if older_than is None:
        return fleet
    own, caps = one(platform, older_than.spec), platform.caps
    if fleet.machines <= caps.machines and fleet.monthly_usd <= caps.monthly_spend_usd:
        return Tally(fleet.machines - 1, round(fleet.monthly_usd - own.monthly_usd, 2))
    rows = await store.database.fetch(
        f"SELECT {SIZED['size']} AS size, {SIZED['volume']} AS volume, count(*) AS number "
        f"FROM objects WHERE {WORKSPACES}{OLDER} GROUP BY 1, 2",
        older_than.uid,
    )
    return _sum({(row["size"], row["volume"]): row["number"] for row in rows}, platform)


def _ledger(store: Store) -> Ledger:
    """The store's own count of workspaces by size; it lives as long as the store."""
    ledger = _ledgers.get(store)
    if ledger is None:
        ledger = Ledger(store.database, SIZED, only=WORKSPACES, changes="spec_changed")
        _ledgers[store] = ledger
    return ledger


def _sum(sizes: Mapping[Sort, int], platform: PlatformSpec) -> Tally:
    spend = sum(
        number * monthly_cost_usd(size_of(size) or platform.size, int(volume or platform.volume_gb))
        for (size, volume), number in sizes.items()
    )
    return Tally(sum(sizes.values()), round(spend, 2))


def size_of(text: str | None) -> MachineSize | None:
    """A size as a row has it; one that an edit by plain SQL broke counts as none."""
    try:
        return None if text is None else SIZE.validate_json(text)
    except ValidationError:
        return None


def one(platform: PlatformSpec, spec: WorkspaceSpec | None = None) -> Tally:
    """What one workspace adds; with the platform's defaults unless it names its own."""
    size = (spec and spec.size) or platform.size
    volume_gb = (spec and spec.volume_gb) or platform.volume_gb
    return Tally(1, monthly_cost_usd(size, volume_gb))
