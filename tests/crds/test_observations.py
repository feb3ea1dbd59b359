"""What gateways report: of each subject the newest, whatever order it comes in."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

import crds.store
from crds.meta import ObjectMeta
from crds.session import Session, SessionSpec
from crds.store import Store
from crds.store.migrate import DOWN, migrations
from crds.store.observations import (
    CONNECTION,
    HEALTH,
    HELLO,
    Observation,
    Observations,
    agent_subject,
    session_error_subject,
    session_subject,
)
from crds.vps import Vps, VpsSpec

pytestmark = pytest.mark.anyio

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ONE, OTHER = UUID(int=1), UUID(int=2)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """A store on a fresh database."""
    async with Store.opened(database_url) as opened:
        yield opened


@pytest.fixture
def seen(store: Store) -> Observations:
    """Its table of what gateways report."""
    return Observations(store.database)


def _told(
    sequence: int,
    subject: str = HELLO,
    gateway: UUID = ONE,
    message: dict[str, Any] | None = None,
) -> Observation:
    return Observation(gateway, subject, sequence, "gateway.hello", NOON, message)


def test_subjects_are_apart() -> None:
    """A session's state, its error and an agent do not overwrite each other."""
    session = uuid4()
    subjects = {
        CONNECTION,
        HELLO,
        HEALTH,
        agent_subject(str(session)),
        session_subject(session),
        session_error_subject(session),
    }

    assert 6 == len(subjects)


async def test_what_was_seen_is_known_by_subject(seen: Observations) -> None:
    """All of a gateway, or some subjects of it, and nothing of another gateway."""
    hello, health = _told(1, message={"sessions": []}), _told(2, HEALTH)
    await seen.record([hello, health, _told(9, gateway=OTHER)], NOON)

    assert {HELLO: hello, HEALTH: health} == await seen.of(ONE)
    assert {HEALTH: health} == await seen.of(ONE, HEALTH, CONNECTION)
    assert {} == await seen.of(uuid4())
    assert {ONE: 1, OTHER: 9} == {
        gateway: each.sequence
        for gateway, each in (await seen.newest([ONE, OTHER, uuid4()], HELLO)).items()
    }


async def test_nothing_is_as_good_as_not_reported(seen: Observations) -> None:
    """An empty report changes nothing."""
    await seen.record([], NOON)

    assert {} == await seen.of(ONE)


async def test_reports_that_come_twice_or_late_change_nothing(seen: Observations) -> None:
    """The hub sends again what may not have arrived, and reports overtake each other."""
    await seen.record([_told(5, message={"n": 5})], NOON)
    await seen.record([_told(5, message={"n": 0}), _told(4), _told(3)], NOON + SECOND)
    known = (await seen.of(ONE))[HELLO]

    assert (5, {"n": 5}) == (known.sequence, known.message)
    assert {} == await seen.news(NOON + SECOND)


async def test_the_newest_of_one_report_holds(seen: Observations) -> None:
    """One report may hold several of one subject, in any order."""
    await seen.record([_told(2), _told(7), _told(3)], NOON)

    assert 7 == (await seen.of(ONE))[HELLO].sequence


async def test_news_are_what_wakes_somebody(seen: Observations) -> None:
    """Health comes from every gateway all the time and is no news; everything else is."""
    await seen.record([_told(1), _told(3, CONNECTION), _told(9, HEALTH)], NOON)
    await seen.record([_told(4, HEALTH, OTHER)], NOON)

    assert {(ONE, HELLO): 1, (ONE, CONNECTION): 3} == await seen.news(NOON)
    assert {} == await seen.news(NOON + SECOND)


async def test_reports_at_once_do_not_wait_for_each_other(seen: Observations) -> None:
    """Two that hold the same gateways in opposite order are both written."""
    gateways = [uuid4() for _ in range(20)]
    reports = [
        [_told(number, gateway=each) for each in order]
        for number, order in enumerate([gateways, gateways[::-1]] * 4, start=1)
    ]
    await asyncio.gather(*(seen.record(report, NOON) for report in reports))
    known = await seen.newest(gateways, HELLO)

    assert {8} == {each.sequence for each in known.values()}


async def test_what_is_gone_is_forgotten(seen: Observations) -> None:
    """A gateway as a whole, or single subjects of it; others stay."""
    session = session_subject(uuid4())
    await seen.record([_told(1), _told(2, session), _told(1, gateway=OTHER)], NOON)
    await seen.forget_subjects(ONE, session)
    left = set(await seen.of(ONE))
    await seen.forget(ONE)

    assert {HELLO} == left
    assert {} == await seen.of(ONE)
    assert {HELLO} == set(await seen.of(OTHER))


async def test_the_log_does_not_hear_of_it(store: Store, seen: Observations) -> None:
    """What gateways report wakes nobody who watches objects."""
    await seen.record([_told(1)], NOON)

    assert 0 == await store.log.newest()


async def test_any_order_of_reports_ends_the_same(seen: Observations) -> None:
    """However reports are cut and whichever overtakes another, the newest of each subject holds."""
    rng = random.Random(7)  # noqa: S311 - a repeatable order
    gateways = [uuid4() for _ in range(10)]
    for gateway in gateways:
        left = [_told(number, (HELLO, HEALTH)[number % 2], gateway) for number in range(8)]
        rng.shuffle(left)
        while left:
            size = rng.randint(1, 4)
            await seen.record(left[:size], NOON)
            left = left[size:]
    known = [await seen.of(gateway) for gateway in gateways]

    assert [{HELLO: 6, HEALTH: 7}] * len(gateways) == [
        {name: each.sequence for name, each in of.items()} for of in known
    ]


def test_the_table_goes_and_comes_back(database_url: str) -> None:
    """Going back one version leaves nothing of it, and going forward again makes it as it was."""
    step = next(each for each in migrations() if each.name == "0009_gateways.sql")
    text = files(crds.store).joinpath("migrations", step.name).read_text(encoding="utf-8")
    with psycopg.connect(database_url, autocommit=True) as connection:
        before = _schema(connection)
        connection.execute(text.partition(DOWN)[2])
        without = _schema(connection)
        connection.execute(step.sql)

        assert before == _schema(connection)
    assert {"gateway_observations", "vpses", "terminal_sessions", "authorized_keys"} < {
        table for table, *_ in before - without
    }
    assert set() == without - before


def _schema(connection: psycopg.Connection) -> set[tuple[str, str, str]]:
    """The columns of every table and view."""
    return set(
        connection.execute(
            "SELECT table_name, column_name, data_type FROM information_schema.columns "
            "WHERE table_schema = current_schema()"
        ).fetchall()
    )


async def test_what_has_no_row_is_forgotten(store: Store, seen: Observations) -> None:
    """Gateways without their Vps, sessions without their Session; what has rows stays."""
    meta = ObjectMeta(name="one", namespace="alice")
    vps = await store.create(Vps(metadata=meta, spec=VpsSpec()))
    live = await store.create(Session(metadata=meta, spec=SessionSpec(vps="one")))
    kept = {HELLO, agent_subject("codex"), session_subject(live.uid)}
    gone = {session_subject(uuid4()), session_error_subject(uuid4()), session_subject(vps.uid)}
    told = [_told(1, subject, vps.uid) for subject in (*kept, *gone)]
    await seen.record([*told, _told(1), _told(1, agent_subject("codex"))], NOON)
    forgotten = await seen.forget_rowless()

    assert (len(gone) + 2, kept) == (forgotten, set(await seen.of(vps.uid)))
    assert {} == await seen.of(ONE)
