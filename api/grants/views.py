"""What people are told of their connection."""

from __future__ import annotations

from typing import Final

from api.grants.models import Connection, ConnectionState
from crds.cloud_connection import GRANTED, CloudConnection

MESSAGES: Final[dict[ConnectionState, str]] = {
    "none": "It is not connected.",
    "connecting": "It is being connected; this takes a few seconds.",
    "connected": "It is connected.",
    "refreshing": "It is connected; the connection is being renewed.",
    "revoked": "The connection has ended at DigitalOcean. Connect again to go on.",
    "disconnecting": "It is being disconnected; this takes a few seconds.",
    "disconnected": "It is not connected.",
}
REFUSED: Final = "DigitalOcean did not accept your consent. Connect again."


def connection_of(found: CloudConnection | None) -> Connection:
    """What a row comes to in the words of its user."""
    if found is None:
        return Connection(state="none", message=MESSAGES["none"])
    state, status = _state(found), found.status
    granted = status.condition(GRANTED)
    refused = granted is not None and granted.reason == "ConsentRefused"
    return Connection(
        state=state,
        team=status.team and (status.team.name or status.team.uuid),
        scopes=status.scopes,
        granted_at=status.granted_at,
        expires_at=status.expires_at,
        message=REFUSED if state == "disconnected" and refused else MESSAGES[state],
    )


def _state(found: CloudConnection) -> ConnectionState:
    phase = found.status.phase
    acted_upon = found.status.observed_generation == found.metadata.generation
    if found.deleting or found.spec.state == "Disconnected":
        return "disconnected" if phase == "Disconnected" and acted_upon else "disconnecting"
    if phase == "Connected":
        return "connected"
    if phase == "Refreshing":
        return "refreshing"
    if not acted_upon:
        return "connecting"
    if phase in ("Revoked", "Disconnected"):
        return "revoked" if phase == "Revoked" else "disconnected"
    granted = found.status.condition(GRANTED)
    waits = granted is not None and granted.reason == "AwaitingConsent"
    return "none" if waits else "connecting"
