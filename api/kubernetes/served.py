"""What is served under the Kubernetes API conventions, and where it comes from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from api.access import Identity
from api.kubernetes.errors import method_not_allowed
from crds.meta import Column, Resource

Json = dict[str, Any]
ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]


@dataclass(frozen=True, slots=True)
class Served:
    """One resource: what discovery, OpenAPI, tables and selectors need to know of it.

    Attributes:
        group: The API group; empty for the core group.
        verbs: Which verbs it takes, in Kubernetes' words.
        columns: What its tables show beside name and age.
        row: Makes the cells of a row at a moment, for what shows its columns and nothing beside.
        selectable: The fields by which lists can be filtered, beside name and namespace.
        subresources: `status`, `scale`.
        schema: The structural OpenAPI v3 schema of a whole object.
        model: The kind, of those that are rows.
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str]
    schema: Json = field(repr=False)
    columns: tuple[Column, ...] = ()
    row: Callable[[Json, datetime], list[object]] | None = None
    selectable: tuple[str, ...] = ()
    short_names: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    model: type[Resource] | None = None

    @property
    def singular(self) -> str:
        """The singular, lowercase."""
        return self.kind.lower()

    @property
    def api_version(self) -> str:
        """`group/version`, as objects carry it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """`plural.group`, as messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


class Change:
    """One change of one object, shared by everybody who watches.

    Attributes:
        type: What happened.
        resource_version: Its place in the order of changes.
        object: The object after it; before it, when it was deleted.
        previous: The object before it, when it was modified.
        encoded: The change in the forms in which it was already sent.
    """

    __slots__ = ("encoded", "object", "previous", "resource_version", "type")

    def __init__(
        self, type_: ChangeType, resource_version: int, object_: Json, previous: Json | None
    ) -> None:
        self.type = type_
        self.resource_version = resource_version
        self.object = object_
        self.previous = previous
        self.encoded: dict[str, bytes] = {}


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes in order, and how far the source has been read with them."""

    changes: Sequence[Change]
    resource_version: int


@dataclass(frozen=True, slots=True)
class Wish:
    """What goes with every write.

    Attributes:
        identity: Who writes.
        request: The request's id, for the audit.
        dry_run: Do everything and keep nothing.
        manager: The field manager.
        subresource: `status`, `scale` or empty.
        applied: The body's field managers are those of a server-side apply.
    """

    identity: Identity
    request: str
    dry_run: bool = False
    manager: str = "unknown"
    subresource: str = ""
    applied: bool = False


class Source(Protocol):
    """Where the objects of one resource are; as JSON in Kubernetes' form, without managed types."""

    served: Served

    async def snapshot(
        self,
        namespace: str | None,
        name: str | None = None,
        *,
        after: tuple[str, str] | None = None,
        limit: int | None = None,
    ) -> tuple[Sequence[Json], int]:
        """Objects and the version that they are a snapshot of.

        Args:
            namespace: Only this namespace's; None: all.
            name: Only the one of this name.
            after: Only those that come after this namespace and name in order.
            limit: At most so many, the first in the order of namespace and name.
        """

    def changes(self, since: int) -> AsyncIterator[Batch]:
        """Every change strictly after a version, for ever; an empty batch only tells of progress.

        Raises:
            ExpiredError: The version is compacted, or not there yet.
        """

    async def create(self, body: Json, wish: Wish) -> Json:
        """Store a new object and return it.

        Raises:
            ApiError: It cannot be.
            StoreError: It cannot be.
        """

    async def replace(self, body: Json, old: Json, wish: Wish) -> Json:
        """Store an object over the one that was read, and return it.

        Raises:
            ApiError: It cannot be.
            StoreError: It cannot be, or it moved meanwhile.
        """

    async def delete(
        self, old: Json, wish: Wish, *, uid: str | None, resource_version: int
    ) -> Json | None:
        """Ask for deletion; returns what is left, None when it is gone.

        Raises:
            ApiError: It cannot be.
            StoreError: It cannot be, or a precondition does not hold.
        """


class ReadOnly:
    """The writing half of a source that nobody writes through this door."""

    served: Served

    async def create(self, body: Json, wish: Wish) -> Json:
        """Refuse."""
        del body, wish
        raise method_not_allowed("create", self.served.qualified)

    async def replace(self, body: Json, old: Json, wish: Wish) -> Json:
        """Refuse."""
        del body, old, wish
        raise method_not_allowed("update", self.served.qualified)

    async def delete(
        self, old: Json, wish: Wish, *, uid: str | None, resource_version: int
    ) -> Json | None:
        """Refuse."""
        del old, wish, uid, resource_version
        raise method_not_allowed("delete", self.served.qualified)
