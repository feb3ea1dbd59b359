"""Dev environments in the console: what is shown of them, and what is done to them."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from crds.connection import ConnectionInfo, connection_name
from crds.devenv import DevEnv, MoveStatus, NetlifySpec, RlsStatus, cost_of
from crds.secrets import Cipher, Secrets
from tests.console.devenvs import CLIENT, DEVENV, NAME, SERVICE, TOLD, settle_devenv
from tests.console.house import House, text_of
from tests.console.seeds import settle

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def town(house: House) -> None:
    """The account of the client."""
    await settle(house.store, [CLIENT])


async def test_all_is_well(house: House) -> None:
    """Services with their machines, what users are told, keys, both costs; relations both ways."""
    devenv = await settle_devenv(house.store)
    async with house.browser("support") as browser:
        table = await browser.open("/console/devenvs?wide=1")
        page = await browser.open(DEVENV)
        machine = await browser.open(SERVICE)
        account = await browser.open(f"/console/accounts/-/{CLIENT.account}")

    cost = cost_of(devenv.spec)
    told = text_of(page, "devenv")
    for words in (
        f"postgres {NAME}-pg Running yes",
        f"studio {NAME}-studio Running yes",
        "Full everything, by role",
        "production, as its developers defined it",
        "Last start took 1.0 min",
        f"always on ${cost.always_on_usd:.2f}",
        f"with auto-stop ${cost.auto_stop_usd:.2f}",
    ):
        assert words in told
    assert f"{NAME} acme erp Running Running True Full" in text_of(table)
    assert f"child Machine {NAME}-kong Running" in text_of(page, "relations")
    assert "Route" not in text_of(page, "relations")
    assert f"owner DevEnv {NAME}" in text_of(machine, "relations")
    assert f"child DevEnv {NAME} Running" in text_of(account, "relations")


async def test_what_ails_it(house: House) -> None:
    """A service that is away, drift, a move, missing prerequisites: each is told in its place."""
    move = MoveStatus(source="yyz", target="fra", step="Copy", since=house.store.clock.now())
    rls = RlsStatus(mode="disabled", generation=1, drift=["public.orders"])
    await settle_devenv(
        house.store,
        "Degraded",
        connection="Unsafe",
        move=move,
        rls=rls,
        missing=["region: moon is not on offer"],
    )
    async with house.browser("support") as browser:
        page = await browser.open(DEVENV)

    told = text_of(page, "devenv")
    for words in (
        "Unsafe everything, flagged as unsafe",
        "applied: disabled",
        "changed by hand public.orders",
        "Copy from yyz to fra",
        "region: moon is not on offer",
    ):
        assert words in told
    assert '<span class="badge bad">Degraded</span>' in page.text
    assert '<span class="badge bad">Unsafe</span>' in page.text


async def test_what_connects_is_not_shown(house: House) -> None:
    """The record of what users connect with is in the database, and on no page."""
    devenv = await settle_devenv(house.store)
    record = ConnectionInfo(supabase_url=TOLD, studio_url=TOLD, db_password="hunter2-secret")
    name = connection_name(NAME)
    cipher = Cipher([Fernet(Fernet.generate_key())])
    await Secrets(house.store, cipher).put(CLIENT.account, name, record.to_bytes())
    async with house.browser("platform-admin") as browser:
        paths = ("/console/devenvs?wide=1", DEVENV, f"{DEVENV}/raw", f"{DEVENV}/edit", SERVICE)
        pages = [(await browser.open(path)).text for path in paths]

    assert devenv.status.connection == "Full"
    assert [] == [page for page in pages if TOLD in page or "hunter2" in page]


async def test_a_broken_row(house: House) -> None:
    """What plain SQL broke is shown as it is, and a search still finds it."""
    await settle_devenv(house.store)
    await house.store.database.execute(
        "UPDATE objects SET spec = spec || '{\"client\": [1]}', "
        "status = status || '{\"services\": 7}' WHERE kind = 'DevEnv'"
    )
    async with house.browser("support") as browser:
        pages = [await browser.open(path) for path in (DEVENV, "/console/devenvs?wide=1")]

    assert [200, 200] == [page.status_code for page in pages]


@pytest.mark.parametrize("words", ["silo-7", NAME, "degraded"])
async def test_a_search_finds_it(house: House, words: str) -> None:
    """By its silo, its name, its phase."""
    await settle_devenv(house.store, "Degraded")
    async with house.browser("support") as browser:
        page = await browser.open(f"/console/devenvs?q={words}")

    assert NAME in text_of(page)


async def test_a_service_is_found_by_its_app(house: House) -> None:
    """Whoever begins with what the provider calls it comes to its Machine."""
    await settle_devenv(house.store)
    async with house.browser("support") as browser:
        page = await browser.open("/console/machines?q=devenv-acme-erp-kong")

    assert SERVICE in page.text


async def test_start_stop_and_restart(house: House) -> None:
    """It stops, starts and restarts, as a workspace does."""
    await settle_devenv(house.store)
    powers = []
    async with house.browser("platform-admin") as browser:
        for action in ("stop", "start", "restart"):
            answer = await browser.submit(f"{DEVENV}/do/{action}")
            assert 303 == answer.status_code
            spec = (await house.store.get(DevEnv, NAME, CLIENT.account)).spec
            powers.append((spec.power, spec.wake_at is None, spec.restart_at is None))

    assert [("Stopped", True, True), ("Running", False, True), ("Running", False, False)] == powers


async def test_new_keys(house: House) -> None:
    """New keys want the name typed; the wish stands in the audit, and the page says it is open."""
    await settle_devenv(house.store)
    async with house.browser("platform-admin") as browser:
        refused = await browser.submit(f"{DEVENV}/do/rotate-keys")
        before = (await house.store.get(DevEnv, NAME, CLIENT.account)).spec.rotate_at
        done = await browser.submit(f"{DEVENV}/do/rotate-keys", confirm=NAME)
        page = await browser.open(DEVENV)

    spec = (await house.store.get(DevEnv, NAME, CLIENT.account)).spec
    assert (422, None, 303) == (refused.status_code, before, done.status_code)
    assert spec.rotate_at is not None
    assert "new ones are wished for" in text_of(page, "devenv")
    assert "spec.rotateAt" in text_of(page, "audit")


async def test_support_wakes_and_restarts(house: House) -> None:
    """Support is offered what it may do, and nothing else."""
    await settle_devenv(house.store)
    async with house.browser("support") as browser:
        page = (await browser.open(DEVENV)).text
        refused = await browser.open(f"{DEVENV}/do/rotate-keys")

    names = ("restart", "wake", "stop", "rotate-keys", "delete")
    assert ["restart", "wake"] == [name for name in names if f"{DEVENV}/do/{name}" in page]
    assert 403 == refused.status_code


@pytest.mark.parametrize("reason", [None, "BuildFailed"])
async def test_the_front_end(house: House, reason: str | None) -> None:
    """How far the front end is, if one is named."""
    devenv = await settle_devenv(house.store)
    devenv.spec.netlify = NetlifySpec(site="acme-erp", team="acme")
    devenv = await house.store.update(devenv)
    if reason is not None:
        devenv.status.set_condition(
            "NetlifyCurrent", status=False, reason=reason, now=house.store.clock.now(), generation=2
        )
        await house.store.update_status(devenv)
    async with house.browser("support") as browser:
        page = await browser.open(DEVENV)

    assert f"Front end {reason or 'Unknown'}" in text_of(page, "devenv")
