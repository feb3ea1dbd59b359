"""What happens to a droplet at DigitalOcean behind our back, and how its VPS comes through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import httpx

from crds.authorized_key import AuthorizedKey
from crds.cloud_connection import DIGITALOCEAN, CloudConnection
from crds.vps import Vps
from deploy.local.simulators.digitalocean import API_HOST
from tests.simulation.losses import interposed
from tests.simulation.scenarios import Scenario
from tests.simulation.vps_lives import here, ready, runs, vps_up, vps_used
from tests.simulation.vps_processes import twin_tags
from tests.simulation.vps_world import NAME, VpsWorld
from tests.simulation.world import OK, World, lived_in

REST: Final = timedelta(minutes=3)
LONG: Final = timedelta(minutes=20)
# Longer than a loss takes to be believed, and than a new droplet takes to come up.
AFTERWARDS: Final = timedelta(minutes=10)
NOT_FOUND, UNAUTHORIZED, BROKEN = 404, 401, 500
# Twice a minute something that is down may be asked, and by each of three that need it.
CALLS_A_MINUTE: Final = 8


def number(box: VpsWorld) -> int:
    """DigitalOcean's number of the one droplet."""
    return box.droplet().id


async def recovered(box: VpsWorld) -> None:
    """Let time pass until all is as it was."""
    await ready(box)
    await runs(box, "one", "two")
    row = await box.until_told(AuthorizedKey, "mine", "Authorized")
    machine = box.gateway().machine
    await box.until_cloud(lambda: row.spec.fingerprint in machine.keys, "the key is let in")
    await box.until_cloud(lambda: "coder" in machine.agents, "the agent is installed")


@lived_in(VpsWorld)
async def vps_droplet_destroyed(world: World) -> None:
    """A droplet that its owner destroyed is made anew, with all that was in it."""
    box = here(world)
    await vps_used(box)
    before = number(box)
    await box.cloud.monkey_destroy(before)
    await box.until_event("DropletLost")
    await recovered(box)
    assert number(box) != before


@lived_in(VpsWorld)
async def vps_droplet_destroyed_while_off(world: World) -> None:
    """One that is off is not made anew before it shall run, and is said to be off."""
    box = here(world)
    await vps_used(box)
    await box.wish(power="Stopped")
    await box.until_phase("Off")
    await box.cloud.monkey_destroy(number(box))
    await box.until_event("DropletLost")
    await box.until_phase("Off")
    assert not box.watch.ours()
    await box.wish(power="Running")
    await recovered(box)


@lived_in(VpsWorld)
async def vps_switched_off(world: World) -> None:
    """A droplet that its owner switched off is switched on again."""
    box = here(world)
    await vps_used(box)
    before = number(box)
    await box.cloud.monkey_power(before, "off")
    await box.until_event("PowerOn")
    await recovered(box)
    assert number(box) == before


@lived_in(VpsWorld)
async def vps_switched_on(world: World) -> None:
    """One that shall be off is switched off again."""
    box = here(world)
    await vps_used(box)
    await box.wish(power="Stopped")
    await box.until_phase("Off")
    await box.cloud.monkey_power(number(box), "active")
    await box.pass_time(REST)
    await box.until_phase("Off")
    assert box.droplet().status == "off"


@lived_in(VpsWorld)
async def vps_shutdown_ignored(world: World) -> None:
    """A droplet that heeds no shutdown has its power cut off after a minute, and not before."""
    box = here(world)
    await vps_used(box)
    box.cloud.ignored_shutdowns = 1
    await box.wish(power="Stopped")
    await box.until_event("ShutdownIgnored")
    await box.until_phase("Off")
    assert box.droplet().status == "off"


@lived_in(VpsWorld)
async def vps_grant_revoked(world: World) -> None:
    """The user takes the grant back: the droplet stays as it is, and another consent heals it."""
    box = here(world)
    await vps_used(box)
    before = number(box)
    box.cloud.grants.clear()
    await box.until_told(CloudConnection, DIGITALOCEAN, "Revoked")
    await blocked(box, "NotConnected")
    await box.pass_time(LONG)
    assert number(box) == before
    await box.connect()
    await recovered(box)
    assert number(box) == before


async def blocked(box: VpsWorld, reason: str) -> None:
    """Let time pass until the VPS waits for somebody."""

    def holds(row: Vps) -> bool:
        return row.status.retry is not None and row.status.retry.reason == reason

    await box.until_row(Vps, NAME, holds, reason)


@lived_in(VpsWorld)
async def vps_deleted_without_grant(world: World) -> None:
    """Deleted when the grant is gone: the row stays until the droplet can be destroyed."""
    box = here(world)
    await vps_used(box)
    box.cloud.grants.clear()
    await box.delete()
    await blocked(box, "NotConnected")
    await box.pass_time(LONG)
    assert box.watch.ours()
    await box.connect()
    await box.until_phase(None)


@lived_in(VpsWorld)
async def vps_twin(world: World) -> None:
    """A second droplet in its name that shows late goes, and not the one that is used."""
    box = here(world)
    await vps_used(box)
    before = number(box)
    twin = box.neighbour(twin_tags((await box.vps()).uid))
    box.watch.twins.add(twin.id)
    await box.until_event("Duplicate")
    await box.until_cloud(lambda: twin.id not in box.cloud.droplets, "the twin is gone")
    await recovered(box)
    assert number(box) == before


