"""The loops beside the reconcilers: whatever goes wrong once, they go on, and nobody waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from controller import edge as edges
from controller import observer as observers
from controller import probes as probers
from controller.edge import Change, Edge, EdgeWatch
from controller.machine import names
from controller.observer import Observer
from controller.probes import Prober
from controller.providers.fly import OrgMachine, OrgMachinePage
from controller.scope import write_status
from crds.errors import ConflictError, FencedError
from crds.meta import Key
from crds.route import RouteEntry
from crds.store import Probe, StatusWish
from tests.simulation.sweep import quiet
from tests.support.virtual_time import clock, run

ALICE, BOB = UUID(int=1), UUID(int=2)
KEY = Key("Machine", "alice", "main")
LATE = datetime(2030, 1, 1, tzinfo=UTC) - timedelta(seconds=1)


class Fly:
    """Lists machines, of which some regions may be lacking."""

    breaker = None

    def __init__(self) -> None:
        self.asked: list[datetime | None] = []
        self.lacking: list[str] = []
        self.trouble: list[Exception] = []
        self.region = "iad"

    async def iter_org_machines(
        self, updated_after: datetime | None = None, *, call: object
    ) -> AsyncIterator[OrgMachinePage]:
        """One page."""
        del call
        self.asked.append(updated_after)
        if self.trouble:
            raise self.trouble.pop()
        marks = names.marks("sim", ALICE, "alice", "main")
        machine = {"id": "m1", "state": "started", "region": self.region}
        machine["config"] = {"metadata": marks}  # type: ignore[assignment]  # an answer as JSON
        yield OrgMachinePage(
            machines=[OrgMachine.model_validate(machine)], error_regions=self.lacking
        )


def play(scene: Callable[[], Any], seconds: float = 10_000) -> None:
    """Run a scene on virtual time."""
    quiet()
    run(scene, limit_seconds=seconds)


async def running(loop: Any, seconds: float) -> None:
    """Let a loop run for a while; it must not end."""
    task = asyncio.ensure_future(loop.run())
    await asyncio.sleep(seconds)
    assert not task.done()
    task.cancel()


def test_observer_survives_anything() -> None:
    """An answer that nobody thought of is logged, and the next look comes."""

    async def scene() -> None:
        fly = Fly()
        fly.trouble = [KeyError("config"), ValueError("?")]
        await running(Observer(fly, clock(), "sim", print), 3.5 * observers.PERIOD_SECONDS)  # type: ignore[arg-type]  # a fake

        assert len(fly.asked) == 4

    play(scene)


def test_observer_asks_again_for_what_it_lacked() -> None:
    """While a region is lacking the window stays open, and there is no view of what is in it."""

    async def scene() -> None:
        fly = Fly()
        observer = Observer(fly, clock(), "sim", lambda _: None)  # type: ignore[arg-type]  # a fake
        await observer.look()
        assert observer.view("m1") is not None
        complete = clock().now()
        fly.lacking = ["iad"]
        for _ in range(20):
            await asyncio.sleep(10)
            await observer.look()
        assert observer.view("m1") is None
        assert fly.asked[-1] == complete - observers.OVERLAP
        fly.lacking = []
        await asyncio.sleep(10)
        await observer.look()

        assert fly.asked[-1] == complete - observers.OVERLAP
        assert observer.view("m1") is not None

    play(scene)


def test_edge_watch_survives_anything() -> None:
    """So does the watch over the entries."""

    class Broken:
        looks = 0

        async def look(self) -> None:
            self.looks += 1
            raise TypeError("'<' not supported")

    async def scene() -> None:
        broken = Broken()
        await running(EdgeWatch(broken, None, print), 2.5 * edges.LOOK_EVERY_SECONDS)  # type: ignore[arg-type]  # a fake

        assert broken.looks == 3

    play(scene)


class Store:
    """Two machines, and the probes that were noted of them, with the moment."""

    def __init__(self) -> None:
        self.clock = clock()
        self.heartbeats = self
        self.noted: dict[UUID, float] = {}
        self.trouble: list[Exception] = []

    async def project(self, _: str, **__: str) -> list[dict[str, Any]]:
        """The machines."""
        if self.trouble:
            raise self.trouble.pop()
        return [
            {
                "uid": uid,
                "namespace": "n",
                "name": f"m{uid.int}",
                "phase": "Running",
                "url": "https://x",
                "instance": f"i{uid.int}",
            }
            for uid in (ALICE, BOB)
        ]

    async def record_probes(self, probes: Sequence[Probe]) -> None:
        """Note."""
        for probe in probes:
            self.noted[probe.machine] = asyncio.get_running_loop().time()


class Agent:
    """Alice's agent does something odd; Bob's answers nothing."""

    def __init__(self, oddity: Callable[[], Any]) -> None:
        self._oddity = oddity

    async def heartbeat(self, machine: UUID, *_: object) -> None:
        """Ask."""
        if machine == ALICE:
            await self._oddity()


def prober(store: Store, agent: Agent) -> Prober:
    """A prober of both machines."""

    class Sees:
        @staticmethod
        def view(_: str) -> None:
            return None

    class Tokens:
        @staticmethod
        def issue(_: UUID) -> str:
            return "t"

    return Prober(store, agent, Tokens(), Sees(), lambda _: True, lambda _: None)  # type: ignore[arg-type]  # fakes


def test_prober_survives_anything() -> None:
    """One machine's oddity is nobody else's trouble, nor is a bad moment of the database."""

    async def fall() -> None:
        raise RuntimeError("odd")

    async def scene() -> None:
        store = Store()
        store.trouble = [RuntimeError("bad moment")]
        await running(prober(store, Agent(fall)), 1.5 * probers.PERIOD_SECONDS)

        assert set(store.noted) == {BOB}

    play(scene)


def test_prober_notes_as_it_goes() -> None:
    """What is answered is noted while others are still being asked."""

    async def dawdle() -> None:
        await asyncio.sleep(5)

    async def scene() -> None:
        store = Store()
        await prober(store, Agent(dawdle)).probe_all()

        assert store.noted[BOB] < 1 < store.noted[ALICE]

    play(scene)


def test_edge_waits_no_longer_than_the_lease() -> None:
    """A bulk write of an owner is given up before somebody else may own the key."""

    class KV:
        within: float | None = None

        async def put_bulk(self, _: object, *, within: float, call: object) -> set[str]:
            del call
            self.within = within
            return set()

    async def scene() -> None:
        kv = KV()
        edge = Edge(kv, clock(), "sim")  # type: ignore[arg-type]  # a fake
        entry = RouteEntry(route=str(uuid4()), account="a", state="stopped")
        changes = [
            Change(name, "u", 1, entry, None, lambda seconds=seconds: seconds)  # type: ignore[misc]  # its default is what it returns
            for name, seconds in (("a", 7.5), ("b", 9.0))
        ]
        await asyncio.gather(*(edge.apply(change) for change in changes))

        assert kv.within == pytest.approx(7.5)

    play(scene)


class Locked:
    """A store whose row is locked for so many tries."""

    def __init__(self, tries: int, error: Exception) -> None:
        self.tries, self.error = tries, error

    async def write_status(self, _: Key, __: StatusWish) -> int:
        """Write, unless it is locked."""
        self.tries -= 1
        if self.tries >= 0:
            raise self.error
        return 7


def wish(expected: int) -> StatusWish:
    """A status to write."""
    return StatusWish(ALICE, {}, expected, None)


def test_a_lock_is_waited_for() -> None:
    """What was found is not lost because somebody held the row for a moment."""

    async def scene() -> None:
        assert await write_status(Locked(5, ConflictError()), KEY, wish(0)) == 7  # type: ignore[arg-type]  # a fake

    play(scene)


@pytest.mark.parametrize(
    ("tries", "error", "expected", "left"),
    [(1, ConflictError(), 3, 0), (9, FencedError(), 0, 8), (9, ConflictError(), 0, 3)],
    ids=["an old version", "a lost shard", "a long lock"],
)
def test_other_conflicts_are_told(tries: int, error: Exception, expected: int, left: int) -> None:
    """A row that moved and a shard that was lost are told at once, a long lock soon."""

    async def scene() -> None:
        store = Locked(tries, error)
        with pytest.raises(ConflictError):
            await write_status(store, KEY, wish(expected))  # type: ignore[arg-type]  # a fake

        assert store.tries == left

    play(scene)
