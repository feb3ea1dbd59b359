"""Dev environments from outside: probes through their gateways, and the provider's metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

import anyio
import structlog
from psycopg import Error as DatabaseError

from controller.engine import Grip
from controller.machine.agent import AgentClient
from controller.providers import Call, Priority, ProviderError
from crds.clock import Clock
from crds.connection import Keys, keys_name
from crds.devenv import SUFFIXES, DevEnv, Service
from crds.meta import Key
from crds.secrets import SecretError, Secrets
from crds.store import Heartbeat, Probe, Store
from crds.store.heartbeats import UsageSample

PERIOD_SECONDS: Final = 60.0
AT_ONCE: Final = 32
OK: Final = 200
# Phases in which the gateway is expected to answer.
EXPECTED: Final = frozenset({"Running", "Degraded"})
# The gateway asks these for us; the database answers behind PostgREST.
PROBED: Final[tuple[Service, ...]] = ("postgrest", "gotrue", "storage", "studio")

log = structlog.get_logger("invoker.devenv")


class GatewayProber:
    """Asks every running environment's gateway for its services' health, once a minute.

    What the gateway says of a service is noted as probes of agents are; a gateway that does not
    answer says nothing of what is behind it.

    Args:
        store: Where the environments and the heartbeats are.
        secrets: Where their probe keys are.
        client: How gateways are reached.
        public_url: The public address of an app.
        owns: Whether this replica looks after a key.
        wake: Called with the key of a Machine that stopped or began to answer.
    """

    def __init__(
        self,
        store: Store,
        secrets: Secrets,
        client: AgentClient,
        public_url: Callable[[str], str],
        owns: Callable[[Key], bool],
        wake: Callable[[Key], None],
    ) -> None:
        self._store = store
        self._secrets = secrets
        self._client = client
        self._public_url = public_url
        self._owns = owns
        self._wake = wake
        self._silent: set[Key] = set()
        self._keys: dict[UUID, tuple[str, str]] = {}

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
        """Ask every gateway that should answer, once."""
        page = await self._store.list(DevEnv)
        due = [each for each in page.items if self._is_due(each)]
        self._keys = {each.uid: self._keys[each.uid] for each in due if each.uid in self._keys}
        if not due:
            return
        rows = await self._store.project("Machine", instance="status.instance.id")
        uids = {Key("Machine", row["namespace"], row["name"]): row["uid"] for row in rows}
        limiter = anyio.CapacityLimiter(AT_ONCE)
        async with anyio.create_task_group() as group:
            for devenv in due:
                group.start_soon(self._probe, devenv, uids, limiter)

    def _is_due(self, devenv: DevEnv) -> bool:
        gateway = devenv.status.service("kong")
        expected = devenv.status.phase in EXPECTED and gateway is not None and gateway.ready
        return expected and self._owns(devenv.key)

    async def _probe(
        self, devenv: DevEnv, uids: dict[Key, UUID], limiter: anyio.CapacityLimiter
    ) -> None:
        """Ask one gateway; what is odd about one is nobody else's trouble."""
        try:
            async with limiter:
                heard = await self._ask(devenv)
            await self._note(devenv, heard, uids)
        except (DatabaseError, SecretError) as error:
            log.warning("cannot probe", devenv=str(devenv.key), error=str(error))
        except Exception:
            log.exception("cannot probe", devenv=str(devenv.key))

    async def _ask(self, devenv: DevEnv) -> dict[Service, bool]:
        """Which services answer, as far as the gateway can say."""
        heard: dict[Service, bool] = {"kong": await self._answers(devenv, "kong")}
        if heard["kong"]:
            for service in PROBED:
                if service in devenv.spec.services:
                    heard[service] = await self._answers(devenv, service)
        return heard

    async def _answers(self, devenv: DevEnv, service: Service) -> bool:
        gateway = devenv.status.service("kong")
        status = await self._client.status(
            # Where it is, whatever somebody has wished for since: the key is for nobody else.
            self._public_url(f"{devenv.status.prefix}-{SUFFIXES['kong']}"),
            f"/invoker/health/{service}",
            (gateway and gateway.instance) or "",
            {"apikey": await self._probe_key(devenv)},
        )
        return status == OK

    async def _probe_key(self, devenv: DevEnv) -> str:
        """The environment's key for its health routes, read again when the keys are others."""
        fingerprint = devenv.status.keys.fingerprint if devenv.status.keys else ""
        known, key = self._keys.get(devenv.uid, ("", ""))
        if not known or known != fingerprint:
            value = await self._secrets.get(
                devenv.metadata.namespace, keys_name(devenv.metadata.name)
            )
            key = Keys.from_bytes(value).probe_key if value is not None else ""
            self._keys[devenv.uid] = (fingerprint, key)
        return key

    async def _note(
        self, devenv: DevEnv, heard: dict[Service, bool], uids: dict[Key, UUID]
    ) -> None:
        now = self._store.clock.now()
        probes: list[Probe] = []
        for service, answers in heard.items():
            told = devenv.status.service(service)
            key = Key("Machine", devenv.metadata.namespace, told.machine if told else "")
            uid = uids.get(key)
            if uid is None:
                continue
            beat = Heartbeat(uid, now, "running", "", None) if answers else None
            probes.append(Probe(uid, now, beat))
            self._tell(key, silent=not answers)
        await self._store.heartbeats.record_probes(probes)

    def _tell(self, key: Key, *, silent: bool) -> None:
        """Wake the key of a Machine that stopped or began to answer."""
        if silent != (key in self._silent):
            self._silent ^= {key}
            self._wake(key)


