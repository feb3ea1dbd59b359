"""Short lives of a VPS. Each ends with one at rest, or none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from crds.account import Account, AccountState
from crds.authorized_key import AuthorizedKey
from crds.cloud_connection import DIGITALOCEAN, CloudConnection
from crds.errors import ConflictError
from crds.session import Session
from crds.vps import Vps
from deploy.local.simulators.digitalocean import Droplet
from deploy.local.simulators.gateways.gateway import Fate
from tests.simulation.processes import USER
from tests.simulation.swept import Swept
from tests.simulation.vps_world import NAME, OTHER_KEY, VpsWorld
from tests.simulation.world import World, lived_in

MOMENT = timedelta(seconds=15)
SUPPORT_SPAN = timedelta(minutes=6)


def here(world: World) -> VpsWorld:
    """The world as what it is."""
    assert isinstance(world, VpsWorld)
    return world


async def connected(box: VpsWorld) -> None:
    """Connect; as a user does, once more where the first consent was lost with its asker."""

    def settled(row: CloudConnection) -> bool:
        status = row.status
        current = status.observed_generation == row.metadata.generation
        at_rest = current and status.intent is None and status.retry is None
        return at_rest and status.phase in ("Connected", "Disconnected")

    for _ in range(2):
        await box.connect()
        row = await box.until_row(CloudConnection, DIGITALOCEAN, settled, "settled")
        if row.status.phase == "Connected":
            return
        assert not box.plan.calm, "a consent was lost that could be used"
    raise AssertionError("two consents were lost")


async def ready(box: VpsWorld) -> None:
    """Let time pass until the VPS runs, and its gateway is connected."""
    await box.until_phase("Running")
    row = await box.until_row(Vps, NAME, lambda row: row.status.is_true("Ready"), "ready")
    assert row.status.droplet is not None
    assert row.status.droplet.id == box.droplet().id
    assert row.status.droplet.ipv4 is not None


async def runs(box: VpsWorld, *names: str) -> None:
    """Let time pass until sessions run, and are there.

    For as long as the hub's grace they may be said to run in a gateway that begins anew.
    """
    for name in names:

        async def holds(name: str = name) -> bool:
            row = await box.store.get(Session, name, USER)
            gateway = box.gateways.of((await box.vps()).uid)
            there = gateway is not None and gateway.shell(row.uid) is not None
            return there and row.status.phase == "Running"

        await box.until(holds, f"{name} runs")


async def authorized(box: VpsWorld, name: str, fingerprint_of: str) -> None:
    """Let time pass until a key is let in."""
    row = await box.until_told(AuthorizedKey, name, "Authorized")
    assert row.spec.public_key == fingerprint_of
    assert row.spec.fingerprint in box.gateway().machine.keys


@lived_in(VpsWorld)
async def vps_up(world: World) -> None:
    """A user connects their account, and has a VPS on it."""
    box = here(world)
    await box.register()
    await connected(box)
    await box.wish()
    await ready(box)


@lived_in(VpsWorld)
async def vps_used(world: World) -> None:
    """Two sessions, an agent and a key: how the other lives begin."""
    box = here(world)
    await vps_up(box)
    await furnish(box)


async def furnish(box: VpsWorld) -> None:
    """Have sessions, an agent and a key in it."""
    await box.wish(agents=["coder"])
    await box.open_session("one")
    await box.open_session("two")
    await box.let_in("mine")
    await runs(box, "one", "two")
    await authorized(
        box, "mine", (await box.store.get(AuthorizedKey, "mine", USER)).spec.public_key
    )
    await ready(box)


@lived_in(VpsWorld)
async def vps_power(world: World) -> None:
    """Off and on: the same droplet, its session begun anew in it, its key still there."""
    box = here(world)
    await vps_used(box)
    before = box.droplet().id
    await box.wish(power="Stopped")
    await box.until_phase("Off")
    assert box.droplet().status == "off"
    await box.until_told(Session, "one", "Waiting")
    await box.wish(power="Running")
    await ready(box)
    await runs(box, "one", "two")
    assert box.droplet().id == before


@lived_in(VpsWorld)
async def vps_support(world: World) -> None:
    """Support is let in for a while, and not for longer, although the gateway is away by then."""
    box = here(world)
    await vps_up(box)
    await box.let_support_in(SUPPORT_SPAN)
    await authorized(box, "support", OTHER_KEY)
    box.gateway().unplug()
    row = await box.until_told(AuthorizedKey, "support", "Expired")
    assert row.spec.fingerprint not in box.gateway().machine.keys
    box.gateway().plug()
    await ready(box)
    await box.store.delete(AuthorizedKey, "support", USER)
    await box.until_gone(AuthorizedKey, "support")


@lived_in(VpsWorld)
async def vps_sessions(world: World) -> None:
    """One session is ended by its program, and stays ended; another one by its user."""
    box = here(world)
    await vps_used(box)
    one, two = [(await box.store.get(Session, name, USER)).uid for name in ("one", "two")]
    box.gateway().exit(one, 3)
    row = await box.until_told(Session, "one", "Ended")
    assert (row.status.reason, row.status.exit_code) == ("exited", 3)
    await box.store.delete(Session, "two", USER)
    await box.until_gone(Session, "two")
    await box.until_cloud(lambda: box.gateway().shell(two) is None, "the session ends")
    await box.store.delete(AuthorizedKey, "mine", USER)
    await box.until_gone(AuthorizedKey, "mine")
    await box.until_cloud(lambda: not box.gateway().machine.keys, "the key goes")


async def begins_anew(box: VpsWorld, sessions: Fate) -> None:
    """A gateway's program begins anew; its sessions are there afterwards."""
    await vps_used(box)
    await box.gateway().restart(sessions)
    await box.pass_time(MOMENT)
    await runs(box, "one", "two")
    await ready(box)


