"""Commands that are run inside machines from outside."""

import asyncio
import shlex
from typing import Any

from deploy.local.simulators.fly.core import CloudCore
from deploy.local.simulators.fly.state import FlyError

_DEFAULT_SECONDS = 30
_SIGNALLED = 128


class Execs(CloudCore):
    """`POST /v1/apps/{app}/machines/{id}/exec`."""

    async def exec_machine(
        self, app_name: str, machine_id: str, body: dict[str, Any]
    ) -> dict[str, Any]:
        """Run a command in a started machine; its time is `timeout` in seconds.

        A lease is no hindrance: nothing about the machine changes.

        Raises:
            FlyError: 412 when it is not started, 400 without a command,
                408 when the command took longer (the words are recorded from the live API).
        """
        machine = self.machine(app_name, machine_id)
        command = body.get("command") or shlex.split(body.get("cmd") or "")
        if not command:
            raise FlyError(400, "invalid_argument: command is required")
        if machine.state != "started":
            raise FlyError(
                412,
                "failed_precondition: unable to exec machine from current state: "
                f"'{machine.state}'",
            )
        stdin, within = body.get("stdin") or "", body.get("timeout") or _DEFAULT_SECONDS
        try:
            async with asyncio.timeout(within):
                code, out, err = await self.runtime.exec(machine, command, stdin, within)
        except TimeoutError:
            raise FlyError(
                408,
                'deadline_exceeded: Post "http://unix/v1/exec": net/http: request canceled '
                "(Client.Timeout exceeded while awaiting headers)",
            ) from None
        signal = -code if code < 0 else 0
        shown = _SIGNALLED + signal if signal else code
        return {"exit_code": shown, "exit_signal": signal, "stdout": out, "stderr": err}
