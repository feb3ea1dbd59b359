"""Probes: every running machine is asked for its heartbeat once a minute."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import anyio
import structlog
from psycopg import Error as DatabaseError

from controller.machine.agent import AgentClient
from controller.observer import Observer
from crds.credentials import MachineTokens
from crds.meta import Key
from crds.store import Probe, Store

# The product's rule: health every minute.
PERIOD_SECONDS = 60.0
AT_ONCE = 64
# Phases in which a machine is expected to answer.
EXPECTED = frozenset({"Running", "Unreachable"})

log = structlog.get_logger("invoker.probes")


class Prober:
    """Asks the agents, notes what they say beside the log, and wakes keys whose answer changed.

    Args:
        store: Where the machines and the heartbeats are.
        agent: How agents are reached.
        tokens: Proves us to the agents.
        observer: What the last look over the organisation saw.
        owns: Whether this replica looks after a key.
        wake: Called with the key of a machine that stopped or began to answer.
    """

    def __init__(
        self,
        store: Store,
        agent: AgentClient,
        tokens: MachineTokens,
        observer: Observer,
        owns: Callable[[Key], bool],
        wake: Callable[[Key], None],
    ) -> None:
        self._store = store
        self._agent = agent
        self._tokens = tokens
        self._observer = observer
        self._owns = owns
        self._wake = wake
        self._silent: set[UUID] = set()

    async def run(self) -> None:
        """Probe every minute, for ever."""
        while True:
            try:
                await self.probe_all()
            except DatabaseError as error:
                log.warning("cannot probe", error=str(error))
            await anyio.sleep(PERIOD_SECONDS)

    async def probe_all(self) -> None:
        """Ask every machine that should answer, once."""
        rows = await self._store.project(
            "Machine",
            phase="status.phase",
            url="status.url",
            instance="status.instance.id",
        )
        due = [row for row in rows if self._is_due(row)]
        probes: list[Probe] = []
        limiter = anyio.CapacityLimiter(AT_ONCE)

        async def probe(uid: UUID, url: str, instance: str) -> None:
            async with limiter:
                probes.append(await self._probe(uid, url, instance))

        async with anyio.create_task_group() as group:
            for row in due:
                group.start_soon(probe, row["uid"], row["url"], row["instance"])
        if probes:
            await self._store.heartbeats.record_probes(probes)
        keys = {row["uid"]: Key("Machine", row["namespace"], row["name"]) for row in due}
        self._tell(probes, keys)

    def _is_due(self, row: Mapping[str, Any]) -> bool:
        """Whether a machine is ours and should answer; one that was seen down is not asked.

        Our request would have the proxy start it, before its backoff is over.
        """
        key = Key("Machine", row["namespace"], row["name"])
        if row["phase"] not in EXPECTED or not row["instance"] or not self._owns(key):
            return False
        view = self._observer.view(row["instance"])
        if view is not None and view.state != "started":
            self._wake(key)
            return False
        return row["url"] is not None

    async def _probe(self, uid: UUID, url: str, instance: str) -> Probe:
        now = self._store.clock.now()
        answer = await self._agent.heartbeat(uid, url, instance, self._tokens.issue(uid), now)
        return Probe(uid, now, answer)

    def _tell(self, probes: Sequence[Probe], keys: dict[UUID, Key]) -> None:
        silent = {probe.machine for probe in probes if probe.answer is None}
        for uid in silent ^ (self._silent & keys.keys()):
            self._wake(keys[uid])
        self._silent = silent