@lived_in(VpsWorld)
async def vps_restart_kept(world: World) -> None:
    """A gateway that begins anew and has its sessions still: they go on."""
    box = here(world)
    await begins_anew(box, "kept")
    assert (await box.store.get(Session, "one", USER)).status.starts == 0


@lived_in(VpsWorld)
async def vps_restart_lost(world: World) -> None:
    """A gateway that begins anew and says that it lost its sessions: they are begun anew."""
    await begins_anew(here(world), "lost")


@lived_in(VpsWorld)
async def vps_restart_forgotten(world: World) -> None:
    """A gateway that begins anew and knows of nothing: the same."""
    await begins_anew(here(world), "forgotten")


@lived_in(VpsWorld)
async def vps_rows_go_meanwhile(world: World) -> None:
    """A session and a key are given up while the gateway is away, and go when it comes back."""
    box = here(world)
    await vps_used(box)
    box.gateway().unplug()
    await box.until_phase("Offline")
    await box.store.delete(Session, "one", USER)
    await box.store.delete(AuthorizedKey, "mine", USER)
    await box.until_gone(Session, "one")
    await box.until_gone(AuthorizedKey, "mine")
    box.gateway().plug()
    await ready(box)
    await runs(box, "two")
    machine = box.gateway().machine
    await box.until_cloud(lambda: len(machine.sessions) == 1 and not machine.keys, "tidied")


async def deleted_when(world: World, holds: Callable[[VpsWorld], bool], what: str) -> None:
    """A VPS is deleted as soon as DigitalOcean is at a point of its creation."""
    box = here(world)
    await box.register()
    await connected(box)
    await box.wish()
    await box.until_cloud(lambda: holds(box), what)
    await box.delete()
    await box.until_phase(None)


def droplets(box: VpsWorld) -> list[Droplet]:
    """Our droplets."""
    return box.watch.ours()


@lived_in(VpsWorld)
async def vps_deleted_at_once(world: World) -> None:
    """Deleted before anything was made."""
    await deleted_when(world, lambda _: True, "wished for")


@lived_in(VpsWorld)
async def vps_deleted_new(world: World) -> None:
    """Deleted while its droplet is being made, which can only be destroyed afterwards."""
    await deleted_when(world, lambda box: bool(droplets(box)), "a droplet")


