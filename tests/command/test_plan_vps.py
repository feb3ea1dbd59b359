"""Plans of VPSs: what would be asked of DigitalOcean, on the user's own account."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crds.account import Account, AccountSpec
from crds.authorized_key import AuthorizedKey, AuthorizedKeySpec
from crds.cloud_connection import CloudConnection
from crds.meta import ObjectMeta, Resource
from crds.session import Session, SessionSpec
from crds.store import LocalDoorbell, Store
from crds.vps import Vps
from tests.command.invoking import Invoker, everything, operations, quiet
from tests.simulation.processes import USER
from tests.support.postgres import Databases
from tests.support.virtual_time import run
from tests.vps.vps_scene import NAME, VpsScene, settled, vps_scene

EXAMPLE = (Path(__file__).parents[2] / "deploy" / "examples" / "vps.yaml").read_text("utf-8")
# Of the right form; nobody has it.
KEY = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{'A' * 43}"
WISH = """
apiVersion: invoker.dev/v1
kind: Vps
metadata: {name: NAME, namespace: USER}
spec: {SPEC}
""".replace("USER", USER)


async def _make(store: Store) -> None:
    meta = ObjectMeta(name="build", namespace=USER)
    await store.create(Session(metadata=meta, spec=SessionSpec(vps=NAME)))
    key = AuthorizedKeySpec(vps=NAME, public_key=KEY)
    await store.create(AuthorizedKey(metadata=meta.model_copy(), spec=key))


async def _live(url: str) -> None:
    async with vps_scene(url) as here:
        await settled(here)
        await _make(here.store)
        await here.until(lambda: _all_ready(here), "all is there")


async def _all_ready(here: VpsScene) -> bool:
    kinds: tuple[type[Resource], ...] = (Vps, Session, AuthorizedKey, CloudConnection)
    rows = [row for kind in kinds for row in (await here.store.list(kind, namespace=USER)).items]
    return len(kinds) == len(rows) and all(row.status.is_true("Ready") for row in rows)


@pytest.fixture(scope="module")
def running(databases: Databases) -> Iterator[str]:
    """A database whose controllers have a droplet run, with a session and a key in it."""
    with databases.fresh() as url:
        with quiet():
            began = datetime.now(UTC) - timedelta(minutes=10)
            run(lambda: _live(url), start=began, limit_seconds=3600)
        yield url


@pytest.fixture
def planner(running: str) -> Invoker:
    """The command on that database; no plan changes it."""
    return Invoker(DATABASE_URL=running)


def planned(planner: Invoker, spec: str, name: str = NAME) -> Any:
    """The plan of a wish for a Vps."""
    return planner.json("plan", "-f", "-", given=WISH.replace("NAME", name).replace("SPEC", spec))


def phases(plan: Any, kind: str = "Vps") -> list[str | None]:
    """What becomes of the objects of a kind."""
    return [each["after"] for each in plan["outcomes"] if each["key"].startswith(f"{kind}/")]


def test_nothing_to_do(planner: Invoker, running: str) -> None:
    """What runs stays as it is, its session and its key too, and nothing is written anywhere."""
    before = everything(running)
    result = planner("plan", f"vps/{NAME}")

    assert "nothing to do" == result.stdout.splitlines()[0]
    assert 0 == result.exit_code
    assert "assumed" not in result.stderr
    assert before == everything(running)


def test_another_one(planner: Invoker) -> None:
    """One more droplet, made for its row, of what is wished; the other one stays as it is."""
    plan = planned(planner, "region: fra1, size: s-2vcpu-2gb", "two")

    assert [
        {
            "provider": "digitalocean",
            "operation": "droplets.create",
            "object": f"Vps/{USER}/two",
            "thing": "new droplet",
            "attributes": {"region": "fra1", "size": "s-2vcpu-2gb", "image": "ubuntu-24-04-x64"},
        }
    ] == plan["steps"]
    assert ["Running", "Running"] == phases(plan)


def test_the_example(planner: Invoker) -> None:
    """A droplet, and then a session and a key in it."""
    plan = planner.json("plan", "-n", USER, "-f", "-", given=EXAMPLE)

    assert ["droplets.create"] == operations(plan)
    assert ["Running", "Running"] == phases(plan, "Session")
    assert ["Authorized", "Authorized"] == phases(plan, "AuthorizedKey")


def test_off(planner: Invoker) -> None:
    """A droplet is shut down, and what is on it waits."""
    plan = planned(planner, "power: Stopped")

    (step,) = plan["steps"]
    assert ("actions.create", f"Vps/{USER}/{NAME}") == (step["operation"], step["object"])
    assert {"does": "shutdown"} == step["attributes"]
    assert step["thing"].removeprefix("droplet ").isdigit()
    assert (["Off"], ["Waiting"]) == (phases(plan), phases(plan, "Session"))


def test_delete(planner: Invoker) -> None:
    """The droplet goes, and all that is on it."""
    plan = planner.json("plan", f"vps/{NAME}", "--delete")

    assert ["droplets.delete"] == operations(plan)
    assert ([None], [None], [None]) == (
        phases(plan),
        phases(plan, "Session"),
        phases(plan, "AuthorizedKey"),
    )


def test_what_cannot_come_true(planner: Invoker) -> None:
    """A droplet does not move: nothing is done, and the plan says why."""
    wish = WISH.replace("NAME", NAME).replace("SPEC", "region: fra1")
    result = planner("plan", "-f", "-", given=wish)

    assert 4 == result.exit_code
    assert "DropletIsFixed" in result.stdout


def test_giving_the_connection_up(planner: Invoker) -> None:
    """A grant that droplets need is not revoked, and they stay as they are."""
    wish = WISH.replace("kind: Vps", "kind: CloudConnection").replace("NAME", "digitalocean")
    plan = planner.json("plan", "-f", "-", given=wish.replace("SPEC", "state: Disconnected"))

    assert [] == plan["steps"]
    assert (["Blocked"], ["Connected"]) == (phases(plan), phases(plan, "CloudConnection"))


@pytest.mark.slow  # A droplet is made and lost before.
def test_what_is_away_stays_away(databases: Databases) -> None:
    """A gateway that is offline is not made to come back by a plan."""

    async def live(url: str) -> None:
        async with vps_scene(url) as here:
            await settled(here)
            await here.droplets.halt(here.droplet())
            await here.until_phase("Offline")

    with databases.fresh() as url:
        with quiet():
            began = datetime.now(UTC) - timedelta(minutes=10)
            run(lambda: live(url), start=began, limit_seconds=3600)
        plan = Invoker(DATABASE_URL=url).json("plan", f"vps/{NAME}")

    assert ([], ["Offline"]) == (plan["steps"], phases(plan))


def test_nobody_is_connected(databases: Databases) -> None:
    """Without a connection nothing is asked of DigitalOcean, and the plan says what is missing."""

    async def register(url: str) -> None:
        async with Store.opened(url, doorbell=LocalDoorbell()) as store:
            spec = AccountSpec(email="a@example.com")
            await store.create(Account(metadata=ObjectMeta(name=USER), spec=spec))

    with databases.fresh() as url:
        asyncio.run(register(url))
        plan = planned(Invoker(DATABASE_URL=url), "size: s-1vcpu-1gb")

    assert ([], ["Blocked"]) == (plan["steps"], phases(plan))
    assert any("NotConnected" in (each["problem"] or "") for each in plan["outcomes"])


def test_a_size_that_a_plan_does_not_know(planner: Invoker) -> None:
    """What a plan's DigitalOcean does not offer may be there all the same, and it says so."""
    plan = planned(planner, "size: g-2vcpu-8gb", "two")

    assert [] == plan["steps"]
    assert any("g-2vcpu-8gb and ubuntu-24-04-x64 may be there" in each for each in plan["assumed"])
