"""Plans of dev environments: six services with fixed names, in order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crds.account import Account, AccountSpec
from crds.credentials import FINGERPRINT_KEY, SYSTEM, MachineTokens
from crds.devenv import DevEnv, DevEnvSpec, cost_of
from crds.meta import ObjectMeta
from crds.secrets import Cipher
from crds.store import Store
from deploy.plan.guests import Guests
from tests.command.invoking import Invoker, everything, operations, quiet
from tests.command.test_plan_knowledge import SETTINGS
from tests.simulation.processes import ENCRYPTION_KEY, HUB_KEY
from tests.simulation.world import World, world
from tests.support.postgres import Databases
from tests.support.virtual_time import run

EXAMPLE = (Path(__file__).parents[2] / "deploy" / "examples" / "devenv.yaml").read_text("utf-8")
SERVICES = ("pg", "rest", "auth", "kong", "storage", "studio")
WISH = """
apiVersion: invoker.dev/v1
kind: DevEnv
metadata: {name: acme-erp, namespace: acme}
spec: {SPEC}
"""
COST = cost_of(DevEnvSpec(client="acme", app="erp"))
LIVED = timedelta(minutes=10)


async def _live(url: str) -> None:
    async with world(url) as here:
        here.runtime.guest = Guests()
        await _make(here.store, "acme")

        async def runs() -> bool:
            return await _phase(here) == "Running"

        await here.until(runs, "Running")
        await here.quiesce()
        # As a real controller does, which keeps its own keys there.
        await MachineTokens.load(here.store, Cipher.from_keys(ENCRYPTION_KEY))
        await here.secrets.put(SYSTEM, FINGERPRINT_KEY, HUB_KEY)


async def _make(store: Store, account: str) -> None:
    spec = AccountSpec(email=f"{account}@example.com")
    await store.create(Account(metadata=ObjectMeta(name=account), spec=spec))
    meta = ObjectMeta(name="acme-erp", namespace=account)
    await store.create(DevEnv(metadata=meta, spec=DevEnvSpec(client="acme", app="erp")))


async def _phase(here: World) -> str:
    return (await here.store.get(DevEnv, "acme-erp", "acme")).status.phase


@pytest.fixture(scope="module")
def running(databases: Databases) -> Iterator[str]:
    """A database whose controllers have brought up a dev environment."""
    with databases.fresh() as url:
        with quiet():
            run(lambda: _live(url), start=datetime.now(UTC) - LIVED, limit_seconds=3600)
        yield url


@pytest.fixture
def planner(running: str) -> Invoker:
    """The command on that database; no plan changes it."""
    return Invoker(DATABASE_URL=running)


def planned(planner: Invoker, spec: str) -> Any:
    """The plan of a change of the dev environment."""
    return planner.json("plan", "-f", "-", given=WISH.replace("SPEC", spec))


def by_app(plan: Any, operation: str) -> list[str]:
    """The services to whose Machines an operation is done, in order."""
    objects = [each["object"] for each in plan["steps"] if each["operation"] == operation]
    return [each.removeprefix("Machine/acme/acme-erp-") for each in objects]


def test_nothing_to_do(planner: Invoker) -> None:
    """What runs would stay as it is, though its keys cannot be read; and the plan says so."""
    result = planner("plan", "devenv/acme-erp")

    always, worked = f"{COST.always_on_usd:.2f}", f"{COST.auto_stop_usd:.2f}"
    assert (
        "nothing to do",
        f"cost a month: {always} → {always} USD",
        f"with dev environments stopped outside working hours: {worked} → {worked} USD",
    ) == tuple(result.stdout.splitlines())
    assert "assumed: DevEnv/acme/acme-erp: its keys cannot be read here" in result.stderr
    assert 0 == result.exit_code


def test_with_the_controllers_settings(running: str) -> None:
    """With the encryption keys at hand its own keys are read, and nothing has to be assumed."""
    settings = SETTINGS | {"INVOKER_ENCRYPTION_KEYS": ENCRYPTION_KEY, "DATABASE_URL": running}
    plan = Invoker(**settings).json("plan", "devenv/acme-erp")

    assert ([], []) == (plan["steps"], plan["assumed"])


def test_create(invoker: Invoker) -> None:
    """The example: app by app in the order of the services, the database prepared, Netlify told."""
    plan = invoker.json("plan", "-f", "-", given=EXAMPLE)

    assert list(SERVICES) == by_app(plan, "apps.create") == by_app(plan, "machines.create")
    assert [
        "apps.create",
        "addresses.create",
        "secrets.update",
        "volumes.create",
        "machines.create",
        "machines.exec",
    ] == operations(plan)[:6]
    assert "new app devenv-acme-erp-pg" == plan["steps"][0]["thing"]
    assert ["pg", "storage"] == by_app(plan, "volumes.create")
    assert ["give the roles their password", "apply row-level security: production"] == [
        each["attributes"]["does"] for each in plan["steps"] if each["operation"] == "machines.exec"
    ]
    assert ["variables.create", "variables.create", "builds.create"] == operations(plan, "netlify")
    assert {"before": 0.0, "after": COST.always_on_usd} == plan["monthlyUsd"]
    assert {"before": 0.0, "after": COST.auto_stop_usd} == plan["monthlyUsdWithAutoStop"]


def test_stop(planner: Invoker) -> None:
    """Its services stop in the reverse order, and nothing else happens."""
    plan = planned(planner, "power: Stopped")

    assert list(reversed(SERVICES)) == by_app(plan, "machines.stop")
    assert {"machines.cordon", "machines.stop"} == set(operations(plan))


@pytest.mark.slow  # A move takes minutes of the rehearsal's time.
def test_another_region(planner: Invoker) -> None:
    """The data is copied while services rest; what was left behind goes when all is well."""
    plan = planned(planner, "region: fra")

    assert ["studio", "storage", "kong", "auth", "rest", "pg"] == by_app(plan, "machines.stop")
    assert ["pg-2", "rest", "auth", "kong", "storage-2", "studio"] == by_app(
        plan, "machines.create"
    )
    assert ["rest", "auth", "kong", "studio", "pg", "storage"] == by_app(plan, "machines.destroy")
    assert {"pg", "storage"} == set(by_app(plan, "volumes.delete"))
    assert [] == by_app(plan, "apps.create")
    (copied,) = (each for each in plan["steps"] if "copy" in each["attributes"])
    assert ("Machine/acme/acme-erp-storage-2", "fra") == (
        copied["object"],
        copied["attributes"]["region"],
    )
    told = [each["attributes"].get("does") for each in plan["steps"]]
    assert told.index("copy the data here") < told.index("use the copy")
    assert plan["monthlyUsd"]["before"] == plan["monthlyUsd"]["after"]


def test_new_keys(planner: Invoker) -> None:
    """The database learns the new password, every app its secrets, and all restart in order."""
    plan = planned(planner, f"rotateAt: '{datetime.now(UTC).isoformat()}'")

    assert list(SERVICES) == by_app(plan, "secrets.update") == by_app(plan, "machines.update")
    assert "give the roles their password" in [
        each["attributes"].get("does") for each in plan["steps"]
    ]


def test_another_mode(planner: Invoker) -> None:
    """A mode of row-level security is applied in the database, and nothing restarts."""
    plan = planned(planner, "rlsMode: permissive")

    assert ["machines.exec"] == operations(plan)
    assert {"does": "apply row-level security: permissive"} == plan["steps"][0]["attributes"]


def test_without_studio_on_a_larger_disk(planner: Invoker) -> None:
    """What is not wished for any more goes, and what it costs is told both ways."""
    plan = planned(planner, "studio: false, volumeGb: 80")
    wished = cost_of(DevEnvSpec(client="acme", app="erp", studio=False, volume_gb=80))

    assert ["studio"] == by_app(plan, "machines.destroy") == by_app(plan, "apps.delete")
    assert ["pg"] == by_app(plan, "volumes.extend")
    assert {"before": COST.always_on_usd, "after": wished.always_on_usd} == plan["monthlyUsd"]
    assert wished.auto_stop_usd == plan["monthlyUsdWithAutoStop"]["after"]


def test_delete(planner: Invoker) -> None:
    """Every app goes with all that is in it; in the end it costs nothing."""
    plan = planner.json("plan", "devenv/acme-erp", "--delete")

    assert set(SERVICES) == set(by_app(plan, "apps.delete"))
    assert 0.0 == plan["monthlyUsd"]["after"]
    assert {None} == {each["after"] for each in plan["outcomes"] if "Account" not in each["key"]}


def test_a_name_that_is_anothers(planner: Invoker) -> None:
    """The names are fixed: another account's wish for the same would not come true."""
    result = planner(
        "plan",
        "-f",
        "-",
        given=EXAMPLE.replace("name: acme\n", "name: zeta\n", 1).replace(
            "namespace: acme", "namespace: zeta"
        ),
    )

    assert 4 == result.exit_code
    assert "Machine/zeta/acme-erp-pg does not come to what is wished: Blocked, NameTaken" in (
        result.stdout
    )


def test_nothing_is_changed_and_nothing_secret_is_shown(planner: Invoker, running: str) -> None:
    """Rows and secrets stay as they are, and no key or password is in a plan."""
    before = everything(running)
    plan = planned(planner, "rlsMode: disabled")

    assert before == everything(running)
    assert before["secrets"]
    assert "eyJ" not in json.dumps(plan)
    assert "SCRAM" not in json.dumps(plan)
