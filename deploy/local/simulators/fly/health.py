"""A machine's health checks: run when it is read, as often as their intervals allow."""

from typing import Any

from deploy.local.simulators.clock import rfc3339
from deploy.local.simulators.fly.checks import seconds
from deploy.local.simulators.fly.core import CloudCore
from deploy.local.simulators.fly.state import CheckRun, Machine

_INTERVAL_SECONDS = 15.0  # the example of the specification, as is the next
_GRACE_SECONDS = 1.0
_NOT_STARTED = "the machine hasn't started"


class Health(CloudCore):
    """The checks of `config.checks`.

    The platform runs them all the time; here one runs when somebody reads the machine and the
    last run is older than its interval, so that machines that nobody looks at cost nothing.
    An app's list shows the last runs and starts none.
    """

    async def run_checks(self, machine: Machine) -> None:
        """Run what is due of a machine's checks; none while it does not run."""
        for name, check in (machine.config.get("checks") or {}).items():
            if self._due(machine, name, check):
                at, epoch = self.now(), machine.epoch
                passing, output = await self.runtime.check(machine, check)
                if (machine.state, machine.epoch) == ("started", epoch):
                    status = "passing" if passing else "critical"
                    machine.checks[name] = CheckRun(status, output, at)

    def with_checks(self, view: dict[str, Any], machine: Machine) -> dict[str, Any]:
        """Return a machine's view with what its checks found last."""
        checks = machine.config.get("checks")
        if not checks:
            return view
        return view | {"checks": [_view(machine, name) for name in checks]}

    def _due(self, machine: Machine, name: str, check: dict[str, Any]) -> bool:
        now, last = self.now(), machine.checks.get(name)
        if machine.state != "started" or machine.host_status != "ok":
            return False
        if last is None:
            grace = seconds(check.get("grace_period"))
            return now >= machine.started_at + (_GRACE_SECONDS if grace is None else grace)
        return now >= last.at + (seconds(check.get("interval")) or _INTERVAL_SECONDS)


def _view(machine: Machine, name: str) -> dict[str, Any]:
    run = machine.checks.get(name) if machine.state == "started" else None
    run = run or CheckRun("warning", _NOT_STARTED, machine.started_at or machine.created_at)
    at = rfc3339(run.at)
    return {"name": name, "status": run.status, "output": run.output, "updated_at": at}
