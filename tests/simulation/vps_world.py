"""A world with one user's VPSs: what its people do, and what can be seen of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

from prometheus_client import CollectorRegistry, generate_latest

from controller.vps.observer import PERIOD_SECONDS
from crds.account import Account, AccountSpec
from crds.authorized_key import AuthorizedKey, AuthorizedKeySpec
from crds.cloud_connection import DIGITALOCEAN, CloudConnection, CloudConnectionSpec
from crds.errors import ConflictError, NotFoundError
from crds.grants import Consent, challenge_of, consent_name
from crds.meta import Key, ObjectMeta, Resource
from crds.session import Session, SessionSpec
from crds.store.database import Pool
from crds.vps import Vps, VpsSpec
from deploy.local.simulators.digitalocean import Droplet
from deploy.local.simulators.gateways import SimulatedGateway
from tests.simulation.faults import Plan
from tests.simulation.processes import USER
from tests.simulation.vps_processes import EMAIL, REDIRECT, VpsProcesses
from tests.simulation.world import SETTLED_SECONDS

NAME: Final = "box"
VERIFIER: Final = "a verifier of forty-three characters or more"
PUBLIC_KEY: Final = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{'A' * 43} a@example"
OTHER_KEY: Final = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{'B' * 43} b@example"
R = TypeVar("R", bound=Resource)


class VpsWorld(VpsProcesses):
    """A world in which a user has VPSs."""

    # What people do

    async def register(self, name: str = "ada") -> None:
        """Sign up."""
        spec = AccountSpec(email=f"{name}@example.com")
        await self.store.create(Account(metadata=ObjectMeta(name=USER), spec=spec))

    async def connect(self) -> None:
        """Grant on an account at DigitalOcean, and come back with a code."""
        now = self.now()
        code = self.cloud.consent(EMAIL, "read write", REDIRECT, challenge_of(VERIFIER))
        self.watch.tokens.add(code)
        consent = Consent(code, VERIFIER, now).to_bytes()
        await self.secrets.put(USER, consent_name(DIGITALOCEAN), consent)
        await self.wish_connection(state="Connected", connected_at=now)

    async def wish_connection(self, **changes: Any) -> None:
        """Write desired state of the connection, making it when it is not there."""
        if await self.store.find(CloudConnection, DIGITALOCEAN, USER) is None:
            spec = CloudConnectionSpec(**changes)
            await self.store.create(CloudConnection(metadata=_meta(DIGITALOCEAN), spec=spec))
            return
        await self.edit(CloudConnection, DIGITALOCEAN, **changes)

    async def wish(self, **changes: Any) -> None:
        """Write desired state of the VPS, making it when it is not there."""
        if await self.store.find(Vps, NAME, USER) is None:
            await self.store.create(Vps(metadata=_meta(NAME), spec=VpsSpec(**changes)))
            return
        await self.edit(Vps, NAME, **changes)

    async def edit(self, kind: type[Resource], name: str, **changes: Any) -> None:
        """Change a wish, whoever writes to the row meanwhile."""
        while True:
            found = await self.store.get(kind, name, USER)
            found.spec = type(found.spec)(**{**found.spec.model_dump(), **changes})
            with contextlib.suppress(ConflictError):
                await self.store.update(found)
                return

    async def delete(self) -> None:
        """Delete the VPS."""
        await self.store.delete(Vps, NAME, USER)

    async def open_session(self, name: str, **changes: Any) -> UUID:
        """Wish for a session; returns its id."""
        spec = SessionSpec(**{"vps": NAME, "title": name, **changes})
        return (await self.store.create(Session(metadata=_meta(name), spec=spec))).uid

    async def let_in(self, name: str, key: str = PUBLIC_KEY, **changes: Any) -> None:
        """Wish for a key to be let in."""
        spec = AuthorizedKeySpec(**{"vps": NAME, "public_key": key, "label": name, **changes})
        await self.store.create(AuthorizedKey(metadata=_meta(name), spec=spec))

    async def let_support_in(self, span: timedelta) -> None:
        """Wish for support's key to be let in for a while."""
        await self.let_in("support", OTHER_KEY, type="support", expires_at=self.now() + span)

    # What can be seen

    async def vps(self) -> Vps:
        """The VPS."""
        return await self.store.get(Vps, NAME, USER)

    def droplet(self) -> Droplet:
        """The one droplet of ours."""
        (found,) = self.watch.ours()
        return found

    def gateway(self) -> SimulatedGateway:
        """What runs in it."""
        return self.gateways.running[self.droplet().id]

    async def phase(self) -> str | None:
        """The phase of the VPS, once it is of its present wish; None when there is none."""
        row = await self.store.find(Vps, NAME, USER)
        if row is None:
            return None
        status = row.status
        current = status.observed_generation == row.metadata.generation
        at_rest = status.intent is None and status.retry is None
        return status.phase if current and at_rest else "Unsettled"

    async def until_phase(self, phase: str | None, *, within: float = 1800.0) -> None:
        """Let time pass until the VPS is in a phase."""

        async def holds() -> bool:
            return await self.phase() == phase

        await self.until(holds, f"phase {phase}", within=within)

    async def until_row(
        self, kind: type[R], name: str, holds: Callable[[R], bool], what: str, within: float = 1800
    ) -> R:
        """Let time pass until something is true of a row."""

        async def look() -> bool:
            row = await self.store.find(kind, name, USER)
            return row is not None and holds(row)

        await self.until(look, f"{name}: {what}", within=within)
        return await self.store.get(kind, name, USER)

    async def until_told(self, kind: type[R], name: str, phase: str) -> R:
        """Let time pass until a row is in a phase."""
        return await self.until_row(kind, name, lambda row: row.status.phase == phase, phase)

    async def until_gone(self, kind: type[Resource], name: str) -> None:
        """Let time pass until a row is gone."""

        async def holds() -> bool:
            return await self.store.find_row(Key(kind.KIND, USER, name)) is None

        await self.until(holds, f"{name} gone", within=1800)

    async def until_cloud(self, holds: Callable[[], bool], what: str) -> None:
        """Let time pass until something is true at DigitalOcean."""

        async def look() -> bool:
            return holds()

        await self.until(look, what, every=0.2)

    # What sweeps ask

    async def quiesce(self) -> None:
        """Let time pass until no key waits and nothing is under way."""

        async def holds() -> bool:
            rows = await self.store.database.fetch(
                "SELECT FROM objects WHERE status ? 'intent' OR status ? 'retry' LIMIT 1"
            )
            underway = any(map(self.cloud.pending, self.cloud.droplets.values()))
            return not rows and not underway and not self.busy()

        await self.until(holds, "quiet")
        # What a late notification would still bring, and a lease that nobody renewed.
        await asyncio.sleep(SETTLED_SECONDS)
        await self.until(holds, "quiet")
        # A look over the team by who has the rows since then.
        await asyncio.sleep(PERIOD_SECONDS + 5)
        await self.until(holds, "quiet")
        await self.watch.look()

    async def stillness(self) -> Any:
        """Calls but the lists of the installation's droplets, and writes."""
        return self.watch.calls, self.plan.writes

    async def until_collected(self, *, within: float) -> None:
        """The account goes with all that it has; nothing of it is left anywhere."""
        key = Key(Account.KIND, "", USER)
        with contextlib.suppress(NotFoundError):
            await self.store.delete(Account, USER)

        async def holds() -> bool:
            return await self.store.find_row(key) is None

        await self.until(holds, "no account", within=within)
        # A late report of a gateway, and a look of the collector.
        await asyncio.sleep(360)
        await self.watch.check_forgotten()
        self._check_neighbours()

    def _check_neighbours(self) -> None:
        numbers = {str(each.id) for each in self.neighbours}
        touched = [each.operation for each in self.cloud.effects if each.id in numbers]
        left = all(each.id in self.cloud.droplets for each in self.neighbours)
        if touched or not left:
            self.watch.violations.append(f"somebody else's droplet was touched: {touched}")

    async def more_state(self) -> Any:
        """What the VPS came to outside."""
        names = await self.store.database.fetch("SELECT name FROM secrets ORDER BY name")
        seen = await self.store.database.fetch(
            "SELECT DISTINCT subject FROM gateway_observations WHERE subject !~ '^session'"
        )
        return {
            "kept": sorted(str(row["name"]) for row in names),
            "reported": sorted(str(row["subject"]) for row in seen),
            "droplets": [{"state": each.status, "tags": len(each.tags)} for each in self._ours()],
            "gateways": [self._inside(each.id) for each in self._ours()],
        }

    def _ours(self) -> list[Droplet]:
        return sorted(self.watch.ours(), key=lambda each: each.id)

    def _inside(self, number: int) -> dict[str, Any]:
        """What is in a droplet."""
        machine = self.gateways.machine(number)
        return {
            "runs": number in self.gateways.running,
            "sessions": sorted(str(each.wish["title"]) for each in machine.sessions.values()),
            "keys": sorted(machine._keys),
            "agents": sorted(machine.agents),
        }

    def secret_values(self) -> list[str]:
        """Every token of a gateway or a grant."""
        for token in self.watch.gateway_tokens:
            assert not any(token.encode() in value for value in self.noted), "a token is kept"
        return sorted(self.watch.tokens)

    def more_texts(self) -> list[str]:
        """Effects at DigitalOcean, which leave user data out, and what gateways were told."""
        texts = [str(effect) for effect in self.cloud.effects]
        return texts + [str(sent.message) for sent in self.hub.sent]


class MeteredVpsWorld(VpsWorld):
    """The same, with all that Prometheus is told."""

    def __init__(self, pool: Pool, plan: Plan, **options: Any) -> None:
        super().__init__(pool, plan, **options)
        self.registries: list[CollectorRegistry] = []

    def _registry(self) -> CollectorRegistry:
        self.registries.append(CollectorRegistry())
        return self.registries[-1]

    def more_texts(self) -> list[str]:
        """Metrics too."""
        told = [generate_latest(each).decode() for each in self.registries]
        assert any("Vps" in text for text in told)
        return super().more_texts() + told


def _meta(name: str) -> ObjectMeta:
    return ObjectMeta(name=name, namespace=USER)
