"""Terminal sessions over the protocol, in tmux and on a pseudo-terminal."""

import asyncio
import os
import re
import uuid
from pathlib import Path

import pyte
import pytest

from deploy.gateway.flow import WINDOW
from deploy.gateway.sessions import processes
from tests.gateway.conftest import Run
from tests.gateway.gateway_hub import TOKEN, Hub

pytestmark = pytest.mark.anyio


def _uid() -> str:
    return str(uuid.uuid4())


def _screen(data: str, columns: int, rows: int) -> list[str]:
    """Draw a snapshot on an empty terminal."""
    screen = pyte.Screen(columns, rows)
    pyte.Stream(screen).feed(data)
    return [line.rstrip() for line in screen.display]


async def test_what_is_typed_is_run(hub: Hub, run: Run, multiplexer: str) -> None:
    """A shell answers with 42, in frames whose sequences join, and the snapshot shows it."""
    await run(multiplexer)
    session = _uid()
    created = await hub.create(session)
    await hub.type(session, "echo $((6*7))\r")
    output = await hub.shown(session, b"42\r\n")
    snapshot = await hub.snapshot(session)
    sequences = [sequence for _, sequence, _ in hub.frames]
    joined = [0]
    for _, _, data in hub.frames[:-1]:
        joined.append(joined[-1] + len(data))

    assert {"type": "ack", "id": "c-1", "ok": True} == created
    assert joined == sequences
    assert b"echo $((6*7))" in output
    assert "42" in _screen(snapshot["data"], 80, 24)
    assert snapshot["sequence"] >= sequences[-1]


async def test_a_snapshot_is_in_order_with_the_frames(hub: Hub, run: Run, multiplexer: str) -> None:
    """Each line that a program counts is shown by the snapshot or by the frames behind it."""
    await run(multiplexer)
    session = _uid()
    await hub.create(session)
    await hub.type(session, "for i in $(seq 3000); do echo line-$i; done; echo do''ne\r")
    await hub.until(lambda: b"line-20\r" in hub.output(session))
    snapshot = await hub.snapshot(session)
    await hub.shown(session, b"done\r\n")
    place = hub.order.index(snapshot)
    later = [each for each in hub.order[place:] if isinstance(each, tuple)]
    screen = pyte.HistoryScreen(80, 24, history=5000, ratio=0.5)
    stream = pyte.ByteStream(screen)
    stream.feed(snapshot["data"].encode())
    at = snapshot["sequence"]
    for _, sequence, data in later:
        assert at == sequence
        stream.feed(data)
        at += len(data)
    lines = ["".join(cell.data for _, cell in sorted(line.items())) for line in screen.history.top]
    counted = [int(line.split("-")[1]) for line in [*lines, *screen.display] if "line-" in line[:5]]

    assert list(range(counted[0], 3001)) == counted


async def test_a_session_ends_with_its_exit_code(hub: Hub, run: Run, multiplexer: str) -> None:
    """What a program puts out last comes before the word that it has ended."""
    await run(multiplexer)
    session = _uid()
    await hub.create(session)
    await hub.type(session, "exec sh -c 'echo last''-words; exit 3'\r")
    ended = await hub.get("session.ended")
    place = hub.order.index(ended)
    before = b"".join(each[2] for each in hub.order[:place] if isinstance(each, tuple))

    assert {
        "type": "session.ended",
        "session_id": session,
        "reason": "exited",
        "exit_code": 3,
    } == ended
    assert b"last-words" in before


async def test_everything_ends_with_the_session(hub: Hub, run: Run, multiplexer: str) -> None:
    """Background jobs too; it is said once, and ending it again is no error."""
    await run(multiplexer)
    session = _uid()
    await hub.create(session)
    await hub.type(session, "sleep 1000 & echo pid=$! sid=$(cut -d' ' -f6 /proc/$$/stat)==\r")
    found = await hub.until(lambda: re.search(rb"sid=([0-9]+)=", hub.output(session)))
    leader = int(found[1])
    running = len(processes.members(leader))
    ended = await hub.ask("session.end", session_id=session)
    again = await hub.ask("session.end", session_id=session)

    assert running >= 2
    assert [] == processes.members(leader)
    assert (True, True) == (ended["ok"], again["ok"])
    assert ["ended"] == [each["reason"] for each in hub.of("session.ended")]


