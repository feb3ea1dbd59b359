"""A grant from the user's consent to its end, and one thing that goes wrong at each step of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta

import pytest
from structlog.testing import LogCapture

from crds.account import Account
from tests.simulation.conftest import Tally
from tests.simulation.grant_world import (
    AT_CALLS,
    AT_WRITES,
    Fate,
    GrantWorld,
    Mishap,
    grant_world,
)
from tests.simulation.processes import USER
from tests.simulation.sweep import empty, quiet
from tests.support.virtual_time import run

LIMIT_SECONDS = 90 * 86_400.0
ALMOST_A_MONTH = timedelta(days=25)
TABLES = ("objects", "object_log", "events", "tombstones")
# How a statement begins that keeps tokens.
KEPT = ("INSERT INTO secrets", "UPDATE secrets")
Scene = Callable[[GrantWorld], Awaitable[None]]


def play(
    url: str, scene: Scene, fate: Fate | None = None, *, replicas: int = 1
) -> tuple[Fate, list[str]]:
    """Run a scene on virtual time; returns what was done, and what must not have been."""
    empty(url)
    fate, capture = fate or Fate(), quiet()

    async def main() -> list[str]:
        async with grant_world(url, fate, replicas=replicas) as here:
            await here.register()
            await scene(here)
            return here.violations + await leaks(here, capture)

    return fate, run(main, limit_seconds=LIMIT_SECONDS)


async def leaks(here: GrantWorld, capture: LogCapture) -> list[str]:
    """Where a code or a token can be read."""
    texts = [str(entry) for entry in capture.entries]
    for table in TABLES:
        rows = await here.store.database.fetch(f"SELECT {table}::text AS text FROM {table}")  # noqa: S608 - our tables
        texts += [row["text"] for row in rows]
    return [text[:200] for text in texts if any(token in text for token in here.tokens_seen)]


async def revocations(here: GrantWorld) -> list[int]:
    """How often users' operators were told that a grant had ended, by the words of it."""
    for replica in here.replicas:
        await replica.recorder.flush()
    rows = await here.store.database.fetch(
        "SELECT count FROM events WHERE reason = 'GrantRevoked' AND type = 'Warning'"
    )
    return [row["count"] for row in rows]


def lost_for_good(fate: Fate) -> bool:
    """Whether an answer was lost, before it was written, that nobody is given twice."""
    if fate.struck == "/v1/oauth/token":
        return fate.mishap in (Mishap.CRASH_AFTER, Mishap.TIMEOUT_AFTER)
    return fate.mishap is Mishap.CRASH_BEFORE and fate.struck.startswith(KEPT)


async def connected(here: GrantWorld) -> None:
    """Connect; as a user does, once more where the first consent was lost."""
    for _ in range(2):
        await here.connect()
        if (await here.until_phase("Connected", "Disconnected")).status.phase == "Connected":
            return
        assert lost_for_good(here.fate), "a consent was lost that could be used"
    raise AssertionError("two consents were lost")


async def month(here: GrantWorld) -> None:
    """Connect, and come to the day on which the grant is renewed."""
    await connected(here)
    first = await here.grant()
    assert first is not None
    await here.away(ALMOST_A_MONTH)
    await here.until_not(first)
    row = await here.until_phase("Connected", "Revoked")
    if row.status.phase == "Revoked":
        # The one answer that nobody can have again was lost: people are told, once.
        assert lost_for_good(here.fate), "a grant was lost that could be kept"
        assert [1] == await revocations(here)
        assert [] == await here.kept_secrets()
        await connected(here)
    now = await here.grant()
    assert now is not None
    assert now.access != first.access
    assert here.works(now.access)


async def life(here: GrantWorld) -> None:
    """Connect, renew, disconnect, connect again, delete."""
    await month(here)
    await here.wish(state="Disconnected")
    await here.until_phase("Disconnected")
    await nothing_left(here)
    await connected(here)
    await here.delete()
    await here.until_gone()
    await nothing_left(here)


async def nothing_left(here: GrantWorld) -> None:
    """No token is kept, and none of ours is good; but for one whose answer was lost."""
    assert [] == await here.kept_secrets()
    assert len(here.cloud.grants) <= int(lost_for_good(here.fate))


def test_a_life_without_mishap(url: str) -> None:
    """A consent is exchanged once, a grant renewed once, and both grants end at the provider."""
    fate, wrong = play(url, life)

    assert [] == wrong
    calls = [step for step in fate.steps if step.startswith("/")]
    assert [
        "/v1/oauth/token",
        "/v2/account",
        "/v1/oauth/token",
        "/v1/oauth/revoke",
        "/v1/oauth/token",
        "/v2/account",
        "/v1/oauth/revoke",
    ] == calls


def sweep(url: str, tally: Tally, fates: Iterable[Fate], replicas: int = 1) -> None:
    """Play the life under each of the fates, and tell all that broke."""
    broken = []
    for fate in fates:
        tally.runs += 1
        try:
            _, wrong = play(url, life, fate, replicas=replicas)
            assert [] == wrong
            assert fate.struck
        except Exception as error:  # noqa: BLE001 - all of them are to be told
            tally.violations += 1
            broken.append(f"{fate.mishap} at {fate.at} ({fate.struck}): {error!r:.2000}")
    assert not broken, f"{len(broken)} broke:\n" + "\n".join(broken)


