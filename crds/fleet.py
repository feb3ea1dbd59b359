"""What the fleet amounts to, for its caps."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from crds.compute import MachineSize, monthly_cost_usd
from crds.platform import PlatformSpec
from crds.store import Store
from crds.workspace import Workspace, WorkspaceSpec

SIZE = TypeAdapter(MachineSize)
# A workspace comes before another one if it is older; of the same age, if its uid is smaller.
OLDER = (
    " AND (creation_timestamp, uid) < (SELECT creation_timestamp, uid FROM objects WHERE uid = %s)"
)


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

    Args:
        store: The rows.
        platform: The defaults of those that name no size.
        older_than: Count only those that come before this one.
    """
    rows = await store.database.fetch(
        "SELECT spec->'size' AS size, CASE jsonb_typeof(spec->'volumeGb') WHEN 'number' "
        "THEN (spec->>'volumeGb')::numeric END AS volume, count(*) AS number "
        f"FROM objects WHERE kind = 'Workspace'{OLDER if older_than else ''} GROUP BY 1, 2",
        *((older_than.uid,) if older_than else ()),
    )
    spend = sum(
        row["number"]
        * monthly_cost_usd(
            _size(row["size"]) or platform.size,
            int(row["volume"] or platform.volume_gb),
        )
        for row in rows
    )
    return Tally(sum(row["number"] for row in rows), round(spend, 2))


def _size(spec: Any) -> MachineSize | None:
    """A size as a row has it; one that an edit by plain SQL broke counts as the default."""
    try:
        return None if spec is None else SIZE.validate_python(spec)
    except ValidationError:
        return None


def one(platform: PlatformSpec, spec: WorkspaceSpec | None = None) -> Tally:
    """What one workspace adds; with the platform's defaults unless it names its own."""
    size = (spec and spec.size) or platform.size
    volume_gb = (spec and spec.volume_gb) or platform.volume_gb
    return Tally(1, monthly_cost_usd(size, volume_gb))
