"""The client against the simulated DigitalOcean, whose rate limits are on."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from controller.providers import (
    Call,
    Gear,
    InsufficientCapacity,
    InvalidRequest,
    NotFound,
    NotReady,
    Priority,
    QuotaReached,
    Unauthorized,
    Unavailable,
    WaitTimeout,
)
from controller.providers.digitalocean import (
    ActionFailed,
    AlreadyInState,
    Connection,
    CreatedDroplet,
    DigitalOcean,
    UnknownKey,
)
from deploy.local.simulators.digitalocean import (
    API_HOST,
    DigitalOceanAPI,
    DigitalOceanCloud,
    DropletLimits,
    DropletTimings,
)
from deploy.local.simulators.transport import SimulatorTransport
from tests.providers.clock import now, run
from tests.providers.fakes import ample

CALL = Call(Priority.USER)
TAG = "invoker:0b5f"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG1hZGUgdXAgZm9yIHRlc3RzIG9ubHkgISEh ada"


class Faulty(httpx.AsyncBaseTransport):
    """Passes requests on, and spoils those that a test arms it for."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.inner = inner
        self.asked: list[str] = []
        self.spoil: Callable[[httpx.Request], bool] = lambda _: False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry the request out, and lose the answer of a spoilt one."""
        self.asked.append(f"{request.method} {request.url.path}")
        answer = await self.inner.handle_async_request(request)
        if self.spoil(request):
            raise httpx.ReadTimeout("lost", request=request)
        return answer


class World:
    """A simulated cloud of real slowness, a client over it, and two users' connections."""

    def __init__(self, gear: Gear | None = None) -> None:
        self.cloud = DigitalOceanCloud(
            timings=DropletTimings.real(), limits=DropletLimits(enabled=True)
        )
        inner = SimulatorTransport(hosts={API_HOST: DigitalOceanAPI(self.cloud)})
        self.transport = Faulty(inner)
        self.client = DigitalOcean(self.transport, gear=gear)
        self.ada = self.connect("ada@example.com")
        self.eve = self.connect("eve@example.com")

    def connect(self, email: str) -> Connection:
        """Return a connection to a person's account."""
        return Connection(email.partition("@")[0], self.cloud.grant(email).access)

    async def create(self, **more: str) -> CreatedDroplet:
        """Order one of Ada's droplets."""
        asked: dict[str, Any] = {
            "region": "ams3",
            "size": "s-1vcpu-1gb",
            "image": "debian-12-x64",
        } | more
        return await self.client.create_droplet(
            self.ada, name="vps", tags=[TAG], user_data="#cloud-config", call=CALL, **asked
        )

    async def running(self) -> int:
        """Order one and wait until it runs; return its id."""
        made = await self.create()
        assert made.action_id is not None
        await self.client.await_action(self.ada, made.action_id, call=CALL)
        return made.droplet.id


def test_the_life_of_a_droplet() -> None:
    """Made, awaited, found by its tag, switched off and on, and gone in the end."""

    async def life() -> list[str]:
        world = World()
        client, ada = world.client, world.ada
        made = await world.create()
        assert ("new", None) == (made.droplet.status, made.droplet.public_ipv4)
        assert made.action_id is not None
        done = await client.await_action(ada, made.action_id, call=CALL)
        assert ("create", made.droplet.id) == (done.type, done.droplet)
        seen = await client.get_droplet(ada, made.droplet.id, call=CALL)
        assert seen.public_ipv4 is not None
        assert [seen] == await client.list_droplets(ada, tag=TAG, call=CALL)
        assert [] == await client.list_droplets(world.eve, tag=TAG, call=CALL)
        statuses: list[str] = [seen.status]
        for act in (client.shutdown, client.power_on, client.reboot, client.power_off):
            action = await act(ada, seen.id, call=CALL)
            await client.await_action(ada, action.id, call=CALL)
            statuses.append((await client.get_droplet(ada, seen.id, call=CALL)).status)
        await client.delete_droplet(ada, seen.id, call=CALL)
        with pytest.raises(NotReady):
            await client.delete_droplet(ada, seen.id, call=CALL)
        while await client.list_droplets(ada, tag=TAG, call=CALL):
            pass
        with pytest.raises(NotFound):
            await client.delete_droplet(ada, seen.id, call=CALL)
        return statuses

    assert ["active", "off", "active", "active", "off"] == run(life)


def test_a_create_whose_answer_is_lost_is_adopted() -> None:
    """It is sent once, its outcome is unknown, and the tag finds what it made."""

    async def life() -> tuple[int, int]:
        world = World()
        world.transport.spoil = lambda request: request.method == "POST"
        with pytest.raises(Unavailable) as caught:
            await world.create()
        assert (True, True) == (caught.value.outcome_unknown, caught.value.timed_out)
        found = await world.client.list_droplets(world.ada, tag=TAG, call=CALL)
        while not found:  # the tag's list is late
            found = await world.client.list_droplets(world.ada, tag=TAG, call=CALL)
        return len(found), world.transport.asked.count("POST /v2/droplets")

    assert (1, 1) == run(life)


