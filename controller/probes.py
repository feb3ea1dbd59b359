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
from crds.store.coalesce import Coalescer

# The product's rule: health every minute.
PERIOD_SECONDS = 60.0
AT_ONCE = 64
# Answers of this span are noted in one statement.
GATHER_SECONDS = 0.1
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
        self._records = Coalescer[Probe, None](
            self._record, limit=AT_ONCE, gather_seconds=GATHER_SECONDS
        )

    async def run(self) -> None:
        """Probe every minute, for ever."""
        while True:
            try:
                await self.probe_all()
            except DatabaseError as error:
                log.warning("cannot probe", error=str(error))
            except Exception:
                log.exception("cannot probe")
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
        self._silent &= {row["uid"] for row in due}
        limiter = anyio.CapacityLimiter(AT_ONCE)
        async with anyio.create_task_group() as group:
            for row in due:
                group.start_soon(self._probe, row, limiter)

    def _is_due(self, row: Mapping[str, Any]) -> bool:
        """Whether a machine is ours and should answer; one that was seen down is not asked.

        Our request would have the proxy start it, before its backoff is over.
        Nor is one without an address: a service is probed through its siblings, by others.
        """
        key = Key("Machine", row["namespace"], row["name"])
        if row["phase"] not in EXPECTED or not row["instance"] or not self._owns(key):
            return False
        view = self._observer.view(row["instance"])
        if view is not None and view.state != "started":
            self._wake(key)
            return False
        return row["url"] is not None

    async def _probe(self, row: Mapping[str, Any], limiter: anyio.CapacityLimiter) -> None:
        """Ask one machine, and note it with whatever else was answered at the time.

        What is odd about one machine is nobody else's trouble.
        """
        uid, now = row["uid"], self._store.clock.now()
        try:
            async with limiter:
                answer = await self._agent.heartbeat(
                    uid, row["url"], row["instance"], self._tokens.issue(uid), now
                )
            await self._records.submit(Probe(uid, now, answer))
        except DatabaseError as error:
            log.warning("cannot note a probe", machine=str(uid), error=str(error))
        except Exception:
            log.exception("cannot probe", machine=str(uid))
        else:
            self._tell(uid, Key("Machine", row["namespace"], row["name"]), silent=answer is None)

    async def _record(self, probes: Sequence[Probe]) -> Sequence[None]:
        await self._store.heartbeats.record_probes(probes)
        return [None] * len(probes)

    def _tell(self, uid: UUID, key: Key, *, silent: bool) -> None:
        """Wake the key of a machine that stopped or began to answer."""
        if silent == (uid in self._silent):
            return
        self._silent ^= {uid}
        self._wake(key)
