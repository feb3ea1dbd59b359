"""Runs a scenario under a perturbation, and everything that has to hold afterwards."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
import structlog
from structlog.testing import LogCapture

from tests.simulation.faults import Perturbation, Plan
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.world import HUB_KEY, World, world
from tests.support.virtual_time import run

RESYNCS = 10
COLLECTED_WITHIN = timedelta(minutes=30)
LIMIT_SECONDS = 6 * 3600.0
TABLES = "objects, object_log, leases, heartbeats, events, secrets"
# What differs between two runs that came to the same: identities, moments, counters.
MASKED = re.compile(
    r"(?i)(uid|.*time(stamp)?|.*At|since|.*Since|.*Until|stamp|id|ids|version|resourceVersion|generation"
    r"|observedGeneration|machine|instance|instanceId|account|name|network|url|target|route"
    r"|attempt|count|lastExitCode|message|configHash|volume|INVOKER_.*|invoker_uid|reason)"
)


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        effects: The controllers' effects outside, in order.
        writes: How many row writes they made.
        state: The masked state at the end of the scenario.
    """

    effects: tuple[str, ...]
    writes: int
    state: Any


def simulate(
    url: str,
    scenario: str,
    perturbations: Sequence[Perturbation] = (),
    *,
    seed: int = 0,
    replicas: int = 1,
) -> Outcome:
    """Run a scenario and check all invariants.

    Args:
        url: A migrated database of this run's own; it is emptied first.
        scenario: Its name.
        perturbations: What goes wrong; faults stop when the scenario's wishes have come true.
        seed: Of the scheduler and of everything random.
        replicas: How many controllers run.

    Raises:
        AssertionError: Something that must hold does not.
    """
    empty(url)
    capture = quiet()
    plan = Plan(*perturbations)

    async def main() -> Outcome:
        async with world(url, plan, replicas=replicas, seed=seed) as here:
            seed_foreign(here)
            await SCENARIOS[scenario](here)
            outcome = await settle(here)
            await end(here)
            await check_secrets(here, capture)
            here.watchman.check()
            return outcome

    return run(main, seed=seed, limit_seconds=LIMIT_SECONDS)


async def settle(here: World) -> Outcome:
    """Converged means: ten full resyncs change nothing outside."""
    await here.quiesce()
    effects, writes = tuple(here.plan.effects), here.plan.writes
    for _ in range(RESYNCS):
        await here.resync()
    late = here.plan.effects[len(effects) :]
    assert not late, f"mutating calls after convergence: {late}"
    return Outcome(effects, writes, masked(await snapshot(here)))


async def end(here: World) -> None:
    """Delete everything; nothing of ours is left outside after the collector's window."""
    if await here.phase() is not None:
        await here.delete()
        await here.until_phase(None)
    await here.until_collected(within=COLLECTED_WITHIN.total_seconds())
    here.watchman.check_no_orphans(set())
    assert "foreign-app" in here.fly.apps
    assert "unmarked-app" in here.fly.apps
    touched = [e.operation for e in here.fly.effects if e.app in ("foreign-app", "unmarked-app")]
    assert not touched


def seed_foreign(here: World) -> None:
    """Put things into the cloud that are not ours; they must be there at the end."""
    here.fly.seed_foreign_app("foreign-app", org="somebody-else")
    here.fly.seed_foreign_app("unmarked-app", org=here.fly.org)


async def snapshot(here: World) -> Any:
    """Rows, machines and entries, in one order."""
    rows = await here.store.database.fetch(
        "SELECT kind, name, spec, status - 'retry' AS status, finalizers FROM objects "
        "ORDER BY kind, name"
    )
    machines = [
        machine.config | {"state": machine.state}
        for machine in here.fly.machines.values()
        if machine.state != "destroyed"
    ]
    volumes = [
        {"region": volume.region, "size": volume.size_gb}
        for volume in here.fly.volumes.values()
        if volume.state == "created"
    ]
    return json.loads(
        json.dumps(
            {
                "rows": [dict(row) for row in rows],
                "machines": machines,
                "volumes": volumes,
                "entries": here.watchman.entries(),
            },
            default=str,
        )
    )


def masked(value: Any) -> Any:
    """The value without identities, moments and counters."""
    if isinstance(value, dict):
        return {
            key: "*" if MASKED.fullmatch(key) and not isinstance(part, dict | list) else masked(part)
            for key, part in value.items()
            if part is not None
        }
    if isinstance(value, list):
        return [masked(part) for part in value]
    return value


async def check_secrets(here: World, capture: LogCapture) -> None:
    """No secret stands in a log line, an event, a row or its history."""
    secret = [here.tokens.issue(uid).partition(".")[2] for uid in here.seen_uids]
    secret += [here.fly.token, here.kv.token, HUB_KEY.decode()]
    texts = [str(entry) for entry in capture.entries]
    for table in ("objects", "object_log", "events"):
        rows = await here.store.database.fetch(f"SELECT {table}::text AS text FROM {table}")  # noqa: S608 - our tables
        texts += [row["text"] for row in rows]
    leaks = [text[:200] for text in texts if any(part in text for part in secret)]
    assert not leaks, f"secrets leaked: {leaks[:3]}"


def quiet() -> LogCapture:
    """Keep the log to ourselves."""
    capture = LogCapture()
    structlog.configure(processors=[capture], cache_logger_on_first_use=False)
    logging.disable(logging.CRITICAL)
    return capture


def empty(url: str) -> None:
    """Forget everything that an earlier run left in the database."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"TRUNCATE {TABLES}")  # type: ignore[arg-type]  # our tables
        connection.execute("ALTER SEQUENCE resource_versions RESTART")
        connection.execute("UPDATE log_horizon SET compacted = 0")
