"""The console in a real browser: a server on loopback and Chromium, in one loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import uvicorn

from crds.access import Role
from tests.console.house import House

CHROMIUM: Final = Path("/usr/bin/chromium")
ARGUMENTS: Final = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
PATIENCE_MILLISECONDS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Screen:
    """A browser's page with everything that it complained of.

    Attributes:
        page: Playwright's page.
        origin: The console's origin.
        complaints: Errors of scripts and of the console, broken policies included.
    """

    page: Any
    origin: str
    house: House
    complaints: list[str] = field(default_factory=list)

    async def open(self, path: str) -> None:
        """Open one of the console's pages."""
        await self.page.goto(self.origin + path, wait_until="load")

    async def sign_in(self, role: Role = "platform-admin", path: str = "/console") -> None:
        """Sign in as somebody does."""
        token = await self.house.token(role)
        await self.open(path)
        await self.page.get_by_label("Access token").fill(token)
        await self.page.keyboard.press("Enter")
        await self.page.wait_for_url(f"**{path}")

    async def live(self) -> None:
        """Wait until the page's stream is open."""
        await self.page.locator("#live[data-state=on]").wait_for()

    async def keep(self, name: str) -> None:
        """With `INVOKER_SCREENSHOTS` naming a directory, keep a picture there."""
        directory = os.environ.get("INVOKER_SCREENSHOTS")
        if directory:
            await asyncio.to_thread(Path(directory).mkdir, exist_ok=True)
            await self.page.screenshot(path=f"{directory}/console-{name}.png")


@asynccontextmanager
async def served(house: House) -> AsyncIterator[str]:
    """Serve the console on loopback; gives its origin."""
    config = uvicorn.Config(house.app, port=0, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    # The signals are pytest's.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    started = asyncio.Event()
    startup = server.startup

    async def started_up(*arguments: Any, **named: Any) -> None:
        await startup(*arguments, **named)
        started.set()

    server.startup = started_up  # type: ignore[method-assign]
    serving = asyncio.create_task(server.serve())
    try:
        await started.wait()
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        server.force_exit = True
        await serving


@asynccontextmanager
async def screen(house: House, **options: Any) -> AsyncIterator[Screen]:
    """A browser on the console; at the end nothing may have been complained of.

    Args:
        house: The console.
        options: Of Playwright's browser context, such as `viewport`.
    """
    from playwright.async_api import async_playwright  # noqa: PLC0415 - not everywhere

    async with served(house) as origin, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        context = await browser.new_context(
            **{"viewport": {"width": 1360, "height": 900}, **options}
        )
        context.set_default_timeout(PATIENCE_MILLISECONDS)
        page = await context.new_page()
        shown = Screen(page, origin, house)
        page.on("console", lambda said: _note(shown, said))
        page.on("pageerror", lambda error: shown.complaints.append(str(error)))
        yield shown
        await browser.close()


def _note(shown: Screen, said: Any) -> None:
    # A refused form answers 4xx, which the browser reports; that is no fault of the page.
    if said.type in ("error", "warning") and "status of 4" not in said.text:
        shown.complaints.append(said.text)