class Usage(Protocol):
    """What one machine uses.

    Attributes:
        cpu_percent: Of all its processors together.
        memory_mb: In MiB.
    """

    @property
    def cpu_percent(self) -> float:
        """As said above."""

    @property
    def memory_mb(self) -> float:
        """As said above."""


class Metrics(Protocol):
    """The provider's metrics of all machines."""

    async def usage(self, *, call: Call) -> Mapping[str, Usage]:
        """What each machine uses, by the provider's id."""

    async def requests(self, *, window_seconds: int, call: Call) -> Mapping[str, float]:
        """How many requests of users each app's gateway had lately, by the app's name."""


class UsageWatch:
    """Asks the provider's metrics, once for all, what services use and where there was traffic.

    One replica does it for all.

    Args:
        store: Where the Machines and the heartbeats are.
        metrics: The provider's metrics.

    Attributes:
        looked_at: When they were last asked with success.
    """

    looked_at: datetime | None = None

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._clock: Clock = store.clock

    async def run(self, _: Grip) -> None:
        """Ask every minute, for ever; an outage is waited out."""
        while True:
            try:
                await self.look()
                self.looked_at = self._clock.now()
            except (DatabaseError, ProviderError) as error:
                log.warning("cannot ask for usage", error=str(error))
            except Exception:
                log.exception("cannot ask for usage")
            await anyio.sleep(PERIOD_SECONDS)

    async def look(self) -> None:
        """Ask once; without services nobody is asked.

        Raises:
            ProviderError: The provider's metrics are not to be had.
        """
        rows = await self._store.project(
            "Machine", instance="status.instance.id", app="spec.service.app", phase="status.phase"
        )
        rows = [row for row in rows if row["app"] and row["phase"] == "Running"]
        if not rows:
            return
        call = Call(Priority.RESYNC)
        usage = await self._metrics.usage(call=call)
        # Twice the period, so that what one look misses the next one finds.
        asked = await self._metrics.requests(window_seconds=2 * int(PERIOD_SECONDS), call=call)
        now = self._clock.now()
        samples = [
            UsageSample(row["uid"], now, seen.cpu_percent, seen.memory_mb)
            for row in rows
            if (seen := usage.get(row["instance"])) is not None
        ]
        await self._store.heartbeats.record_usage(samples)
        await self._store.heartbeats.note_activity(
            {row["uid"]: now for row in rows if asked.get(row["app"], 0.0) > 0}
        )