@pytest.fixture(scope="module")
def steps(url: str) -> list[str]:
    """The steps of the life in which nothing goes wrong."""
    return play(url, life)[0].steps


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mishap", AT_CALLS)
def test_mishaps_at_calls(url: str, tally: Tally, steps: list[str], mishap: Mishap) -> None:
    """Whatever happens to a call: no token is used blindly, and the user is connected in the end.

    Slow: a life for each call.
    """
    calls = [at for at, step in enumerate(steps) if step.startswith("/")]
    sweep(url, tally, (Fate(at, mishap) for at in calls))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mishap", AT_WRITES)
def test_mishaps_at_writes(url: str, tally: Tally, steps: list[str], mishap: Mishap) -> None:
    """Whatever happens to a write: no token is used blindly, and the user is connected in the end.

    Slow: a life for each write.
    """
    writes = [at for at, step in enumerate(steps) if not step.startswith("/")]
    sweep(url, tally, (Fate(at, mishap) for at in writes))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mishap", [Mishap.HANDED_OVER, Mishap.LEASE_LOST, Mishap.CRASH_AFTER])
def test_mishaps_with_two_replicas(
    url: str, tally: Tally, steps: list[str], mishap: Mishap
) -> None:
    """Two controllers never renew at once, whoever believes to have the shard.

    Slow: a life for each call.
    """
    calls = [at for at, step in enumerate(steps) if step.startswith("/")]
    sweep(url, tally, (Fate(at, mishap) for at in calls), replicas=2)


def test_a_grant_that_was_taken_back(url: str) -> None:
    """It ends in Revoked with one warning, nothing is asked any more, and a new consent heals."""

    async def scene(here: GrantWorld) -> None:
        await connected(here)
        here.cloud.grants.clear()
        await here.wish(verify_at=here.store.clock.now())
        row = await here.until_phase("Revoked")
        asked = len(here.fate.steps)
        for _ in range(3):
            here.resync()
            await here.pass_minutes(10)
        assert ["GrantRevoked", "GrantRevoked"] == [c.reason for c in row.status.conditions]
        assert [1] == await revocations(here)
        assert [] == [step for step in here.fate.steps[asked:] if step.startswith("/")]
        assert [] == await here.kept_secrets()
        await connected(here)

    assert [] == play(url, scene)[1]


def test_a_connection_rests(url: str) -> None:
    """As long as nothing is due, nothing is asked and nothing is written."""

    async def scene(here: GrantWorld) -> None:
        await connected(here)
        done = len(here.fate.steps)
        for _ in range(3):
            here.resync()
            await here.pass_minutes(1)
        assert [] == here.fate.steps[done:]

    assert [] == play(url, scene)[1]


def test_a_refusal_that_was_a_mistake(url: str) -> None:
    """Whoever was refused has the grant looked at; one that works is not renewed for that."""

    async def scene(here: GrantWorld) -> None:
        await connected(here)
        before = await here.grant()
        await here.wish(verify_at=here.store.clock.now())
        await here.until_phase("Connected")
        assert before == await here.grant()

    assert [] == play(url, scene)[1]


def test_a_user_who_changes_their_mind(url: str) -> None:
    """A consent that comes while the former grant is being given up becomes the next grant."""

    async def scene(here: GrantWorld) -> None:
        await connected(here)
        before = await here.grant()
        here.fate.at, here.fate.mishap = len(here.fate.steps) + 1, Mishap.TIMEOUT_AFTER
        await here.wish(state="Disconnected")
        await here.until(here.is_struck, "struck")
        await connected(here)
        now = await here.grant()
        assert now is not None
        assert now != before
        assert here.works(now.access)

    fate, wrong = play(url, scene)

    assert [] == wrong
    assert "/v1/oauth/revoke" == fate.struck


def test_a_renewal_of_what_is_past_its_time(url: str) -> None:
    """A month without controllers costs nobody their grant: the refresh token does not age."""

    async def scene(here: GrantWorld) -> None:
        await connected(here)
        first = await here.grant()
        await here.away(timedelta(days=40))
        await here.until_not(first)
        await here.until_phase("Connected")
        now = await here.grant()
        assert now is not None
        assert here.works(now.access)
        await here.away(timedelta(days=40))
        await here.wish(state="Disconnected")
        await here.until_phase("Disconnected")
        await nothing_left(here)

    assert [] == play(url, scene)[1]


def test_an_account_that_goes(url: str) -> None:
    """With the account its grant goes, at the provider first."""

    async def scene(here: GrantWorld) -> None:
        await connected(here)
        await here.store.delete(Account, USER)
        await here.until_gone()
        await nothing_left(here)

    assert [] == play(url, scene)[1]


def test_another_application(url: str) -> None:
    """Tokens are kept, not lost, where somebody configured another application by mistake."""

    async def scene(here: GrantWorld) -> None:
        await connected(here)
        before = await here.grant()
        here.client_id = "another"
        await here.away(ALMOST_A_MONTH)
        await here.until_blocked("OtherApplication")
        assert before == await here.grant()

    fate, wrong = play(url, scene)

    assert [] == wrong
    assert 2 == len([step for step in fate.steps if step.startswith("/")])
