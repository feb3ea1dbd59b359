"""Lives of a VPS with trouble of their own: what happens behind our back, and what lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import httpx

from crds.account import Account
from crds.annotations import FORCE_DELETE
from crds.authorized_key import AuthorizedKey
from crds.cloud_connection import DIGITALOCEAN, CloudConnection
from crds.gateways import credentials_name
from crds.session import Session
from crds.vps import Vps
from deploy.local.simulators.digitalocean import API_HOST
from tests.simulation.losses import interposed
from tests.simulation.processes import USER
from tests.simulation.quarantines import edit
from tests.simulation.scenarios import Scenario
from tests.simulation.vps_lives import be, furnish, here, ready, runs, vps_up, vps_used
from tests.simulation.vps_world import NAME, VpsWorld, twin_tags
from tests.simulation.world import World, lived_in

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
async def vps_silent(world: World) -> None:
    """A gateway that says nothing for ever: offline, told once, and deleted all the same."""
    box = here(world)
    await vps_used(box)
    box.gateway().faults.silent = True
    await box.until_phase("Offline")
    await box.pass_time(LONG)
    assert await box.phase() == "Offline"
    await box.open_session("three")
    await box.until_told(Session, "three", "Waiting")
    await box.delete()
    await box.until_phase(None)


@lived_in(VpsWorld)
async def vps_deaf(world: World) -> None:
    """A gateway that heeds no command for a while: what is wished for comes true afterwards."""
    box = here(world)
    await vps_used(box)
    gateway = box.gateway()
    gateway.faults.deaf = True
    await box.open_session("three")
    await box.store.delete(Session, "one", USER)
    await box.pass_time(REST)
    gateway.faults.deaf = False
    await runs(box, "two", "three")
    await box.until_gone(Session, "one")
    await ready(box)


@lived_in(VpsWorld)
async def vps_refusing(world: World) -> None:
    """What a gateway refuses is told and not asked for without end; it is when it comes back."""
    box = here(world)
    await vps_used(box)
    gateway = box.gateway()
    gateway.faults.refusing = {"session.create": "too-many", "ssh.authorize": "no-space"}
    await box.open_session("three")
    await box.until_told(Session, "three", "Failed")
    sent = len(box.hub.sent)
    await box.pass_time(LONG)
    assert len(box.hub.sent) == sent
    gateway.faults.refusing = {}
    await gateway.restart("kept")
    await runs(box, "one", "two", "three")


@lived_in(VpsWorld)
async def vps_never_heard_of(world: World) -> None:
    """A droplet whose software does not start: that is told, and it heals when it does."""
    box = here(world)
    await box.register()
    await box.connect()
    box.gateways.all_broken = True
    await box.wish()
    await box.until_phase("ProvisioningTimeout")
    await box.pass_time(LONG)
    assert await box.phase() == "ProvisioningTimeout"
    box.gateways.all_broken = False
    droplet = box.droplet()
    await box.gateways.boot(droplet, droplet.user_data)
    await ready(box)


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
        if (request.url.host, request.url.path, request.method) != (
            API_HOST,
            "/v2/droplets",
            "GET",
        ):
            return None
        empty = {"droplets": [], "links": {}, "meta": {"total": 0}}
        return httpx.Response(200, json=empty, request=request)

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


@lived_in(VpsWorld)
async def vps_suspended_early(world: World) -> None:
    """Its account may run nothing while its droplet is being made: it is switched off then."""
    box = here(world)
    await box.register()
    await box.connect()
    await box.wish()
    await box.until_cloud(lambda: bool(box.watch.ours()), "a droplet")
    await be(box, "Suspended")
    await box.until_cloud(lambda: box.droplet().status == "active", "made")
    await box.until_cloud(lambda: box.droplet().status == "off", "off")
    await box.until_phase("Suspended")
    await be(box, "Active")
    await ready(box)


@lived_in(VpsWorld)
async def vps_broken_and_suspended(world: World) -> None:
    """What is broken by SQL is switched off with its account all the same."""
    box = here(world)
    await vps_used(box)
    await edit(box, "Vps", region=0)
    await be(box, "Quarantined")
    await box.until_cloud(lambda: box.droplet().status == "off", "off")
    await edit(box, "Vps", region="ams3")
    await be(box, "Active")
    await recovered(box)


@lived_in(VpsWorld)
async def vps_account_deleted(world: World) -> None:
    """An account goes with its VPS and all that is in it, and the grant last."""
    box = here(world)
    await vps_used(box)
    await box.store.delete(Account, USER)
    await box.until_phase(None)


@lived_in(VpsWorld)
async def vps_suspended_account_deleted(world: World) -> None:
    """So does one that is suspended."""
    box = here(world)
    await vps_used(box)
    await be(box, "Suspended")
    await box.until_phase("Suspended")
    await box.store.delete(Account, USER)
    await box.until_phase(None)


@lived_in(VpsWorld)
async def vps_let_go(world: World) -> None:
    """A row that an operator lets go leaves its droplet to the collector."""
    box = here(world)
    await vps_used(box)
    vps = await box.vps()
    vps.metadata.annotations[FORCE_DELETE] = "the user lost their account"
    await box.store.update(vps)
    await box.delete()
    await box.until_phase(None)
    assert box.watch.live()
    await box.until(lambda: _none_left(box), "collected", within=3600)


async def _none_left(box: VpsWorld) -> bool:
    """Whether nothing of it is left: its droplet, and then the hash of its gateway's token."""
    name = credentials_name(NAME)
    return not box.watch.ours() and await box.secrets.get(USER, name) is None


@lived_in(VpsWorld)
async def vps_status_lost(world: World) -> None:
    """Its status is lost: the droplet is found again, and all that is in it."""
    box = here(world)
    await vps_used(box)
    before = number(box)
    await box.store.database.execute("UPDATE objects SET status = '{}' WHERE kind = 'Vps'")
    await box.pass_time(AFTERWARDS)
    await recovered(box)
    assert number(box) == before


@lived_in(VpsWorld)
async def vps_reports_lost(world: World) -> None:
    """The hub cannot report for a while: offline, and back with everything."""
    box = here(world)
    await vps_used(box)
    box.reports_lost = True
    await box.until_phase("Offline")
    box.reports_lost = False
    await recovered(box)


@lived_in(VpsWorld)
async def vps_made_late(world: World) -> None:
    """Wished for before the account is connected: it waits, and is furnished when it can be."""
    box = here(world)
    await box.register()
    await box.wish()
    await blocked(box, "NotConnected")
    await box.connect()
    await ready(box)
    await furnish(box)


VPS_TROUBLES: dict[str, Scenario] = {
    life.__name__: life
    for life in (
        vps_droplet_destroyed,
        vps_droplet_destroyed_while_off,
        vps_switched_off,
        vps_switched_on,
        vps_grant_revoked,
        vps_deleted_without_grant,
        vps_silent,
        vps_deaf,
        vps_refusing,
        vps_never_heard_of,
        vps_twin,
        vps_namesake,
        vps_minute_of_404s,
        vps_long_404s,
        vps_lists_empty,
        vps_creation_fails,
        vps_region_full,
        vps_outage,
        vps_token_refused,
        vps_suspended_early,
        vps_broken_and_suspended,
        vps_account_deleted,
        vps_suspended_account_deleted,
        vps_let_go,
        vps_status_lost,
        vps_reports_lost,
        vps_made_late,
    )
}
