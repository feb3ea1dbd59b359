"""Leaders: one at a time, replaced when dead, stopped when unsure."""

import asyncio
import random
from collections import Counter

import pytest

from controller.engine import Grip, Leader, LeaseKeeper, Timing
from crds.errors import FencedError
from tests.engine.fakes import FakeLeases
from tests.support.virtual_time import run


class Candidates:
    """Three replicas that stand for one office."""

    def __init__(self, seed: int, longest: float) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - to repeat
        self.table = FakeLeases(self.rng)
        self.longest = longest
        self.grips: dict[str, Grip] = {}
        self.served = Counter[str]()
        self.troubles = {name: [False] for name in "abc"}
        self.leaders = {name: self._make(name) for name in "abc"}
        self.tasks = {
            name: asyncio.ensure_future(leader.run()) for name, leader in self.leaders.items()
        }

    def _make(self, name: str) -> Leader:
        async def duty(grip: Grip) -> None:
            self.grips[name] = grip
            self.served[name] += 1
            await asyncio.sleep(self.rng.uniform(self.longest / 100, self.longest))
            raise ValueError

        view = self.table.seen_by(lambda: self.troubles[name][0])
        keeper = LeaseKeeper(view, name, Timing(), asyncio.get_running_loop().time)
        return Leader("gc", duty, keeper, rng=self.rng)

    def active(self) -> list[str]:
        """Whose guard passes."""
        names = []
        for name, grip in self.grips.items():
            try:
                grip.guard()
            except FencedError:
                continue
            names.append(name)
        return names

    def cut(self, share: float) -> None:
        """Cut some off, heal the others."""
        for trouble in self.troubles.values():
            trouble[0] = self.rng.random() < share

    async def end(self) -> None:
        """Stop everybody."""
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


@pytest.mark.parametrize("seed", range(6))
def test_one_leader_at_a_time(seed: int) -> None:
    """Through partitions and failing duties at most one guard passes, and in the end one does."""

    async def main() -> list[str]:
        subject = Candidates(seed, longest=2000)
        for _ in range(10):
            subject.cut(0.4)
            for _second in range(40):
                await asyncio.sleep(1)
                assert len(subject.active()) <= 1
        subject.cut(0)
        await asyncio.sleep(100)
        active = subject.active()
        await subject.end()
        return active

    assert len(run(main, seed=seed, limit_seconds=10_000)) == 1


def test_a_failing_duty_is_taken_up_again() -> None:
    """A duty that raises is logged and done again, by whoever is elected then."""

    async def main() -> int:
        subject = Candidates(1, longest=10)
        await asyncio.sleep(2000)
        await subject.end()
        return subject.served.total()

    assert run(main, limit_seconds=10_000) >= 5


def test_resigning_is_immediate() -> None:
    """After a graceful shutdown another leads within one look at the lease."""

    async def main() -> tuple[int, int]:
        subject = Candidates(1, longest=1e6)
        await asyncio.sleep(20)
        [first] = subject.active()
        subject.tasks[first].cancel()
        await subject.leaders[first].shut_down()
        none = len(subject.active())
        await asyncio.sleep(4)
        after = subject.active()
        await subject.end()
        return none, len(set(after) - {first})

    assert run(main, limit_seconds=100) == (0, 1)
