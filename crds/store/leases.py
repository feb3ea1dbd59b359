"""Leases: who may act for a share of the keys.

Nobody compares clocks: a lease is dead for a replica when that replica has seen its epoch and
renewals unchanged for the lease's duration on its own clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from crds.store.database import Database


class Fence(NamedTuple):
    """What a write carries to prove that its shard is still its writer's."""

    lease: str
    epoch: int


class LeaseRecord(NamedTuple):
    """A lease as read; `holder` is None once it was released."""

    name: str
    holder: str | None
    epoch: int
    renewals: int
    duration_seconds: float


COLUMNS = "name, holder, epoch, renewals, duration_seconds"
# The leases that the caller holds, as three arrays.
HELD = "unnest(%s::text[], %s::text[], %s::bigint[]) AS held(held_name, held_holder, held_epoch)"
STILL_HELD = "(name, holder, epoch) = (held_name, held_holder, held_epoch)"


class Leases:
    """The table of leases."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, prefix: str) -> Sequence[LeaseRecord]:
        """Every lease whose name begins with the prefix, by name."""
        return await self._run(
            f"SELECT {COLUMNS} FROM leases WHERE starts_with(name, %s) ORDER BY name", prefix
        )

    async def acquire(
        self, name: str, holder: str, *, seen: LeaseRecord | None, duration: float
    ) -> LeaseRecord | None:
        """Take a lease over, if it still is what was seen.

        Args:
            name: The lease's name.
            holder: Who takes it.
            seen: The lease as read and judged dead or released; None: there was none.
            duration: Seconds that it lives without renewal.

        Returns:
            The lease with an epoch greater by one, or None when somebody was quicker.
        """
        if seen is None:
            rows = await self._run(
                "INSERT INTO leases (name, holder, duration_seconds) VALUES (%s, %s, %s) "
                f"ON CONFLICT DO NOTHING RETURNING {COLUMNS}",
                name,
                holder,
                duration,
            )
        else:
            rows = await self._run(
                "UPDATE leases SET holder = %s, epoch = epoch + 1, renewals = 0, "
                "duration_seconds = %s WHERE name = %s AND epoch = %s AND renewals = %s "
                f"AND holder IS NOT DISTINCT FROM %s RETURNING {COLUMNS}",
                holder,
                duration,
                name,
                seen.epoch,
                seen.renewals,
                seen.holder,
            )
        return rows[0] if rows else None

    async def renew(self, records: Sequence[LeaseRecord]) -> Sequence[LeaseRecord]:
        """Renew what is still held; what is missing in the answer was lost."""
        return await self._run(
            f"UPDATE leases SET renewals = renewals + 1 FROM {HELD} WHERE {STILL_HELD} "
            f"RETURNING {COLUMNS}",
            *_columns(records),
        )

    async def release(self, records: Sequence[LeaseRecord]) -> None:
        """Give leases up, so that others may take them at once."""
        await self._database.execute(
            f"UPDATE leases SET holder = NULL FROM {HELD} WHERE {STILL_HELD}", *_columns(records)
        )

    async def forget(self, names: Sequence[str]) -> None:
        """Remove the rows of leases that nobody will hold again, such as dead memberships."""
        await self._database.execute("DELETE FROM leases WHERE name = ANY(%s)", [*names])

    async def _run(self, query: str, *parameters: object) -> Sequence[LeaseRecord]:
        rows = await self._database.fetch(query, *parameters)
        return [LeaseRecord(**row) for row in rows]


def _columns(records: Sequence[LeaseRecord]) -> tuple[list[str], list[str | None], list[int]]:
    return (
        [record.name for record in records],
        [record.holder for record in records],
        [record.epoch for record in records],
    )
