"""One reconcile of one object: what it read, what it means to do, what it found."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from controller.engine import EventRecorder, Priority, Request
from controller.providers import Call
from controller.providers import Priority as CallPriority
from crds.errors import ConflictError, FencedError, NotFoundError
from crds.meta import ConditionStatus, Key, Resource
from crds.registry import KINDS
from crds.store import StatusWish, Store

R = TypeVar("R", bound=Resource)

AWAITED_NAMES = 5
# Seconds between the tries of a write that finds its row locked.
LOCK_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)


def call_priority(priority: Priority) -> CallPriority:
    """The budget's place for a reconcile of this priority."""
    if priority >= Priority.USER:
        return CallPriority.USER
    if priority >= Priority.EVENT:
        return CallPriority.HEALTH
    if priority >= Priority.RETRY:
        return CallPriority.ROLLOUT
    return CallPriority.RESYNC


class Scope(Generic[R]):
    """An object during one reconcile.

    Steps change `object.status` freely; it is written when a step intends something outside,
    and once more at the end, if it changed.

    Attributes:
        object: The object as read, with the status as it becomes.
        call: The context of provider calls on this object's behalf.
    """

    def __init__(
        self, store: Store, recorder: EventRecorder, resource: R, request: Request
    ) -> None:
        self.store = store
        self.object = resource
        self.request = request
        self.call = Call(call_priority(request.priority), request.guard)
        self._recorder = recorder
        self._written = resource.status.to_json()

    @property
    def now(self) -> datetime:
        """The loop's wall time."""
        return self.store.clock.now()

    @property
    def uid(self) -> UUID:
        """The object's uid."""
        return self.object.uid

    def condition(
        self,
        type_: str,
        status: bool | ConditionStatus,  # noqa: FBT001 - a condition's value, not a switch
        reason: str,
        message: str = "",
    ) -> bool:
        """Set a condition on the object; returns whether its status moved."""
        return self.object.status.set_condition(
            type_,
            status,
            reason,
            message,
            now=self.now,
            generation=self.object.metadata.generation,
        )

    def event(self, reason: str, message: str, *, warning: bool = False) -> None:
        """Record an event about the object."""
        self._recorder.event(
            self.object.key, self.uid, "Warning" if warning else "Normal", reason, message
        )

    async def save(self) -> None:
        """Write what was found, even if the wish moved meanwhile; nothing if nothing changed.

        Raises:
            FencedError: The shard was lost: its new owner finds out by itself.
        """
        if self.object.status.to_json() != self._written:
            await self._write(if_unmoved=False)

    async def save_if_unmoved(self) -> None:
        """Write an intent: fails when the row moved, so that nothing is done for an old wish.

        Raises:
            ConflictError: The row moved.
        """
        await self._write(if_unmoved=True)

    async def keep(self, change: Callable[[R], Any]) -> None:
        """Change the object's metadata or spec.

        Raises:
            ConflictError: The row moved.
        """
        changed = self.object.model_copy(deep=True)
        change(changed)
        written = await self.store.update(changed, fence=self.request.fence)
        # The status stays the one that the steps hold on to.
        self.object.metadata, self.object.spec = written.metadata, written.spec

    async def ask_deletion(self, row: Mapping[str, Any]) -> None:
        """Ask for the deletion of a row, valid or not, unless that was done or it is gone."""
        if row["deletion_timestamp"] is not None:
            return
        try:
            await self.store.delete(
                KINDS[row["kind"]],
                row["name"],
                row["namespace"],
                uid=row["uid"],
                fence=self.request.fence,
            )
        except NotFoundError:
            return

    async def _write(self, *, if_unmoved: bool) -> None:
        status = self.object.status.to_json()
        expected = self.object.metadata.resource_version if if_unmoved else 0
        wish = StatusWish(self.uid, status, expected, self.request.fence)
        try:
            version = await write_status(self.store, self.object.key, wish)
        except NotFoundError:
            raise ConflictError(f"{self.object.key} is gone") from None
        self.object.metadata.resource_version = version
        self._written = status


def awaited(rows: Sequence[Mapping[str, Any]]) -> str:
    """What a removal waits for, in words."""
    names = [f"{row['kind']} {row['name']}" for row in rows[:AWAITED_NAMES]]
    more = len(rows) - len(names)
    return f"waits for {', '.join(names)}{f' and {more} more' if more else ''}" if rows else ""


async def write_status(store: Store, key: Key, wish: StatusWish) -> int:
    """Write a status; one that goes over any version conflicts only with a lock, and tries again.

    Returns:
        The row's resourceVersion.

    Raises:
        ConflictError: The row moved, or somebody holds its lock for longer than a moment.
        NotFoundError: It is gone.
        FencedError: The shard was lost.
    """
    for pause in LOCK_PAUSES:
        try:
            return await store.write_status(key, wish)
        except FencedError:
            raise
        except ConflictError:
            if wish.expected:
                raise
        await asyncio.sleep(pause)
    return await store.write_status(key, wish)
