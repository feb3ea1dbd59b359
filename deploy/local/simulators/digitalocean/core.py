"""What every part of the cloud shares: the state, the clock, and how a change becomes visible."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

from deploy.local.simulators.clock import Now, wall_anchored
from deploy.local.simulators.digitalocean import views
from deploy.local.simulators.digitalocean.limits import DropletLimits
from deploy.local.simulators.digitalocean.state import (
    DEFAULT_EMAIL,
    Action,
    Code,
    DigitalOceanError,
    Droplet,
    DropletTimings,
    Grant,
    OAuthApp,
    Team,
)
from deploy.local.simulators.effects import EffectLog
from deploy.local.simulators.history import History
from deploy.local.simulators.ids import Ids

OnBoot = Callable[[Droplet, str], Awaitable[None]]
OnHalt = Callable[[Droplet], Awaitable[None]]
FIRST_ID = 420_000_000

log = structlog.get_logger("deploy.local.simulators.digitalocean")


async def _nothing_boots(_: Droplet, __: str) -> None:
    """Boot nothing."""


async def _nothing_halts(_: Droplet) -> None:
    """Halt nothing."""


class CloudCore:
    """State and plumbing; the behaviour is in the mixins of `DigitalOceanCloud`.

    Args:
        app: the one application that is registered.
        now: clock, unix seconds; the running loop's by default.
        rng: where identifiers, tokens and chance come from; seeded with 0 by default.
        timings: how long things take.
        limits: rate limits; they refuse nobody by default.

    Attributes:
        on_boot: awaited with a droplet and its user data whenever it has booted.
        on_halt: awaited with a droplet when its power goes, before it boots again or is gone.
        effects: every successful mutation through the API; user data is left out of them.
        stale_lists: serve lists of droplets as they were so many mutations ago (0 to 4).
        ignored_shutdowns: the share of shutdowns that droplets do not heed, 0 to 1.
        failing_actions: kinds of actions that end as `errored`, `create` among them.
        full_regions: regions without capacity.
        on_change: called after every visible change; persistence hooks in here.
    """

    def __init__(
        self,
        *,
        app: OAuthApp | None = None,
        now: Now | None = None,
        rng: random.Random | None = None,
        timings: DropletTimings | None = None,
        limits: DropletLimits | None = None,
    ) -> None:
        self.app = app or OAuthApp()
        self.now = now or wall_anchored()
        self.ids = Ids(rng or random.Random(0))  # noqa: S311 - reproducible, not secret
        self.timings = timings or DropletTimings()
        self.limits = limits or DropletLimits()
        self.teams: dict[str, Team] = {}
        self.droplets: dict[int, Droplet] = {}
        self.actions: dict[int, Action] = {}
        self.grants: dict[str, Grant] = {}
        self.codes: dict[str, Code] = {}
        self.history = History()
        self.effects = EffectLog()
        self.next_id = FIRST_ID
        self._init_switches()
        self._tasks: set[asyncio.Task[None]] = set()

    def _init_switches(self) -> None:
        self.on_boot: OnBoot = _nothing_boots
        self.on_halt: OnHalt = _nothing_halts
        self.stale_lists = 0
        self.ignored_shutdowns = 0.0
        self.failing_actions: set[str] = set()
        self.full_regions: set[str] = set()
        self.on_change: Callable[[], None] | None = None

    # What is there

    def number(self) -> int:
        """Return the next of the numbers that things are named by."""
        self.next_id += 1
        return self.next_id

    def team_of(self, email: str = DEFAULT_EMAIL) -> Team:
        """Return a person's team; somebody new gets one."""
        found = next((team for team in self.teams.values() if team.email == email), None)
        if found is None:
            found = Team(self.ids.uuid(), email, self.ids.uuid())
            self.teams[found.uuid] = found
            self.changed()
        return found

    def droplet(self, team: Team, number: str) -> Droplet:
        """Return a team's droplet.

        Raises:
            DigitalOceanError: 404, also for somebody else's.
        """
        found = self.droplets.get(int(number)) if number.isdigit() else None
        if found is None or found.team != team.uuid:
            raise not_found()
        return found

    def pending(self, droplet: Droplet) -> Action | None:
        """Return the action that a droplet is busy with."""
        actions = self.actions.values()
        mine = (action for action in actions if action.droplet == droplet.id)
        return next((action for action in mine if action.status == "in-progress"), None)

    # How a change becomes visible

    def show(self, droplet: Droplet) -> None:
        """Make a droplet's change visible."""
        gone = droplet.id not in self.droplets
        locked = self.pending(droplet) is not None
        view = None if gone else (droplet, views.droplet_view(droplet, locked=locked))
        self.history.put("droplet", str(droplet.id), view)
        self.changed()

    def changed(self) -> None:
        """Tell whoever keeps the state."""
        if self.on_change:
            self.on_change()

    # Work that goes on after the answer

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a transition on the loop."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def boot(self, droplet: Droplet) -> None:
        """Tell the hook that a droplet runs; what becomes of its software is not our concern."""
        try:
            await self.on_boot(droplet, droplet.user_data)
        except Exception:
            log.exception("the droplet's software did not start", droplet=droplet.id)

    async def halt(self, droplet: Droplet) -> None:
        """Tell the hook that a droplet's power is gone."""
        try:
            await self.on_halt(droplet)
        except Exception:
            log.exception("the droplet's software did not end", droplet=droplet.id)

    async def aclose(self) -> None:
        """Stop every transition; what runs goes on running."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def not_found() -> DigitalOceanError:
    """Return a 404."""
    return DigitalOceanError(404, "not_found", "The resource you requested could not be found.")
