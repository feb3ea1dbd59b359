"""How a machine moves between its states, and how long it takes."""

from datetime import timedelta
from typing import Any

import anyio

from deploy.local.simulators.clock import rfc3339
from deploy.local.simulators.fly.core import CloudCore
from deploy.local.simulators.fly.state import RUNNING, TERMINAL, FlyError, Machine

_RESTART_WINDOW = timedelta(minutes=5).total_seconds()
_MAX_RESTARTS = 10  # the documented default, within the window
_OOM_EXIT = 137
_STARTABLE = frozenset({"stopped", "suspended", "failed"})
_DESTROYABLE = frozenset({"created", "stopped", "suspended", "failed", "destroying"})


class Lifecycle(CloudCore):
    """Orders to a machine.

    An order changes the state at once and finishes in a task of its own;
    a newer order overtakes it by raising the machine's epoch.
    """

    def begin_launch(self, machine: Machine) -> None:
        """Pull the image, then start unless told not to."""
        self.spawn(self._launch(machine, self._order(machine)))

    def begin_start(self, machine: Machine, source: str = "user") -> str:
        """Start a machine; return the state it was in.

        Raises:
            FlyError: 412 from a state that cannot be left that way.
        """
        previous = machine.state
        if previous in RUNNING:
            return previous
        if previous == "updating":
            raise FlyError(412, "failed_precondition: machine getting replaced, refusing to start")
        if previous not in _STARTABLE:
            raise _wrong_state("start", previous)
        if self.now() < machine.active_until:
            raise FlyError(412, "failed_precondition: machine still active, refusing to start")
        self.check_host_room(machine)
        epoch = self._order(machine)
        machine.restarts.clear()
        self.move(machine, "starting", "start", source)
        resume = previous == "suspended"
        self.spawn(self._boot(machine, epoch, resume=resume))
        return previous

    def begin_stop(
        self, machine: Machine, source: str = "user", timeout: float | None = None
    ) -> None:
        """Stop a machine; one that stands still stays so.

        Raises:
            FlyError: 412 from a state that cannot be left that way.
        """
        if machine.state in {"stopped", "stopping"}:
            return
        if machine.state not in RUNNING | {"suspended", "failed"}:
            raise _wrong_state("stop", machine.state)
        machine.stop_timeout = timeout
        epoch = self._order(machine)
        self.move(machine, "stopping", "stop", source)
        self.spawn(self._stop(machine, epoch, "stopped"))

    def begin_suspend(self, machine: Machine, source: str = "user") -> None:
        """Suspend a running machine.

        Raises:
            FlyError: 412 when it does not run.
        """
        if machine.state in {"suspended", "suspending"}:
            return
        if machine.state != "started":
            raise _wrong_state("suspend", machine.state)
        epoch = self._order(machine)
        self.move(machine, "suspending", "suspend", source)
        self.spawn(self._stop(machine, epoch, "suspended"))

    def begin_restart(self, machine: Machine) -> None:
        """Stop and start a running machine.

        Raises:
            FlyError: 412 when it does not run.
        """
        if machine.state not in RUNNING:
            raise _wrong_state("restart", machine.state)
        epoch = self._order(machine)
        self.move(machine, "restarting", "restart", "user")
        self.spawn(self._restart(machine, epoch))

    def begin_replace(self, machine: Machine, *, launch: bool) -> None:
        """Replace a machine by its new version."""
        epoch = self._order(machine)
        self.move(machine, "updating", "update", "user")
        self.spawn(self._replace(machine, epoch, launch=launch))

    def begin_destroy(self, machine: Machine, *, force: bool) -> None:
        """Destroy a machine; its volume is let go some time later.

        Raises:
            FlyError: 409 when it runs and `force` is not given.
        """
        if not force and machine.state not in _DESTROYABLE:
            raise FlyError(409, "unable to destroy machine, not currently stopped")
        if machine.state == "destroying":
            return
        epoch = self._order(machine)
        self.move(machine, "destroying", "destroy", "user")
        self.spawn(self._destroy(machine, epoch))

    def exited(self, machine_id: str, exit_code: int) -> None:
        """Handle a process that ended by itself: the restart policy decides."""
        machine = self.machines.get(machine_id)
        if machine is None or machine.state not in RUNNING:
            return
        epoch = self._order(machine)
        restarting = self._restarts_after(machine, exit_code)
        self._exit_event(machine, exit_code, requested=False, restarting=restarting)
        if restarting:
            machine.restarts.append(self.now())
            machine.state = "starting"
            self.show_machine(machine)
            self.spawn(self._boot_again(machine, epoch))
            return
        machine.state = "stopped"
        self.show_machine(machine)
        if machine.config.get("auto_destroy"):
            self.begin_destroy(machine, force=True)

    def check_host_room(self, machine: Machine) -> None:
        """Refuse where the machine's host is full.

        Raises:
            FlyError: 409, as for so many other reasons.
        """
        if machine.host_full:
            raise FlyError(
                409,
                "aborted: could not reserve resource for machine: insufficient memory "
                "available to fulfill request on the current host",
            )

    # The tasks

    async def _launch(self, machine: Machine, epoch: int) -> None:
        await anyio.sleep(self.timings.image_pull_seconds)
        if machine.epoch != epoch:
            return
        if machine.config.get("image") in self.broken_images:
            self.move(machine, "failed", "launch")
            return
        if machine.skip_launch:
            self.move(machine, "stopped", "launch")
            return
        self.move(machine, "starting", "start")
        await self._boot(machine, epoch)

    async def _boot(self, machine: Machine, epoch: int, *, resume: bool = False) -> None:
        timings = self.timings
        await anyio.sleep(timings.resume_seconds if resume else timings.boot_seconds)
        if machine.epoch != epoch:
            return
        try:
            await self.runtime.boot(machine)
        except OSError:
            self.exited(machine.id, 1)
            return
        if machine.epoch == epoch:
            machine.started_at = self.now()
            machine.checks = {}
            self.move(machine, "started", "start")

    async def _boot_again(self, machine: Machine, epoch: int) -> None:
        await anyio.sleep(self.timings.restart_delay_seconds)
        if machine.epoch == epoch:
            await self._boot(machine, epoch)

    async def _stop(self, machine: Machine, epoch: int, into: str) -> None:
        await anyio.sleep(self.timings.stop_seconds)
        if machine.epoch != epoch:
            return
        await self.runtime.stop(machine)
        if machine.epoch != epoch:
            return
        machine.active_until = self.now() + self.timings.stop_settle_seconds
        if into == "stopped":
            self._exit_event(machine, 0, requested=True)
            machine.state = into
            self.show_machine(machine)
        else:
            self.move(machine, into, "suspend")

    async def _restart(self, machine: Machine, epoch: int) -> None:
        await anyio.sleep(self.timings.stop_seconds)
        if machine.epoch != epoch:
            return
        await self.runtime.stop(machine)
        self._exit_event(machine, 0, requested=True, restarting=True)
        if machine.epoch == epoch:
            await self._boot(machine, epoch)

    async def _replace(self, machine: Machine, epoch: int, *, launch: bool) -> None:
        half = self.timings.update_seconds / 2
        await anyio.sleep(half)
        if machine.epoch != epoch:
            return
        self.move(machine, "replacing", "update")
        await self.runtime.stop(machine)
        await anyio.sleep(half)
        if machine.epoch != epoch:
            return
        if not launch:
            self.move(machine, "stopped", "update")
            return
        self.move(machine, "starting", "start")
        await self._boot(machine, epoch)

    async def _destroy(self, machine: Machine, epoch: int) -> None:
        await self.runtime.kill(machine)
        await anyio.sleep(self.timings.destroy_seconds)
        if machine.epoch != epoch:
            return
        self.bury(machine)
        await anyio.sleep(self.timings.volume_release_seconds)
        self.release_volume(machine)

    # Steps

    def bury(self, machine: Machine) -> None:
        """Leave a destroyed machine's record, which can still be read by its ID."""
        machine.epoch += 1
        machine.lease = None
        self.move(machine, "destroyed", "destroy")
        if app := self.apps.get(machine.app):
            app.machines.pop(machine.id, None)
            self.show_app(app)

    def release_volume(self, machine: Machine) -> None:
        """Let go of a machine's volume."""
        volume = self.volumes.get(machine.volume or "")
        if volume is not None and volume.machine == machine.id:
            volume.machine = None
            self.show_volume(volume)

    def resume_work(self, machine: Machine) -> None:
        """Go on with what was under way when the state was saved; boot what ran."""
        if machine.state in TERMINAL:
            self.release_volume(machine)
        elif machine.state == "destroying":
            self.spawn(self._destroy(machine, self._order(machine)))
        elif machine.state in {"stopping", "suspending"}:
            into = "stopped" if machine.state == "stopping" else "suspended"
            self.spawn(self._stop(machine, self._order(machine), into))
        elif machine.state == "created":
            self.begin_launch(machine)
        elif machine.state not in _STARTABLE:
            epoch = self._order(machine)
            self.move(machine, "starting", "start")
            self.spawn(self._boot(machine, epoch))

    def _order(self, machine: Machine) -> int:
        machine.epoch += 1
        return machine.epoch

    def _restarts_after(self, machine: Machine, exit_code: int) -> bool:
        restart = machine.config.get("restart") or {}
        policy = restart.get("policy") or "on-failure"
        if policy == "no" or (policy == "on-failure" and exit_code == 0):
            return False
        recent = self.now() - _RESTART_WINDOW
        machine.restarts = [at for at in machine.restarts if at > recent]
        limit = restart.get("max_retries") or _MAX_RESTARTS
        return policy == "always" or len(machine.restarts) < limit

    def _exit_event(
        self, machine: Machine, exit_code: int, *, requested: bool, restarting: bool = False
    ) -> None:
        detail: dict[str, Any] = {
            "requested_stop": requested,
            "restarting": restarting,
            "guest_exit_code": 0,
            "guest_signal": -1,
            "guest_error": "",
            "exit_code": exit_code,
            "signal": -1,
            "error": "",
            "oom_killed": exit_code == _OOM_EXIT,
            "exited_at": rfc3339(self.now()),
        }
        request = {"exit_event": detail, "restart_count": len(machine.restarts)}
        self.event(machine, "exit", "stopped", "flyd", request)


def _wrong_state(action: str, state: str) -> FlyError:
    text = f"failed_precondition: unable to {action} machine from current state: '{state}'"
    return FlyError(412, text)
