"""Lives of a VPS with trouble in its gateway, its account, or its rows."""

from __future__ import annotations

from crds.account import Account
from crds.annotations import FORCE_DELETE
from crds.gateways import credentials_name
from crds.session import Session
from tests.simulation.processes import USER
from tests.simulation.quarantines import edit
from tests.simulation.scenarios import Scenario
from tests.simulation.vps_lives import be, furnish, here, ready, runs, vps_used
from tests.simulation.vps_monkeys import AFTERWARDS, LONG, REST, blocked, number, recovered
from tests.simulation.vps_world import NAME, MeteredVpsWorld, VpsWorld
from tests.simulation.world import World, lived_in


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


@lived_in(MeteredVpsWorld)
async def vps_metered(world: World) -> None:
    """What Prometheus is told tells nothing secret either."""
    await vps_used(world)


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
        vps_silent,
        vps_deaf,
        vps_refusing,
        vps_never_heard_of,
        vps_suspended_early,
        vps_broken_and_suspended,
        vps_account_deleted,
        vps_suspended_account_deleted,
        vps_let_go,
        vps_status_lost,
        vps_reports_lost,
        vps_made_late,
        vps_metered,
    )
}
