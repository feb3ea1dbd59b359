from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio

from controller.providers.call import Call
from controller.providers.errors import ProviderError
from controller.providers.exchange import Ask
from controller.providers.fly.models import (
    FlyMachine,
    Lease,
    MachineList,
    Started,
    Waited,
    WaitState,
)
from controller.providers.fly.noun import NONCE, Noun, part
from controller.providers.http import log

LONGEST_WAIT = 60
"""Seconds; Fly waits no longer (PROVIDERS.md, limits)."""
WAIT_SLACK = 5.0
RELEASE_WITHIN = 10.0


class Machines(Noun):
    """Machines and their leases."""

    async def create_machine(
        self,
        app: str,
        *,
        name: str,
        region: str,
        config: Mapping[str, Any],
        skip_launch: bool = False,
        call: Call,
    ) -> FlyMachine:
        """Create a machine; there is no idempotency key, so the name has to be deterministic.

        Args:
            app: The app.
            name: Unique in the app.
            region: The region of its volume.
            config: The whole config.
            skip_launch: Create it without starting it.
            call: On whose behalf.

        Raises:
            AlreadyExists: A machine of the name exists: adopt `existing_id`.
            InsufficientCapacity: No room.
            VolumeClaimed: Another machine, perhaps one on its way out, has the volume.
        """
        body = {"name": name, "region": region, "config": dict(config), "skip_launch": skip_launch}
        path = f"/v1/apps/{part(app)}/machines"
        ask = Ask("machines.create", "POST", path, app, app, json=body)
        return await self.fetch(FlyMachine, ask, call)

    async def get_machine(self, app: str, machine: str, *, call: Call) -> FlyMachine:
        """Return a machine.

        Raises:
            NotFound: There is none of this id.
        """
        return await self.fetch(FlyMachine, self._machine("get", "GET", app, machine), call)

    async def list_machines(
        self,
        app: str,
        *,
        include_deleted: bool = False,
        metadata: Mapping[str, str] | None = None,
        call: Call,
    ) -> list[FlyMachine]:
        """Return the app's machines; the list may be stale.

        Args:
            app: The app.
            include_deleted: Whether destroyed machines are listed too.
            metadata: Marks that all have to match.
            call: On whose behalf.
        """
        params = {f"metadata.{key}": value for key, value in (metadata or {}).items()}
        if include_deleted:
            params["include_deleted"] = "true"
        path = f"/v1/apps/{part(app)}/machines"
        ask = Ask("machines.list", "GET", path, app, app, params=params)
        answer = await self.ask(ask, call)
        return self.decode(
            ask, answer, lambda: MachineList.model_validate_json(answer.content)
        ).root

    async def update_machine(
        self,
        app: str,
        machine: str,
        *,
        config: Mapping[str, Any],
        current_version: str,
        nonce: str | None = None,
        skip_launch: bool = False,
        call: Call,
    ) -> FlyMachine:
        """Replace the whole config; region, name and mounts cannot change.

        Args:
            app: The app.
            machine: The machine's id.
            config: The whole new config.
            current_version: The version that the config was derived from.
            nonce: The lease's, when one is held.
            skip_launch: Leave it stopped.
            call: On whose behalf.

        Raises:
            VersionConflict: The machine moved since: get it again.
            LeaseHeld: Somebody else leases it.
        """
        ask = self._machine("update", "POST", app, machine, nonce=nonce)
        ask.json = {
            "config": dict(config),
            "current_version": current_version,
            "skip_launch": skip_launch,
        }
        return await self.fetch(FlyMachine, ask, call)

    async def start_machine(
        self, app: str, machine: str, *, nonce: str | None = None, call: Call
    ) -> Started:
        """Start a machine.

        Raises:
            NotReady: It is being created, replaced or stopped: wait, never recreate.
            InsufficientCapacity: Its host has no room.
        """
        ask = self._machine("start", "POST", app, machine, "/start", nonce=nonce)
        return await self.fetch(Started, ask, call)

    async def stop_machine(
        self,
        app: str,
        machine: str,
        *,
        timeout: int | None = None,  # noqa: ASYNC109 - Fly's time to give the guest, not ours
        nonce: str | None = None,
        call: Call,
    ) -> None:
        """Ask a machine to stop; `timeout` seconds later Fly kills it."""
        ask = self._machine("stop", "POST", app, machine, "/stop", nonce=nonce)
        ask.json = {} if timeout is None else {"timeout": f"{timeout}s"}
        await self.ask(ask, call)

    async def restart(
        self,
        app: str,
        machine: str,
        *,
        timeout: int | None = None,  # noqa: ASYNC109 - as for stop
        nonce: str | None = None,
        call: Call,
    ) -> None:
        """Stop and start a machine."""
        ask = self._machine("restart", "POST", app, machine, "/restart", nonce=nonce)
        ask.params = None if timeout is None else {"timeout": f"{timeout}s"}
        await self.ask(ask, call)

    async def destroy_machine(
        self,
        app: str,
        machine: str,
        *,
        force: bool = False,
        nonce: str | None = None,
        call: Call,
    ) -> None:
        """Destroy a machine; its volume stays bound until that is finished.

        Raises:
            NotStopped: It runs and `force` is not set.
            NotFound: It is gone.
        """
        ask = self._machine("destroy", "DELETE", app, machine, nonce=nonce)
        ask.params = {"force": "true"} if force else None
        await self.ask(ask, call)

    async def wait(
        self,
        app: str,
        machine: str,
        *,
        state: WaitState,
        version: str | None = None,
        timeout: int = LONGEST_WAIT,  # noqa: ASYNC109 - the provider's, part of its API
        call: Call,
    ) -> Waited:
        """Return when the machine is in the state.

        Args:
            app: The app.
            machine: The machine's id.
            state: What to wait for.
            version: The version that has to reach it; needed where an older one may answer.
            timeout: Seconds, 1 to 60.
            call: On whose behalf.

        Raises:
            WaitTimeout: It was not in time.
        """
        seconds = max(1, min(timeout, LONGEST_WAIT))
        ask = self._machine("wait", "GET", app, machine, "/wait")
        ask.params = {"state": state, "timeout": str(seconds)}
        if version:
            ask.params = {**ask.params, "version": version}
        ask.deadline, ask.retry = seconds + WAIT_SLACK, False
        return await self.fetch(Waited, ask, call)

    async def cordon(self, app: str, machine: str, *, nonce: str | None = None, call: Call) -> None:
        """Take the machine out of the proxy's routing."""
        await self.ask(self._machine("cordon", "POST", app, machine, "/cordon", nonce=nonce), call)

    async def uncordon(
        self, app: str, machine: str, *, nonce: str | None = None, call: Call
    ) -> None:
        """Let the proxy route to the machine again."""
        ask = self._machine("uncordon", "POST", app, machine, "/uncordon", nonce=nonce)
        await self.ask(ask, call)

    async def acquire_lease(
        self,
        app: str,
        machine: str,
        *,
        ttl: int,
        description: str = "",
        nonce: str | None = None,
        call: Call,
    ) -> Lease:
        """Lease a machine for `ttl` seconds; with `nonce`, extend the lease.

        Raises:
            LeaseHeld: Somebody else has it: skip the machine this time.
        """
        ask = self._machine("lease", "POST", app, machine, "/lease", nonce=nonce)
        ask.json = {"ttl": ttl, "description": description}
        return await self.fetch(Lease, ask, call)

    async def release_lease(self, app: str, machine: str, *, nonce: str, call: Call) -> None:
        """Give a lease back."""
        await self.ask(
            self._machine("unlease", "DELETE", app, machine, "/lease", nonce=nonce), call
        )

    @asynccontextmanager
    async def leased(
        self, app: str, machine: str, *, ttl: int, description: str = "", call: Call
    ) -> AsyncIterator[Lease]:
        """Hold a lease for the length of a block.

        It is released whatever happens in the block, cancellation and a lost shard included:
        the nonce proves that it is ours, and who comes next need not wait for its end.
        """
        lease = await self.acquire_lease(app, machine, ttl=ttl, description=description, call=call)
        try:
            yield lease
        finally:
            with anyio.move_on_after(min(RELEASE_WITHIN, ttl), shield=True):
                await self._release_quietly(app, machine, lease, replace(call, guard=None))

    async def _release_quietly(self, app: str, machine: str, lease: Lease, call: Call) -> None:
        try:
            await self.release_lease(app, machine, nonce=lease.nonce, call=call)
        except ProviderError as error:
            # It expires by itself; the block's own outcome matters more.
            log.info("lease not released", app=app, machine=machine, error=error.kind)

    def _machine(
        self,
        verb: str,
        method: str,
        app: str,
        machine: str,
        tail: str = "",
        *,
        nonce: str | None = None,
    ) -> Ask:
        path = f"/v1/apps/{part(app)}/machines/{part(machine)}{tail}"
        headers = {NONCE: nonce} if nonce else None
        return Ask(f"machines.{verb}", method, path, machine, app, headers=headers)
