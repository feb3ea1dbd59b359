import asyncio

import anyio

from controller.providers.call import Call
from controller.providers.digitalocean.connection import Connection
from controller.providers.digitalocean.errors import ActionFailed
from controller.providers.digitalocean.models import Action
from controller.providers.digitalocean.noun import Noun
from controller.providers.errors import WaitTimeout

FIRST_LOOK, LONGEST_LOOK = 1.0, 10.0
"""Seconds between two looks at an action: they grow by half, which spares the team's limit."""
GROWTH = 1.5
WITHIN = 300.0
"""Seconds; an action that takes longer is stuck more often than slow."""


class Actions(Noun):
    """What is done to a droplet: an accepted action is a promise, and only its end is an answer.

    Every method raises `NotReady` while another action is under way, `AlreadyInState` where
    there is nothing to do, and `NotFound` without such a droplet.
    """

    async def power_on(self, of: Connection, droplet: int, *, call: Call) -> Action:
        """Switch on."""
        return await self._act(of, droplet, "power_on", call)

    async def power_off(self, of: Connection, droplet: int, *, call: Call) -> Action:
        """Pull the plug; for a droplet that did not heed `shutdown`."""
        return await self._act(of, droplet, "power_off", call)

    async def shutdown(self, of: Connection, droplet: int, *, call: Call) -> Action:
        """Ask the droplet to stop; the action completes whether it heeds or not.

        Look at its status: where it is still `active` after a while, `power_off` it.
        """
        return await self._act(of, droplet, "shutdown", call)

    async def reboot(self, of: Connection, droplet: int, *, call: Call) -> Action:
        """Ask the droplet to start anew."""
        return await self._act(of, droplet, "reboot", call)

    async def get_action(self, of: Connection, action: int, *, call: Call) -> Action:
        """Return an action.

        Raises:
            NotFound: The team has none of this id.
        """
        ask = self._ask(of, "actions.get", "GET", f"/actions/{action}", action)
        return await self._one(Action, "action", ask, call)

    async def list_actions(self, of: Connection, droplet: int, *, call: Call) -> list[Action]:
        """Return what was done to a droplet, newest first.

        This is how an action is found whose answer was lost.
        """
        ask = self._ask(of, "actions.list", "GET", f"/droplets/{droplet}/actions", droplet)
        found = await self._all(Action, "actions", ask, call)
        return sorted(found, key=lambda action: action.id, reverse=True)

    async def await_action(
        self, of: Connection, action: int, *, within: float = WITHIN, call: Call
    ) -> Action:
        """Look at an action until it is completed.

        Args:
            of: The connection.
            action: Its id.
            within: Seconds.
            call: On whose behalf.

        Raises:
            ActionFailed: It ended as `errored`.
            WaitTimeout: It was still in progress after that time.
        """
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + within, FIRST_LOOK
        while True:
            seen = await self.get_action(of, action, call=call)
            if seen.status == "completed":
                return seen
            left = until - loop.time()
            if seen.status == "errored" or left <= 0:
                raise self._ended(of, seen)
            await anyio.sleep(min(pause, left))
            pause = min(LONGEST_LOOK, pause * GROWTH)

    def _ended(self, of: Connection, seen: Action) -> ActionFailed | WaitTimeout:
        ask = self._ask(of, "actions.await", "GET", f"/actions/{seen.id}", seen.id)
        about = self.reason(ask, f"{seen.type} is {seen.status}").fields()
        if seen.status == "errored":
            return ActionFailed(**about, action_id=seen.id)
        return WaitTimeout(**about)

    async def _act(self, of: Connection, droplet: int, kind: str, call: Call) -> Action:
        path = f"/droplets/{droplet}/actions"
        ask = self._ask(of, f"actions.{kind}", "POST", path, droplet, json={"type": kind})
        return await self._one(Action, "action", ask, call)