async def test_the_token_is_not_in_the_shell(hub: Hub, run: Run, multiplexer: str) -> None:
    """The environment of a session is made anew, and its home is in the machine's root."""
    os.environ["GATEWAY_AUTH_TOKEN"] = TOKEN
    try:
        await run(multiplexer)
        session = _uid()
        await hub.create(session, columns=200)
        await hub.type(session, "env | sort; echo do''ne\r")
        output = await hub.shown(session, b"done\r\n")
    finally:
        del os.environ["GATEWAY_AUTH_TOKEN"]

    assert TOKEN.encode() not in output
    assert b"GATEWAY_AUTH_TOKEN" not in output
    assert b"TMUX=" not in output
    assert b"/root/root\r\n" in output.replace(b"HOME=", b"")


async def test_the_size_changes(hub: Hub, run: Run, multiplexer: str) -> None:
    """A session has the size it was made with, then the one it is given."""
    await run(multiplexer)
    session = _uid()
    await hub.create(session, columns=91, rows=31)
    started = await hub.get("session.started")
    await hub.type(session, "stty size\r")
    await hub.shown(session, b"31 91\r\n")
    resize = {"type": "session.resize", "session_id": session, "columns": 120, "rows": 40}
    await hub.send(resize)
    await hub.type(session, "stty size\r")
    await hub.shown(session, b"40 120\r\n")
    snapshot = await hub.snapshot(session)

    assert (91, 31, 0) == (started["columns"], started["rows"], started["sequence"])
    assert (120, 40) == (snapshot["columns"], snapshot["rows"])


async def test_a_flood_is_left_out_and_the_program_goes_on(
    hub: Hub, run: Run, root: Path, multiplexer: str
) -> None:
    """Nobody acks: a window is sent, the program ends, and the next ack shows the gap."""
    await run(multiplexer)
    session = _uid()
    await hub.create(session)
    await hub.type(session, "seq 200000 > /dev/tty; touch finished; exec sleep 100\r")
    finished = root / "root" / "finished"
    async with asyncio.timeout(20):
        while not finished.exists():  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.02)
    await hub.until(lambda: len(hub.output(session)) >= WINDOW)
    sent = len(hub.output(session))
    _, sequence, data = hub.frames[-1]
    await hub.ack(session, sequence + len(data))
    await hub.until(lambda: hub.frames[-1][1] > sequence + len(data))
    shown: list[str] = []
    while "200000" not in shown:  # what the terminal has not read yet
        shown = _screen((await hub.snapshot(session))["data"], 80, 24)

    assert WINDOW == sent


async def test_an_unknown_agent_is_refused(hub: Hub, run: Run) -> None:
    """The caller and whoever watches are told."""
    await run()
    session = _uid()
    answer = await hub.create(session, agent_type="nobody")
    told = await hub.get("session.error")

    assert "no-such-agent" == answer["error"]["code"]
    assert answer["error"] == told["error"]


async def test_sessions_of_tmux_outlive_the_gateway(hub: Hub, run: Run) -> None:
    """A new program goes on with the same shell, and learns of the exit meanwhile."""
    first = await run("tmux")
    stays, goes = _uid(), _uid()
    for session in (stays, goes):
        await hub.create(session)
        await hub.type(session, "x=kept; echo re''ady\r")
        await hub.shown(session, b"ready\r\n")
    await hub.type(goes, "sleep 0.3; exit 7\r")
    await run.stop(first)
    await run("tmux")
    hello = hub.of("gateway.hello")[-1]
    ended = await hub.get("session.ended")
    await hub.type(stays, "echo $x-a''nd-here\r")
    await hub.until(lambda: b"kept-and-here\r\n" in hub.output(stays))

    assert {stays, goes} >= {each["session_id"] for each in hello["sessions"]}
    assert min(each["sequence"] for each in hello["sessions"]) > 0
    assert (goes, "exited", 7) == (ended["session_id"], ended["reason"], ended["exit_code"])


async def test_sessions_of_a_pty_are_lost_with_the_gateway(hub: Hub, run: Run) -> None:
    """The next program says so."""
    first = await run("pty")
    session = _uid()
    await hub.create(session)
    await run.stop(first)
    await run("pty")
    ended = await hub.get("session.ended")

    assert ("lost", session) == (ended["reason"], ended["session_id"])
