"""Secrets whose object is gone: found by their names, and removed when nothing else is left of it.

An object that goes in order takes its secrets along; one that somebody forced leaves them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from crds.store.database import Database
from crds.store.leases import Fence

# A secret is called `<sort>/<object>/…` (crds/connection.py), and an object's name has no slash.
# Whoever has neither a row nor a tombstone may be in a backup that is yet to be restored;
# while a tombstone stands, what it tells of may still run outside with these very secrets.
_KIND: Final = (
    "CASE split_part(s.name, '/', 1) "
    "WHEN 'devenv' THEN 'DevEnv' WHEN 'vps' THEN 'Vps' ELSE 'Machine' END"
)
_KEY: Final = "(s.namespace, split_part(s.name, '/', 2))"
_LEFT: Final = (
    "split_part(s.name, '/', 1) IN ('devenv', 'machine', 'vps') AND NOT EXISTS ("
    f"SELECT FROM objects AS o WHERE o.kind = {_KIND} AND (o.namespace, o.name) = {_KEY}) AND ("
    "SELECT bool_and(t.gone_at IS NOT NULL) FROM tombstones AS t "
    f"WHERE t.kind = {_KIND} AND (t.namespace, t.name) = {_KEY})"
)


class LeftSecret(NamedTuple):
    """A secret that nobody has; another value would make it another one."""

    namespace: str
    name: str
    updated_at: datetime


async def left_secrets(database: Database) -> Sequence[LeftSecret]:
    """The secrets of objects that are gone, with everything outside."""
    rows = await database.fetch(
        f"SELECT s.namespace, s.name, s.updated_at FROM secrets AS s WHERE {_LEFT}"
    )
    return [LeftSecret(**row) for row in rows]


async def remove_left_secret(
    database: Database, left: LeftSecret, *, fence: Fence | None = None
) -> bool:
    """Remove one that is as it was found; returns whether it was.

    Args:
        database: Where they are.
        left: What was found.
        fence: The lease that must still be the writer's.
    """
    removed = await database.execute(
        "DELETE FROM secrets AS s "
        "WHERE (s.namespace, s.name, s.updated_at) = (%s, %s, %s) AND check_fence(%s, %s) "
        f"AND {_LEFT}",
        *left,
        *(fence or (None, None)),
    )
    return bool(removed)
