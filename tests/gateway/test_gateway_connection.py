"""The connection: its waits, its ends, and what is said on it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from deploy.gateway.connection import ClosedError, Connection, Socket, UnreachableError
from deploy.gateway.outbound import Outbound
from deploy.gateway.protocol import Message
from deploy.gateway.waits import LONG_SECONDS, MOST_SECONDS, Waits
from tests.gateway.conftest import Run
from tests.gateway.gateway_hub import Hub, public_key
from tests.support import virtual_time

Outcome = tuple[float, Exception]


class _Line:
    """A socket that ends after a while, as it is told."""

    def __init__(self, seconds: float, error: Exception | None) -> None:
        self._seconds = seconds
        self._error = error

    async def send(self, content: str | bytes) -> None:
        """Take it."""

    async def messages(self) -> AsyncIterator[str]:
        """Yield nothing, and end."""
        await asyncio.sleep(self._seconds)
        if self._error is not None:
            raise self._error
        yield ""


class _Silent:
    def greet(self) -> Message:
        """Greet."""
        return {"type": "gateway.hello"}

    def hear(self, text: str) -> None:
        """Hear nothing."""

    def lost(self) -> None:
        """Lose nothing."""


def _dials(outcomes: list[Outcome]) -> list[float]:
    """Return when each connection was tried, in virtual seconds; each ends as told."""
    tried: list[float] = []

    @asynccontextmanager
    async def dial() -> AsyncIterator[Socket]:
        tried.append(asyncio.get_running_loop().time())
        seconds, error = outcomes.pop(0) if outcomes else (0.0, ClosedError(4004))
        if isinstance(error, UnreachableError):
            raise error
        yield _Line(seconds, error)

    async def run() -> None:
        await Connection(dial, Outbound(), _Silent(), Waits(lambda: 0.0)).run()

    virtual_time.run(run, limit_seconds=7200)
    return [at - tried[0] for at in tried]


def test_the_waits_grow_to_a_minute() -> None:
    """1, 2, 4 … 60 s while nobody answers."""
    tried = _dials([(0, UnreachableError(0, "refused"))] * 9)
    waits = [after - before for before, after in pairwise(tried)]

    assert [1, 2, 4, 8, 16, 32, 60, 60, 60] == waits


def test_a_good_connection_begins_the_waits_anew() -> None:
    """One that lasted a minute; one that broke at once does not."""
    ends = [(0.0, ClosedError(1006)), (0.0, ClosedError(1006)), (100.0, ClosedError(1006))]
    tried = _dials([*ends])

    assert [0, 1, 3, 104] == tried


def test_the_one_that_was_replaced_waits_long() -> None:
    """Or two gateways with one id would throw each other out for ever."""
    tried = _dials([(5.0, ClosedError(4000))])

    assert [0, 5 + LONG_SECONDS] == tried


def test_a_refused_credential_waits_longer_than_a_failure() -> None:
    """It is hardly taken a second later, but a Vps can be younger than its gateway."""
    tried = _dials([(0, UnreachableError(status, "no")) for status in (401, 404)])

    assert [0, 15, 30] == tried


def test_the_gateway_that_is_no_more_does_not_come_back() -> None:
    """4004 is the last word."""
    tried = _dials([])

    assert [0] == tried


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_chance_shortens_a_wait_by_half_at_most(chance: float) -> None:
    """So that gateways spread out."""
    waits = Waits(lambda: chance)
    first, *_, last = [waits.after_failure() for _ in range(2000)]

    assert (1 - chance / 2, MOST_SECONDS * (1 - chance / 2)) == (first, last)


@pytest.mark.anyio
async def test_it_comes_back_with_its_sessions_and_lasting_words(hub: Hub, run: Run) -> None:
    """The second hello names the session, and output goes on from there."""
    await run()
    session = "0b9d3a52-6a7e-4c51-9a55-2f0c6d1f7a10"
    await hub.create(session)
    await hub.type(session, "echo fi''rst\r")
    await hub.shown(session, b"first\r\n")
    await hub.connections[-1].close(1012)
    hello = await hub.get("gateway.hello", 2)
    at = hello["sessions"][0]["sequence"]
    before = len(hub.frames)
    await hub.type(session, "echo sec''ond\r")
    await hub.until(lambda: b"second\r\n" in hub.output(session))

    assert [session] == [each["session_id"] for each in hello["sessions"]]
    assert at == hub.frames[before][1]


@pytest.mark.anyio
async def test_what_could_not_be_said_is_said_by_the_next_program(hub: Hub, run: Run) -> None:
    """A session that ends while nobody is connected is not forgotten."""
    first = await run()
    session = "0b9d3a52-6a7e-4c51-9a55-2f0c6d1f7a10"
    await hub.create(session)
    hub.refusal = 503
    await hub.connections[-1].close(1012)
    await hub.connections[-1].wait_closed()
    while first._outbound.is_open:  # noqa: ASYNC110 - a few turns of the loop
        await asyncio.sleep(0)
    await first.sessions.end(session)
    await run.stop(first)
    hub.refusal = 0
    await run()
    ended = await hub.get("session.ended")

    assert (session, "ended") == (ended["session_id"], ended["reason"])


@pytest.mark.anyio
async def test_a_gateway_that_is_no_more_ends(hub: Hub, run: Run) -> None:
    """And says so, for whoever started it."""
    gateway = await run()
    await hub.connections[-1].close(4004)
    gone = await run.ended(gateway)

    assert gone


@pytest.mark.anyio
async def test_it_says_hello_then_how_the_machine_is(hub: Hub, run: Run) -> None:
    """Both fit their schemas, and the numbers are real ones."""
    await run()
    health = await hub.get("gateway.health")

    assert ["gateway.hello", "gateway.health"] == [each["type"] for each in hub.heard]
    assert 0 < health["memory_used_bytes"] < health["memory_total_bytes"]
    assert 0 < health["disk_used_bytes"] < health["disk_total_bytes"]
    assert health["uptime_seconds"] > 0


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("text", "code", "about"),
    [
        ("{", "malformed", None),
        ("[]", "malformed", None),
        ('{"type": 3}', "malformed", None),
        ('{"type": "session.explode"}', "unknown-type", "session.explode"),
        ('{"type": "session.end", "id": "c"}', "malformed", "session.end"),
        ('{"type": "gateway.hello"}', "unknown-type", "gateway.hello"),
    ],
)
async def test_what_is_not_understood_is_answered(
    hub: Hub, run: Run, text: str, code: str, about: str | None
) -> None:
    """With an error that says what and why, and the connection goes on."""
    await run()
    await hub.send(text)
    error = await hub.get("error")
    listed = await hub.ask("ssh.list")

    assert (code, about) == (error["error"]["code"], error.get("about"))
    assert [] == listed["keys"]


@pytest.mark.anyio
async def test_a_command_that_comes_twice_is_done_once(hub: Hub, run: Run) -> None:
    """It is answered twice, also by the next program; another one with its id is refused."""
    first = await run()
    line, fingerprint = public_key("one")
    wish = {"fingerprint": fingerprint, "public_key": line, "label": "x", "expires_at": None}
    answers = [await hub.ask("ssh.authorize", id="same", **wish)]
    await hub.ask("ssh.revoke", fingerprint=fingerprint)
    answers.append(await hub.ask("ssh.authorize", id="same", **wish))
    await run.stop(first)
    await run()
    answers.append(await hub.ask("ssh.authorize", id="same", **wish))
    other = await hub.ask("ssh.authorize", id="same", **wish | {"label": "y"})
    listed = await hub.ask("ssh.list")

    assert [{"type": "ack", "id": "same", "ok": True}] * 3 == answers
    assert "conflict" == other["error"]["code"]
    assert [] == listed["keys"]
