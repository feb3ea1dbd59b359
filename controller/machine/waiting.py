"""Waiting at Fly: it tells when a state is reached, which polling learns late."""

from __future__ import annotations

from controller.machine.tools import MachineScope, Tools
from controller.providers import ProviderError
from controller.providers.fly import WaitState

# A start or a stop takes a second or two. The key is in hand meanwhile, so a new wish waits too:
# what takes longer is polled.
WAIT_SECONDS = 5


async def wait_for(scope: MachineScope, tools: Tools, state: WaitState) -> bool:
    """Return whether the machine reached the state within a few seconds.

    What was found so far is written first: a crash meanwhile loses none of it.
    To wait is a help and no step: whatever goes wrong with it, the next look tells.
    """
    await scope.save()
    try:
        await tools.fly.wait(
            scope.app, scope.instance.id, state=state, timeout=WAIT_SECONDS, call=scope.call
        )
    except ProviderError:
        return False
    return True
