"""The droplets of a plan: DigitalOcean and the gateways' hub in memory, as the rows say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import httpx

from controller.grants import Application
from controller.providers import Gear
from controller.providers.digitalocean import DigitalOcean, DigitalOceanOAuth
from controller.vps.cloud_init import user_data
from controller.vps.names import droplet_name, installation_tag, uid_tag
from crds.authorized_key import AuthorizedKey
from crds.cloud_connection import GRANTED, CloudConnection
from crds.gateways import credentials_name
from crds.grants import Grant, consent_name, grant_name
from crds.meta import Resource
from crds.secrets import Secrets
from crds.session import Session
from crds.store import Store
from crds.vps import Vps
from deploy.local.simulators.clock import Now
from deploy.local.simulators.digitalocean import (
    API_HOST,
    OAUTH_HOST,
    DigitalOceanAPI,
    DigitalOceanCloud,
    Droplet,
    DropletTimings,
    Team,
)
from deploy.local.simulators.digitalocean.catalogue import IMAGES, REGIONS, SIZES
from deploy.local.simulators.gateways import (
    HUB_HOST,
    RELEASE,
    DropletGateways,
    Hub,
    SimulatedGateway,
    into_store,
)
from deploy.local.simulators.gateways.droplets import BootTimings
from deploy.local.simulators.gateways.machine import Machine
from deploy.local.simulators.wire import Handler
from deploy.plan.outside import seeded

# Nobody waits for a boot within a plan.
BOOTS: Final = BootTimings(first_seconds=1.0, again_seconds=1.0)
# Users may have any number at DigitalOcean; a plan does not know how many.
MOST_DROPLETS: Final = 10_000
# Longer than a plan, and than what is renewed early.
LIFETIME: Final = timedelta(days=30)
# Opens nothing: every gateway of a plan is let in.
TOKEN: Final = "of a plan"  # noqa: S105 - it opens nothing


class Droplets:
    """Users' droplets and what is in them, as far as the rows know.

    Args:
        store: The copy.
        now: Unix seconds.

    Attributes:
        cloud: DigitalOcean.
        notes: What had to be assumed.
    """

    def __init__(self, store: Store, now: Now) -> None:
        self._store = store
        self.cloud = DigitalOceanCloud(now=now, rng=seeded(7), timings=DropletTimings.instant())
        self.hub = Hub(into_store(store), self._let_in, now=now)
        self.gateways = DropletGateways(self.hub, boots=BOOTS)
        self.cloud.on_boot, self.cloud.on_halt = self.gateways.boot, self.gateways.halt
        self.notes: list[str] = []

    @property
    def hosts(self) -> dict[str, Handler]:
        """Who answers at which host."""
        api = DigitalOceanAPI(self.cloud)
        return {API_HOST: api, OAUTH_HOST: api, HUB_HOST: self.hub}

    def application(self, transport: httpx.AsyncBaseTransport) -> Application:
        """DigitalOcean as the controllers ask it.

        Args:
            transport: Leads to `hosts`.
        """
        app = self.cloud.app
        oauth = DigitalOceanOAuth(
            transport,
            client_id=app.client_id,
            client_secret=app.client_secret,
            redirect_uri=app.redirect_uris[0],
            gear=Gear(rng=seeded(8)),
        )
        return Application(oauth, DigitalOcean(transport, gear=Gear(rng=seeded(9))))

    async def seed(
        self, objects: Iterable[Resource], secrets: Secrets, installation: str
    ) -> set[str]:
        """Have the teams, droplets and gateways that the rows tell of.

        Args:
            objects: The rows.
            secrets: The copy's; no real token stays there.
            installation: Whose marks count.

        Returns:
            The numbers of the droplets that are there.
        """
        rows = list(objects)
        teams = {
            each.key[1:]: team
            for each in rows
            if isinstance(each, CloudConnection)
            and (team := await self._connect(each, secrets)) is not None
        }
        found: set[str] = set()
        for each in rows:
            if isinstance(each, Vps):
                namespace = each.metadata.namespace
                await self._drop(namespace, credentials_name(each.metadata.name))
                team = teams.get((namespace, each.spec.connection))
                droplet = self._droplet(each, team, installation)
                if droplet is not None:
                    found.add(str(droplet.id))
                    await self._bring_to_life(each, droplet, rows)
        return found

    async def aclose(self) -> None:
        """End everything."""
        await self.gateways.aclose()
        await self.hub.aclose()
        await self.cloud.aclose()

    async def _let_in(self, gateway: UUID, _: str) -> int:
        row = await self._store.project_one("Vps", gateway)
        return 404 if row is None else 204

    async def _connect(self, connection: CloudConnection, secrets: Secrets) -> Team | None:
        """Have the team of a connection, and a grant for it in place of the real one."""
        place, name = connection.metadata.namespace, connection.metadata.name
        status = connection.status
        await self._drop(place, grant_name(name))
        if await self._drop(place, consent_name(name)):
            self.notes.append(f"{connection.key}: planned without the consent that is on its way")
        if not status.is_true(GRANTED) or status.team is None or status.granted_at is None:
            return None
        uuid, email = status.team.uuid, f"{place}@plan.invalid"
        team = self.cloud.teams.setdefault(uuid, Team(uuid, email, uuid, MOST_DROPLETS))
        given = self.cloud.grant(team.email)
        now = self._store.clock.now()
        grant = Grant(
            client=self.cloud.app.client_id,
            scopes=tuple(status.scopes),
            access=given.access,
            refresh=given.refresh,
            granted_at=status.granted_at,
            given_at=now,
            expires_at=now + LIFETIME,
        )
        await secrets.put(place, grant_name(name), grant.to_bytes())
        return team

    def _droplet(self, vps: Vps, team: Team | None, installation: str) -> Droplet | None:
        """The droplet of a Vps; None where there is none, or nobody could look at it."""
        status, seen = vps.status, vps.status.droplet
        if status.intent is not None and status.intent.accepted_at is None:
            self.notes.append(
                f"{vps.key}: nobody knows what became of {status.intent.operation}; "
                "planned as if it was not done"
            )
        if seen is None or team is None or not _is_offered(seen.region, seen.size, seen.image):
            return None
        if seen.missing_since is not None:
            since = seen.missing_since
            self.notes.append(f"{vps.key}: planned without what cannot be found since {since}")
            return None
        at = seen.created_at.timestamp()
        made = Droplet(
            id=seen.id,
            team=seen.team or team.uuid,
            name=droplet_name(vps.metadata.name, vps.uid),
            region=seen.region,
            size=seen.size,
            image=seen.image,
            tags=[installation_tag(installation), uid_tag(vps.uid)],
            user_data=user_data(vps.uid, TOKEN, RELEASE),
            created_at=at,
            listed_at=at,
            number=len(self.cloud.droplets),
            # What is being made is there in a moment, and so in a plan.
            status="active" if seen.status == "new" else seen.status,
            addressed=True,
        )
        self.cloud.droplets[made.id] = made
        self.cloud.next_id = max(self.cloud.next_id, made.id)
        self.cloud.show(made)
        return made

    async def _bring_to_life(self, vps: Vps, droplet: Droplet, rows: Iterable[Resource]) -> None:
        """Have the gateway of a droplet that runs; one that is away, or never came, stays away."""
        gateway, machine = vps.status.gateway, self.gateways.machine(droplet.id)
        if droplet.status != "active":
            return
        if gateway.connected:
            _furnish(machine, vps, rows)
            there = SimulatedGateway(self.hub, vps.uid, TOKEN, machine=machine)
            self.gateways.running[droplet.id] = there
            there.start()
        elif gateway.first_hello_at is None and vps.status.phase != "ProvisioningTimeout":
            await self.gateways.boot(droplet, droplet.user_data)

    async def _drop(self, namespace: str, name: str) -> bool:
        """Have no such secret in the copy; returns whether there was one. It is not read."""
        rows = await self._store.database.fetch(
            "DELETE FROM secrets WHERE (namespace, name) = (%s, %s) RETURNING name", namespace, name
        )
        return bool(rows)


def unknown(vpses: Iterable[Vps]) -> Iterator[str]:
    """Say of which VPSs a plan does not know what they are made of.

    Args:
        vpses: As wished, with their statuses.
    """
    for vps in vpses:
        of = vps.status.droplet or vps.spec
        if not _is_offered(of.region, of.size, of.image):
            yield (
                f"{vps.key}: a plan does not know all that DigitalOcean offers; "
                f"{of.region}, {of.size} and {of.image} may be there all the same"
            )


def _furnish(machine: Machine, vps: Vps, rows: Iterable[Resource]) -> None:
    """Have in a droplet what its gateway told of."""
    machine.agents |= {e.name: e.version for e in vps.status.agents if e.state == "Installed"}
    for each in rows:
        if each.metadata.namespace != vps.metadata.namespace:
            continue
        if isinstance(each, Session) and _runs(each, vps):
            machine.create({"session_id": str(each.uid), "agent_type": "shell"})
        elif isinstance(each, AuthorizedKey) and _is_in(each, vps):
            machine.authorize(_authorization(each))


def _runs(session: Session, vps: Vps) -> bool:
    return session.spec.vps == vps.metadata.name and session.status.phase == "Running"


def _is_in(key: AuthorizedKey, vps: Vps) -> bool:
    return key.spec.vps == vps.metadata.name and key.status.phase == "Authorized"


def _authorization(key: AuthorizedKey) -> dict[str, Any]:
    return {
        "public_key": key.spec.public_key,
        "fingerprint": key.spec.fingerprint,
        "label": key.spec.label,
        "expires_at": None if key.spec.expires_at is None else key.spec.expires_at.isoformat(),
    }


def _is_offered(region: str, size: str, image: str) -> bool:
    return region in REGIONS and size in SIZES and image in IMAGES
