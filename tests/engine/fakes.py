"""In-memory stand-ins for the store, and small helpers of the engine's tests."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from controller.engine import (
    DONE,
    Backoff,
    Controller,
    Failure,
    Ownership,
    Request,
    Result,
    WorkQueue,
)
from crds.errors import ExpiredError
from crds.meta import Key
from crds.store import EventRecord, LeaseRecord, WatchEvent
from tests.support.virtual_time import clock

UID = UUID(int=1)


def key(name: str, namespace: str = "alice", kind: str = "Thing") -> Key:
    """A key."""
    return Key(kind, namespace, name)


def queue(seed: int = 0, backoff: Backoff | None = None) -> WorkQueue:
    """A queue on the running loop."""
    return WorkQueue(rng=random.Random(seed), backoff=backoff)  # noqa: S311 - to repeat


@dataclass
class ScriptedReconciler:
    """Does what it is told, call by call, and remembers."""

    script: list[Result | Exception | Callable[[Request], object]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    report_error: Exception | None = None

    async def reconcile(self, request: Request) -> Result:
        """Play the next line of the script; done when there is none."""
        self.requests.append(request)
        self.times.append(asyncio.get_running_loop().time())
        line = self.script.pop(0) if self.script else DONE
        if callable(line):
            answer = line(request)
            if asyncio.iscoroutine(answer):
                answer = await answer
            return answer if isinstance(answer, Result) else DONE
        if isinstance(line, Exception):
            raise line
        return line

    async def report(self, request: Request, failure: Failure) -> None:  # noqa: ARG002 - protocol
        """Remember the failure."""
        self.failures.append(failure)
        if self.report_error is not None:
            raise self.report_error


def controller(
    reconciler: ScriptedReconciler,
    *,
    name: str = "thing",
    workers: int = 2,
    ownership: Ownership | None = None,
    transient: tuple[type[Exception], ...] = (),
) -> Controller:
    """A controller on the running virtual loop."""
    return Controller(
        name,
        reconciler,
        queue=queue(),
        clock=clock(),
        workers=workers,
        ownership=ownership,
        transient=transient,
    )


class FakeLog:
    """Objects and their log, as the store shows them."""

    def __init__(self) -> None:
        self.objects: dict[Key, int] = {}
        self.events: list[WatchEvent] = []
        self.version = 0
        self.compacted = 0
        self.watch_error: Exception | None = None
        self.watches: list[int] = []
        self.lists = 0
        self._rings = asyncio.Event()

    def change(self, changed: Key, *, type_: str = "MODIFIED", spec_changed: bool = True) -> None:
        """Log a change."""
        self.version += 1
        if type_ == "DELETED":
            del self.objects[changed]
        else:
            self.objects[changed] = self.version
        self.events.append(
            WatchEvent(
                type_,  # type: ignore[arg-type]  # one of the store's
                self.version,
                changed,
                UID,
                spec_changed=spec_changed,
                object=None,
                previous=None,
            )
        )
        self.ring()

    def ring(self) -> None:
        """Wake the watches."""
        self._rings.set()
        self._rings = asyncio.Event()

    async def keys(self, kind: str) -> tuple[Sequence[Key], int]:
        """All keys of a kind."""
        self.lists += 1
        return [each for each in self.objects if each.kind == kind], self.version

    async def watch(self, kinds: Collection[str] | None, since: int) -> AsyncIterator[WatchEvent]:
        """Changes after a version, until an error was arranged."""
        self.watches.append(since)
        while True:
            rings = self._rings
            if self.watch_error is not None:
                error, self.watch_error = self.watch_error, None
                raise error
            if since < self.compacted:
                raise ExpiredError
            for event in [event for event in self.events if event.resource_version > since]:
                since = event.resource_version
                if kinds is None or event.key.kind in kinds:
                    yield event
            await rings.wait()


class FakeLeases:
    """The table of leases; `trouble` says what happens to a replica's statements."""

    def __init__(self, rng: random.Random) -> None:
        self.rows: dict[str, LeaseRecord] = {}
        self._rng = rng

    def seen_by(self, trouble: Callable[[], bool]) -> "LeaseView":
        """The table as one replica reaches it."""
        return LeaseView(self, trouble, self._rng)


class LeaseView:
    """One replica's connection: statements take time, before and after they act, and may fail."""

    def __init__(self, table: FakeLeases, trouble: Callable[[], bool], rng: random.Random) -> None:
        self._rows = table.rows
        self._trouble = trouble
        self._rng = rng

    async def list(self, prefix: str) -> Sequence[LeaseRecord]:
        """Every lease whose name begins so."""
        await self._travel()
        found = [row for name, row in sorted(self._rows.items()) if name.startswith(prefix)]
        await self._travel()
        return found

    async def acquire(
        self, name: str, holder: str, *, seen: LeaseRecord | None, duration: float
    ) -> LeaseRecord | None:
        """Compare and swap."""
        await self._travel()
        if self._rows.get(name) != seen:
            return None
        epoch = 1 if seen is None else seen.epoch + 1
        self._rows[name] = taken = LeaseRecord(name, holder, epoch, 0, duration)
        await self._travel()
        return taken

    async def renew(self, records: Sequence[LeaseRecord]) -> Sequence[LeaseRecord]:
        """Renew what is still held."""
        await self._travel()
        renewed = []
        for record in records:
            row = self._rows.get(record.name)
            if row is not None and (row.holder, row.epoch) == (record.holder, record.epoch):
                self._rows[record.name] = row._replace(renewals=row.renewals + 1)
                renewed.append(self._rows[record.name])
        await self._travel()
        return renewed

    async def release(self, records: Sequence[LeaseRecord]) -> None:
        """Give up what is still held."""
        await self._travel()
        for record in records:
            row = self._rows.get(record.name)
            if row is not None and (row.holder, row.epoch) == (record.holder, record.epoch):
                self._rows[record.name] = row._replace(holder=None)
        await self._travel()

    async def forget(self, names: Sequence[str]) -> None:
        """Remove rows."""
        await self._travel()
        for name in names:
            self._rows.pop(name, None)

    async def _travel(self) -> None:
        await asyncio.sleep(self._rng.uniform(0, 0.1))
        if self._trouble():
            await asyncio.sleep(self._rng.choice([0.0, 1.0, 60.0]))
            raise ConnectionError


@dataclass
class FakeEvents:
    """The table of events."""

    batches: list[list[EventRecord]] = field(default_factory=list)
    error: Exception | None = None

    async def record(self, events: Sequence[EventRecord]) -> None:
        """Remember a batch."""
        if self.error is not None:
            raise self.error
        self.batches.append(list(events))
