"""A user's droplet in a browser: connected, made, used, switched off and on, deleted."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from crds.gateways import GATEWAY_VERSION
from tests.e2e.patience import eventually
from tests.e2e.person import Person
from tests.e2e.processes import marked
from tests.e2e.product import Product, http
from tests.e2e.test_browser import ARGUMENTS, CHROMIUM

api = pytest.importorskip("playwright.sync_api", reason="no browser tests without playwright")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser tests without {CHROMIUM}"),
]

SOON: Final = 60_000
"""Milliseconds: the simulated cloud takes seconds, and two cores may be busy."""
SCREEN: Final = ".xterm-rows"


class Resident(Person):
    """Somebody with a browser, and a droplet in it."""

    def __init__(self, product: Product, name: str, context: Any) -> None:
        super().__init__(product, name)
        self.front = f"http://localhost:{product.ports['edge']}"
        # The rate limit has a test of its own.
        context.set_extra_http_headers({"CF-Connecting-IP": "203.0.113.77"})
        self.page = context.new_page()

    def sign_in(self) -> None:
        """Sign in with a password, on the page that is for it."""
        self.page.goto(f"{self.front}/auth/session")
        self.page.get_by_label("E-mail").fill(self.email)
        self.page.get_by_label("Password").fill(self.password)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url("**/auth/do/connection")

    def connect(self) -> None:
        """Consent at DigitalOcean, and come back connected."""
        self.page.goto(f"{self.front}/terminal/")
        with self.page.context.expect_page() as opened:
            self.page.get_by_test_id("connect").click()
        consent = opened.value
        consent.locator("button[value=authorize]").click()
        consent.get_by_text("It is connected.").wait_for(timeout=SOON)
        consent.close()

    def create(self) -> str:
        """Create a VPS and wait until it runs; returns its uid."""
        form = self.page.get_by_test_id("create-vps")
        form.get_by_role("button", name="Create VPS").click(timeout=SOON)
        self.until_it_is("running")
        return str(self.page.get_by_test_id("vps").get_attribute("data-vps"))

    def until_it_is(self, status: str) -> None:
        """Wait until the page says so of the VPS."""
        self.page.locator(f'[data-testid="vps"][data-status="{status}"]').wait_for(timeout=SOON)

    def open_session(self) -> None:
        """Open the VPS, and a session on it, and see its prompt."""
        self.page.get_by_test_id("vps").get_by_role("heading").get_by_role("link").click()
        form = self.page.get_by_test_id("open-session")
        form.get_by_role("button", name="Open session").click()
        self.until_attached()

    def until_attached(self) -> None:
        """Wait until the terminal shows something."""
        self.page.wait_for_function(
            "s => document.querySelector(s)?.textContent.match(/[$#%>]/)", arg=SCREEN, timeout=SOON
        )

    def type(self, text: str) -> None:
        """Type a line into the terminal."""
        self.page.get_by_test_id("screen").click()
        self.page.keyboard.type(text)
        self.page.keyboard.press("Enter")

    def until_shown(self, pattern: str) -> None:
        """Wait until a line of the terminal is that."""
        self.page.wait_for_function(
            "([s, p]) => [...document.querySelectorAll(s + ' > div')]"
            ".some(line => new RegExp(p).test(line.textContent.trimEnd()))",
            arg=[SCREEN, pattern],
            timeout=SOON,
        )


@pytest.fixture
def context() -> Iterator[Any]:
    """A browser of this test's own."""
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser.new_context(viewport={"width": 1024, "height": 768})
        browser.close()


def droplets(product: Product) -> list[dict[str, Any]]:
    """The droplets that DigitalOcean has."""
    state = json.loads((product.state / "cloud" / "digitalocean" / "state.json").read_text())
    found: list[dict[str, Any]] = state["droplets"]
    return found


@pytest.mark.timeout(300)
def test_a_droplets_life(product: Product, context: Any) -> None:
    """What is typed in the browser is done in the droplet's shell, and nothing is left in the end.

    Slow: a droplet is made, switched off and on, and deleted, in a browser.
    """
    eve = Resident(product, "Eve", context)
    eve.sign_in()
    eve.connect()
    vps = eve.create()
    eve.open_session()
    eve.type("echo $((6*7))")
    eve.until_shown("^42$")
    session = eve.page.url
    eve.page.reload()
    eve.until_shown("^42$")
    home = f"{eve.front}/terminal/"
    eve.page.goto(home)
    eve.page.get_by_test_id("vps-power").click()
    eve.until_it_is("off")
    gateway_sql = "SELECT kind FROM gateway_observations WHERE gateway = %s AND subject = %s"
    eventually(
        lambda: [{"kind": "disconnected"}] == product.sql(gateway_sql, vps, "connection"), within=60
    )
    eve.page.get_by_test_id("vps-power").click()
    eve.until_it_is("running")
    eve.page.goto(session)
    eve.until_attached()
    eve.type("echo $((8*9))")
    eve.until_shown("^72$")
    eve.page.goto(home)
    eve.page.get_by_role("button", name="Delete").click()
    dialog = eve.page.get_by_test_id("delete-dialog")
    name = product.sql("SELECT name FROM vpses WHERE uid = %s", vps)[0]["name"]
    dialog.get_by_role("textbox").fill(name)
    dialog.get_by_role("button", name="Delete VPS").click()
    eve.page.get_by_test_id("no-vps").wait_for(timeout=SOON)

    eventually(lambda: not droplets(product), within=10)
    left = (
        "SELECT name FROM vpses UNION ALL SELECT name FROM terminal_sessions "
        "UNION ALL SELECT subject FROM gateway_observations "
        "UNION ALL SELECT name FROM secrets WHERE starts_with(name, 'vps/')"
    )
    assert [] == product.sql(left)
    assert [] == marked(vps)


def test_droplets_fetch_their_gateway(product: Product, tmp_path: Path) -> None:
    """What the cloud-init fetches from the Worker is the release that is named there.

    Slow: the whole product is started for it.
    """
    name = f"gateway-{GATEWAY_VERSION}.pyz"
    with http(base_url=f"http://localhost:{product.ports['edge']}") as droplet:
        fetched = droplet.get(f"/gateway/{name}")
    program = tmp_path / name
    program.write_bytes(fetched.content)
    command = [sys.executable, "-I", str(program), "--version"]
    told = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own program

    assert GATEWAY_VERSION in told.stdout
