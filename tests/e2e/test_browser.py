"""The edge's own pages in a browser: what a person sees of a machine's life."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.patience import eventually
from tests.e2e.person import CONVERGE_SECONDS, Person
from tests.e2e.product import Product

api = pytest.importorskip("playwright.sync_api", reason="no browser tests without playwright")

CHROMIUM: Final = Path("/usr/bin/chromium")
ARGUMENTS: Final = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser tests without {CHROMIUM}"),
]


@pytest.fixture
def page() -> Iterator[Any]:
    """A phone's worth of browser, which resolves the subdomains of localhost by itself."""
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser.new_page(viewport={"width": 390, "height": 844})
        browser.close()


@pytest.mark.timeout(180)
def test_a_day(product: Product, resident: Person, page: Any) -> None:
    """Sign in, see the machine, stop it, see that it sleeps, wake it: all of it on pages.

    Slow: a browser starts, and a machine stops and starts.
    """
    home = f"http://{resident.subdomain}.localhost:{product.ports['edge']}/"
    _open(page, home, "sign-in")
    page.get_by_label("E-mail").fill(resident.email)
    page.get_by_label("Password").fill(resident.password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Hello").wait_for()
    cookies = page.context.cookies()
    resident.wish("stop")
    eventually(lambda: resident.route() == "stopped", within=CONVERGE_SECONDS)
    page.context.clear_cookies()
    _open(page, home, "asleep")
    asleep = page.get_by_role("heading", level=1).inner_text()
    page.context.add_cookies(cookies)
    _open(page, home, "waking")
    waking = page.get_by_role("heading", level=1).inner_text()
    # The page reloads itself until the machine answers.
    page.get_by_role("heading", name="Hello").wait_for(timeout=CONVERGE_SECONDS * 1000)

    assert ("This machine is asleep", "Your machine is starting") == (asleep, waking)


@pytest.mark.timeout(120)
def test_pages(product: Product, alice: Person, bob: Person, page: Any) -> None:
    """Every page fits a phone, light and dark, names its language, and labels what it asks for.

    Slow: a browser starts.
    """
    edge = f"localhost:{product.ports['edge']}"
    page.set_extra_http_headers({"CF-Connecting-IP": "203.0.113.9"})
    addresses = {
        "landing": f"http://{edge}/",
        "sign-in": f"http://{alice.subdomain}.{edge}/",
        "not-found": f"http://nobody-here.{edge}/",
        "no-machine": f"http://{bob.subdomain}.{edge}/",
    }
    for name, address in addresses.items():
        _open(page, address, name)
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        unnamed = page.locator("input:not([type=hidden])").evaluate_all(
            "fields => fields.filter(field => field.labels.length === 0).length"
        )

        assert (name, 0, 0, "en") == (
            name,
            wide,
            unnamed,
            page.locator("html").get_attribute("lang"),
        )
        assert "Counterspell" in page.title()


def _open(page: Any, address: str, name: str) -> None:
    """Open a page; with `INVOKER_SCREENSHOTS` naming a directory, keep pictures of it there."""
    page.goto(address, wait_until="load")
    directory = os.environ.get("INVOKER_SCREENSHOTS")
    if not directory:
        return
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=f"{directory}/{name}-{scheme}.png")
