"""Droplets, their terminals and their keys in the console: what is shown, and what is done."""

from __future__ import annotations

import pytest

from crds.session import Session
from crds.vps import Vps
from tests.console.house import House, text_of
from tests.console.seeds import settle
from tests.console.vpses import ADDRESS, DROPLET, KEY, NAME, OWNER, SESSION, VPS, settle_vps

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def town(house: House) -> None:
    """The owner's account, with a workspace and its route beside what is told of here."""
    await settle(house.store, [OWNER])


async def test_all_is_well(house: House) -> None:
    """What is there beside what is wished, and what belongs together, from every side."""
    await settle_vps(house.store)
    async with house.browser("support") as browser:
        table = await browser.open("/console/vpses?wide=1")
        page = await browser.open(VPS)
        session = await browser.open(SESSION)
        key = await browser.open(KEY)

    shown = f"{NAME} Running Running True yes {ADDRESS} ams3 s-1vcpu-1gb {DROPLET} 6 Running"
    assert shown in text_of(table)
    assert "differ" not in text_of(page, "compare")
    assert "Cost a month, on or off, to its owner $6.00" in text_of(page, "facts")
    relations = text_of(page, "relations")
    for words in (
        "on CloudConnection digitalocean",
        "child Session build Running",
        "child AuthorizedKey laptop Authorized",
    ):
        assert words in relations
    assert "Route" not in relations
    assert [f"on Vps {NAME}"] * 2 == [text_of(each, "relations")[-11:] for each in (session, key)]


async def test_kinds_have_a_plural(house: House) -> None:
    """Headings are words."""
    async with house.browser("support") as browser:
        pages = [await browser.open(f"/console/{each}") for each in ("vpses", "authorizedkeys")]

    assert ["<h1>Vpses</h1>", "<h1>AuthorizedKeys</h1>"] == [
        heading
        for page, heading in zip(pages, ("<h1>Vpses</h1>", "<h1>AuthorizedKeys</h1>"), strict=True)
        if heading in page.text
    ]


@pytest.mark.parametrize(
    ("phase", "tone"),
    [
        ("Provisioning", "busy"),
        ("ProvisioningTimeout", "bad"),
        ("Running", "good"),
        ("Offline", "bad"),
        ("PoweringOff", "busy"),
        ("Off", "rest"),
        ("PoweringOn", "busy"),
    ],
)
async def test_phases_have_their_colour(house: House, phase: str, tone: str) -> None:
    """What needs a look is seen from afar."""
    await settle_vps(house.store, phase)
    async with house.browser("support") as browser:
        page = await browser.open(VPS)

    assert f'<span class="badge {tone}">{phase}</span>' in page.text


@pytest.mark.parametrize("words", [ADDRESS, str(DROPLET), "offline"])
async def test_a_search_finds_it(house: House, words: str) -> None:
    """By its address and its number at DigitalOcean, and its phase."""
    await settle_vps(house.store, "Offline")
    async with house.browser("support") as browser:
        page = await browser.open(f"/console/vpses?q={words}")
        other = await browser.open("/console/vpses?q=198.51.100.1")

    assert VPS in page.text
    assert VPS not in other.text


async def test_what_is_on_it_is_found_by_its_name(house: House) -> None:
    """Sessions and keys of a Vps, and a key by its fingerprint."""
    await settle_vps(house.store)
    async with house.browser("support") as browser:
        sessions = await browser.open(f"/console/sessions?q={NAME}")
        keys = await browser.open("/console/authorizedkeys?q=SHA256")

    assert SESSION in sessions.text
    assert KEY in keys.text


async def test_power_off_and_on(house: House) -> None:
    """The wish is written as owners write it; nothing that sleeps is spoken of."""
    await settle_vps(house.store)
    powers = []
    async with house.browser("platform-admin") as browser:
        offered = (await browser.open(VPS)).text
        for action in ("power-off", "power-on"):
            answer = await browser.submit(f"{VPS}/do/{action}")
            assert 303 == answer.status_code, answer.text
            powers.append((await house.store.get(Vps, NAME, OWNER.account)).spec.power)

    assert ["Stopped", "Running"] == powers
    names = ("start", "stop", "wake", "restart", "power-off", "power-on", "delete")
    assert ["power-off", "delete"] == [name for name in names if f"{VPS}/do/{name}" in offered]


async def test_support_looks_and_touches_nothing(house: House) -> None:
    """A droplet is its owner's: support has no button for it, nor for who is let in."""
    await settle_vps(house.store)
    async with house.browser("support") as browser:
        pages = [(await browser.open(path)).text for path in (VPS, SESSION, KEY)]
        refused = await browser.open(f"{VPS}/do/power-off")

    assert [] == [page for page in pages if "/do/" in page or "Edit YAML" in page]
    assert 403 == refused.status_code


async def test_a_broken_row(house: House) -> None:
    """What plain SQL broke is shown as it is."""
    await settle_vps(house.store)
    await house.store.database.execute(
        'UPDATE objects SET spec = spec || \'{"vps": 7, "connection": [1]}\', '
        'status = status || \'{"droplet": 7, "cost": "x"}\' '
        "WHERE kind IN ('Vps', 'Session', 'AuthorizedKey')"
    )
    async with house.browser("support") as browser:
        pages = [await browser.open(path) for path in (VPS, SESSION, KEY, "/console/vpses?wide=1")]

    assert [200] * 4 == [page.status_code for page in pages]


async def test_what_owns_it_is_told_once(house: House) -> None:
    """A session that is tied to its Vps is a child of it, and not another thing besides."""
    vps = await settle_vps(house.store)
    session = await house.store.get(Session, "build", OWNER.account)
    session.metadata.owner_references = [vps.owner_reference()]
    await house.store.update(session)
    async with house.browser("support") as browser:
        pages = [await browser.open(path) for path in (VPS, SESSION)]
    told = [text_of(page, "relations") for page in pages]

    assert 1 == told[0].count("Session build")
    assert f"Belongs together owner Vps {NAME}" == told[1]
