"""Operators' journeys in a real browser: live, by keyboard, on a phone, in the dark."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from crds.account import Account
from crds.devenv import RlsStatus
from crds.workspace import WORKSPACE, Workspace
from tests.console.devenvs import DEVENV, settle_devenv
from tests.console.house import House
from tests.console.screens import CHROMIUM, Screen, screen
from tests.console.seeds import Citizen, citizens, phase, settle, warn
from tests.console.vpses import KEY, VPS, settle_vps

pytest.importorskip("playwright.async_api", reason="no browser tests without playwright")

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser tests without {CHROMIUM}"),
]

ALICE = Citizen("alice")
OBJECT = f"{ALICE.account}/{WORKSPACE}"
WORKSPACES = f"/console/workspaces/{OBJECT}"
ACCOUNT = f"/console/accounts/-/{ALICE.account}"
PHONE = {"width": 390, "height": 844}
PAGES = {
    "fleet": "/console",
    "table": "/console/workspaces",
    "accounts": "/console/accounts?wide=1",
    "search": "/console/find?q=a",
    "edit": f"{WORKSPACES}/edit",
    "confirm": f"{ACCOUNT}/do/quarantine",
    "missing": "/console/workspaces/-/nobody",
    "workspace": WORKSPACES,
    "account": ACCOUNT,
    "devenvs": "/console/devenvs?wide=1",
    "devenv": DEVENV,
    "rotate": f"{DEVENV}/do/rotate-keys",
    "vpses": "/console/vpses?wide=1",
    "vps": VPS,
    "key": KEY,
}


@asynccontextmanager
async def town(house: House, **options: Any) -> AsyncIterator[Screen]:
    """A browser, signed in, before a town with everything in it."""
    everybody = citizens(house.store.clock.now())
    await settle(house.store, everybody)
    jonas, katya = everybody[9], everybody[10]
    await warn(house.store, jonas, "NoCapacity", "could not reserve resource for machine", 4)
    await warn(house.store, katya, "Crashed", "exited with code 137; restarted in 40 s", 6)
    drift = RlsStatus(mode="production", generation=1, drift=["public.orders"])
    await settle_devenv(house.store, "Degraded", connection="Unsafe", rls=drift)
    await settle_vps(house.store, "Offline")
    async with screen(house, **options) as shown:
        await shown.sign_in()
        yield shown


async def test_live(house: House) -> None:
    """A phase change arrives by itself, in the row where it belongs, and keeps focus and scroll.

    Slow: a browser starts.
    """
    async with town(house, viewport={"width": 1360, "height": 400}) as shown:
        page = shown.page
        await shown.open("/console/workspaces?sort=subdomain")
        await shown.live()
        row = page.locator("tbody tr", has_text="alice@example.com")
        await row.get_by_role("link", name="alice@example.com").focus()
        await page.evaluate("scrollTo(0, 120)")
        before = await page.evaluate("scrollY")
        await phase(house.store, ALICE, "Crashed")
        await row.get_by_text("Crashed").wait_for()
        focused = await page.evaluate("document.activeElement.textContent")
        after = await page.evaluate("scrollY")
        said = await page.locator("#announce").inner_text()

    assert ("alice@example.com", 120, 120) == (focused, before, after)
    assert "1 row changed" == said
    assert [] == shown.complaints


async def test_live_object(house: House) -> None:
    """An object's page follows its life, counts down, and says so to those who hear it.

    Slow: a browser starts.
    """
    jonas = citizens(house.store.clock.now())[9]
    async with town(house) as shown:
        await shown.open(f"/console/workspaces/{jonas.account}/{WORKSPACE}")
        await shown.live()
        countdown = await shown.page.locator("#progress time").first.inner_text()
        await shown.page.get_by_text("YAML", exact=True).click()
        await phase(house.store, jonas, "Running", ready=True)
        await shown.page.locator("#head .badge", has_text="Running").wait_for()
        said = await shown.page.locator("#announce").inner_text()
        # What was opened stays open.
        await shown.page.locator("#manifest pre", has_text="phase: Running").wait_for()

    assert countdown.startswith("in ")
    assert "Workspace jonas is Running" == said
    assert [] == shown.complaints


async def test_session_ends_live(house: House) -> None:
    """A page whose stream may no longer be says so: what is old is not shown as if it were new.

    Slow: a browser starts.
    """
    async with town(house) as shown:
        await shown.live()
        await house.store.database.execute("UPDATE access_tokens SET revoked_at = now()")
        # What a tab does that nobody looks at for a while.
        await shown.page.evaluate("dispatchEvent(new Event('pagehide'))")
        await shown.page.evaluate("dispatchEvent(new Event('pageshow'))")
        await shown.page.locator("#live[data-state=ended]").wait_for()

    assert [] == shown.complaints


async def test_keyboard(house: House) -> None:
    """Search, rows, editor, places and help, all without a mouse.

    Slow: a browser starts.
    """
    async with town(house) as shown:
        page = shown.page
        await page.keyboard.press("g")
        await page.keyboard.press("w")
        await page.wait_for_url("**/console/workspaces")
        await page.keyboard.press("/")
        await page.keyboard.type("asleep")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/console/workspaces?q=asleep**")
        await page.keyboard.press("j")
        first = await page.evaluate("document.activeElement.textContent")
        await page.keyboard.press("ArrowDown")
        second = await page.evaluate("document.activeElement.textContent")
        await page.keyboard.press("k")
        again = await page.evaluate("document.activeElement.textContent")
        await page.keyboard.press("?")
        await page.get_by_role("dialog", name="Keyboard").wait_for()
        await page.keyboard.press("Escape")
        await page.get_by_role("dialog", name="Keyboard").wait_for(state="hidden")
        await page.keyboard.press("Enter")
        await page.get_by_role("heading", level=1, name="Workspace farid").wait_for()
        await page.keyboard.press("e")
        await page.wait_for_url("**/edit")
        await page.keyboard.press("Tab")
        skip = await page.evaluate("document.activeElement.textContent")

    assert ["farid@example.com", "grace@example.com", "farid@example.com"] == [first, second, again]
    assert "Skip to content" == skip
    assert [] == shown.complaints


async def test_edit(house: House) -> None:
    """YAML with an error is refused with the line and kept; corrected, it is saved.

    Slow: a browser starts.
    """
    async with town(house) as shown:
        page = shown.page
        await shown.open(f"{WORKSPACES}/edit")
        field = page.get_by_label("YAML")
        right = await field.input_value()
        wrong = right.replace("power: Running", "power: Flying")
        await field.fill(wrong)
        await page.get_by_role("button", name="Save").click()
        problem = await page.get_by_role("alert").inner_text()
        kept = await field.input_value()
        await field.fill(right.replace("power: Running", "power: Stopped"))
        await page.get_by_role("button", name="Check only").click()
        await page.get_by_role("heading", name="This is what would change").wait_for()
        await page.get_by_role("button", name="Save").click()
        await page.get_by_text("The object was saved.").wait_for()

    workspace = await house.store.get(Workspace, WORKSPACE, ALICE.account)
    assert ("Stopped", wrong) == (workspace.spec.power, kept)
    assert "spec.power" in problem
    assert [] == shown.complaints


async def test_quarantine(house: House) -> None:
    """From a search to a quarantined account, with the confirmation that it takes.

    Slow: a browser starts.
    """
    async with town(house) as shown:
        page = shown.page
        await page.get_by_role("searchbox", name="Search everything").fill("alice@example.com")
        await page.keyboard.press("Enter")
        await page.get_by_role("link", name=ALICE.account).click()
        await page.get_by_role("link", name="Quarantine").click()
        await page.get_by_label("Type alice@example.com").fill("alice")
        await page.get_by_role("button", name="Quarantine").click()
        await page.get_by_role("alert").wait_for()
        await page.get_by_label("Type alice@example.com").fill("alice@example.com")
        await page.get_by_role("button", name="Quarantine").click()
        await page.get_by_text("The account is quarantined.").wait_for()

    assert "Quarantined" == (await house.store.get(Account, ALICE.account)).spec.state
    assert [] == shown.complaints


async def test_without_scripts(house: House) -> None:
    """Without scripts everything but the live updates works: search, action, edit, theme.

    Slow: a browser starts.
    """
    async with town(house, java_script_enabled=False) as shown:
        page = shown.page
        await shown.open("/console/workspaces")
        told = await page.locator("#live").inner_text()
        await page.get_by_label("Search", exact=True).fill("alice")
        await page.get_by_role("button", name="Apply").click()
        await page.get_by_role("link", name="alice@example.com").click()
        await page.get_by_role("link", name="Stop").click()
        await page.get_by_role("button", name="Stop").click()
        await page.get_by_text("It shall stop.").wait_for()
        await page.get_by_label("Your session").click()
        await page.get_by_role("button", name="dark").click()
        theme = await page.locator("html").get_attribute("data-theme")

    assert ("Live updates need JavaScript", "dark") == (told, theme)


async def test_led_here(house: House) -> None:
    """A link on another site leads to the page although the browser keeps the cookie back at first.

    Slow: a browser starts.
    """
    async with town(house) as shown:
        link = f'<!doctype html><title>chat</title><a href="{shown.origin}{WORKSPACES}">look</a>'
        await shown.page.route(
            "http://chat.example/", lambda route: route.fulfill(body=link, content_type="text/html")
        )
        await shown.page.goto("http://chat.example/")
        await shown.page.get_by_role("link", name="look").click()
        await shown.page.get_by_role("heading", level=1, name="Workspace alice").wait_for()

    assert [] == shown.complaints


@pytest.mark.parametrize("look", ["light", "dark", "phone-dark"])
async def test_accessible(house: House, look: str) -> None:
    """Axe finds no violation of WCAG 2.2 AA on any page, and no page is wider than its screen.

    Slow: a browser starts and looks at every page closely.
    """
    axe = pytest.importorskip("axe_playwright_python.async_playwright", reason="no axe")
    options: dict[str, Any] = {"color_scheme": "dark" if "dark" in look else "light"}
    if look.startswith("phone"):
        options |= {"viewport": PHONE, "device_scale_factor": 2, "has_touch": True}
    tags = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    found: dict[str, list[str]] = {}
    async with town(house, **options, reduced_motion="reduce") as shown:
        for name, path in PAGES.items():
            await shown.open(path)
            results = await axe.Axe().run(shown.page, options=tags)
            found[name] = [
                f"{each['id']}: {node['html'][:120]}"
                for each in results.response["violations"]
                for node in each["nodes"]
            ]
            wide = await shown.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            found[name] += [f"wider by {wide}"] if wide > 0 else []
            await shown.keep(f"{name}-{look}")

    assert {name: [] for name in PAGES} == found
    assert [] == shown.complaints


async def test_sign_in_accessible(house: House) -> None:
    """The page that strangers see is accessible too, with its refusal.

    Slow: a browser starts.
    """
    axe = pytest.importorskip("axe_playwright_python.async_playwright", reason="no axe")
    async with screen(house) as shown:
        await shown.open("/console")
        first = await axe.Axe().run(shown.page)
        await shown.page.get_by_label("Access token").fill("wrong")
        await shown.page.keyboard.press("Enter")
        refusal = await shown.page.get_by_role("alert").inner_text()
        second = await axe.Axe().run(shown.page)

    assert (0, 0) == (first.violations_count, second.violations_count)
    assert "The token is not a JSON Web Token." in refusal or "not a JSON Web Token" in refusal
    assert [] == shown.complaints