@lived_in(VpsWorld)
async def vps_namesake(world: World) -> None:
    """A droplet of another installation with the same uid, as after a restore: it is not ours."""
    box = here(world)
    await vps_up(box)
    box.neighbours.append(box.neighbour(twin_tags((await box.vps()).uid, "invoker:other")))
    await box.pass_time(REST)
    await box.cloud.monkey_destroy(number(box))
    await box.until_event("DropletLost")
    await ready(box)
    await box.delete()
    await box.until_phase(None)


@contextmanager
def denied(box: VpsWorld) -> Iterator[None]:
    """Direct reads find no droplet, for as long as this lasts; lists show it."""

    def answer(request: httpx.Request) -> httpx.Response | None:
        if request.url.host != API_HOST or request.method != "GET":
            return None
        if request.url.path.startswith("/v2/droplets/"):
            return httpx.Response(NOT_FOUND, json={"id": "not_found"}, request=request)
        return None

    with interposed(box, answer):
        yield


async def denied_for(box: VpsWorld, span: timedelta) -> None:
    """Have DigitalOcean deny the droplet on direct reads while something has to be done."""
    await vps_used(box)
    before = number(box)
    with denied(box):
        await box.wish(power="Stopped")
        await box.until_row(Vps, NAME, lambda row: row.status.is_true("Missing"), "missing")
        await box.pass_time(span)
        await box.wish(power="Running")
    await box.pass_time(AFTERWARDS)
    await recovered(box)
    assert number(box) == before
    assert "DropletLost" not in await box.events()


@lived_in(VpsWorld)
async def vps_minute_of_404s(world: World) -> None:
    """A minute in which DigitalOcean denies the droplet costs nobody theirs."""
    await denied_for(here(world), timedelta(minutes=1))


@lived_in(VpsWorld)
async def vps_long_404s(world: World) -> None:
    """However long direct reads deny a droplet that the lists show: it is not given up."""
    await denied_for(here(world), LONG)


@lived_in(VpsWorld)
async def vps_lists_empty(world: World) -> None:
    """Lists that show nothing for a while, and direct reads that do: it is not given up."""
    box = here(world)
    await vps_used(box)
    before = number(box)

    def answer(request: httpx.Request) -> httpx.Response | None:
        asked = (request.url.host, request.url.path, request.method)
        if asked != (API_HOST, "/v2/droplets", "GET"):
            return None
        empty = {"droplets": [], "links": {}, "meta": {"total": 0}}
        return httpx.Response(OK, json=empty, request=request)

    with interposed(box, answer):
        await box.pass_time(LONG)
    await box.pass_time(AFTERWARDS)
    await recovered(box)
    assert number(box) == before


@lived_in(VpsWorld)
async def vps_creation_fails(world: World) -> None:
    """A droplet that DigitalOcean could not make is destroyed, and another one made."""
    box = here(world)
    await box.register()
    await box.connect()
    box.cloud.failing_actions.add("create")
    await box.wish()
    await box.until_cloud(lambda: bool(box.watch.ours()), "a droplet")
    box.watch.ruined.add(number(box))
    await box.until_event("CreateFailed")
    box.cloud.failing_actions.clear()
    await ready(box)


@lived_in(VpsWorld)
async def vps_region_full(world: World) -> None:
    """No room in its region: it waits, asks now and then, and is made when there is."""
    box = here(world)
    await box.register()
    await box.connect()
    box.cloud.full_regions.add("ams3")
    await box.wish()
    await box.pass_time(LONG)
    assert not box.watch.ours()
    assert len(box.plan.effects) < CALLS_A_MINUTE * LONG / timedelta(minutes=1)
    box.cloud.full_regions.clear()
    await ready(box)


@lived_in(VpsWorld)
async def vps_outage(world: World) -> None:
    """DigitalOcean answers nothing for a while: what runs is left, what is wished comes later."""
    box = here(world)
    await vps_used(box)
    before = number(box)
    asked = 0

    def answer(request: httpx.Request) -> httpx.Response | None:
        nonlocal asked
        if request.url.host != API_HOST:
            return None
        asked += 1
        return httpx.Response(BROKEN, json={"id": "server_error"}, request=request)

    with interposed(box, answer):
        await box.pass_time(LONG)
        assert await box.phase() == "Running"
        await box.wish(power="Stopped")
        await box.pass_time(LONG)
    assert asked < CALLS_A_MINUTE * 2 * LONG / timedelta(minutes=1)
    await box.until_phase("Off")
    await box.wish(power="Running")
    await recovered(box)
    assert number(box) == before


@lived_in(VpsWorld)
async def vps_token_refused(world: World) -> None:
    """A token that is refused by mistake is looked at, and nothing is lost by that."""
    box = here(world)
    await vps_used(box)
    before = number(box)

    def answer(request: httpx.Request) -> httpx.Response | None:
        if request.url.host != API_HOST or request.url.path == "/v2/account":
            return None
        return httpx.Response(UNAUTHORIZED, json={"id": "unauthorized"}, request=request)

    with interposed(box, answer):
        await box.wish(power="Stopped")
        await box.pass_time(REST)
    await box.until_phase("Off")
    await box.wish(power="Running")
    await recovered(box)
    assert number(box) == before


VPS_MONKEYS: dict[str, Scenario] = {
    life.__name__: life
    for life in (
        vps_droplet_destroyed,
        vps_droplet_destroyed_while_off,
        vps_switched_off,
        vps_switched_on,
        vps_shutdown_ignored,
        vps_grant_revoked,
        vps_deleted_without_grant,
        vps_twin,
        vps_namesake,
        vps_minute_of_404s,
        vps_long_404s,
        vps_lists_empty,
        vps_creation_fails,
        vps_region_full,
        vps_outage,
        vps_token_refused,
    )
}
