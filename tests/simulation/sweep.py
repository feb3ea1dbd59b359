"""Runs a scenario under a perturbation, and everything that has to hold afterwards."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from difflib import unified_diff
from functools import cache
from typing import Any

import psycopg
import structlog
from structlog.testing import LogCapture

from crds.store import LocalDoorbell
from tests.simulation.faults import Perturbation, Plan
from tests.simulation.processes import HUB_KEY
from tests.simulation.scenarios import Scenario
from tests.simulation.world import World, kind_of, world
from tests.support.virtual_time import run, running_loop

RESYNCS = 10
# Longer than any resync takes on virtual time.
RESYNC_SECONDS = 5.0
COLLECTED_WITHIN = timedelta(minutes=30)
LIMIT_SECONDS = 6 * 3600.0
TABLES = (
    "objects, object_log, leases, heartbeats, events, secrets, tombstones, gateway_observations"
)
# What differs between two runs that came to the same: identities, moments, counters.
MASKED = re.compile(
    r"(?i)(uid|.*time(stamp)?|.*At|since|.*Since|.*Until|stamp|id|ids|version|resourceVersion|generation"
    r"|observedGeneration|machine|instance|instanceId|account|name|network|url|target|route"
    r"|attempt|count|startTold|lastExitCode|message|configHash|volume|INVOKER_.*|invoker_uid|reason"
    r"|fingerprint|told|applied|secrets|source|copied|build|deploy|warmUpSeconds|hello|tidied|ipv4"
    r"|team)"
)


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        effects: The controllers' effects outside, in order.
        writes: How many row writes they made.
        state: The masked state at the end of the scenario.
        seconds: After how much virtual time it had come to rest.
    """

    effects: tuple[str, ...]
    writes: int
    state: Any
    seconds: float = 0.0


@cache
def calm(url: str, life: Scenario, replicas: int = 1) -> Outcome:
    """The fault-free run, which is the same every time."""
    return live(url, life, replicas=replicas)


def live(
    url: str,
    life: Scenario,
    perturbations: Sequence[Perturbation] = (),
    *,
    seed: int = 0,
    replicas: int = 1,
    doorbell: type[LocalDoorbell] = LocalDoorbell,
) -> Outcome:
    """Run a life and check all invariants.

    Args:
        url: A migrated database of this run's own; it is emptied first.
        life: What happens.
        perturbations: What goes wrong; faults stop when the life's wishes have come true.
        seed: Of the scheduler and of everything random.
        replicas: How many controllers run.
        doorbell: How news of changes spread.

    Raises:
        AssertionError: Something that must hold does not.
    """
    empty(url)
    capture = quiet()
    plan = Plan(*perturbations)

    async def main() -> Outcome:
        ears = doorbell()
        async with world(
            url, plan, replicas=replicas, seed=seed, doorbell=ears, kind=kind_of(life)
        ) as here:
            seed_foreign(here)
            await life(here)
            outcome = await settle(here)
            await end(here)
            await check_secrets(here, capture)
            here.watchman.check()
            return outcome

    return run(main, seed=seed, limit_seconds=LIMIT_SECONDS)


def compare(calm: Outcome, struck: Outcome) -> None:
    """The masked final state is the fault-free run's."""
    expected, found = (json.dumps(o.state, indent=1, sort_keys=True) for o in (calm, struck))
    difference = unified_diff(expected.splitlines(), found.splitlines(), "calm", "struck", n=4)
    assert expected == found, "another final state:\n" + "\n".join(difference)


async def settle(here: World) -> Outcome:
    """Converged means: ten full resyncs change nothing outside."""
    await here.quiesce()
    effects, writes = tuple(here.plan.effects), here.plan.writes
    seconds = running_loop().time()
    still = await here.stillness()
    for _ in range(RESYNCS):
        here.resync()
        await asyncio.sleep(RESYNC_SECONDS)
    late = here.plan.effects[len(effects) :]
    assert not late, f"mutating calls after convergence: {late}"
    after = await here.stillness()
    assert still == after, f"calls or writes after convergence: {still}, then {after}"
    return Outcome(effects, writes, masked(await snapshot(here)), seconds)


async def end(here: World) -> None:
    """Delete everything; nothing of ours is left outside after the collector's window."""
    if await here.phase() is not None:
        await here.delete()
        await here.until_phase(None)
        here.watchman.check_machines_gone()
    await here.until_collected(within=COLLECTED_WITHIN.total_seconds())
    here.watchman.check_nothing_left()
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
                "apps": {
                    "addresses": [
                        sorted(address.type for address in app.addresses)
                        for app in here.fly.apps.values()
                    ]
                },
                "rows": [dict(row) for row in rows],
                "machines": machines,
                "volumes": volumes,
                "entries": here.watchman.entries(),
                "more": await here.more_state(),
            },
            default=str,
        )
    )


def masked(value: Any) -> Any:
    """The value without identities, moments and counters."""
    if isinstance(value, dict):
        return {
            key: "*"
            if MASKED.fullmatch(key) and not isinstance(part, dict | list)
            else masked(part)
            for key, part in value.items()
            if part is not None
        }
    if isinstance(value, list):
        # Conditions stand in the order in which they were first set.
        return sorted((masked(part) for part in value), key=_type_of)
    return value


def _type_of(part: Any) -> str:
    return str(part.get("type", "")) if isinstance(part, dict) else ""


async def check_secrets(here: World, capture: LogCapture) -> None:
    """No secret stands in a log line, an event, a row or its history."""
    secret = [here.tokens.issue(uid).partition(".")[2] for uid in here.seen_uids]
    secret += [here.fly.token, here.kv.token, HUB_KEY.decode(), *here.secret_values()]
    texts = [str(entry) for entry in capture.entries] + here.more_texts()
    for table in ("objects", "object_log", "events", "heartbeats", "tombstones"):
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
        connection.execute(f"TRUNCATE {TABLES}")
        connection.execute("ALTER SEQUENCE resource_versions RESTART")
        connection.execute("UPDATE log_horizon SET compacted = 0")
