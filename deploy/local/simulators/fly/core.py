"""What every part of the cloud shares: the state, the clock, and how a change becomes visible."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

from deploy.local.simulators.clock import Now, wall_anchored
from deploy.local.simulators.effects import EffectLog
from deploy.local.simulators.fly import views
from deploy.local.simulators.fly.runtime import InlineRuntime, MachineRuntime
from deploy.local.simulators.fly.state import (
    TERMINAL,
    App,
    Event,
    FlyError,
    FlyTimings,
    Machine,
    Volume,
)
from deploy.local.simulators.history import History
from deploy.local.simulators.ids import Ids
from deploy.local.simulators.limits import FlyLimits

DEFAULT_ORG = "invoker"
DEFAULT_TOKEN = "sim-fly-token"  # noqa: S105 - opens nothing but the simulator
_KEPT_EVENTS = 50


class CloudCore:
    """State and plumbing; the behaviour is in the mixins of `FlyCloud`.

    Args:
        org: slug of our organization.
        token: the one API token that is ours.
        now: clock, unix seconds; the running loop's by default.
        rng: where identifiers come from; seeded with 0 by default.
        timings: how long things take.
        runtime: what runs the machines; in memory by default.
        limits: rate limits, off by default.

    Attributes:
        effects: every successful mutation through the API.
        stale_lists: serve lists as they were so many mutations ago (0 to 4).
        late_updates: seconds after which a change shows in the organization's lists.
        error_regions: regions whose hosts do not answer the organization's lists.
        full_regions: regions without capacity.
        broken_images: images that cannot be launched; their machines end in `failed`.
        short_pages: at most so many entries on a page of the organization's lists.
        empty_pages: begin every organization-wide listing with an empty page.
        flat_leases: answer leases without the `{status, data}` envelope.
        machine_limit: the organization's quota, None for none.
        fresh_app_status: what a new app answers until it is visible.
        on_change: called after every visible change; persistence hooks in here.
    """

    def __init__(
        self,
        *,
        org: str = DEFAULT_ORG,
        token: str = DEFAULT_TOKEN,
        now: Now | None = None,
        rng: random.Random | None = None,
        timings: FlyTimings | None = None,
        runtime: MachineRuntime | None = None,
        limits: FlyLimits | None = None,
    ) -> None:
        self.org = org
        self.token = token
        self.now = now or wall_anchored()
        self.ids = Ids(rng or random.Random(0))  # noqa: S311 - reproducible, not secret
        self.timings = timings or FlyTimings()
        self.runtime: MachineRuntime = runtime or InlineRuntime(self.now)
        self.limits = limits or FlyLimits()
        self.apps: dict[str, App] = {}
        self.machines: dict[str, Machine] = {}
        self.volumes: dict[str, Volume] = {}
        self.history = History()
        self.effects = EffectLog()
        self._init_switches()
        self._late: dict[str, tuple[float, Any]] = {}
        self._changed: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def _init_switches(self) -> None:
        self.stale_lists = 0
        self.late_updates = 0.0
        self.error_regions: set[str] = set()
        self.full_regions: set[str] = set()
        self.broken_images: set[str] = set()
        self.short_pages: int | None = None
        self.empty_pages = False
        self.flat_leases = False
        self.machine_limit: int | None = None
        self.fresh_app_status = 404
        self.on_change: Callable[[], None] | None = None

    # What is there

    def app(self, name: str) -> App:
        """Return one of our apps.

        Raises:
            FlyError: 404 when it is not there (yet), 403 when it is somebody else's.
        """
        app = self.apps.get(name)
        if app is None:
            raise FlyError(404, "app not found")
        if app.org != self.org:
            raise FlyError(403, "unauthorized")
        if app.visible_at > self.now():
            raise FlyError(self.fresh_app_status, "app not found")
        return app

    def machine(self, app_name: str, machine_id: str) -> Machine:
        """Return a machine of one of our apps.

        Raises:
            FlyError: 404 when there is none, or as `app` does.
        """
        self.app(app_name)
        machine = self.machines.get(machine_id)
        if machine is None or machine.app != app_name:
            raise FlyError(404, "machine not found")
        return machine

    def volume(self, app_name: str, volume_id: str) -> Volume:
        """Return a volume of one of our apps.

        Raises:
            FlyError: 404 when there is none, or as `app` does.
        """
        self.app(app_name)
        volume = self.volumes.get(volume_id)
        if volume is None or volume.app != app_name:
            raise FlyError(404, "volume not found")
        return volume

    def live_machines(self, app_name: str) -> list[Machine]:
        """Return an app's machines that are not destroyed."""
        app = self.apps.get(app_name)
        found = [self.machines[machine_id] for machine_id in app.machines] if app else []
        return [machine for machine in found if machine.state not in TERMINAL]

    def shown(self, kind: str, key: str) -> dict[str, Any]:
        """Return the present view of a machine or volume; not to be changed in place."""
        entry: tuple[str, dict[str, Any]] = self.history.get(kind, key) or ("", {})
        return entry[1]

    # How a change becomes visible

    def show_app(self, app: App) -> None:
        """Make an app's change visible."""
        gone = self.apps.get(app.name) is not app
        self.history.put("app", app.name, None if gone else views.app_view(app))
        self._notify()

    def show_volume(self, volume: Volume) -> None:
        """Make a volume's change visible."""
        volume.updated_at = self.now()
        gone = volume.id not in self.volumes
        view = None if gone else (volume.app, views.volume_view(volume))
        self.history.put("volume", volume.id, view)
        self._notify()

    def show_machine(self, machine: Machine) -> None:
        """Make a machine's change visible and wake whoever waits for it."""
        machine.updated_at = self.now()
        gone = machine.id not in self.machines
        view = None if gone else (machine.app, views.machine_view(machine))
        before = self.history.put("machine", machine.id, view)
        if self.late_updates:
            self._late.setdefault(machine.id, (machine.updated_at + self.late_updates, before))
        if changed := self._changed.pop(machine.id, None):
            changed.set()
        self._notify()

    def _notify(self) -> None:
        if self.on_change:
            self.on_change()

    def event(
        self,
        machine: Machine,
        kind: str,
        status: str,
        source: str = "flyd",
        request: dict[str, Any] | None = None,
    ) -> None:
        """Append to a machine's history, oldest first."""
        at = self.now()
        machine.events.append(Event(self.ids.ulid(at), kind, status, source, at, request))
        del machine.events[:-_KEPT_EVENTS]

    def move(self, machine: Machine, state: str, kind: str, source: str = "flyd") -> None:
        """Put a machine into a state, with the event that says so."""
        machine.state = state
        self.event(machine, kind, state, source)
        self.show_machine(machine)

    async def changed(self, machine: Machine, within: float) -> None:
        """Return when the machine changes, or after so many seconds."""
        signal = self._changed.setdefault(machine.id, asyncio.Event())
        try:
            await asyncio.wait_for(signal.wait(), max(within, 0))
        except TimeoutError:
            return

    # Work that goes on after the answer

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a transition on the loop."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Stop every transition; machines that run go on running."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
