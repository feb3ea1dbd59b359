"""Every property of a workspace through its values, legal and illegal."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from crds.meta import Key
from crds.platform import PlatformSpec
from crds.workspace import WORKSPACE
from tests.simulation.processes import USER
from tests.simulation.scenarios import BIG, HARM, OK, Scenario, sign_up
from tests.simulation.sweep import masked, snapshot
from tests.simulation.world import World

DEFAULTS = PlatformSpec()
LARGE = {"cpu_kind": "performance", "cpus": 1, "memory_mb": 2048}
IMAGES = ("registry.example.com/counterspell:2", "registry.example.com/counterspell:3")
MOMENTS = (datetime(2030, 1, 1, 0, 1, tzinfo=UTC), datetime(2030, 1, 1, 0, 2, tzinfo=UTC))
VALUES: dict[str, Sequence[Any]] = {
    "power": ("Running", "Stopped"),
    "size": (None, BIG, LARGE),
    "image": (None, *IMAGES),
    "subdomain": ("alice", "alicia", "ally"),
    "region": (None, "iad", "fra", "lhr"),
    "recreate": ("Never", "OnRegionChange"),
    "wake_at": (None, *MOMENTS),
}
# As plain SQL would write them.
ILLEGAL: tuple[dict[str, Any], ...] = (
    {"power": "Sleeping"},
    {"size": {"cpuKind": "shared", "cpus": 3, "memoryMb": 1}},
    {"image": ""},
    {"subdomain": "-bad"},
    {"subdomain": "www"},
    {"region": "Moon Base"},
    {"volumeGb": 0},
    {"volumeGb": 501},
    {"idleTimeoutSeconds": 5},
    {"wakeAt": "soon"},
    {"recreate": "Always"},
    {"colour": "red"},
)


def circuit(values: Sequence[Any]) -> Iterator[Any]:
    """Go over every ordered pair once and end at the first value again."""
    for place, first in enumerate(values):
        for second in values[place + 1 :]:
            yield first
            yield second
    yield values[0]


def transitions_of(name: str) -> Scenario:
    """The life in which a property takes all its values, in every order, and is rolled back."""

    async def life(world: World) -> None:
        await sign_up(world)
        await world.quiesce()
        before = await state(world)
        for value in circuit(VALUES[name]):
            await world.wish(**{name: value})
            await world.until_phase("Stopped" if value == "Stopped" else "Running")
            await CHECKS.get(name, _nothing_else)(world, value)
        await world.until_answered()
        await world.quiesce()
        assert await state(world) == before, "a rollback leads to the state before"

    return life


async def state(world: World) -> Any:
    """The masked state, without the old names that go on redirecting for a month."""
    found = masked(await snapshot(world))
    found["rows"] = [row for row in found["rows"] if "redirectTo" not in row["spec"]]
    found["entries"] = {
        name: entry for name, entry in found["entries"].items() if entry["state"] != "redirect"
    }
    return found


async def _nothing_else(_: World, __: Any) -> None:
    """The property has no other effect that stays."""


async def _has_size(world: World, size: dict[str, Any] | None) -> None:
    assert world.fly_config()["guest"] == (size or DEFAULTS.size.model_dump())


async def _has_image(world: World, image: str | None) -> None:
    assert world.fly_config()["image"] == (image or DEFAULTS.image)


async def _has_name(world: World, subdomain: str) -> None:
    for name in VALUES["subdomain"]:
        if name == subdomain:
            await world.until_answered(name)
        elif world.entry(name) is not None:
            await world.until_entry(name, "redirect")


async def _has_region(world: World, region: str | None) -> None:
    # None keeps what was asked for before; the volume stays where it is in any case.
    if region in ("fra", "lhr"):
        await world.until_condition("RegionRefused")
    assert {volume.region for volume in world.fly.volumes.values()} == {"iad"}


CHECKS: dict[str, Callable[[World, Any], Awaitable[None]]] = {
    "size": _has_size,
    "image": _has_image,
    "subdomain": _has_name,
    "region": _has_region,
}


async def volume_grows(world: World) -> None:
    """A volume grows in place; a smaller size is refused, visibly, and does no harm."""
    await sign_up(world)
    volume = await world.volume_id()
    for size in (2, 3, 5):
        await world.wish(volume_gb=size)
        await world.until_phase("Running")
        assert world.fly.volumes[volume].size_gb == size
    for size in (4, 1):
        await world.wish(volume_gb=size)
        await world.until_condition("ShrinkRefused")
        assert world.fly.volumes[volume].size_gb == 5
    await world.wish(volume_gb=5)
    await world.until_phase("Running")
    await world.until_no_condition("ShrinkRefused")
    assert await world.volume_id() == volume


async def shrink_withdrawn(world: World) -> None:
    """Who takes a refused wish back, without another one, is not reminded of it."""
    await sign_up(world)
    await world.wish(volume_gb=3)
    await world.until_phase("Running")
    await world.wish(volume_gb=1)
    await world.until_condition("ShrinkRefused")
    await world.wish(volume_gb=None)
    await world.until_no_condition("ShrinkRefused")


async def illegal_by_sql(world: World) -> None:
    """An illegal value in the row is told, touches nothing outside, and can be taken back."""
    await sign_up(world)
    for value in ILLEGAL:
        await _edit_and_take_back(world, "Workspace", value)


async def illegal_machine_by_sql(world: World) -> None:
    """The same holds for the machine's own row."""
    await sign_up(world)
    for value in ({"size": {"cpuKind": "shared", "cpus": 3, "memoryMb": 1}}, {"power": "On"}):
        await _edit_and_take_back(world, "Machine", value)


async def _edit_and_take_back(world: World, kind: str, value: dict[str, Any]) -> None:
    row = await _row(world, kind)
    legal, effects = row["spec"], len(world.plan.effects)
    await _write_spec(world, kind, {**legal, **value})

    async def told() -> bool:
        return _ready(await _row(world, kind)) == ("False", "InvalidSpec")

    async def well() -> bool:
        row = await _row(world, kind)
        return _ready(row)[0] == "True" and row["spec"] == legal

    await world.until(told, f"{value} is told")
    await world.pass_time(HARM)
    assert world.plan.effects[effects:] == [], f"{value} had effects"
    assert await world.request() == OK
    await _write_spec(world, kind, legal)
    await world.until(well, f"{value} is taken back")


async def _row(world: World, kind: str) -> Any:
    return await world.store.find_row(Key(kind, USER, WORKSPACE))


async def _write_spec(world: World, kind: str, spec: dict[str, Any]) -> None:
    await world.store.database.execute(
        "UPDATE objects SET spec = %s WHERE kind = %s", json.dumps(spec), kind
    )


def _ready(row: Any) -> tuple[str, str]:
    """The row's condition Ready, whatever its spec is like."""
    conditions = row["status"].get("conditions", [])
    return next(
        ((c["status"], c["reason"]) for c in conditions if c["type"] == "Ready"), ("Unknown", "")
    )


TRANSITIONS: dict[str, Scenario] = {
    **{f"transitions_of_{name}": transitions_of(name) for name in VALUES},
    "volume_grows": volume_grows,
    "shrink_withdrawn": shrink_withdrawn,
    "illegal_by_sql": illegal_by_sql,
    "illegal_machine_by_sql": illegal_machine_by_sql,
}
