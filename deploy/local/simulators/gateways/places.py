"""What the API does for the hub, done on the store itself, for worlds without an API."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from crds.credentials import GatewayTokens
from crds.gateways import read_credentials
from crds.secrets import Secrets
from crds.store import Store
from crds.store.observations import HEALTH, Observation
from crds.vps import Vps
from deploy.local.simulators.gateways.hub import Authenticate
from deploy.local.simulators.gateways.outbox import Sink, UnknownGatewayError


def into_store(store: Store) -> Sink:
    """Notes what the hub saw, and rings where somebody could be waiting for it."""

    async def take(gateway: UUID, seen: Sequence[Observation]) -> None:
        if await store.project_one(Vps.KIND, gateway) is None:
            raise UnknownGatewayError
        await store.observations.record(seen, store.clock.now())
        if any(each.subject != HEALTH for each in seen):
            store.doorbell.ring()

    return take


def authentication(store: Store, secrets: Secrets, tokens: GatewayTokens) -> Authenticate:
    """Tells whether a token is one of those that a Vps' gateway was given."""

    async def authenticate(gateway: UUID, token: str) -> int:
        key = (await store.keys_of([gateway])).get(gateway)
        row = None if key is None else await store.find_row(key)
        if row is None or row["kind"] != Vps.KIND or row["deletion_timestamp"] is not None:
            return 404
        held = await read_credentials(secrets, row["namespace"], row["name"])
        digests = [] if held is None else [each.digest for each in held.held]
        return 204 if tokens.verify(gateway, token, digests) else 401

    return authenticate
