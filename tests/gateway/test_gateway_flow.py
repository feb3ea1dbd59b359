"""Flow control, frames and sequences, whatever is put out and acknowledged."""

import struct
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.gateway.flow import HELD, MOST, WINDOW, Flow
from deploy.gateway.frames import MOST_OUTPUT, frame
from deploy.gateway.outbound import MOST_LASTING, Outbound

SESSION = uuid.UUID("0b9d3a52-6a7e-4c51-9a55-2f0c6d1f7a10")

feeds = st.tuples(st.just("feed"), st.integers(0, 2 * MOST))
acks = st.tuples(st.just("ack"), st.integers(0, 8 * MOST))
others = st.tuples(st.sampled_from(["take", "flush", "snapshot", "close", "open"]), st.just(0))
steps = st.lists(st.one_of(feeds, acks, others), max_size=30)


def _pattern(begin: int, length: int) -> bytes:
    """Output of which every piece tells where it is."""
    first = begin // 8
    words = range(first, (begin + length) // 8 + 1)
    text = b"".join(struct.pack(">Q", word) for word in words)
    return text[begin - 8 * first :][:length]


class _World:
    """A flow, and what the other side knows of it."""

    def __init__(self) -> None:
        self.flow = Flow(SESSION, 0)
        self.flow.open()
        self.is_open = True
        self.base = 0  # the last snapshot, or where the connection began
        self.acked = 0
        self.sent: list[tuple[int, int]] = []

    def do(self, step: str, number: int) -> None:
        flow = self.flow
        if step == "feed":
            flow.feed(_pattern(flow.sequence, number))
        elif step == "ack":
            flow.ack(number)
            # Nobody has shown what was not sent.
            last = max([self.base, *(end for _, end in self.sent)])
            self.acked = max(self.acked, min(number, last))
        elif step == "take":
            self._take(all_=False)
        elif step == "flush":
            while self._take(all_=True):
                pass
        else:
            self._begin(step)

    def _begin(self, step: str) -> None:
        if step == "snapshot":
            self.base = self.flow.snapshot()
        else:
            (self.flow.open if step == "open" else self.flow.close)()
            self.is_open = step == "open"
            self.base = self.flow.sequence
        self.sent.clear()
        self.acked = 0

    def _take(self, *, all_: bool) -> bool:
        taken = self.flow.take(all_=all_)
        if taken is None:
            return False
        sequence, output = taken
        assert self.is_open
        assert 1 <= len(output) <= MOST_OUTPUT
        assert _pattern(sequence, len(output)) == output
        assert max([self.base, *(end for _, end in self.sent)]) <= sequence
        assert sequence + len(output) <= self.flow.sequence
        self.sent.append((sequence, sequence + len(output)))
        assert self.outstanding() <= MOST
        return True

    def outstanding(self) -> int:
        return sum(max(0, end - max(begin, self.acked)) for begin, end in self.sent)


@settings(max_examples=60)
@given(steps)
def test_no_more_is_sent_than_the_window_and_all_of_it_is_true(
    steps: list[tuple[str, int]],
) -> None:
    """Frames hold what was put out at their sequence, grow, and stay within 192 KiB of the acks."""
    world = _World()
    for step in steps:
        world.do(*step)

        assert world.outstanding() == world.flow.outstanding
        assert world.flow.held <= HELD + WINDOW


@given(st.lists(st.integers(0, MOST), min_size=1, max_size=20))
def test_what_was_left_out_is_told_by_the_next_frame(sizes: list[int]) -> None:
    """After all acks the newest output is sent, so a gap never stays hidden."""
    flow = Flow(SESSION)
    flow.open()
    seen = 0
    for size in sizes:
        flow.feed(bytes(size))
        while taken := flow.take():
            seen = taken[0] + len(taken[1])
    for _ in range(3):
        flow.ack(seen)
        while taken := flow.take():
            seen = taken[0] + len(taken[1])

    assert flow.sequence == seen


def test_nothing_is_held_without_a_connection() -> None:
    """Its output only counts."""
    flow = Flow(SESSION, 7)
    flow.feed(bytes(100))

    assert (107, 0, None) == (flow.sequence, flow.held, flow.take())


def test_missed_output_is_a_gap() -> None:
    """The next frame has a sequence that nobody expects."""
    flow = Flow(SESSION)
    flow.open()
    flow.skip()
    flow.feed(b"x")

    assert (1, b"x") == flow.take()


@given(st.uuids(), st.integers(0, 2**53 - 1), st.binary(min_size=1, max_size=100))
def test_a_frame_is_as_the_hub_reads_it(session: uuid.UUID, sequence: int, output: bytes) -> None:
    """Version, session, sequence and output (docs/protocols.md, "Frames")."""
    made = frame(session, sequence, output)

    assert 1 == made[0]
    assert session.bytes == made[1:17]
    assert sequence == int.from_bytes(made[17:25], "big")
    assert output == made[25:]


def _drained(outbound: Outbound) -> Iterator[str | bytes]:
    while (item := outbound._next()) is not None:
        yield item.content


@pytest.mark.anyio
async def test_what_is_said_stays_in_order_with_flushed_output() -> None:
    """Output before a snapshot goes before it, output after it behind, whoever had a turn."""
    outbound, flow = Outbound(), Flow(SESSION)
    outbound.begin({"type": "hello"})
    flow.open()
    flow.feed(b"before")
    outbound.wake(flow)
    outbound.flush(flow)
    outbound.say({"type": "snapshot", "sequence": flow.snapshot()})
    flow.feed(b"after")
    outbound.wake(flow)
    hello, before, snapshot, after = _drained(outbound)

    assert '{"type":"hello"}' == hello
    assert frame(SESSION, 0, b"before") == before
    assert '{"type":"snapshot","sequence":6}' == snapshot
    assert frame(SESSION, 6, b"after") == after


@pytest.mark.anyio
async def test_little_pieces_travel_together_and_sessions_take_turns() -> None:
    """One frame for many pieces; a flood waits for the others."""
    outbound = Outbound()
    outbound.begin({"type": "hello"})
    quiet, loud = Flow(uuid.UUID(int=1)), Flow(uuid.UUID(int=2))
    for flow, size, times in ((loud, WINDOW, 1), (quiet, 1, 5)):
        flow.open()
        for _ in range(times):
            flow.feed(bytes(size))
            outbound.wake(flow)
    _, *frames = _drained(outbound)
    found = [(each[16], len(each) - 25) for each in frames if isinstance(each, bytes)]

    assert [(2, 65_536), (1, 5), (2, 65_536)] == found


@pytest.mark.anyio
async def test_only_lasting_words_wait_for_a_connection() -> None:
    """They come behind the hello, the newest of them."""
    outbound = Outbound()
    outbound.say({"n": "lost"})
    for number in range(MOST_LASTING + 5):
        outbound.say({"n": number}, lasting=True)
    outbound.begin({"n": "hello"})
    outbound.say({"n": "answer"})
    said = list(_drained(outbound))

    assert ['{"n":"hello"}', '{"n":5}'] == said[:2]
    assert ['{"n":1004}', '{"n":"answer"}'] == said[-2:]


@pytest.mark.anyio
async def test_lasting_words_that_could_not_be_sent_stay() -> None:
    """The connection broke under them; what was meant for it only is forgotten."""
    outbound = Outbound()
    outbound.begin({"n": "hello"})

    async def send(content: str | bytes) -> None:
        if content != '{"n":"hello"}':
            raise ConnectionError

    outbound.say({"n": 1}, lasting=True)
    outbound.say({"n": "answer"})
    outbound.say({"n": 2}, lasting=True)
    with pytest.raises(ConnectionError):
        await outbound.drain(send)
    outbound.begin({"n": "again"})

    assert ['{"n":"again"}', '{"n":1}', '{"n":2}'] == list(_drained(outbound))