@lived_in(VpsWorld)
async def vps_deleted_booting(world: World) -> None:
    """Deleted when its droplet runs and has neither an address nor a gateway."""

    def active(box: VpsWorld) -> bool:
        return [each.status for each in droplets(box)] == ["active"]

    await deleted_when(world, active, "a droplet that runs")


@lived_in(VpsWorld)
async def vps_deleted_switching(world: World) -> None:
    """Deleted while it is switched off."""
    box = here(world)
    await vps_used(box)
    await box.wish(power="Stopped")
    await box.until_cloud(lambda: box.cloud.pending(box.droplet()) is not None, "a shutdown")
    await box.delete()
    await box.until_phase(None)


@lived_in(VpsWorld)
async def vps_deleted(world: World) -> None:
    """Deleted with all that is in it; then the connection is given up."""
    box = here(world)
    await vps_used(box)
    await box.delete()
    await box.until_phase(None)
    await box.until_gone(Session, "one")
    await box.wish_connection(state="Disconnected")
    await disconnected(box)


async def disconnected(box: VpsWorld) -> None:
    """Let time pass until the grant is given up."""
    await box.until_told(CloudConnection, DIGITALOCEAN, "Disconnected")
    assert not box.cloud.grants


@lived_in(VpsWorld)
async def vps_disconnected_first(world: World) -> None:
    """The connection is given up first: it waits for the VPS, which goes with it all the same."""
    box = here(world)
    await vps_used(box)
    await box.wish_connection(state="Disconnected")
    await box.until_row(
        CloudConnection,
        DIGITALOCEAN,
        lambda row: "Vps" in (getattr(row.status.condition("Ready"), "message", "") or ""),
        "waits for the VPS",
    )
    assert box.cloud.grants
    await box.delete()
    await box.until_phase(None)
    await disconnected(box)


@lived_in(VpsWorld)
async def vps_suspended(world: World) -> None:
    """Its account may run nothing: it is switched off, and on again afterwards."""
    box = here(world)
    await vps_used(box)
    await be(box, "Suspended")
    await box.until_cloud(lambda: box.droplet().status == "off", "off")
    await box.until_phase("Suspended")
    await be(box, "Active")
    await ready(box)
    await runs(box, "one", "two")
    await be(box, "Suspended")
    await box.until_phase("Suspended")
    await box.until_cloud(lambda: box.droplet().status == "off", "off")


async def be(box: VpsWorld, state: AccountState) -> None:
    """Have the operator set the account's state."""
    while True:
        account = await box.store.get(Account, USER)
        account.spec.state = state
        try:
            await box.store.update(account)
        except ConflictError:
            continue
        return


BEGINNING = "vps_used"
VPSES: dict[str, Swept] = {
    "vps_up": Swept(vps_up, None, 12),
    "vps_used": Swept(vps_used, "vps_up", 36),
    "vps_power": Swept(vps_power, BEGINNING, 40),
    "vps_support": Swept(vps_support, "vps_up", 40),
    "vps_sessions": Swept(vps_sessions, BEGINNING, 40),
    "vps_restart_kept": Swept(vps_restart_kept, BEGINNING, 40),
    "vps_restart_lost": Swept(vps_restart_lost, BEGINNING, 40),
    "vps_restart_forgotten": Swept(vps_restart_forgotten, BEGINNING, 40),
    "vps_rows_go_meanwhile": Swept(vps_rows_go_meanwhile, BEGINNING, 40),
    "vps_deleted_at_once": Swept(vps_deleted_at_once, None, 40),
    "vps_deleted_new": Swept(vps_deleted_new, None, 40),
    "vps_deleted_booting": Swept(vps_deleted_booting, None, 40),
    "vps_deleted_switching": Swept(vps_deleted_switching, BEGINNING, 40),
    "vps_deleted": Swept(vps_deleted, BEGINNING, 40),
    "vps_disconnected_first": Swept(vps_disconnected_first, BEGINNING, 40),
    "vps_suspended": Swept(vps_suspended, BEGINNING, 40),
}
