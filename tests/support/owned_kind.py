"""A kind with every sort of field that can have an owner, for tests of field ownership."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from crds.managed_fields import ApplyConflictError, Conflict, Json, apply, record_update

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
START_TEXT = "2026-03-01T12:00:00Z"
LATER = START + timedelta(minutes=5)
LATER_TEXT = "2026-03-01T12:05:00Z"

STRING: Final[Json] = {"type": "string"}
INTEGER: Final[Json] = {"type": "integer"}

SCHEMA: Final[Json] = {
    "type": "object",
    "properties": {
        "apiVersion": STRING,
        "kind": STRING,
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "properties": {
                "power": STRING,
                "region": {"type": "string", "nullable": True},
                "replicas": INTEGER,
                "quota": {
                    "type": "object",
                    "properties": {"workspaces": INTEGER, "machines": INTEGER},
                },
                "env": {"type": "object", "additionalProperties": STRING},
                "limits": {
                    "type": "object",
                    "additionalProperties": INTEGER,
                    "x-kubernetes-map-type": "atomic",
                },
                "command": {"type": "array", "items": STRING},
                "tags": {"type": "array", "items": STRING, "x-kubernetes-list-type": "set"},
                "ports": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["port", "protocol"],
                    "items": {
                        "type": "object",
                        "properties": {
                            "port": INTEGER,
                            "protocol": {"type": "string", "default": "TCP"},
                            "name": STRING,
                            "public": {"type": "boolean"},
                        },
                    },
                },
            },
        },
        "status": {
            "type": "object",
            "properties": {
                "phase": STRING,
                "conditions": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["type"],
                    "items": {
                        "type": "object",
                        "properties": {"type": STRING, "status": STRING, "reason": STRING},
                    },
                },
            },
        },
    },
}


def thing(spec: Json | None = None, status: Json | None = None, **metadata: Any) -> Json:
    """An object of the kind."""
    made: Json = {
        "apiVersion": "invoker.dev/v1",
        "kind": "Thing",
        "metadata": {"name": "main", **metadata},
    }
    if spec is not None:
        made["spec"] = spec
    if status is not None:
        made["status"] = status
    return made


class Kept:
    """An object with its managedFields, as a server keeps them.

    Attributes:
        live: The object; None until it is created.
        entries: Its managedFields.
    """

    def __init__(self, live: Json | None = None, entries: list[Json] | None = None) -> None:
        self.live = live
        self.entries = entries or []

    def apply(
        self,
        manager: str,
        config: Json,
        *,
        force: bool = False,
        now: datetime = START,
        subresource: str = "",
    ) -> Json:
        """Apply a configuration; gives the object."""
        self.live, self.entries = apply(
            self.live,
            config,
            self.entries,
            manager=manager,
            force=force,
            now=now,
            schema=SCHEMA,
            subresource=subresource,
        )
        return self.live

    def update(
        self, manager: str, new: Json, *, now: datetime = START, subresource: str = ""
    ) -> None:
        """Create, replace or patch."""
        self.entries = record_update(
            self.live,
            new,
            self.entries,
            manager=manager,
            now=now,
            schema=SCHEMA,
            subresource=subresource,
        )
        self.live = new

    def refused(self, manager: str, config: Json, *, subresource: str = "") -> list[Conflict]:
        """The conflicts for which this apply is refused.

        Raises:
            AssertionError: It is not.
        """
        try:
            self.apply(manager, config, subresource=subresource)
        except ApplyConflictError as error:
            return error.conflicts
        raise AssertionError("the apply did not conflict")

    def entry(self, manager: str, subresource: str = "") -> Json | None:
        """The manager's entry, if it owns anything."""
        return next(
            (
                entry
                for entry in self.entries
                if (entry["manager"], entry.get("subresource", "")) == (manager, subresource)
            ),
            None,
        )

    def owned(self, manager: str, subresource: str = "") -> Json:
        """What the manager owns, as FieldsV1."""
        entry = self.entry(manager, subresource)
        return {} if entry is None else entry["fieldsV1"]

    def spec(self) -> Json:
        """The object's desired state."""
        return {} if self.live is None else self.live["spec"]
