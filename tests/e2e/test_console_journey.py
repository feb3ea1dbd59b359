"""The console on the whole product: what an operator does there happens to a real machine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.person import CONVERGE_SECONDS, Person
from tests.e2e.product import Product

api = pytest.importorskip("playwright.sync_api", reason="no browser tests without playwright")

CHROMIUM: Final = Path("/usr/bin/chromium")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser tests without {CHROMIUM}"),
]


@pytest.fixture
def page() -> Iterator[Any]:
    """A browser that notes what it complains of."""
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.set_default_timeout(CONVERGE_SECONDS * 1000)
        yield page
        browser.close()


@pytest.mark.timeout(180)
def test_operator(product: Product, resident: Person, page: Any) -> None:
    """Sign in with the printed token, find somebody, stop and start their machine, watch it live.

    Slow: a browser starts, and a machine stops and starts.
    """
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.goto(f"http://127.0.0.1:{product.ports['api']}/console")
    page.get_by_label("Access token").fill((product.state / "token").read_text().strip())
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Fleet").wait_for()
    queues = page.locator("#numbers", has_text="1 controller answering").count()
    page.get_by_role("link", name="Workspaces", exact=True).click()
    page.get_by_label("Search", exact=True).fill(resident.email)
    page.keyboard.press("Enter")
    page.locator("a[data-open]", has_text=resident.email).click()
    for button, phase in (("Stop", "Stopped"), ("Start", "Running")):
        page.get_by_role("link", name=button, exact=True).click()
        page.get_by_role("button", name=button, exact=True).click()
        page.locator("#live[data-state=on]").wait_for()
        # The page is not loaded again: the phase comes by itself.
        page.locator("#head .badge", has_text=phase).wait_for()
        page.locator("#head .badge", has_text="Ready: True").wait_for()

    assert (1, []) == (queues, complaints)