def test_an_action_whose_answer_is_lost_is_found() -> None:
    """The droplet's own list of actions has it first."""

    async def life() -> tuple[str, str]:
        world = World()
        number = await world.running()
        world.transport.spoil = lambda request: request.method == "POST"
        with pytest.raises(Unavailable):
            await world.client.power_off(world.ada, number, call=CALL)
        newest = (await world.client.list_actions(world.ada, number, call=CALL))[0]
        done = await world.client.await_action(world.ada, newest.id, call=CALL)
        return done.type, done.status

    assert ("power_off", "completed") == run(life)


def test_a_shutdown_that_is_not_heeded() -> None:
    """The completed action is no proof: only the status is, and power_off ends it."""

    async def life() -> list[str]:
        world = World()
        client, ada = world.client, world.ada
        world.cloud.ignored_shutdowns = 1.0
        number, statuses = await world.running(), list[str]()
        for act in (client.shutdown, client.power_off):
            action = await act(ada, number, call=CALL)
            await client.await_action(ada, action.id, call=CALL)
            statuses.append((await client.get_droplet(ada, number, call=CALL)).status)
        with pytest.raises(AlreadyInState):
            await client.power_off(ada, number, call=CALL)
        return statuses

    assert ["active", "off"] == run(life)


def test_waiting_ends() -> None:
    """Waiting for an action is bounded, and a failed one is an error that names it."""

    async def life() -> tuple[float, bool]:
        world = World()
        made = await world.create()
        number = made.action_id
        assert number is not None
        began = now()
        with pytest.raises(WaitTimeout, match="create is in-progress"):
            await world.client.await_action(world.ada, number, within=20, call=CALL)
        waited = now() - began
        world.cloud.failing_actions = {"create"}
        with pytest.raises(ActionFailed) as caught:
            await world.client.await_action(world.ada, number, call=CALL)
        return waited, caught.value.action_id == number

    waited, named = run(life)

    assert named
    assert 20 == pytest.approx(waited, abs=0.1)


def test_what_cannot_be_had() -> None:
    """Each way in which an order is refused is told from the others."""

    async def life() -> None:
        world = World()
        client, ada = world.client, world.ada
        world.cloud.full_regions = {"nyc1"}
        with pytest.raises(InsufficientCapacity):
            await world.create(region="nyc1")
        with pytest.raises(InvalidRequest, match="invalid size"):
            await world.create(size="huge")
        with pytest.raises(UnknownKey):
            await client.create_droplet(
                ada,
                name="vps",
                region="ams3",
                size="s-1vcpu-1gb",
                image="debian-12-x64",
                tags=[TAG],
                ssh_keys=[12],
                call=CALL,
            )
        world.cloud.team_of("ada@example.com").droplet_limit = 0
        with pytest.raises(QuotaReached):
            await world.create()

    run(life)


def test_what_can_be_had() -> None:
    """Regions, sizes with prices, images, keys and the account are there for validation."""

    async def life() -> None:
        world = World()
        client, ada = world.client, world.ada
        regions = {r.slug: r for r in await client.list_regions(ada, call=CALL)}
        sizes = {s.slug: s for s in await client.list_sizes(ada, call=CALL)}
        assert "s-1vcpu-1gb" in regions["ams3"].sizes
        assert (1024, 6.0) == (sizes["s-1vcpu-1gb"].memory, sizes["s-1vcpu-1gb"].price_monthly)
        image = await client.get_image(ada, "debian-12-x64", call=CALL)
        assert ("available", True) == (image.status, "ams3" in image.regions)
        with pytest.raises(NotFound):
            await client.get_image(ada, "dos-3", call=CALL)
        key = await client.create_ssh_key(ada, name="ada", public_key=KEY, call=CALL)
        assert [key] == await client.list_ssh_keys(ada, call=CALL)
        await client.delete_ssh_key(ada, key.id, call=CALL)
        account = await client.get_account(ada, call=CALL)
        assert ("ada@example.com", "active") == (account.email, account.status)

    run(life)


def test_a_revoked_grant_is_told() -> None:
    """When the owner takes the grant back, every call is `Unauthorized`, and the others go on."""

    async def life() -> None:
        world = World()
        grant = next(g for g in world.cloud.grants.values() if g.access == world.ada.token)
        world.cloud.end_grant(grant)
        with pytest.raises(Unauthorized):
            await world.create()
        await world.client.get_account(world.eve, call=CALL)

    run(life)


def test_the_own_limits_are_never_met() -> None:
    """A thousand hurried calls with the client's own budget are never refused."""

    async def life() -> float:
        world = World()
        for _ in range(1000):
            await world.client.get_account(world.ada, call=CALL)
        return now()

    assert 600 < run(life) < 700


def test_a_team_whose_owner_spends_the_limit() -> None:
    """What others spend shows in the answers: the connection waits instead of being refused."""

    async def life() -> float:
        world = World(Gear(budget=ample()))
        team, limits = world.cloud.team_of("ada@example.com"), world.cloud.limits
        for _ in range(249):
            limits.take(team.uuid, world.cloud.now())
        await world.client.get_account(world.ada, call=CALL)
        assert 0 == world.client.budget.paused_for("api", "eve")
        return world.client.budget.paused_for("api", "ada")

    assert 60 == pytest.approx(run(life))
