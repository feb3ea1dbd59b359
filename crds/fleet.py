"""What the fleet amounts to, for its caps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

from pydantic import TypeAdapter, ValidationError

from crds.compute import MachineSize, monthly_cost_usd
from crds.devenv import DevEnv, DevEnvSpec, cost_of
from crds.platform import PlatformSpec
from crds.store import Store
from crds.store.ledger import Ledger, Sort
from crds.workspace import Workspace, WorkspaceSpec

SIZE: Final = TypeAdapter[MachineSize](MachineSize)
COUNTED: Final = "kind IN ('Workspace', 'DevEnv')"
# What it costs follows from these; an edit by plain SQL may have left anything there.
SIZED: Final = {
    "size": "CASE kind WHEN 'Workspace' THEN (spec->'size')::text END",
    "volume": "CASE WHEN kind = 'Workspace' AND jsonb_typeof(spec->'volumeGb') = 'number' "
    "THEN (spec->>'volumeGb')::numeric END",
    # Of a dev environment everything that its cost follows from; of a workspace nothing.
    "devenv": "CASE kind WHEN 'DevEnv' THEN jsonb_build_object('sizes', spec->'sizes', "
    "'studio', spec->'studio', 'volumeGb', spec->'volumeGb', 'storageGb', spec->'storageGb')::text "
    "END",
}
# One comes before another one if it is older; of the same age, if its uid is smaller.
OLDER = (
    " AND (creation_timestamp, uid) < (SELECT creation_timestamp, uid FROM objects WHERE uid = %s)"
)
# A client and an app: nothing that costs follows from them.
NAMELESS: Final = {"client": "x", "app": "x"}
_ledgers: WeakKeyDictionary[Store, Ledger] = WeakKeyDictionary()


class Tally(NamedTuple):
    """A number of machines, and what they cost a month when they are always on."""

    machines: int
    monthly_usd: float

    def plus(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(self.machines + other.machines, round(self.monthly_usd + other.monthly_usd, 2))

    def minus(self, other: Tally) -> Tally:
        """The one without the other."""
        return Tally(self.machines - other.machines, round(self.monthly_usd - other.monthly_usd, 2))

    def times(self, number: int) -> Tally:
        """So many of them."""
        return Tally(self.machines * number, self.monthly_usd * number)


async def tally(
    store: Store, platform: PlatformSpec, *, older_than: Workspace | DevEnv | None = None
) -> Tally:
    """Count workspaces and dev environments, those on their way out included: they still cost.

    A dev environment is as many machines as it has services.

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
        return fleet.minus(own)
    sorts = ", ".join(f"{expression} AS {name}" for name, expression in SIZED.items())
    rows = await store.database.fetch(
        f"SELECT {sorts}, count(*) AS number FROM objects WHERE {COUNTED}{OLDER} GROUP BY 1, 2, 3",
        older_than.uid,
    )
    return _sum({tuple(row[name] for name in SIZED): row["number"] for row in rows}, platform)


def _ledger(store: Store) -> Ledger:
    """The store's own count of what costs, by size; it lives as long as the store."""
    ledger = _ledgers.get(store)
    if ledger is None:
        ledger = Ledger(store.database, SIZED, only=COUNTED, changes="spec_changed")
        _ledgers[store] = ledger
    return ledger


def _sum(sorts: Mapping[Sort, int], platform: PlatformSpec) -> Tally:
    each = [_of_sort(sort, platform).times(number) for sort, number in sorts.items()]
    return Tally(sum(e.machines for e in each), round(sum(e.monthly_usd for e in each), 2))


def _of_sort(sort: Sort, platform: PlatformSpec) -> Tally:
    size, volume, devenv = sort
    if devenv is not None:
        return one(platform, _devenv(devenv))
    size_gb = int(volume or platform.volume_gb)
    return Tally(1, monthly_cost_usd(size_of(size) or platform.size, size_gb))


def _devenv(text: str) -> DevEnvSpec:
    """What a dev environment's cost follows from; what an edit by plain SQL broke is as usual."""
    parts = {name: value for name, value in json.loads(text).items() if value is not None}
    try:
        return DevEnvSpec.model_validate({**parts, **NAMELESS})
    except ValidationError:
        return DevEnvSpec.model_validate(NAMELESS)


def size_of(text: str | None) -> MachineSize | None:
    """A size as a row has it; one that an edit by plain SQL broke counts as none."""
    try:
        return None if text is None else SIZE.validate_json(text)
    except ValidationError:
        return None


def one(platform: PlatformSpec, spec: WorkspaceSpec | DevEnvSpec | None = None) -> Tally:
    """What one more adds; a workspace with the platform's defaults unless it names its own."""
    if isinstance(spec, DevEnvSpec):
        return Tally(len(spec.services), cost_of(spec).always_on_usd)
    size = (spec and spec.size) or platform.size
    volume_gb = (spec and spec.volume_gb) or platform.volume_gb
    return Tally(1, monthly_cost_usd(size, volume_gb))
