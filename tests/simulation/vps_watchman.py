"""What must hold for a VPS at every effect, and for how long it may look otherwise."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import httpx

from controller.vps.names import installation_tag, uid_of
from controller.vps.power import HEED_WITHIN
from crds.authorized_key import AuthorizedKeySpec
from crds.gateways import read_credentials
from crds.secrets import Secrets
from crds.store import Store
from deploy.local.simulators.digitalocean import (
    API_HOST,
    OAUTH_HOST,
    DigitalOceanCloud,
    Droplet,
)
from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.gateways import HUB_HOST, TOKENS, DropletGateways, Hub
from deploy.local.simulators.gateways.droplets import gateway_environment
from deploy.local.simulators.kv import KV
from tests.simulation.invariants import Watchman

TAG: Final = installation_tag("sim")
DROPLET = re.compile(r"/v2/droplets/(?P<id>\d+)$")
ACTIONS = re.compile(r"/v2/droplets/(?P<id>\d+)/actions$")
COMMANDS = re.compile(r"/hub/(?P<gateway>[0-9a-f-]{36})/commands$")
OPERATIONS: Final = {"power_on": "PowerOn", "shutdown": "Shutdown", "power_off": "PowerOff"}
WATCHED: Final = ("Vps", "Session", "AuthorizedKey", "Account")

# How long it may look otherwise than it is: a lease that nobody renews (120 s) and, of power, the
# hub's grace and a look over the team; of what is in a gateway, the pause of a failing reconcile.
STALE_FOR: Final = 420.0
# A gateway heeds a key's end by its own clock; between two looks.
PAST_END_FOR: Final = 30.0
# A droplet too many that somebody else made: a look over the team, and its destruction.
TWIN_FOR: Final = 300.0
COLLECTOR_GRACE: Final = timedelta(minutes=10)


class Row(NamedTuple):
    """A row as it is, whatever its kind says of it."""

    kind: str
    name: str
    namespace: str
    uid: UUID
    spec: dict[str, Any]
    status: dict[str, Any]
    deleting: bool


class VpsWatchman(Watchman):
    """Looks at every effect in a world with VPSs, and now and then at what lasts.

    Args:
        fly: The simulated provider of machines.
        kv: The simulated edge memory.
        store: The rows.
        shard: The lease of everything that the user has.
        cloud: The simulated DigitalOcean.
        hub: The gateways' hub.
        gateways: What runs in the droplets.
        secrets: Where hashes of gateways' tokens are.

    Attributes:
        calls: How many calls there were but the lists of the installation's droplets.
        tokens: Every token of a gateway or a grant that ever was.
        twins: Numbers of droplets that somebody else made in a VPS' name.
        ruined: Numbers of droplets that a life has ruined: another one may take their place.
    """

    def __init__(
        self,
        fly: FlyCloud,
        kv: KV,
        store: Store,
        shard: str,
        *,
        cloud: DigitalOceanCloud,
        hub: Hub,
        gateways: DropletGateways,
        secrets: Secrets,
    ) -> None:
        super().__init__(fly, kv, store, shard)
        self._cloud, self._hub, self._gateways = cloud, hub, gateways
        self._secrets = secrets
        self.calls = 0
        self.tokens: set[str] = set()
        self.gateway_tokens: set[str] = set()
        self.twins: set[int] = set()
        self.ruined: set[int] = set()
        self._since: dict[str, float] = {}
        self._told: set[str] = set()

    # What is there

    def ours(self) -> list[Droplet]:
        """The droplets that carry this installation's mark."""
        return [each for each in self._cloud.droplets.values() if TAG in each.tags]

    def live(self) -> list[Droplet]:
        """Those of them whose end was not accepted yet."""
        return [each for each in self.ours() if not self._is_ending(each)]

    def _is_ending(self, droplet: Droplet) -> bool:
        pending = self._cloud.pending(droplet)
        return pending is not None and pending.type == "destroy"

    # Before and after every call

    def heard(self, request: httpx.Request, answer: httpx.Response) -> None:
        """Count a read, and note the tokens that somebody was given."""
        self._count(request)
        if request.url.host == OAUTH_HOST and request.url.path.endswith("/token"):
            # The simulator answers at once, so its body is there.
            given = json.loads(answer.content)
            self.tokens |= {
                str(given[name]) for name in ("access_token", "refresh_token") if name in given
            }
        super().heard(request, answer)

    def _count(self, request: httpx.Request) -> None:
        if request.url.host not in (API_HOST, OAUTH_HOST, HUB_HOST):
            return
        listed = request.url.path == "/v2/droplets" and request.method == "GET"
        self.calls += not (listed and request.url.params.get("tag_name") == TAG)

    async def before(self, request: httpx.Request) -> None:
        """Nothing is made, switched, destroyed or said that its row does not want so."""
        self._count(request)
        await super().before(request)
        path, method = request.url.path, request.method
        body = json.loads(request.content) if request.content else {}
        if request.url.host == HUB_HOST and (match := COMMANDS.search(path)):
            await self._before_command(UUID(match["gateway"]), body)
        elif request.url.host != API_HOST:
            return
        elif method == "POST" and path == "/v2/droplets":
            await self._before_creation(body)
        elif method == "POST" and (match := ACTIONS.search(path)):
            await self._before_action(int(match["id"]), str(body.get("type")))
        elif method == "DELETE" and (match := DROPLET.search(path)):
            await self._before_destruction(int(match["id"]))
        else:
            self._complain(f"{method} {path}, which nobody has to ask for")

    def after(self, request: httpx.Request) -> None:
        """No VPS has two droplets by our own doing."""
        super().after(request)
        mine = [each for each in self.live() if each.id not in self.twins]
        numbers = Counter(uid_of(each.tags) for each in mine)
        for uid, number in numbers.items():
            if number > 1:
                self._complain(f"{number} live droplets of {uid}")

    # Droplets

    async def _before_creation(self, body: dict[str, Any]) -> None:
        variables = gateway_environment(str(body.get("user_data", "")))
        token = variables.get("GATEWAY_AUTH_TOKEN", "")
        self.tokens.add(token)
        self.gateway_tokens.add(token)
        uid = uid_of(body["tags"])
        if uid is None or TAG not in body["tags"]:
            self._complain(f"a droplet without our marks: {body['tags']}")
            return
        if variables.get("GATEWAY_ID") != str(uid) or not token:
            self._complain(f"a droplet of {uid} whose gateway is another's")
        row = await self._of_uid("Vps", uid)
        if row is None or row.deleting or not await self._shall_run(row):
            self._complain(f"a droplet is made for {uid}, whose row does not ask for it")
        elif (row.status.get("intent") or {}).get("operation") != "Create":
            self._complain(f"a droplet is made for {uid} without a word on record")
        elif not await self._can_prove_itself(row, token):
            self._complain(f"a droplet of {uid} is made whose gateway nobody would let in")

    async def _can_prove_itself(self, row: Row, token: str) -> bool:
        held = await read_credentials(self._secrets, row.namespace, row.name)
        digests = [] if held is None else [each.digest for each in held.held]
        return TOKENS.verify(row.uid, token, digests)

    async def _before_action(self, number: int, kind: str) -> None:
        row = await self._row_of_droplet(number, kind)
        if row is None:
            return
        intent = row.status.get("intent") or {}
        if (intent.get("operation"), intent.get("droplet")) != (OPERATIONS.get(kind), number):
            self._complain(f"{kind} of {number} without a word on record")
        # What goes may be in any state; and a wish may move while the request is on its way.
        if (kind == "power_on") is not await self._shall_run(row):
            self._complain(f"{kind} of {number}, whose row does not ask for it")
        if kind == "power_off":
            self._check_patience(number)

    def _check_patience(self, number: int) -> None:
        """The power is cut off only when a shutdown was not heeded for long."""
        done = [a for a in self._cloud.actions.values() if a.droplet == number]
        last = done[-1] if done else None
        over = None if last is None or last.type != "shutdown" else last.completed_at
        # The controller's clock is the simulator's.
        if over is None or self._cloud.now() < over + HEED_WITHIN.total_seconds() - 1:
            self._complain(f"power_off of {number}, which was not asked to shut down")

    async def _before_destruction(self, number: int) -> None:
        droplet = self._cloud.droplets.get(number)
        row = await self._row_of_droplet(number, "destroy")
        if row is None:
            if droplet is not None and TAG in droplet.tags:
                await self._check_orphan(droplet)
            return
        intent = row.status.get("intent") or {}
        if (intent.get("operation"), intent.get("droplet")) != ("Destroy", number):
            self._complain(f"destruction of {number} without a word on record")
        recorded = (row.status.get("droplet") or {}).get("id")
        if not row.deleting and recorded == number and number not in self.ruined:
            self._complain(f"destruction of {number}, whose row does not ask for it")

    async def _check_orphan(self, droplet: Droplet) -> None:
        """Only what has had no row for long is nobody's."""
        rows = await self._store.database.fetch(
            "SELECT at FROM tombstones WHERE uid = %s", uid_of(droplet.tags)
        )
        since = [row["at"] for row in rows]
        first_seen = datetime.fromtimestamp(droplet.created_at, tz=self._store.clock.now().tzinfo)
        if not since or self._store.clock.now() < first_seen + COLLECTOR_GRACE:
            self._complain(f"destruction of {droplet.id}, which may have a row")

    async def _row_of_droplet(self, number: int, what: str) -> Row | None:
        """The row that a droplet is for; complains of one that is not ours."""
        droplet = self._cloud.droplets.get(number)
        if droplet is None:
            return None
        uid = uid_of(droplet.tags)
        if uid is None or TAG not in droplet.tags:
            self._complain(f"{what} of a droplet that is not ours: {number}")
            return None
        row = await self._of_uid("Vps", uid)
        if row is None and what != "destroy":
            self._complain(f"{what} of {number}, which has no row")
        return row

    # Gateways

    async def _before_command(self, gateway: UUID, command: dict[str, Any]) -> None:
        match command.get("type"):
            case "session.create":
                await self._check_session(gateway, UUID(command["session_id"]))
            case "session.end":
                row = await self._of_uid("Session", UUID(command["session_id"]))
                if row is not None and not row.deleting:
                    self._complain(f"the end of session {row.name}, which shall run")
            case "ssh.authorize":
                await self._check_key(command)
            case _:
                pass

    async def _check_session(self, gateway: UUID, session: UUID) -> None:
        row = await self._of_uid("Session", session)
        if row is None or row.deleting or row.status.get("endedAt") is not None:
            self._complain(f"session {session} begins, which nobody wishes for")
        elif not row.status.get("hello"):
            self._complain(f"session {row.name} begins without a word on record")
        else:
            vps = await self._of_uid("Vps", gateway)
            if vps is None or row.spec.get("vps") != vps.name or vps.namespace != row.namespace:
                self._complain(f"session {row.name} begins in {gateway}, which is not its own")

    async def _check_key(self, command: dict[str, Any]) -> None:
        rows = await self._keys(command["fingerprint"])
        wished = [row for row in rows if not row.deleting and not self._is_past(row)]
        if not wished:
            self._complain(f"{command['fingerprint']} is let in, and nobody wishes for it")
        elif not any(row.status.get("hello") for row in rows):
            self._complain(f"{command['fingerprint']} is let in without a word on record")

    async def _keys(self, fingerprint: str) -> list[Row]:
        return [
            row for row in await self._rows("AuthorizedKey") if _fingerprint(row) == fingerprint
        ]

    def _is_past(self, row: Row) -> bool:
        end = row.spec.get("expiresAt")
        return end is not None and datetime.fromisoformat(end) <= self._store.clock.now()

    # What lasts

    async def look(self) -> None:
        """Look at everything once; complain of what has been wrong for too long."""
        rows = await self._rows(*WATCHED)
        now = self._cloud.now()
        wrong = dict(self._wrong(rows))
        self._since = {what: self._since.get(what, now) for what in wrong}
        for what, since in self._since.items():
            if now - since > wrong[what] and what not in self._told:
                self._told.add(what)
                self._complain(f"for {now - since:.0f} s: {what}")

    def _wrong(self, rows: list[Row]) -> Iterator[tuple[str, float]]:
        """What should not be so for long, and for how long it may."""
        for row in rows:
            if row.kind == "Vps":
                yield from self._wrong_of_vps(row)
        yield from self._wrong_in_gateways(rows)
        for uid, number in Counter(uid_of(each.tags) for each in self.live()).items():
            if number > 1:
                yield f"{number} droplets of {uid}", TWIN_FOR

    def _wrong_of_vps(self, row: Row) -> Iterator[tuple[str, float]]:
        told = row.status.get("droplet") or {}
        droplet = self._cloud.droplets.get(told.get("id", 0))
        active = droplet is not None and droplet.status == "active"
        if row.status.get("phase") == "Running" and not active:
            yield f"{row.name} is said to run, and its droplet does not", STALE_FOR
        connected = bool((row.status.get("gateway") or {}).get("connected"))
        if connected and not self._hub.is_connected(row.uid):
            yield f"the gateway of {row.name} is said to be connected, and is not", STALE_FOR

    def _wrong_in_gateways(self, rows: list[Row]) -> Iterator[tuple[str, float]]:
        wished = {str(row.uid) for row in rows if row.kind == "Session" and not row.deleting}
        going = {row.uid for row in rows if row.kind == "Vps" and row.deleting}
        keys = [row for row in rows if row.kind == "AuthorizedKey"]
        prints = {_fingerprint(row) for row in keys if not row.deleting and not self._is_past(row)}
        past = {_fingerprint(row) for row in keys if self._is_past(row)} - prints
        for number, gateway in self._gateways.running.items():
            machine = gateway.machine
            for fingerprint in machine.keys.keys() & past:
                yield f"{fingerprint} is let into {number} past its end", PAST_END_FOR
            # What is in a VPS that goes, goes with its droplet, whenever that can be destroyed.
            if not self._hub.is_connected(gateway.uid) or gateway.uid in going:
                continue
            for session in machine.sessions.keys() - wished:
                yield f"session {session} of no row runs in {number}", STALE_FOR
            for fingerprint in machine.keys.keys() - prints:
                yield f"{fingerprint} of no row is let into {number}", STALE_FOR

    # At the end

    def check_machines_gone(self) -> None:
        """A row goes only after its droplet."""
        if left := self.ours():
            self._complain(f"the rows are gone, left outside is {[each.id for each in left]}")
        super().check_machines_gone()

    async def check_forgotten(self) -> None:
        """Nothing is kept of what is gone."""
        for table in ("secrets", "gateway_observations"):
            rows = await self._store.database.fetch(f"SELECT {table}::text AS text FROM {table}")  # noqa: S608 - our tables
            if rows:
                self._complain(f"left in {table}: {[row['text'][:80] for row in rows]}")
        if self._cloud.grants:
            self._complain("a grant is left at DigitalOcean")

    # Rows

    async def _rows(self, *kinds: str) -> list[Row]:
        found = await self._store.database.fetch(
            "SELECT kind, name, namespace, uid, spec, status, "
            "deletion_timestamp IS NOT NULL AS deleting FROM objects WHERE kind = ANY(%s)",
            list(kinds),
        )
        return [Row(**row) for row in found]

    async def _of_uid(self, kind: str, uid: UUID) -> Row | None:
        rows = await self._rows(kind)
        return next((row for row in rows if row.uid == uid), None)

    async def _shall_run(self, row: Row) -> bool:
        """Whether a Vps' own wish and its account's state want it to run."""
        accounts = [each for each in await self._rows("Account") if each.name == row.namespace]
        active = any(each.spec.get("state", "Active") == "Active" for each in accounts)
        return active and row.spec.get("power", "Running") == "Running"


def _fingerprint(row: Row) -> str:
    return AuthorizedKeySpec.model_validate(row.spec).fingerprint
