"""On whose behalf a call is: the row behind what is outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from controller.machine import names
from crds.meta import Key
from deploy.local.simulators.effects import Effect

COLUMNS: Final = (
    "uid, kind, namespace, name, spec->'service'->>'app' AS app, "
    "spec->'netlify'->>'site' AS site, status->'volume'->>'id' AS volume, "
    "status->'instance'->>'id' AS instance, status->'droplet'->>'id' AS droplet"
)
KINDS: Final = "'Machine', 'DevEnv', 'Vps'"
EVERY_VERSION: Final = (
    f"SELECT {COLUMNS} FROM objects WHERE kind IN ({KINDS}) UNION "  # noqa: S608 - from constants
    f"SELECT {COLUMNS} FROM (SELECT uid, kind, namespace, name, object->'spec' AS spec, "
    f"object->'status' AS status FROM object_log WHERE kind IN ({KINDS})) AS log "
    "ORDER BY namespace, name"
)


class Owners:
    """The rows that things outside belong to.

    Args:
        installation: Whose marks count.
        rows: What `EVERY_VERSION` finds.
    """

    def __init__(self, installation: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self._installation = installation
        self._keys = {row["uid"]: _key(row) for row in rows if row["kind"] == "Machine"}
        # Of several in one app the one that it is about, if that is known.
        self._things: dict[str, Key] = {}
        for column in ("instance", "volume", "app", "site", "droplet"):
            for row in rows:
                if (thing := row[column]) is not None:
                    self._things.setdefault(thing, _key(row))

    def of(self, effect: Effect) -> str | None:
        """The object behind an effect."""
        uid = names.uid_of_app(self._installation, effect.app)
        own = self._keys.get(uid) if uid else None
        found = own or self._things.get(effect.id) or self._things.get(effect.app)
        return None if found is None else str(found)


def _key(row: Mapping[str, Any]) -> Key:
    return Key(row["kind"], row["namespace"], row["name"])
