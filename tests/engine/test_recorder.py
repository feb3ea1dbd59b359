"""The recorder: aggregates, limits, survives the store's absence, never fails its caller."""

import asyncio
from uuid import UUID

import anyio

from controller.engine import EventRecorder
from tests.engine.fakes import UID, FakeEvents, key
from tests.support.virtual_time import START, clock, run

A = key("a")


def test_same_words_are_counted() -> None:
    """The same words about the same object are one row with a count and two moments."""

    async def main() -> FakeEvents:
        table = FakeEvents()
        recorder = EventRecorder(table, clock())
        for _ in range(5):
            recorder.event(A, UID, "Warning", "Failed", "no luck")
            await asyncio.sleep(0.1)
        recorder.event(A, UUID(int=2), "Warning", "Failed", "no luck")
        await recorder.flush()
        await recorder.flush()
        return table

    [[first, second]] = run(main, limit_seconds=10).batches

    assert (5, 1) == (first.count, second.count)
    assert first.first_at == START
    assert round((first.last_at - first.first_at).total_seconds(), 3) == 0.4
    assert ("alice", "Thing", "a") == (first.namespace, first.kind, first.name)


def test_one_object_cannot_flood() -> None:
    """25 different events at once about one object, then one in five minutes; others are free."""

    async def main() -> list[int]:
        table = FakeEvents()
        recorder = EventRecorder(table, clock())
        counts = []
        for round_ in range(3):
            for number in range(100):
                recorder.event(A, UID, "Normal", "Moved", f"to {round_}/{number}")
            recorder.event(A, UUID(int=9), "Normal", "Other", "free")
            await recorder.flush()
            counts.append(sum(event.uid == UID for event in table.batches[-1]))
            assert any(event.uid != UID for event in table.batches[-1])
            await asyncio.sleep(601)
        return [*counts, recorder.dropped]

    assert run(main, limit_seconds=2000) == [25, 2, 2, 271]


def test_no_words_hold_back_all_others() -> None:
    """What PostgreSQL would refuse, and terminals would obey, is not in an event's words."""

    async def main() -> FakeEvents:
        table = FakeEvents()
        recorder = EventRecorder(table, clock())
        recorder.event(A, UID, "Warning", "Failed", "a\0b\ud800c\x1b[2Jd\ne")
        await recorder.flush()
        return table

    [[event]] = run(main, limit_seconds=10).batches

    assert "a b c [2Jd e" == event.message


def test_events_survive_an_outage() -> None:
    """What could not be written is written later, with the whole count; the caller never knows."""

    async def main() -> FakeEvents:
        table = FakeEvents(error=ConnectionError())
        recorder = EventRecorder(table, clock())
        async with anyio.create_task_group() as group:
            group.start_soon(recorder.run)
            recorder.event(A, UID, "Normal", "Moved", "on")
            await asyncio.sleep(5)
            recorder.event(A, UID, "Normal", "Moved", "on")
            await asyncio.sleep(5)
            table.error = None
            await asyncio.sleep(5)
            group.cancel_scope.cancel()
        return table

    [[event]] = run(main, limit_seconds=100).batches

    assert event.count == 2
    assert event.first_at == START


def test_the_last_events_are_written() -> None:
    """What was noted in the last second is written at shutdown."""

    async def main() -> FakeEvents:
        table = FakeEvents()
        recorder = EventRecorder(table, clock())
        async with anyio.create_task_group() as group:
            group.start_soon(recorder.run)
            await asyncio.sleep(0.5)
            recorder.event(A, UID, "Normal", "Stopped", "")
            group.cancel_scope.cancel()
        return table

    assert len(run(main, limit_seconds=100).batches) == 1


def test_memory_is_bounded() -> None:
    """While the store is away only so many events are kept, the rest is counted."""

    async def main() -> tuple[int, int]:
        recorder = EventRecorder(FakeEvents(error=OSError()), clock(), capacity=100)
        for number in range(10_000):
            recorder.event(A, UUID(int=number), "Normal", "Moved", "")
            if number % 1000 == 0:
                await recorder.flush()
        return len(recorder._pending), recorder.dropped

    assert run(main, limit_seconds=100) == (100, 9900)
