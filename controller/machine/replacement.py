"""Replacement: a machine that cannot be helped is destroyed, and made anew on its volume."""

from __future__ import annotations

from controller.machine import removal
from controller.machine.tools import MachineScope, Tools, Wait


async def replace(scope: MachineScope, tools: Tools, why: str) -> Wait:
    """Take the machine away; the next reconciles make another one, where the volume is.

    Args:
        scope: The machine, which no request is led to by the time it goes.
        tools: The outside world.
        why: For the event, a sentence.
    """
    instance = scope.instance
    scope.condition("Healthy", status=False, reason="Replacing", message=why)
    scope.condition("Ready", status=False, reason="Replacing", message=why)
    scope.object.status.phase = "Recreating"
    # The routes are withdrawn when they see this.
    await scope.save()
    if wait := await removal.await_unrouted(scope, tools):
        return wait
    scope.event("Replaced", f"machine {instance.id}: {why}", warning=True)
    return await removal.destroy_instance(scope, tools) or Wait(0)
