"""Shards: every key has one owner, soon again after any death, and never two."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import pytest

from controller.engine import Grip, LeaseKeeper, Shards, Timing
from controller.engine.shards import SHARD
from crds.errors import FencedError
from crds.meta import Key
from tests.engine.fakes import FakeLeases, key
from tests.support.virtual_time import run

# One key for each of the sixteen shards.
KEYS = list(
    {
        crc32(each.namespace.encode()) % 16: each
        for each in (key("k", f"account-{number}") for number in range(200))
    }.values()
)
# A lease lives 10 s, its last renewal is seen within 3 s, statements take up to 0.2 s.
TAKEOVER_SECONDS = 13.8


@dataclass
class Replica:
    """A process that keeps a share of the keys, and can be hurt."""

    name: str
    shards: Shards
    trouble: list[bool]
    task: asyncio.Task[None] | None = None
    acquired: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)

    def start(self) -> None:
        """Begin."""
        self.task = asyncio.ensure_future(self.shards.run())

    def kill(self) -> None:
        """Die without a word, as after kill -9."""
        assert self.task is not None
        self.task.cancel()
        for name in list(self.shards._keeper._held):
            del self.shards._keeper._held[name]

    def passes(self, each: Key) -> bool:
        """Whether this replica would act on a key now."""
        return self.shards._keeper.valid(f"{SHARD}{self.shards.shard_of(each)}")


class Fleet:
    """Replicas on one table of leases."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - to repeat
        self.table = FakeLeases(self.rng)
        self.replicas: list[Replica] = []
        self.epochs: dict[str, list[int]] = {}

    def add(self, count: int = 1) -> list[Replica]:
        """Start replicas."""
        new = [self._make(f"r{len(self.replicas) + number}") for number in range(count)]
        for replica in new:
            replica.start()
        self.replicas += new
        return new

    def _make(self, name: str) -> Replica:
        trouble = [False]
        view = self.table.seen_by(lambda: trouble[0])
        now = asyncio.get_running_loop().time
        shards = Shards(LeaseKeeper(view, name, Timing(), now), rng=self.rng)
        replica = Replica(name, shards, trouble)
        shards.on_acquire = replica.acquired.extend
        shards.on_loss = replica.lost.extend
        return replica

    def heal(self) -> None:
        """End all partitions."""
        for replica in self.replicas:
            replica.trouble[0] = False

    def check(self) -> None:
        """Never two owners of a key."""
        for each in KEYS:
            owners = [replica.name for replica in self.replicas if replica.passes(each)]
            assert len(owners) <= 1, (asyncio.get_running_loop().time(), each, owners)

    def orphans(self) -> int:
        """Keys that nobody owns."""
        return sum(not any(r.shards.owns(each) for r in self.replicas) for each in KEYS)

    def shares(self) -> list[int]:
        """How many shards each replica has."""
        return [len(replica.shards.held()) for replica in self.replicas]

    async def settle(self, seconds: float) -> None:
        """Live on, looking all the time."""
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.2)
            self.check()

    async def end(self) -> None:
        """Stop everybody."""
        tasks = [replica.task for replica in self.replicas if replica.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _play(scene: Callable[[Fleet], Coroutine[Any, Any, None]], seeds: int = 5) -> None:
    for seed in range(seeds):

        async def main(seed: int = seed) -> None:
            fleet = Fleet(seed)
            try:
                await scene(fleet)
            finally:
                await fleet.end()

        run(main, seed=seed, limit_seconds=100_000)


@pytest.mark.parametrize("replicas", [1, 2, 3, 4, 5, 16, 17])
def test_fair_shares(replicas: int) -> None:
    """Any number of replicas shares the shards so that nobody has two more than another."""

    async def scene(fleet: Fleet) -> None:
        fleet.add(replicas)
        await fleet.settle(30)

        assert sum(fleet.shares()) == 16
        assert max(fleet.shares()) - min(fleet.shares()) <= (1 if replicas != 3 else 2)
        assert max(fleet.shares()) <= -(-16 // replicas)
        assert fleet.orphans() == 0

    _play(scene, seeds=3)


def test_a_new_replica_gets_its_share() -> None:
    """Shards are handed over to a newcomer, and nobody keeps passing them around."""

    async def scene(fleet: Fleet) -> None:
        for _ in range(4):
            fleet.add()
            await fleet.settle(20)
        shares = fleet.shares()
        moves = sum(len(replica.acquired) for replica in fleet.replicas)
        await fleet.settle(100)

        assert shares == [4, 4, 4, 4]
        assert fleet.shares() == shares
        assert moves == sum(len(replica.acquired) for replica in fleet.replicas)

    _play(scene)


def test_the_dead_are_replaced_in_time() -> None:
    """Every key of a replica that was killed has a new owner within 14 seconds."""

    async def scene(fleet: Fleet) -> None:
        fleet.add(3)
        await fleet.settle(20 + fleet.rng.random() * 3)
        fleet.replicas[0].kill()
        had = fleet.orphans()
        await fleet.settle(TAKEOVER_SECONDS)

        assert had > 0
        assert fleet.orphans() == 0

    _play(scene, seeds=20)


def test_a_released_share_moves_at_once() -> None:
    """After a graceful shutdown nobody waits for leases to run out."""

    async def scene(fleet: Fleet) -> None:
        fleet.add(2)
        await fleet.settle(20)
        leaver = fleet.replicas[0]
        assert leaver.task is not None
        leaver.task.cancel()
        await leaver.shards.shut_down()
        await fleet.settle(4)

        assert fleet.shares() == [0, 16]
        assert set(leaver.lost) == set(leaver.acquired)

    _play(scene)


def test_partition_stops_the_owner_first() -> None:
    """A replica that cannot renew stops before another begins, and comes back afterwards."""

    async def scene(fleet: Fleet) -> None:
        fleet.add(2)
        await fleet.settle(20)
        fleet.replicas[0].trouble[0] = True
        await fleet.settle(30)
        apart = fleet.shares()
        fleet.replicas[0].trouble[0] = False
        await fleet.settle(90)

        assert apart == [0, 16]
        assert fleet.shares() == [8, 8]

    _play(scene)


def test_a_short_outage_brings_the_keys_back() -> None:
    """Shards that were unsure for a moment and are ours again are announced again."""

    async def scene(fleet: Fleet) -> None:
        [only] = fleet.add()
        await fleet.settle(20)
        only.acquired.clear()
        only.trouble[0] = True
        await fleet.settle(30)
        apart = fleet.orphans()
        only.trouble[0] = False
        await fleet.settle(80)

        assert apart == 16
        assert sorted(set(only.acquired)) == list(range(16))
        assert fleet.orphans() == 0

    _play(scene)


def test_hand_over_waits_for_the_worker() -> None:
    """A shard stays where a worker is busy with one of its keys, but takes no new work there."""

    async def scene(fleet: Fleet) -> None:
        [old] = fleet.add()
        await fleet.settle(5)
        grips = {each: old.shards.begin(each) for each in KEYS}
        [new] = fleet.add()
        await fleet.settle(30)
        held, leaving = fleet.shares(), set(old.shards._leaving)
        for grip in grips.values():
            assert grip is not None
            grip.guard()
        refused = [each for each in KEYS if old.shards.shard_of(each) in leaving]
        assert refused
        assert not any(old.shards.owns(each) for each in refused)
        assert all(old.shards.begin(each) is None for each in refused)
        for each in KEYS:
            old.shards.end(each)
        await fleet.settle(5)

        assert held == [8, 0]
        assert fleet.shares() == [8, 8]
        assert leaving == set(new.acquired)

    _play(scene)


def test_a_grip_ends_with_its_epoch() -> None:
    """A worker that slept through loss and return of its shard is stopped by its guard."""

    async def scene(fleet: Fleet) -> None:
        [first] = fleet.add()
        await fleet.settle(10)
        each = KEYS[0]
        grip = first.shards.begin(each)
        assert isinstance(grip, Grip)
        first.trouble[0] = True
        [second] = fleet.add()
        await fleet.settle(40)
        assert second.passes(each)
        first.trouble[0] = False
        second.kill()
        await fleet.settle(120)
        new = first.shards.begin(each)

        assert grip.fence is not None
        assert new is not None
        assert new.fence is not None
        assert new.fence.epoch >= grip.fence.epoch + 2
        with pytest.raises(FencedError):
            grip.guard()

    _play(scene, seeds=2)


def _hurt(fleet: Fleet) -> None:
    """Do something bad, or something good."""
    match fleet.rng.choice(["cut", "cut", "heal", "heal", "kill", "join"]):
        case "cut":
            fleet.rng.choice(fleet.replicas).trouble[0] = True
        case "heal":
            fleet.heal()
        case "kill":
            fleet.rng.choice(fleet.replicas).kill()
        case "join":
            fleet.add()


@pytest.mark.parametrize("seed", range(8))
def test_never_two_owners(seed: int) -> None:
    """Through kills, partitions, joins and leaves, at no moment do two guards pass."""

    async def main() -> None:
        fleet = Fleet(seed)
        fleet.add(fleet.rng.randint(1, 4))
        for _ in range(15):
            _hurt(fleet)
            await fleet.settle(fleet.rng.uniform(0.5, 25))
        fleet.heal()
        fleet.add()
        await fleet.settle(90)
        orphans = fleet.orphans()
        await fleet.end()

        assert orphans == 0

    run(main, seed=seed, limit_seconds=100_000)


def test_epoch_grows_with_each_holder() -> None:
    """Every change of holder has an epoch of its own, so that old writers are told apart."""

    async def scene(fleet: Fleet) -> None:
        seen: dict[str, dict[int, str]] = {}
        fleet.add(2)
        for _ in range(10):
            _hurt(fleet)
            await fleet.settle(10)
            for name, row in fleet.table.rows.items():
                if row.holder is not None:
                    holder = seen.setdefault(name, {}).setdefault(row.epoch, row.holder)
                    assert holder == row.holder
                assert max(seen.get(name, {0: ""})) <= row.epoch

    _play(scene, seeds=2)


def test_an_account_is_in_one_shard() -> None:
    """All that belongs to an account, and the account itself, has one owner."""

    async def scene(fleet: Fleet) -> None:
        [only] = fleet.add()
        shard_of = only.shards.shard_of
        shards = {shard_of(Key("Machine", "alice", f"m{n}")) for n in range(50)}

        assert shards == {shard_of(Key("Account", "", "alice"))}

    _play(scene, seeds=1)


def test_dead_memberships_are_forgotten() -> None:
    """The rows of replicas that never come back are removed."""

    async def scene(fleet: Fleet) -> None:
        fleet.add(3)
        await fleet.settle(10)
        fleet.replicas[0].kill()
        await fleet.settle(130)

        names = sorted(name for name in fleet.table.rows if name.startswith("replica/"))
        assert names == ["replica/r1", "replica/r2"]

    _play(scene, seeds=2)


def test_timing_must_leave_room() -> None:
    """A lease that cannot be renewed before its holder stops is refused."""
    with pytest.raises(ValueError, match="renew_every"):
        Timing(duration=4, renew_every=3, margin=1)
